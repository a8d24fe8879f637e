"""From counted calls to frozen batches: what is claimed, for which invoice, under which name."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Table, insert, or_, select

from portal import clock
from portal.extensions import db
from portal.models import (
    BatchState,
    EnginePrice,
    EngineSubscription,
    PolicyVersion,
    SharedCustomer,
    Subscription,
    UsageBatch,
    UsageTally,
)
from portal.services import claiming, periods
from portal.services.claiming import GRACE, OPEN, Conditions, claim, is_settled, is_sold

TOO_LATE = (
    "What was paid for has ended and its last invoice is drawn, so no invoice can have these "
    "calls. Press Write off under Publish usage to give them up."
)
#: How far the portal's clock may be from the engine's.
SKEW = timedelta(minutes=1)
_tally: Table = UsageTally.__table__  # type: ignore[assignment]
_batch_table: Table = UsageBatch.__table__  # type: ignore[assignment]


def freeze(tenant_id: int, run_id: int | None = None, *, limit: int = 5000) -> int:
    """Claim calls that no batch has into batches, of so many billing periods at most.

    Returns how many batches were made; 0: there is nothing left. One batch for each subscription
    and billing period. A subscription that is not metered has no batches; one whose plan is being
    changed has to wait until that is settled.
    """
    connection, now = db.session.connection(), clock.now()
    made = claiming.freeze_ordinary(connection, tenant_id, run_id, now, limit)
    return made or _freeze([_tally.c.tenant_id == tenant_id], run_id, limit)


def open_subscriptions(tenant_id: int) -> Sequence[int]:
    """Return the metered subscriptions that have unclaimed calls, also ended ones."""
    return db.session.scalars(
        select(_tally.c.subscription_id)
        .where(_tally.c.tenant_id == tenant_id, *OPEN, is_sold())
        .distinct()
        .order_by(_tally.c.subscription_id)
    ).all()


def freeze_one(
    subscription_id: int, run_id: int | None = None, *, while_changing: bool = False
) -> int:
    """Claim one subscription's calls into batches; return how many were made.

    :param while_changing: also while its plan is being changed, by whoever changes it
    """
    whose = [_tally.c.subscription_id == subscription_id]
    return _freeze(whose, run_id, 500, while_changing=while_changing)


def _freeze(
    whose: Conditions, run_id: int | None, limit: int, *, while_changing: bool = False
) -> int:
    among = [] if while_changing else [is_settled()]
    tallies = db.session.execute(
        select(_tally)
        .where(*whose, *among, *OPEN, is_sold())
        .order_by(_tally.c.subscription_id, _tally.c.period_start)
        .limit(limit)
        .with_for_update(of=_tally)
    ).all()
    if not tallies:
        return 0
    sold = sold_as({row.subscription_id for row in tallies})
    now = clock.now()
    rows = [_batch(row, sold[row.subscription_id], now, run_id) for row in tallies]
    connection = db.session.connection()
    connection.execute(insert(_batch_table), rows)
    ends = tallies[0].subscription_id, tallies[-1].subscription_id
    claim(connection, [*whose, _tally.c.subscription_id.between(*ends)], len(rows))
    return len(rows)


def sold_as(subscription_ids: set[int]) -> dict[int, Any]:
    """Return what each subscription's usage is reported as: account, customer and meter."""
    query = (
        select(
            Subscription.subscription_id,
            Subscription.uuid,
            Subscription.period_start,
            Subscription.period_end,
            Subscription.ended_at,
            Subscription.engine_subscription_id,
            Subscription.plan_since,
            PolicyVersion.billing_cycle,
            EngineSubscription.connected_account,
            SharedCustomer.shared_customer_id.label("customer_id"),
            EnginePrice.meter_event_name,
        )
        .join(
            EngineSubscription,
            EngineSubscription.am_subscription_id == Subscription.subscription_id,
        )
        .join(SharedCustomer, SharedCustomer.id == EngineSubscription.shared_customer_id)
        .join(EnginePrice, EnginePrice.mapping_id == EngineSubscription.mapping_id)
        .join(PolicyVersion, PolicyVersion.policy_version_id == Subscription.policy_version_id)
        .where(
            Subscription.subscription_id.in_(subscription_ids),
            EnginePrice.meter_event_name.is_not(None),
            SharedCustomer.shared_customer_id.is_not(None),
        )
        .order_by(EngineSubscription.id)
    )
    return {row.subscription_id: row for row in db.session.execute(query)}


