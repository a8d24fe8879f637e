"""Keeping what the provider's books say: our invoices, and what their payments brought.

Everything may be stored any number of times in any order: an invoice is overwritten by what was
read last, a movement never changes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Table, func, select
from sqlalchemy.orm import lazyload

from portal.billing.engine import Invoice, Movement
from portal.extensions import db
from portal.models import (
    Book,
    BookedInvoice,
    BookedMovement,
    BookedPayment,
    EnginePrice,
    EngineSubscription,
    PolicyVersion,
    Subscription,
    Tenant,
)
from portal.services.inserting import insert_missing

#: What was made within this time before the last reading is read again.
OVERLAP = timedelta(days=2)
#: An invoice in one of these states does not change any more; money that went back is a movement.
SETTLED = ("paid", "void")

_INVOICE: Table = BookedInvoice.__table__  # type: ignore[assignment]
_PAYMENT: Table = BookedPayment.__table__  # type: ignore[assignment]
_MOVEMENT: Table = BookedMovement.__table__  # type: ignore[assignment]
_SAME = (
    "number",
    "status",
    "currency",
    "subtotal",
    "tax",
    "total",
    "amount_due",
    "amount_paid",
    "amount_remaining",
    "attempted",
    "created",
    "period_start",
    "period_end",
    "due_date",
    "hosted_url",
    "pdf_url",
)


def book(tenant_id: int, account: str) -> Book:
    """Return how far an account's books were read, stored if nobody has read them."""
    query = select(Book).where(Book.tenant_id == tenant_id, Book.connected_account == account)
    found = db.session.scalars(query).one_or_none()
    if found is None:
        row = {"tenant_id": tenant_id, "connected_account": account}
        insert_missing(db.session.connection(), Book.__table__, [row])  # type: ignore[arg-type]
        found = db.session.scalars(query).one()
    return found


def since(tenant: Tenant, read: Book) -> datetime | None:
    """Return from when on an account has to be read; ``None``: from its beginning.

    In test mode always from the beginning: test clocks make objects of any time in any order.
    """
    if read.read_at is None or not tenant.is_live:
        return None
    unsettled = db.session.scalar(
        select(func.min(BookedInvoice.created)).where(
            BookedInvoice.tenant_id == tenant.tenant_id,
            BookedInvoice.connected_account == read.connected_account,
            BookedInvoice.status.not_in(SETTLED),
        )
    )
    start = read.read_at - OVERLAP
    return min(start, unsettled) if unsettled is not None else start


def readings(tenant_id: int) -> dict[str, datetime | None]:
    """Return the accounts through which a tenant has sold, and when each was read; one query."""
    read = (Book.tenant_id == Subscription.tenant_id) & (
        Book.connected_account == Subscription.connected_account
    )
    rows = db.session.execute(
        select(Subscription.connected_account, Book.read_at)
        .outerjoin(Book, read)
        .where(Subscription.tenant_id == tenant_id, Subscription.connected_account.is_not(None))
        .distinct()
        .order_by(Subscription.connected_account)
    )
    return {str(account): read_at for account, read_at in rows}


@dataclass(frozen=True, kw_only=True)
class _Sold:
    """What an invoice belongs to here."""

    subscription_id: int
    api_id: int
    policy_id: int


def keep_invoices(tenant_id: int, account: str, found: Sequence[Invoice]) -> None:
    """Store invoices of subscriptions that this portal sold; pass over all others."""
    owners = _owners(tenant_id, account, found)
    plans = _plans(account, {line.price_id for each in found for line in each.lines})
    ours = [(each, owners[each.invoice_id or ""]) for each in found if each.invoice_id in owners]
    connection = db.session.connection()
    known = {
        row.invoice_id: row
        for row in db.session.scalars(
            select(BookedInvoice)
            .where(BookedInvoice.invoice_id.in_([each.invoice_id for each, _ in ours]))
            .options(lazyload(BookedInvoice.subscription))
        )
    }
    fresh = [_row(tenant_id, account, each, sold, plans) for each, sold in ours]
    for row in fresh:
        held = known.get(row["invoice_id"])
        for name in (*_SAME, "month") if held is not None else ():
            setattr(held, name, row[name])
    new = [row for row in fresh if row["invoice_id"] not in known]
    if new:
        insert_missing(connection, _INVOICE, new)
    db.session.flush()
    _keep_payments(each for each, _ in ours)


