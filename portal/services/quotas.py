"""How much a subscription may still call: the plan's quota and its burst limit.

Both are counted in the database, in windows of fixed length, so that all worker processes share
one count. Windows of minutes, hours and days begin at whole multiples since 1970, months and
years with the calendar, all in UTC.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import Connection, Select, Table, case, insert, select, update
from sqlalchemy.exc import IntegrityError

from portal import clock
from portal.models.policy import QuotaType
from portal.models.usage import QuotaUse
from portal.services.decisions import Refusal

_TABLE: Table = QuotaUse.__table__  # type: ignore[assignment]
_SECONDS = {"sec": 1, "min": 60, "hours": 3600, "days": 86_400}
_BYTES = {"KB": 1024, "MB": 1024 * 1024}


class Kind(StrEnum):
    """Which of a plan's limits."""

    BURST = "burst"
    QUOTA = "quota"


@dataclass(frozen=True, kw_only=True)
class PlanLimits:
    """What a plan says about how much its subscribers may call; see ``models/policy.py``."""

    quota_type: str
    quota: int
    quota_unit: str | None
    unit_time: int
    time_unit: str
    rate_limit_count: int | None
    rate_limit_time_unit: str | None
    stop_on_quota_reach: bool


@dataclass(frozen=True, kw_only=True)
class Limit:
    """One limit in the window that runs now. ``start`` and ``end`` are epoch seconds."""

    kind: Kind
    amount: int
    """Requests, or bytes where ``in_bytes``."""
    start: int
    end: int
    in_bytes: bool = False
    stops: bool = True
    """Whether a call beyond the limit is refused, or let through and billed."""

    @property
    def refusal(self) -> Refusal:
        """Why a call beyond this limit is refused."""
        return Refusal.RATE_REACHED if self.kind is Kind.BURST else Refusal.QUOTA_REACHED


@dataclass(frozen=True, kw_only=True)
class State:
    """A limit, and how much of it is used."""

    limit: Limit
    used: int
    refused: bool = False

    @property
    def remaining(self) -> int:
        """How much is left; never below zero."""
        return max(0, self.limit.amount - self.used)

    def seconds_left(self, now: datetime) -> int:
        """How long until the window ends, at least one second."""
        return max(1, self.limit.end - clock.epoch(now))


def limits_at(plan: PlanLimits, now: datetime) -> tuple[Limit, ...]:
    """Return the plan's limits in the windows that contain ``now``, the shortest first."""
    found = []
    if plan.rate_limit_count is not None and plan.rate_limit_time_unit is not None:
        start, end = _window(now, 1, plan.rate_limit_time_unit)
        found.append(Limit(kind=Kind.BURST, amount=plan.rate_limit_count, start=start, end=end))
    start, end = _window(now, plan.unit_time, plan.time_unit)
    in_bytes = plan.quota_type == QuotaType.BANDWIDTH
    amount = plan.quota * _BYTES[plan.quota_unit or "KB"] if in_bytes else plan.quota
    found.append(
        Limit(
            kind=Kind.QUOTA,
            amount=amount,
            start=start,
            end=end,
            in_bytes=in_bytes,
            stops=plan.stop_on_quota_reach,
        )
    )
    return tuple(found)


def _window(now: datetime, count: int, unit: str) -> tuple[int, int]:
    if unit in _SECONDS:
        length = _SECONDS[unit] * count
        start = clock.epoch(now) // length * length
        return start, start + length
    months = count * (12 if unit == "years" else 1)
    first = (now.year * 12 + now.month - 1) // months * months
    return _month_start(first), _month_start(first + months)


def _month_start(months: int) -> int:
    return clock.epoch(datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC))


