"""The usage ledger: each call as it was answered, and what of it is billable.

The rule for one billable call: it was made with a production key and the back end answered with
a status below 400. Everything else is kept too, and shown as not counted with its reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    Connection,
    Table,
    and_,
    case,
    delete,
    func,
    select,
    tuple_,
)

from portal import clock
from portal.extensions import db
from portal.models import (
    KeyType,
    Subscription,
    UsageBatch,
    UsageBucket,
    UsageEvent,
    UsageSegment,
)
from portal.models import UsageTally as Tally
from portal.services import ledger, periods
from portal.services.inserting import insert_all, insert_missing, parts
from portal.services.ledger import LONGEST_RESOURCE, Alike, is_counted, millis

__all__ = ["LONGEST_RESOURCE", "is_counted"]

_TABLE: Table = UsageEvent.__table__  # type: ignore[assignment]
_BUCKET: Table = UsageBucket.__table__  # type: ignore[assignment]
_TALLY: Table = Tally.__table__  # type: ignore[assignment]
#: How long single records of calls are kept; after that only their buckets.
KEEP_RECORDS = timedelta(days=90)
OWN = "gateway"


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call that a back end answered, or failed to."""

    event_id: str
    tenant_id: int
    subscription_id: int
    key_type: KeyType
    method: str
    resource: str
    status: int
    at: datetime
    bytes: int = 0


class Reason(StrEnum):
    """Why calls are not counted, in words for both portals."""

    SANDBOX = "made with a sandbox key"
    FAILED = "answered with an error"
    TRIAL = "made during the free trial"
    FREE_PLAN = "made on the plan before, where calls cost nothing"
    PLAN_LEFT = "came after the plan had changed"


@dataclass(frozen=True, kw_only=True)
class NotCounted:
    """How many calls are not billable for one reason."""

    reason: Reason
    calls: int


@dataclass(frozen=True, kw_only=True)
class UsageSummary:
    """The calls of one subscription in one period, from ``start`` up to ``until``."""

    start: datetime | None
    end: datetime | None
    until: datetime
    counted: int
    not_counted: Sequence[NotCounted]
    published: int
    """Counted calls that the billing engine has acknowledged or is being told about."""

    @property
    def waiting(self) -> int:
        """Counted calls that the next publish takes."""
        return self.counted - self.published

    @property
    def total(self) -> int:
        """All calls, counted or not."""
        return self.counted + sum(item.calls for item in self.not_counted)


def record(connection: Connection, call: Call) -> None:
    """Store one call of this portal's own; the same ``event_id`` again changes nothing."""
    record_many(connection, OWN, [call])


def record_many(connection: Connection, source: str, calls: Sequence[Call]) -> list[bool]:
    """Take in calls that somebody reports; say of each whether it is new.

    As :func:`record_all` does, of one source.
    """
    return record_all(connection, [(source, call) for call in calls])


def record_all(connection: Connection, reported: Sequence[tuple[str, Call]]) -> list[bool]:
    """Take in calls with who reports each of them; say of each whether it is new.

    Idempotent by source and event id, also among the calls themselves and for two who report the
    same at once. A call counts in its own hour and billing period, however late it comes.

    :param reported: sources and event ids have at most 128 characters
    :raise ValueError: if a time has no zone
    """
    now = clock.now()
    rows = {(source, call.event_id): _row(source, call, now) for source, call in reversed(reported)}
    taken = _taken_by_others(connection, rows)
    new: list[tuple[Alike, int, int]] = []
    news: list[bool] = []
    for source, call in reported:
        name = source, call.event_id
        news.append(name not in taken)
        if name not in taken:
            taken.add(name)
            new.append(_alike(call))
    if new:
        ledger.count(connection, ledger.grouped(new), ledger.splitter(new))
    return news


def _row(source: str, call: Call, now: datetime) -> dict[str, Any]:
    return {
        "source": source,
        "event_id": call.event_id,
        "tenant_id": call.tenant_id,
        "subscription_id": call.subscription_id,
        "key_type": call.key_type,
        "method": call.method,
        "resource": call.resource[:LONGEST_RESOURCE],
        "status": call.status,
        "at": call.at,
        "counted": is_counted(call.key_type, call.status),
        "received_at": now,
    }