def _batch(tally: Any, sold: Any, now: datetime, run_id: int | None) -> dict[str, Any]:
    last = _moment(tally.open_until)
    values = {
        "tenant_id": tally.tenant_id,
        "subscription_id": tally.subscription_id,
        "number": tally.batches + 1,
        "period_start": tally.period_start,
        "first": tally.claimed,
        "identifier": f"{sold.uuid}:{tally.period_start}:{tally.claimed}",
        "connected_account": sold.connected_account,
        "engine_customer_id": sold.customer_id,
        "meter_event_name": sold.meter_event_name,
        "quantity": tally.counted - tally.claimed,
        "first_at": _moment(tally.open_since),
        "last_at": last,
        # The provider takes no time that lies ahead, and a gateway's clock may be fast.
        "stamp": max(min(last, now), clock.from_epoch(tally.period_start)),
        "closes_at": tally.period_end,
        "late": False,
        "state": BatchState.FROZEN,
        "attempts": 0,
        "retryable": False,
        "error": None,
        "run_id": run_id,
        "created_at": now,
    }
    if is_closed(tally.period_end, now) or _was_cut_short(tally, sold):
        values |= lateness(sold, now)
    return values


def _was_cut_short(tally: Any, sold: Any) -> bool:
    """Whether the period's invoice was drawn before its end: by a change of plan, or at the end."""
    if sold.ended_at is not None and _ended_early(sold.ended_at, tally.period_end):
        return True
    return tally.period_start < sold.plan_since and _was_changed(sold, tally.period_end)


def _ended_early(ended: datetime, end: int) -> bool:
    """Whether a subscription did not end with its period, but before; by two clocks."""
    return not end or clock.epoch(ended) + SKEW.total_seconds() < end


def _was_changed(sold: Any, end: int) -> bool:
    """Whether a change of plan came before a period's end.

    Where the change is the end, the period was reckoned backwards from a change of the price; or a
    free plan follows, and the invoice is drawn as that of every period is.
    """
    is_at_end = sold.plan_since == end and sold.engine_subscription_id is not None
    return not end or sold.plan_since < end or is_at_end


def is_closed(end: int, now: datetime) -> bool:
    """Whether the invoice of a period that ended at ``end`` takes no more usage."""
    return end > 0 and clock.epoch(now) >= end + GRACE.total_seconds()


def cuts_of(some: Iterable[UsageBatch]) -> dict[int, Any]:
    """Return what may have drawn invoices of batches early: an end, or a change of plan."""
    ids = {batch.subscription_id for batch in some}
    query = select(
        Subscription.subscription_id,
        Subscription.ended_at,
        Subscription.plan_since,
        Subscription.engine_subscription_id,
    ).where(
        Subscription.subscription_id.in_(ids),
        or_(Subscription.ended_at.is_not(None), Subscription.plan_since > 0),
    )
    return {row.subscription_id: row for row in db.session.execute(query)}


def is_drawn(batch: UsageBatch, cut: Any, now: datetime) -> bool:
    """Whether a batch's invoice takes no more usage.

    :param cut: of :func:`cuts_of`
    """
    if cut is not None:
        if cut.ended_at is not None and _ended_early(cut.ended_at, batch.closes_at):
            return bool(cut.ended_at <= now)
        is_before = clock.epoch(batch.stamp) < cut.plan_since <= clock.epoch(now)
        if is_before and _was_changed(cut, batch.closes_at):
            return True
    return is_closed(batch.closes_at, now)


def lateness(sold: Any, now: datetime) -> dict[str, Any]:
    """Return what a late batch says of itself: it is sent for the period that runs now."""
    if sold.ended_at is not None or sold.engine_subscription_id is None:
        return {"late": True, "state": BatchState.REFUSED, "error": TOO_LATE}
    if sold.period_start is None or sold.period_end is None:
        return {}
    runs = periods.find(now, sold.period_start, sold.period_end, sold.billing_cycle or "month")
    return {"late": True, "stamp": now, "closes_at": clock.epoch(runs.end)}


def _moment(millis: int) -> datetime:
    return clock.from_epoch(millis // 1000) + timedelta(milliseconds=millis % 1000)
