"""What sales brought: sums of the copied books by month, API, plan or subscriber.

Every sum is by currency, and nothing adds two of them together. All money of an invoice counts in
the month in which the invoice was made, refunds and fees too, so that each figure is the sum of
the invoices behind it. For what is paid out, ``net + fees + platform fee + refunded = gross``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    case,
    func,
    literal_column,
    null,
    or_,
    select,
    union_all,
)

from portal.extensions import db
from portal.models import (
    Api,
    Application,
    BookedInvoice,
    BookedMovement,
    Policy,
    Subscription,
    User,
)
from portal.money import Money

#: Column of the books -> what it is called.
GROUPS: dict[str, str] = {
    "month": "Month",
    "api": "API",
    "plan": "Plan",
    "subscriber": "Subscriber",
}
#: What can be asked for: figure -> words.
FIGURES: dict[str, str] = {
    "invoiced": "Invoiced",
    "paid": "Paid",
    "open": "Open",
    "overdue": "Overdue",
    "refunded": "Refunded",
    "fee": "Fees",
    "platform_fee": "Platform fee",
    "net": "Net",
}
#: They come from the balance, in the currency of the payout; the others from the invoices.
OF_BALANCE = ("gross", "refunded", "fee", "platform_fee", "net")
OF_INVOICES = ("invoiced", "paid", "open", "overdue")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which invoices are asked for. Empty values ask for all."""

    tenant_id: int
    provider_id: int | None = None
    """Only the APIs of this publisher; ``None`` for an administrator."""
    owner_id: int | None = None
    """Only the subscriptions of this developer."""
    year: str = ""
    month: str = ""
    api: str = ""
    plan: str = ""
    subscriber: str = ""
    currency: str = ""
    figure: str = ""
    """Only the invoices that a figure is made of."""
    subscriptions: tuple[int, ...] = ()
    """Only the invoices of these subscriptions."""


@dataclass(kw_only=True)
class Row:
    """The figures of one group in one currency, in minor units."""

    group: str
    label: str
    currency: str
    figures: dict[str, int] = field(default_factory=dict)

    def amount(self, *figures: str) -> str:
        """Write a figure, or the sum of some, with its currency."""
        return str(Money(sum(self.figures.get(name, 0) for name in figures), self.currency))

    @property
    def ties(self) -> bool:
        """Whether net, fees and refunds make up what was charged."""
        taken = sum(self.figures.get(name, 0) for name in ("net", "fee", "platform_fee"))
        return taken + self.figures.get("refunded", 0) == self.figures.get("gross", 0)


def sums(wanted: Wanted, by: str, now: datetime) -> list[Row]:
    """Return the figures by month, API, plan, subscriber or ``subscription``, with one query.

    A payment that is paid out in another currency than its invoice counts, with its fees, in a
    row of that currency: exchange is the payment provider's, and not undone here.
    """
    group, label, joins = _group(by)
    query = union_all(
        _of_invoices(wanted, group, label, joins, now), _of_balance(wanted, group, label, joins)
    )
    rows: dict[tuple[str, str], Row] = {}
    for found in db.session.execute(query).all():
        place = (str(found.group), found.currency)
        row = rows.setdefault(
            place, Row(group=place[0], label=str(found.label), currency=found.currency)
        )
        for name in OF_BALANCE if found.of_balance else OF_INVOICES:
            row.figures[name] = row.figures.get(name, 0) + int(getattr(found, name) or 0)
    ordered = sorted(rows.values(), key=lambda row: (row.label.lower(), row.currency))
    return ordered[::-1] if by == "month" else ordered


def totals(rows: Sequence[Row]) -> list[Row]:
    """Add up the rows of each currency."""
    found: dict[str, Row] = {}
    for row in rows:
        total = found.setdefault(row.currency, Row(group="", label="All", currency=row.currency))
        for name, value in row.figures.items():
            total.figures[name] = total.figures.get(name, 0) + value
    return [found[currency] for currency in sorted(found)]


def invoices(wanted: Wanted, now: datetime) -> Select[BookedInvoice]:
    """Return the query for the invoices that are asked for, the newest first."""
    return (
        _within(select(BookedInvoice), wanted)
        .where(_of_figure(wanted.figure, now))
        .order_by(BookedInvoice.created.desc(), BookedInvoice.id.desc())
    )


def brought(numbers: Sequence[int]) -> dict[int, dict[str, int]]:
    """Return what the balance says of some invoices, with one query: figure by invoice."""
    rows = db.session.execute(
        select(BookedMovement.invoice_id, *_movement_sums())
        .where(BookedMovement.invoice_id.in_(numbers))
        .group_by(BookedMovement.invoice_id)
    )
    return {
        row.invoice_id: {name: int(getattr(row, name) or 0) for name in OF_BALANCE} for row in rows
    }


def years(wanted: Wanted, now: datetime) -> list[str]:
    """Return the years of which there are invoices, the newest first; at least the present one."""
    year = func.substr(BookedInvoice.month, 1, 4)
    query = _within(select(year).distinct().select_from(BookedInvoice), wanted)
    return sorted({f"{now:%Y}", *db.session.scalars(query)}, reverse=True)


def is_overdue(now: datetime) -> ColumnElement[bool]:
    """Whether an invoice is unpaid although somebody tried to collect it, or its day is over."""
    late = and_(
        BookedInvoice.status == "open",
        or_(BookedInvoice.attempted.is_(True), BookedInvoice.due_date < now),
    )
    return or_(BookedInvoice.status == "uncollectible", late)


