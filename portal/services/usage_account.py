"""From counted to acknowledged, for each subscription: what the ledger says of itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, case, func, select

from portal import clock
from portal.errors import NotFound
from portal.extensions import db
from portal.models import (
    BatchState,
    EnginePrice,
    EngineSubscription,
    SharedCustomer,
    Subscription,
    UsageBatch,
    UsageTally,
)
from portal.services.paging import Page, page_of

MINUTE = timedelta(minutes=1)
MOST_BATCHES = 200


@dataclass(frozen=True, kw_only=True)
class Row:
    """One metered subscription, over all its billing periods."""

    subscription: Subscription
    counted: int
    frozen: int
    """Of them in batches."""
    sent: int
    acknowledged: int
    parked: int
    """Refused, or of unknown fate: a person decides."""
    written_off: int
    """Given up by a person, since no invoice can have them."""

    @property
    def adds_up(self) -> bool:
        """Whether all that was counted has been acknowledged, or given up."""
        return self.counted == self.acknowledged + self.written_off


@dataclass(frozen=True, kw_only=True)
class Meter:
    """What to ask the engine of a subscription's present period, and what it should say."""

    subscription_id: int
    account: str
    meter_id: str
    customer_id: str
    start: datetime
    end: datetime
    expected: int


def of_tenant(tenant_id: int, number: int = 1) -> Page[Row]:
    """Return a page of the metered subscriptions that were ever used; three queries."""
    used = select(UsageTally.subscription_id).where(UsageTally.tenant_id == tenant_id)
    page: Page[Subscription] = page_of(
        select(Subscription)
        .where(Subscription.subscription_id.in_(used))
        .order_by(Subscription.subscription_id.desc()),
        number,
    )
    ids = [row.subscription_id for row in page.items]
    tallies = _tallies(ids)
    batches = _batches(ids)
    return page.map(
        lambda row: _row(
            row,
            tallies.get(row.subscription_id, (0, 0)),
            batches.get(row.subscription_id, (0, 0, 0, 0)),
        )
    )


def _row(row: Subscription, tally: tuple[int, int], batch: tuple[int, int, int, int]) -> Row:
    return Row(
        subscription=row,
        counted=tally[0],
        frozen=tally[1],
        sent=batch[0],
        acknowledged=batch[1],
        parked=batch[2],
        written_off=batch[3],
    )


def _tallies(ids: Sequence[int]) -> dict[int, tuple[int, int]]:
    query = (
        select(
            UsageTally.subscription_id,
            func.sum(UsageTally.counted),
            func.sum(UsageTally.claimed),
        )
        .where(UsageTally.subscription_id.in_(ids))
        .group_by(UsageTally.subscription_id)
    )
    return {row[0]: (int(row[1]), int(row[2])) for row in db.session.execute(query)}


def _batches(ids: Sequence[int]) -> dict[int, tuple[int, int, int, int]]:
    def those(condition: object) -> object:
        return func.sum(case((condition, UsageBatch.quantity), else_=0))  # type: ignore[arg-type]

    acknowledged = UsageBatch.state == BatchState.ACKNOWLEDGED
    parked = UsageBatch.state.in_((BatchState.REFUSED, BatchState.UNKNOWN))
    sent = acknowledged | (UsageBatch.attempts > 0)
    written_off = UsageBatch.state == BatchState.WRITTEN_OFF
    query = (
        select(  # type: ignore[call-overload]
            UsageBatch.subscription_id,
            those(sent),
            those(acknowledged),
            those(parked),
            those(written_off),
        )
        .where(UsageBatch.subscription_id.in_(ids))
        .group_by(UsageBatch.subscription_id)
    )
    return {
        row[0]: (int(row[1]), int(row[2]), int(row[3]), int(row[4]))
        for row in db.session.execute(query)
    }


def receipts(tenant_id: int, uuid: str) -> tuple[Subscription, Sequence[UsageBatch]]:
    """Return a subscription with its last batches, the newest first.

    :raise portal.errors.NotFound: if the tenant has none of this name
    """
    found = db.session.scalars(
        select(Subscription).where(Subscription.uuid == uuid, Subscription.tenant_id == tenant_id)
    ).one_or_none()
    if found is None:
        raise NotFound("There is no such subscription.")
    batches = db.session.scalars(
        select(UsageBatch)
        .where(UsageBatch.subscription_id == found.subscription_id)
        .order_by(UsageBatch.batch_id.desc())
        .limit(MOST_BATCHES)
    ).all()
    return found, batches


def meters(subscription_ids: Sequence[int], now: datetime) -> list[Meter]:
    """Return what to ask the engine of these subscriptions' present periods; one query.

    Compared by the minute in which the batches' time stamps lie, as engines add up.
    """
    end = clock.from_epoch(clock.epoch(now) // 60 * 60) + MINUTE
    query = _acknowledged(subscription_ids, end)
    return [
        Meter(
            subscription_id=row[0],
            account=row[1],
            meter_id=row[2],
            customer_id=row[3],
            start=row[4].replace(second=0, microsecond=0),
            end=end,
            expected=int(row[5]),
        )
        for row in db.session.execute(query)
        if row[2] and row[3] and row[4]
    ]


def _acknowledged(subscription_ids: Sequence[int], end: datetime) -> Any:
    columns = (
        Subscription.subscription_id,
        EngineSubscription.connected_account,
        EnginePrice.meter_id,
        SharedCustomer.shared_customer_id,
        Subscription.period_start,
    )
    stamped = and_(
        UsageBatch.engine_customer_id == SharedCustomer.shared_customer_id,
        UsageBatch.meter_event_name == EnginePrice.meter_event_name,
        UsageBatch.connected_account == EngineSubscription.connected_account,
        UsageBatch.state == BatchState.ACKNOWLEDGED,
        UsageBatch.stamp >= Subscription.period_start,
        UsageBatch.stamp < end,
    )
    return (
        select(*columns, func.coalesce(func.sum(UsageBatch.quantity), 0))
        .select_from(Subscription)
        .join(
            EngineSubscription,
            # Not those of a paid plan before: each would count the same batches again.
            EngineSubscription.subscription_id == Subscription.engine_subscription_id,
        )
        .join(EnginePrice, EnginePrice.mapping_id == EngineSubscription.mapping_id)
        .join(SharedCustomer, SharedCustomer.id == EngineSubscription.shared_customer_id)
        .outerjoin(UsageBatch, stamped)
        .where(
            Subscription.subscription_id.in_(subscription_ids),
            Subscription.ended_at.is_(None),
            Subscription.period_start.is_not(None),
            EnginePrice.meter_id.is_not(None),
            SharedCustomer.shared_customer_id.is_not(None),
        )
        .group_by(*columns)
    )
