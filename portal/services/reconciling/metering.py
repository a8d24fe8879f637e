"""Usage that was acknowledged here, in the stretches of time in which meters are compared."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import func, literal_column, or_, select, union_all

from portal.extensions import db
from portal.models import (
    BatchState,
    EnginePrice,
    EngineSubscription,
    PolicyVersion,
    SharedCustomer,
    Subscription,
    UsageBatch,
)
from portal.services import periods

PAGE = 100
#: For how long after its end a billing period is still compared.
AFTER = timedelta(hours=3)


@dataclass(frozen=True, kw_only=True)
class Metered:
    """A subscription that is charged per request, in its last period."""

    record_id: int
    number: int
    uuid: str
    account: str
    meter_id: str
    event_name: str
    customer_id: str
    period_start: datetime
    earlier: datetime | None
    """Start of the period before, as long as that is still compared."""


class Meter(Protocol):
    """A customer's use of a meter: what the engine adds up together."""

    @property
    def account(self) -> str:
        """The connected account."""

    @property
    def customer_id(self) -> str:
        """The customer at the engine."""

    @property
    def event_name(self) -> str:
        """What is counted, by the name that is sent."""

    @property
    def meter_id(self) -> str:
        """The meter at the engine."""

    @property
    def uuid(self) -> str:
        """A subscription that it is of."""


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """What is compared: from one whole minute to another, without the latter."""

    of: Meter
    start: datetime
    end: datetime


@dataclass(frozen=True, kw_only=True)
class Counted:
    """What the engine acknowledged with time stamps of a stretch."""

    total: int
    last: datetime | None
    """When it acknowledged the last of it."""


def metered(tenant_id: int, account: str, after: int, now: datetime) -> list[Metered]:
    """Return a page of the subscriptions that count on a meter, after a record.

    Those that live, and those that have ended some hours ago at most.
    """
    rows = db.session.execute(_sold(tenant_id, account, after, now - AFTER))
    return [
        Metered(
            record_id=row.id,
            number=row.subscription_id,
            uuid=row.uuid,
            account=row.connected_account,
            meter_id=row.meter_id or "",
            event_name=row.meter_event_name or "",
            customer_id=row.shared_customer_id or "",
            period_start=row.period_start,
            earlier=_earlier(row, now),
        )
        for row in rows
    ]


def _sold(tenant_id: int, account: str, after: int, since: datetime) -> Any:
    """Return the query for those that live, or have ended since a moment."""
    return (
        select(
            EngineSubscription.id,
            Subscription.subscription_id,
            Subscription.uuid,
            EngineSubscription.connected_account,
            EnginePrice.meter_id,
            EnginePrice.meter_event_name,
            SharedCustomer.shared_customer_id,
            Subscription.period_start,
            Subscription.period_end,
            PolicyVersion.billing_cycle,
        )
        .join(
            Subscription, Subscription.engine_subscription_id == EngineSubscription.subscription_id
        )
        .join(PolicyVersion, PolicyVersion.policy_version_id == Subscription.policy_version_id)
        .join(EnginePrice, EnginePrice.mapping_id == EngineSubscription.mapping_id)
        .join(SharedCustomer, SharedCustomer.id == EngineSubscription.shared_customer_id)
        .where(
            EngineSubscription.tenant_id == tenant_id,
            EngineSubscription.connected_account == account,
            EngineSubscription.id > after,
            or_(Subscription.ended_at.is_(None), Subscription.ended_at > since),
            Subscription.period_start.is_not(None),
            EnginePrice.meter_id.is_not(None),
            EnginePrice.meter_event_name.is_not(None),
            SharedCustomer.shared_customer_id.is_not(None),
        )
        .order_by(EngineSubscription.id)
        .limit(PAGE)
    )


def _earlier(row: Any, now: datetime) -> datetime | None:
    start, end = row.period_start, row.period_end
    if end is None or end <= start or now - start >= AFTER:
        return None
    last = start - timedelta(seconds=1)
    return periods.find(last, start, end, row.billing_cycle or "month").start


def acknowledged(stretches: Sequence[Stretch]) -> list[Counted]:
    """Return what the engine acknowledged in each stretch; two queries for all of them.

    By the time stamp that was sent, and of the whole customer: other subscriptions of it may count
    on the same meter, and the engine adds up by customer and event name.
    """
    if not stretches:
        return []
    whose = _of_customers({each.of.customer_id for each in stretches})
    sums = union_all(
        *(
            _sum(number, each, whose.get(each.of.customer_id, []))
            for number, each in enumerate(stretches)
        )
    )
    found = {row[0]: Counted(total=int(row[1]), last=row[2]) for row in db.session.execute(sums)}
    return [found[number] for number in range(len(stretches))]


def _of_customers(customers: Iterable[str]) -> dict[str, list[int]]:
    """Return the subscriptions of each customer, by which its batches are found."""
    rows = db.session.execute(
        select(SharedCustomer.shared_customer_id, EngineSubscription.am_subscription_id)
        .join(EngineSubscription, EngineSubscription.shared_customer_id == SharedCustomer.id)
        .where(SharedCustomer.shared_customer_id.in_(customers))
        .distinct()
    )
    found: dict[str, list[int]] = {}
    for customer, subscription_id in rows:
        found.setdefault(str(customer), []).append(subscription_id)
    return found


def _sum(number: int, of: Stretch, subscriptions: list[int]) -> Any:
    return select(
        literal_column(str(number)),
        func.coalesce(func.sum(UsageBatch.quantity), 0),
        func.max(UsageBatch.acknowledged_at),
    ).where(
        UsageBatch.subscription_id.in_(subscriptions),
        UsageBatch.connected_account == of.of.account,
        UsageBatch.engine_customer_id == of.of.customer_id,
        UsageBatch.meter_event_name == of.of.event_name,
        UsageBatch.state == BatchState.ACKNOWLEDGED,
        UsageBatch.stamp >= of.start,
        UsageBatch.stamp < of.end,
    )