def admit(
    connection: Connection, subscription_id: int, limits: tuple[Limit, ...]
) -> tuple[State, ...]:
    """Count one call against every limit, and return how each stands afterwards.

    The last state is ``refused`` where a limit is reached. The caller then rolls back, so that a
    call that did not go through uses up no other limit. A limit in bytes is only looked at here:
    :func:`add` counts the bytes when they are known.
    """
    states: list[State] = []
    for limit in limits:
        went_through = _count(connection, subscription_id, limit, 0 if limit.in_bytes else 1)
        used = _used(connection, subscription_id, limit)
        states.append(State(limit=limit, used=used, refused=not went_through))
        if not went_through:
            break
    return tuple(states)


def look(
    connection: Connection, subscription_id: int, limits: tuple[Limit, ...]
) -> tuple[State, ...]:
    """Return how each limit stands now, and which would refuse the next call; counts nothing."""
    rows = connection.execute(
        select(_TABLE.c.kind, _TABLE.c.used, _TABLE.c.window_start).where(
            _TABLE.c.subscription_id == subscription_id
        )
    ).all()
    counts = {row.kind: row for row in rows}
    states = []
    for limit in limits:
        row = counts.get(limit.kind)
        used = int(row.used) if row and row.window_start >= limit.start else 0
        spent = limit.stops and used >= limit.amount
        states.append(State(limit=limit, used=used, refused=spent))
    return tuple(states)


def add(connection: Connection, subscription_id: int, limit: Limit, amount: int) -> None:
    """Count what a call turned out to use, whether or not the limit is passed by it."""
    _count(connection, subscription_id, replace(limit, stops=False), amount)


def _count(connection: Connection, subscription_id: int, limit: Limit, cost: int) -> bool:
    if limit.stops and limit.amount < 1:
        return False
    if _update(connection, subscription_id, limit, cost):
        return True
    if connection.execute(_row(subscription_id, limit)).first() is not None:
        return False
    row = {"kind": limit.kind, "used": cost, "window_start": limit.start}
    try:
        with connection.begin_nested():
            connection.execute(insert(_TABLE).values(subscription_id=subscription_id, **row))
    except IntegrityError:
        # Another worker has just counted this subscription's first call.
        return _update(connection, subscription_id, limit, cost)
    return True


def _update(connection: Connection, subscription_id: int, limit: Limit, cost: int) -> bool:
    columns = _TABLE.c
    runs = columns.window_start >= limit.start
    query = update(_TABLE).where(
        columns.subscription_id == subscription_id, columns.kind == limit.kind
    )
    if limit.stops:
        query = query.where((columns.used < limit.amount) | ~runs)
    # In this order: MySQL computes each value from what the ones before it have already set.
    changed = connection.execute(
        query.ordered_values(
            (columns.used, case((runs, columns.used + cost), else_=cost)),
            (columns.window_start, case((runs, columns.window_start), else_=limit.start)),
        )
    )
    return bool(changed.rowcount)


def _used(connection: Connection, subscription_id: int, limit: Limit) -> int:
    row = connection.execute(_row(subscription_id, limit)).first()
    return 0 if row is None or row.window_start < limit.start else int(row.used)


def _row(subscription_id: int, limit: Limit) -> Select[tuple[int, int]]:
    return select(_TABLE.c.used, _TABLE.c.window_start).where(
        _TABLE.c.subscription_id == subscription_id, _TABLE.c.kind == limit.kind
    )


def headers(states: tuple[State, ...], now: datetime) -> dict[str, str]:
    """Return the fields of draft-ietf-httpapi-ratelimit-headers, and Retry-After on a refusal.

    ``q`` is the limit, ``w`` its window and ``t`` the time left, both in seconds, ``r`` what is
    left of the limit.
    """
    policies, current = [], []
    for state in states:
        limit = state.limit
        unit = ';qu="content-bytes"' if limit.in_bytes else ""
        window = limit.end - limit.start
        policies.append(f'"{limit.kind}";q={limit.amount};w={window}{unit}')
        current.append(f'"{limit.kind}";r={state.remaining};t={state.seconds_left(now)}')
    if not states:
        return {}
    found = {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(current)}
    if states[-1].refused:
        found["Retry-After"] = str(states[-1].seconds_left(now))
    return found
