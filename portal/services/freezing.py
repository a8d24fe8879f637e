"""From counted calls to frozen batches: what is claimed, for which invoice, under which name."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Table, bindparam, exists, insert, select, update

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
from portal.services import periods

#: How long after a period's end its invoice still takes usage. Stripe draws it up an hour later;
#: the rest is for sending.
GRACE = timedelta(minutes=59, seconds=30)
TOO_LATE = (
    "The subscription has ended and its last invoice is drawn, so there is no invoice for these "
    "calls. Confirm them here to write them off."
)
_tally: Table = UsageTally.__table__  # type: ignore[assignment]
_batch_table: Table = UsageBatch.__table__  # type: ignore[assignment]


def freeze(tenant_id: int, run_id: int | None = None, *, limit: int = 2000) -> int:
    """Claim calls that no batch has into batches, of so many billing periods at most.

    Returns how many batches were made; 0: there is nothing left. One batch for each subscription
    and billing period. A subscription that is not metered has no batches.
    """
    return _freeze([UsageTally.tenant_id == tenant_id], run_id, limit)


def open_subscriptions(tenant_id: int) -> Sequence[int]:
    """Return the metered subscriptions that have unclaimed calls, also ended ones."""
    return db.session.scalars(
        select(UsageTally.subscription_id)
        .where(UsageTally.tenant_id == tenant_id, UsageTally.open_since.is_not(None), _is_sold())
        .distinct()
        .order_by(UsageTally.subscription_id)
    ).all()


def freeze_one(subscription_id: int, run_id: int | None = None) -> int:
    """Claim one subscription's calls into batches; return how many were made."""
    return _freeze([UsageTally.subscription_id == subscription_id], run_id, 500)


def _freeze(whose: list[ColumnElement[bool]], run_id: int | None, limit: int) -> int:
    tallies = db.session.execute(
        select(_tally)
        .where(*whose, UsageTally.open_since.is_not(None), _is_sold())
        .order_by(UsageTally.subscription_id, UsageTally.period_start)
        .limit(limit)
        .with_for_update(of=_tally)
    ).all()
    if not tallies:
        return 0
    sold = sold_as({row.subscription_id for row in tallies})
    now = clock.now()
    rows = [_batch(row, sold[row.subscription_id], now, run_id) for row in tallies]
    db.session.execute(insert(_batch_table), rows)
    db.session.execute(
        update(_tally)
        .where(
            _tally.c.subscription_id == bindparam("sub"),
            _tally.c.period_start == bindparam("since"),
        )
        .values(
            claimed=_tally.c.counted,
            batches=_tally.c.batches + 1,
            open_since=None,
            open_until=None,
        ),
        [{"sub": row.subscription_id, "since": row.period_start} for row in tallies],
    )
    return len(rows)


def _is_sold() -> ColumnElement[bool]:
    """Whether the engine knows the subscription, so that its calls can be reported."""
    return exists().where(
        EngineSubscription.am_subscription_id == UsageTally.subscription_id,
        EnginePrice.mapping_id == EngineSubscription.mapping_id,
        EnginePrice.meter_event_name.is_not(None),
        SharedCustomer.id == EngineSubscription.shared_customer_id,
        SharedCustomer.shared_customer_id.is_not(None),
    )


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
    if is_closed(tally.period_end, now) or _was_cut_short(tally, sold.plan_since):
        values |= lateness(sold, now)
    return values


def _was_cut_short(tally: Any, plan_since: int) -> bool:
    """Whether a change of plan ended the period early, and its invoice was drawn then."""
    is_before = tally.period_start < plan_since
    return bool(is_before and (tally.period_end == 0 or plan_since < tally.period_end))


def is_closed(end: int, now: datetime) -> bool:
    """Whether the invoice of a period that ended at ``end`` takes no more usage."""
    return end > 0 and clock.epoch(now) >= end + GRACE.total_seconds()


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