def _group(by: str) -> tuple[Any, Any, tuple[tuple[Any, Any], ...]]:
    if by == "api":
        label = Api.api_name + " " + Api.api_version
        return Api.api_uuid, label, ((Api, Api.api_id == BookedInvoice.api_id),)
    if by == "subscription":
        return Subscription.uuid, Application.name, ()
    if by == "plan":
        here = ((Policy, Policy.policy_id == BookedInvoice.policy_id),)
        return Policy.uuid, Policy.display_name, here
    if by == "subscriber":
        # The subscription and its application are joined by everybody who asks.
        owner = (User, User.user_id == Application.owner_id)
        return Application.uuid, Application.name + " (" + User.username + ")", (owner,)
    return BookedInvoice.month, BookedInvoice.month, ()


def _of_invoices(wanted: Wanted, group: Any, label: Any, joins: Any, now: datetime) -> Select[Any]:
    overdue = is_overdue(now)
    issued = BookedInvoice.status.in_(("open", "paid", "uncollectible"))
    columns = {
        "invoiced": case((issued, BookedInvoice.amount_due), else_=0),
        "paid": BookedInvoice.amount_paid,
        "open": case(
            (and_(BookedInvoice.status == "open", ~overdue), BookedInvoice.amount_remaining),
            else_=0,
        ),
        "overdue": case((overdue, BookedInvoice.amount_remaining), else_=0),
    }
    query = select(
        group.label("group"),
        label.label("label"),
        BookedInvoice.currency.label("currency"),
        *(func.sum(column).label(name) for name, column in columns.items()),
        *(null().label(name) for name in OF_BALANCE),
        literal_column("0").label("of_balance"),
    ).select_from(BookedInvoice)
    return _grouped(query, wanted, group, label, joins, BookedInvoice.currency)


def _movement_sums() -> list[Any]:
    charge = BookedMovement.kind == "charge"
    columns = {
        "gross": case((charge, BookedMovement.amount), else_=0),
        "refunded": case((charge, 0), else_=-BookedMovement.amount),
        "fee": BookedMovement.fee,
        "platform_fee": BookedMovement.platform_fee,
        "net": BookedMovement.net,
    }
    return [func.sum(column).label(name) for name, column in columns.items()]


def _of_balance(wanted: Wanted, group: Any, label: Any, joins: Any) -> Select[Any]:
    query = (
        select(
            group.label("group"),
            label.label("label"),
            BookedMovement.currency.label("currency"),
            *(null().label(name) for name in OF_INVOICES),
            *_movement_sums(),
            literal_column("1").label("of_balance"),
        )
        .select_from(BookedMovement)
        .join(BookedInvoice, BookedInvoice.id == BookedMovement.invoice_id)
    )
    return _grouped(query, wanted, group, label, joins, BookedMovement.currency)


def _grouped(
    query: Select[Any],
    wanted: Wanted,
    group: Any,
    label: Any,
    joins: Any,
    currency: Any,
) -> Select[Any]:
    query = _within(query, wanted)
    for table, on in joins:
        query = query.join(table, on)
    return query.group_by(group, label, currency)


def _within(query: Select[Any], wanted: Wanted) -> Select[Any]:
    """Narrow a query of invoices to what is asked for; drafts are no invoices yet."""
    query = (
        query.join(Subscription, Subscription.subscription_id == BookedInvoice.subscription_id)
        .join(Application, Application.application_id == Subscription.application_id)
        .where(BookedInvoice.tenant_id == wanted.tenant_id, BookedInvoice.status != "draft")
    )
    narrow: dict[str, Callable[[Any], ColumnElement[bool]]] = {
        "provider_id": lambda value: BookedInvoice.api_id.in_(
            select(Api.api_id).where(Api.provider_id == value)
        ),
        "owner_id": lambda value: Application.owner_id == value,
        "api": lambda value: BookedInvoice.api_id.in_(
            select(Api.api_id).where(Api.api_uuid == value)
        ),
        "plan": lambda value: BookedInvoice.policy_id.in_(
            select(Policy.policy_id).where(Policy.uuid == value)
        ),
        "subscriber": lambda value: Application.uuid == value,
        "month": lambda value: BookedInvoice.month == value,
        "currency": lambda value: BookedInvoice.currency == value,
        "subscriptions": BookedInvoice.subscription_id.in_,
        "year": lambda value: BookedInvoice.month.like(f"{value}-%"),
    }
    given = {name: getattr(wanted, name) for name in narrow}
    return query.where(*(narrow[name](value) for name, value in given.items() if value))


def _of_figure(figure: str, now: datetime) -> ColumnElement[bool]:
    """Return which invoices a figure is made of."""
    moved = select(BookedMovement.invoice_id)
    conditions: dict[str, ColumnElement[bool]] = {
        "invoiced": BookedInvoice.status.in_(("open", "paid", "uncollectible")),
        "paid": BookedInvoice.amount_paid != 0,
        "open": and_(BookedInvoice.status == "open", ~is_overdue(now)),
        "overdue": is_overdue(now),
        "refunded": BookedInvoice.id.in_(moved.where(BookedMovement.kind != "charge")),
        "fee": BookedInvoice.id.in_(moved.where(BookedMovement.fee != 0)),
        "platform_fee": BookedInvoice.id.in_(moved.where(BookedMovement.platform_fee != 0)),
        "net": BookedInvoice.id.in_(moved),
    }
    return conditions.get(figure, BookedInvoice.id.is_not(None))
