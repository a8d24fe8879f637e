"""What becomes of the subscriptions that run when an API is taken off sale, and how many they are.

Decided by what was sold, never by the API's present setting. What was asked for stands at the API
until it is done for each, so that a crash does not lose it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, func, or_, select

from portal.extensions import db
from portal.models import (
    Api,
    Billing,
    Endings,
    PolicyVersion,
    Status,
    Subscription,
    UsageTally,
)
from portal.money import Money

_RUNNING = (Billing.PAID, Billing.GRACE, Billing.OVERDUE)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many run on one version of a plan, and what that brings in each billing cycle."""

    name: str
    price_words: str
    subscriptions: int
    amount: str
    """Of a fixed price; empty where it depends on the calls."""


@dataclass(frozen=True, kw_only=True)
class Affected:
    """What taking an API off sale touches."""

    plans: Sequence[Plan]
    totals: Sequence[str]
    """Of the fixed prices, one for each currency and billing cycle: they are never added up."""
    already_ending: int
    """Of those that run: they end with their period whatever is chosen."""
    waiting: int
    """Subscriptions, and changes from a free plan, that nobody has paid yet."""
    unreported: int
    """Billable calls of those that run that the engine has not been told about."""

    @property
    def running(self) -> int:
        """How many are billed."""
        return sum(plan.subscriptions for plan in self.plans)


def affected(api: Api) -> Affected:
    """Return what an API's end of sale touches; a few queries, however many there are."""
    rows = db.session.execute(
        select(
            Subscription.policy_version_id,
            func.count().label("running"),
            func.count(Subscription.cancel_at).label("ending"),
        )
        .where(_runs(api.api_id))
        .group_by(Subscription.policy_version_id)
    ).all()
    counts = {row.policy_version_id: row.running for row in rows}
    versions = db.session.scalars(
        select(PolicyVersion)
        .where(PolicyVersion.policy_version_id.in_(counts))
        .order_by(PolicyVersion.policy_version_id)
    ).all()
    plans, sums = [], dict[str, int]()
    for version in versions:
        count = counts[version.policy_version_id]
        fixed = not version.is_dynamic and version.currency
        minor = int(version.unit_minor) * count if fixed else 0
        if fixed:
            unit = f"{version.currency} per {version.billing_cycle}"
            sums[unit] = sums.get(unit, 0) + minor
        plans.append(
            Plan(
                name=version.policy.display_name,
                price_words=version.price_words,
                subscriptions=count,
                amount=_amount(minor, version) if fixed else "",
            )
        )
    return Affected(
        plans=plans,
        totals=[_total(minor, unit) for unit, minor in sums.items()],
        already_ending=sum(row.ending for row in rows),
        waiting=_count(and_(_living(api.api_id), _waits())),
        unreported=_unreported(api.api_id),
    )


def _amount(minor: int, version: PolicyVersion) -> str:
    return _total(minor, f"{version.currency} per {version.billing_cycle}")


def _total(minor: int, unit: str) -> str:
    currency, _, cycle = unit.partition(" ")
    return f"{Money(minor, currency.lower())} {cycle}"


def _living(api_id: int) -> ColumnElement[bool]:
    return and_(Subscription.api_id == api_id, Subscription.ended_at.is_(None))


def _runs(api_id: int) -> ColumnElement[bool]:
    return and_(_living(api_id), Subscription.billing.in_(_RUNNING))


def _waits() -> ColumnElement[bool]:
    free = Subscription.billing == Billing.NOT_REQUIRED
    return or_(
        Subscription.billing == Billing.PENDING, and_(free, Subscription.plan_change_pending)
    )


def _count(where: ColumnElement[bool]) -> int:
    return db.session.scalar(select(func.count()).select_from(Subscription).where(where)) or 0


def _unreported(api_id: int) -> int:
    found = db.session.scalar(
        select(func.sum(UsageTally.counted - UsageTally.claimed))
        .join(Subscription, Subscription.subscription_id == UsageTally.subscription_id)
        .where(_runs(api_id), UsageTally.open_since.is_not(None))
    )
    return int(found or 0)


def ask(api: Api, how: Endings, actor: str) -> None:
    """Store what becomes of the subscriptions; going on is nothing to be done."""
    api.endings = None if how is Endings.GO_ON else how
    api.endings_by = None if how is Endings.GO_ON else actor


def _left(api: Api) -> ColumnElement[bool]:
    paid: ColumnElement[bool] = Subscription.billing.in_(_RUNNING)
    if api.endings == Endings.PERIOD:
        paid = and_(paid, Subscription.cancel_at.is_(None), Subscription.end_requested.is_(False))
    return and_(_living(api.api_id), or_(paid, _waits()))


def count_left(api: Api) -> int:
    """Return how many are still to be ended."""
    return _count(_left(api))


def left(api: Api, after: int, limit: int) -> Sequence[int]:
    """Return the lowest subscriptions after a number that are still to be ended.

    Paid ones, and payments that are waited for. With the period, those are left alone that end
    with it already.
    """
    return db.session.scalars(
        select(Subscription.subscription_id)
        .where(_left(api), Subscription.subscription_id > after)
        .order_by(Subscription.subscription_id)
        .limit(limit)
    ).all()


def pending(after: int, limit: int) -> Sequence[int]:
    """Return the lowest APIs after a number whose subscriptions are being ended."""
    return db.session.scalars(
        select(Api.api_id)
        .where(Api.endings.is_not(None), Api.api_id > after)
        .order_by(Api.api_id)
        .limit(limit)
    ).all()


def is_waiting(subscription: Subscription) -> bool:
    """Whether it waits for a first payment, and nothing was ever paid."""
    return subscription.status is Status.ON_HOLD and subscription.billing == Billing.PENDING
