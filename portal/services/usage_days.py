"""Usage by day, and what became of it: the rows that a report of a period is made of."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, case, func, literal, or_, select

from portal.extensions import db
from portal.models import BatchState, KeyType, UsageBatch, UsageBucket
from portal.services.freezing import TOO_LATE
from portal.services.usage import Reason, between

DAY = 86_400
_BUCKET: Table = UsageBucket.__table__  # type: ignore[assignment]


@dataclass(frozen=True, kw_only=True)
class DayUse:
    """Calls of one day (UTC) that are alike."""

    day: datetime
    subscription_id: int
    method: str
    resource: str
    status: int
    key_type: KeyType
    reason: Reason | None
    """Why they are not billable; ``None``: they are."""
    late: bool
    """They arrived when the invoice of their period was drawn; the next one has them, if any."""
    calls: int
    bytes: int
    published: int
    """How many of them are in a batch."""
    written_off: int
    """How many of them came when the last invoice was drawn, so that none has them."""


#: From when to when; the end is excluded.
Span = tuple[datetime | None, datetime | None]


def by_day(spans: Mapping[int, Span]) -> list[DayUse]:
    """Return what these subscriptions called, each in its own span.

    One row for each day, subscription, method, resource, status, key type, reason and lateness,
    in this order; one query. Bounds as in :func:`summary`.
    """
    if not spans:
        return []
    day = (_BUCKET.c.starts_at - _BUCKET.c.starts_at % literal(DAY)).label("day")
    batch: Table = UsageBatch.__table__  # type: ignore[assignment]
    late = func.coalesce(batch.c.late, literal(value=False)).label("late")
    kinds = (
        day,
        _BUCKET.c.subscription_id,
        _BUCKET.c.method,
        _BUCKET.c.resource,
        _BUCKET.c.status,
        _BUCKET.c.key_type,
        _BUCKET.c.reason,
        late,
    )
    batched = case((batch.c.batch_id.is_not(None), _BUCKET.c.calls), else_=0)
    lost = case((_has_no_invoice(), _BUCKET.c.calls), else_=0)
    query = (
        select(
            *kinds,
            func.sum(_BUCKET.c.calls).label("calls"),
            func.sum(_BUCKET.c.bytes).label("bytes"),
            func.sum(batched).label("published"),
            func.sum(lost).label("written_off"),
        )
        .select_from(_BUCKET.outerjoin(batch, _same_batch()))
        .where(_of(spans))
        .group_by(*kinds)
        .order_by(*kinds)
    )
    return [_day_use(row) for row in db.session.execute(query)]


def _same_batch() -> ColumnElement[bool]:
    return and_(
        UsageBatch.subscription_id == _BUCKET.c.subscription_id,
        UsageBatch.period_start == _BUCKET.c.period_start,
        UsageBatch.first == _BUCKET.c.claim,
    )


def _of(spans: Mapping[int, Span]) -> ColumnElement[bool]:
    return or_(
        *(
            and_(_BUCKET.c.subscription_id == number, *between(*span))
            for number, span in spans.items()
        )
    )


def _day_use(row: Any) -> DayUse:
    return DayUse(
        day=datetime.fromtimestamp(row.day, UTC),
        subscription_id=row.subscription_id,
        method=row.method,
        resource=row.resource,
        status=row.status,
        key_type=KeyType(row.key_type),
        reason=Reason[row.reason] if row.reason else None,
        late=bool(row.late),
        calls=int(row.calls),
        bytes=int(row.bytes),
        published=int(row.published),
        written_off=int(row.written_off),
    )


def _has_no_invoice() -> ColumnElement[bool]:
    """Return whether a batch came when the last invoice was drawn, given up already or not."""
    error = func.coalesce(UsageBatch.error, "")
    return or_(UsageBatch.state == BatchState.WRITTEN_OFF, error == TOO_LATE)


def late_batches(subscription_ids: Collection[int]) -> Sequence[UsageBatch]:
    """Return batches that are on the invoice after that of their own period, oldest first."""
    return db.session.scalars(
        select(UsageBatch)
        .where(
            UsageBatch.subscription_id.in_(subscription_ids),
            UsageBatch.late.is_(True),
            ~_has_no_invoice(),
        )
        .order_by(UsageBatch.batch_id)
    ).all()