#: Source and event id: what makes a call one call.
_Name = tuple[str, str]


def _taken_by_others(connection: Connection, rows: Mapping[_Name, dict[str, Any]]) -> set[_Name]:
    """Insert what is new, and return the names that were there."""
    if not rows or insert_all(connection, _TABLE, list(rows.values())):
        return set()
    taken = _taken(connection, list(rows))
    fresh = [row for name, row in rows.items() if name not in taken]
    if fresh:
        taken |= insert_missing(connection, _TABLE, fresh, key=("source", "event_id"))
    return taken


def _taken(connection: Connection, names: Sequence[_Name]) -> set[_Name]:
    name = tuple_(_TABLE.c.source, _TABLE.c.event_id)
    query = select(_TABLE.c.source, _TABLE.c.event_id)
    return {
        (source, event_id)
        for part in parts(names)
        for source, event_id in connection.execute(query.where(name.in_(part)))
    }


def _alike(call: Call) -> tuple[Alike, int, int]:
    at = millis(call.at)
    resource = call.resource[:LONGEST_RESOURCE]
    alike = Alike(
        call.subscription_id,
        at // ledger.HOUR_MS,
        call.method,
        resource,
        call.status,
        call.key_type,
    )
    return alike, at, call.bytes


def forget_records(now: datetime) -> None:
    """Delete single records that are older than ``KEEP_RECORDS``; what was counted stays.

    Events may be forgotten because the time stamps of older ones are refused at the intake.
    """
    before = now - KEEP_RECORDS
    db.session.execute(delete(UsageEvent).where(UsageEvent.received_at < before))
    db.session.execute(delete(UsageSegment).where(UsageSegment.created_at < before))


def current_period(subscription: Subscription) -> UsageSummary:
    """Return the calls of the billing period that runs now; of all time where there is none."""
    now = clock.now()
    period = periods.containing(now, subscription)
    start, end = (period.start, period.end) if period else (None, None)
    return summary(subscription.subscription_id, start, end, until=now)


def summary(
    subscription_id: int,
    start: datetime | None,
    end: datetime | None,
    *,
    until: datetime | None = None,
) -> UsageSummary:
    """Return the calls from ``start`` up to ``end``, which is excluded; one query.

    Both have to be whole hours or bounds of billing periods: smaller pieces are not kept.
    """
    frozen = and_(_BUCKET.c.claim >= 0, _BUCKET.c.claim < func.coalesce(_TALLY.c.claimed, 0))
    query = (
        select(
            _BUCKET.c.reason,
            func.sum(_BUCKET.c.calls).label("calls"),
            func.sum(case((frozen, _BUCKET.c.calls), else_=0)).label("published"),
        )
        .select_from(_BUCKET.outerjoin(_TALLY, _same_period()))
        .where(_BUCKET.c.subscription_id == subscription_id, *between(start, end))
        .group_by(_BUCKET.c.reason)
    )
    rows = db.session.execute(query).all()
    reasons = {row.reason: int(row.calls) for row in rows if row.reason}
    return UsageSummary(
        start=start,
        end=end,
        until=until or clock.now(),
        counted=sum(int(row.calls) for row in rows if not row.reason),
        not_counted=[
            NotCounted(reason=why, calls=reasons[why.name])
            for why in Reason
            if reasons.get(why.name)
        ],
        published=sum(int(row.published) for row in rows),
    )


def _same_period() -> Any:
    return and_(
        _TALLY.c.subscription_id == _BUCKET.c.subscription_id,
        _TALLY.c.period_start == _BUCKET.c.period_start,
    )


def between(start: datetime | None, end: datetime | None) -> list[Any]:
    """Return that a bucket lies in a time; the end is excluded."""
    found = []
    if start is not None:
        found.append(_BUCKET.c.starts_at >= clock.epoch(start))
    if end is not None:
        found.append(_BUCKET.c.starts_at < clock.epoch(end))
    return found


def batches_of(subscription_id: int) -> Sequence[UsageBatch]:
    """Return a subscription's batches, oldest first: what was sent of it, and what came of it."""
    return db.session.scalars(
        select(UsageBatch)
        .where(UsageBatch.subscription_id == subscription_id)
        .order_by(UsageBatch.batch_id)
    ).all()