def _row(
    tenant_id: int, account: str, invoice: Invoice, sold: _Sold, plans: Mapping[str, int]
) -> dict[str, Any]:
    """Return an invoice as a row. It belongs to the plan of its newest line that names one."""
    prices = [line.price_id or "" for line in invoice.lines]
    named = [plans[price] for price in prices if price in plans]
    return {
        "invoice_id": invoice.invoice_id,
        "tenant_id": tenant_id,
        "connected_account": account,
        "subscription_id": sold.subscription_id,
        "api_id": sold.api_id,
        "policy_id": named[-1] if named else sold.policy_id,
        "month": f"{invoice.created:%Y-%m}",
        **{name: getattr(invoice, name) for name in _SAME},
        "currency": invoice.currency.lower(),
    }


def _owners(tenant_id: int, account: str, found: Sequence[Invoice]) -> dict[str, _Sold]:
    """Return which of our subscriptions each invoice is of, by billing record or by our name."""
    by_engine = _sold(
        EngineSubscription.subscription_id,
        [each.subscription_id for each in found],
        EngineSubscription.tenant_id == tenant_id,
        EngineSubscription.connected_account == account,
    )
    by_name = _sold(
        Subscription.uuid,
        [each.reference for each in found if each.subscription_id not in by_engine],
        Subscription.tenant_id == tenant_id,
        Subscription.connected_account == account,
    )
    owners = {}
    for each in found:
        sold = by_engine.get(each.subscription_id or "") or by_name.get(each.reference or "")
        if sold is not None and each.invoice_id is not None:
            owners[each.invoice_id] = sold
    return owners


def _sold(key: Any, values: Sequence[str | None], *where: Any) -> dict[str, _Sold]:
    wanted = sorted({value for value in values if value})
    if not wanted:
        return {}
    rows = db.session.execute(
        select(key, Subscription.subscription_id, Subscription.api_id, PolicyVersion.policy_id)
        .select_from(Subscription)
        .outerjoin(
            EngineSubscription,
            EngineSubscription.am_subscription_id == Subscription.subscription_id,
        )
        .join(PolicyVersion, PolicyVersion.policy_version_id == Subscription.policy_version_id)
        .where(key.in_(wanted), *where)
    )
    return {row[0]: _Sold(subscription_id=row[1], api_id=row[2], policy_id=row[3]) for row in rows}


def _plans(account: str, prices: Iterable[str | None]) -> dict[str, int]:
    wanted = sorted({price for price in prices if price})
    if not wanted:
        return {}
    rows = db.session.execute(
        select(EnginePrice.plan_id, PolicyVersion.policy_id)
        .join(PolicyVersion, PolicyVersion.policy_version_id == EnginePrice.policy_version_id)
        .where(EnginePrice.plan_id.in_(wanted), EnginePrice.connected_account == account)
    )
    return {row[0] or "": row[1] for row in rows}


def _keep_payments(found: Iterable[Invoice]) -> None:
    paid = {payment: each.invoice_id for each in found for payment in each.payment_ids}
    if not paid:
        return
    numbers = dict(
        db.session.execute(
            select(BookedInvoice.invoice_id, BookedInvoice.id).where(
                BookedInvoice.invoice_id.in_(sorted({name or "" for name in paid.values()}))
            )
        ).all()
    )
    rows = [
        {"payment_id": payment, "invoice_id": numbers[name]}
        for payment, name in paid.items()
        if name in numbers
    ]
    insert_missing(db.session.connection(), _PAYMENT, rows)


def keep_movements(found: Sequence[Movement]) -> None:
    """Store what payments of our invoices did to a balance; pass over all others."""
    by_payment = dict(
        db.session.execute(
            select(BookedPayment.payment_id, BookedPayment.invoice_id).where(
                BookedPayment.payment_id.in_([each.payment_id or "" for each in found])
            )
        ).all()
    )
    by_charge = dict(
        db.session.execute(
            select(BookedMovement.charge_id, BookedMovement.invoice_id).where(
                BookedMovement.charge_id.in_([each.charge_id for each in found])
            )
        ).all()
    )
    rows = []
    for each in found:
        invoice = by_payment.get(each.payment_id or "") or by_charge.get(each.charge_id)
        if invoice is not None:
            rows.append(_movement(each, invoice))
    if rows:
        insert_missing(db.session.connection(), _MOVEMENT, rows)


def _movement(each: Movement, invoice: int) -> dict[str, Any]:
    return {
        "movement_id": each.movement_id,
        "invoice_id": invoice,
        "kind": each.kind.value,
        "charge_id": each.charge_id,
        "currency": each.currency.lower(),
        "amount": each.amount,
        "fee": each.fee - each.platform_fee,
        "platform_fee": each.platform_fee,
        "net": each.net,
        "created": each.created,
    }
