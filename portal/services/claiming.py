"""Claiming the calls of many billing periods at once: the statements behind freezing.

What is ordinary becomes batches inside the database, without a row of it coming here. What is
late, which is rare, is left to :mod:`portal.services.freezing`.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Insert,
    Integer,
    String,
    Table,
    and_,
    case,
    cast,
    exists,
    false,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from portal import clock
from portal.models import (
    BatchState,
    EnginePrice,
    EngineSubscription,
    PlanChange,
    PlanChangeState,
    SharedCustomer,
    Subscription,
    UsageBatch,
    UsageTally,
)
from portal.models.types import UtcDateTime, moment_of
from portal.services.ledger import millis

#: How long after a period's end its invoice still takes usage. Stripe draws it up an hour later;
#: the rest is for sending.
GRACE = timedelta(minutes=59, seconds=30)
_tally: Table = UsageTally.__table__  # type: ignore[assignment]
_batch: Table = UsageBatch.__table__  # type: ignore[assignment]
_subscription: Table = Subscription.__table__  # type: ignore[assignment]
_engine: Table = EngineSubscription.__table__  # type: ignore[assignment]
_customer: Table = SharedCustomer.__table__  # type: ignore[assignment]
_price: Table = EnginePrice.__table__  # type: ignore[assignment]

Conditions = list[ColumnElement[bool]]
#: That a tally has calls which no batch has.
OPEN: Conditions = [_tally.c.open_since.is_not(None), _tally.c.counted > _tally.c.claimed]


def is_sold() -> ColumnElement[bool]:
    """Return whether the engine knows a tally's subscription, so that calls can be reported."""
    return exists().where(
        _engine.c.am_subscription_id == _tally.c.subscription_id,
        _price.c.mapping_id == _engine.c.mapping_id,
        _price.c.meter_event_name.is_not(None),
        _customer.c.id == _engine.c.shared_customer_id,
        _customer.c.shared_customer_id.is_not(None),
    )


def is_settled() -> ColumnElement[bool]:
    """Return whether no change of plan is under way.

    Which of two meters a call is for is known when it is settled; whoever makes the change claims
    what was called before it.
    """
    under_way = select(PlanChange.subscription_id).where(PlanChange.state == PlanChangeState.ASKED)
    return _tally.c.subscription_id.not_in(under_way)


def freeze_ordinary(
    connection: Connection, tenant_id: int, run_id: int | None, now: datetime, limit: int
) -> int:
    """Claim calls whose invoice is still to be drawn, of so many billing periods at most.

    Returns how many batches were made; 0: what is left is late, or nothing is left.
    """
    after = 0
    while (ends := _next_few(connection, tenant_id, now, after, limit)) is not None:
        among = [_tally.c.tenant_id == tenant_id, _tally.c.subscription_id.between(*ends)]
        made = _make_batches(connection, among, run_id, now, limit)
        if made:
            claim(connection, among, made)
            return made
        after = ends[1]
    return 0


def _next_few(
    connection: Connection, tenant_id: int, now: datetime, after: int, limit: int
) -> tuple[int, int] | None:
    """Return the first and the last subscription of the next open tallies, so many at most.

    Only by what stands in a tally itself: to ask what is sold of each that is open, for every few
    of them, takes the longer the more there are.
    """
    some = (
        select(_tally.c.subscription_id)
        .where(
            _tally.c.tenant_id == tenant_id,
            _tally.c.subscription_id > after,
            *OPEN,
            _is_running(now),
        )
        .order_by(_tally.c.subscription_id, _tally.c.period_start)
        .limit(limit)
        .subquery()
    )
    ends = select(func.min(some.c.subscription_id), func.max(some.c.subscription_id))
    first, last = connection.execute(ends).one()
    return None if first is None else (first, last)


def _make_batches(
    connection: Connection, among: Conditions, run_id: int | None, now: datetime, limit: int
) -> int:
    """Lock some tallies, and make a batch of each that is ordinary; return how many."""
    locked = (
        select(_tally)
        .where(*among, *OPEN, _is_running(now), is_settled())
        .order_by(_tally.c.subscription_id, _tally.c.period_start)
        .limit(limit)
        .with_for_update(of=_tally)
        .subquery()
    )
    statement = _batches_of(locked, run_id, now)
    return connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount


def _is_running(now: datetime) -> ColumnElement[bool]:
    """Return whether the invoice of a tally's period still takes usage."""
    end = _tally.c.period_end
    return or_(end == 0, end > clock.epoch(now) - int(GRACE.total_seconds()))


def _was_not_cut_short(of: Any) -> ColumnElement[bool]:
    """Return whether neither a change of plan nor the subscription's end drew an invoice early.

    What ``freezing`` asks of each tally, asked by the database of all.
    """
    start, end = of.period_start, of.period_end
    changed = _subscription.c.plan_since
    # As the engine's subscription ended, with the period.
    went_free = and_(changed == end, _subscription.c.engine_subscription_id.is_(None))
    return and_(
        _subscription.c.ended_at.is_(None),
        or_(changed <= start, and_(end != 0, or_(changed > end, went_free))),
    )


def _batches_of(tally: FromClause, run_id: int | None, now: datetime) -> Insert:
    """Return the statement that makes a batch of each tally that is sold and not cut short."""
    values = _values(tally.c, run_id, now)
    query = (
        select(*values.values())
        .select_from(tally)
        .join(_subscription, _subscription.c.subscription_id == tally.c.subscription_id)
        .join(_engine, _engine.c.am_subscription_id == tally.c.subscription_id)
        .join(_customer, _customer.c.id == _engine.c.shared_customer_id)
        .join(_price, _price.c.mapping_id == _engine.c.mapping_id)
        .where(
            _was_not_cut_short(tally.c),
            _price.c.meter_event_name.is_not(None),
            _customer.c.shared_customer_id.is_not(None),
            ~_is_followed(),
        )
    )
    return insert(_batch).from_select(list(values), query, include_defaults=False)


def _values(of: Any, run_id: int | None, now: datetime) -> dict[str, Any]:
    """Return what each column of a batch is made of."""
    return {
        "tenant_id": of.tenant_id,
        "subscription_id": of.subscription_id,
        "number": of.batches + 1,
        "period_start": of.period_start,
        "first": of.claimed,
        "identifier": _subscription.c.uuid
        + literal(":")
        + cast(of.period_start, String)
        + literal(":")
        + cast(of.claimed, String),
        "connected_account": _engine.c.connected_account,
        "engine_customer_id": _customer.c.shared_customer_id,
        "meter_event_name": _price.c.meter_event_name,
        "quantity": of.counted - of.claimed,
        "first_at": moment_of(of.open_since),
        "last_at": moment_of(of.open_until),
        "stamp": moment_of(_stamp(of, millis(now))),
        "closes_at": of.period_end,
        "late": false(),
        "state": literal(BatchState.FROZEN.value),
        "attempts": literal(0),
        "retryable": false(),
        "run_id": literal(run_id, Integer()),
        "created_at": literal(now, UtcDateTime()),
    }


def _stamp(of: Any, now: int) -> Any:
    """Return the time that is sent: the provider takes none that lies ahead.

    A gateway's clock may be fast. Nor does it lie before the period.
    """
    past = case((of.open_until > now, now), else_=of.open_until)
    begins = of.period_start * 1000
    return case((past < begins, begins), else_=past)


def _is_followed() -> ColumnElement[bool]:
    """Return whether a subscription was sold once more after a billing record: that one counts."""
    record, price, customer = _engine.alias(), _price.alias(), _customer.alias()
    return exists().where(
        record.c.am_subscription_id == _engine.c.am_subscription_id,
        record.c.id > _engine.c.id,
        price.c.mapping_id == record.c.mapping_id,
        price.c.meter_event_name.is_not(None),
        customer.c.id == record.c.shared_customer_id,
        customer.c.shared_customer_id.is_not(None),
    )


def claim(connection: Connection, among: Conditions, made: int) -> None:
    """Move on those tallies whose batches were just made: a claim begins where a batch does.

    A tally that was opened in the meantime has no batch yet, and is not touched.

    :raise RuntimeError: if they are not as many as the batches
    """
    has_batch = exists().where(
        _batch.c.subscription_id == _tally.c.subscription_id,
        _batch.c.period_start == _tally.c.period_start,
        _batch.c.first == _tally.c.claimed,
    )
    moved = connection.execute(
        update(_tally)
        .where(*among, *OPEN, has_batch)
        .values(
            claimed=_tally.c.counted,
            batches=_tally.c.batches + 1,
            open_since=None,
            open_until=None,
        )
    ).rowcount
    if moved != made:
        raise RuntimeError(f"{made} batches were made of {moved} tallies.")
