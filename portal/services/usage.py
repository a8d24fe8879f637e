"""The usage ledger: each call as it was answered, and what of it is billable.

The rule for one billable call: it was made with a production key and the back end answered with
a status below 400. Everything else is kept too, and shown as not counted with its reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection, Table, func, insert, select

from portal import clock
from portal.extensions import db
from portal.models import KeyType, Subscription, UsageEvent
from portal.services import periods

_TABLE: Table = UsageEvent.__table__  # type: ignore[assignment]
FIRST_FAILURE = 400
LONGEST_RESOURCE = 255


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


class Reason(StrEnum):
    """Why calls are not counted, in words for both portals."""

    SANDBOX = "made with a sandbox key"
    FAILED = "answered with an error"


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


def is_counted(key_type: KeyType, status: int) -> bool:
    """Whether a call is billable: the one written rule."""
    return key_type is KeyType.PRODUCTION and status < FIRST_FAILURE


def record(connection: Connection, call: Call) -> None:
    """Store a call. The same call twice is refused by its unique event id."""
    connection.execute(
        insert(_TABLE).values(
            event_id=call.event_id,
            tenant_id=call.tenant_id,
            subscription_id=call.subscription_id,
            key_type=call.key_type,
            method=call.method,
            resource=call.resource[:LONGEST_RESOURCE],
            status=call.status,
            at=call.at,
            counted=is_counted(call.key_type, call.status),
        )
    )


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
    """Return the calls from ``start`` up to ``end``, which is excluded; one query."""
    columns = _TABLE.c
    failed = columns.status >= FIRST_FAILURE
    query = select(
        columns.counted,
        columns.key_type,
        failed.label("failed"),
        func.count().label("calls"),
        func.count(columns.batch_id).label("published"),
    ).where(columns.subscription_id == subscription_id)
    if start is not None:
        query = query.where(columns.at >= start)
    if end is not None:
        query = query.where(columns.at < end)
    rows = db.session.execute(query.group_by(columns.counted, columns.key_type, failed)).all()
    reasons = dict.fromkeys(Reason, 0)
    for row in rows:
        if not row.counted:
            sandbox = row.key_type == KeyType.SANDBOX
            reasons[Reason.SANDBOX if sandbox else Reason.FAILED] += row.calls
    counted = [row for row in rows if row.counted]
    return UsageSummary(
        start=start,
        end=end,
        until=until or clock.now(),
        counted=sum(row.calls for row in counted),
        not_counted=[NotCounted(reason=why, calls=n) for why, n in reasons.items() if n],
        published=sum(row.published for row in counted),
    )
