"""How much a subscription may still call: the plan's quota and its burst limit.

Both are counted in the database, in windows of fixed length, so that all worker processes share
one count; each process takes some units at a time (``gateway/leases.py``). Windows of minutes,
hours and days begin at whole multiples since 1970, months and years with the calendar, all in UTC.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Select, Table, bindparam, case, select, update

from portal import clock
from portal.models.policy import QuotaType
from portal.models.usage import QuotaUse
from portal.services import notices
from portal.services.decisions import Refusal
from portal.services.inserting import insert_missing, parts

_TABLE: Table = QuotaUse.__table__  # type: ignore[assignment]
_COUNTS = select(
    _TABLE.c.subscription_id, _TABLE.c.kind, _TABLE.c.used, _TABLE.c.window_start
).where(_TABLE.c.subscription_id.in_(bindparam("subs", expanding=True)))
_LOCKED = _COUNTS.order_by(_TABLE.c.subscription_id, _TABLE.c.kind).with_for_update()
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


def limits_of(row: Any) -> PlanLimits:
    """Return the limits of a plan, or of any row that has its columns under their names."""
    return PlanLimits(**{each.name: getattr(row, each.name) for each in fields(PlanLimits)})


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
    return _limits_at(plan, clock.epoch(now))


# Every call asks, and within a second the answer is the same for all callers of a plan.
@lru_cache(4096)
def _limits_at(plan: PlanLimits, second: int) -> tuple[Limit, ...]:
    found = []
    if plan.rate_limit_count is not None and plan.rate_limit_time_unit is not None:
        start, end = _window(second, 1, plan.rate_limit_time_unit)
        found.append(Limit(kind=Kind.BURST, amount=plan.rate_limit_count, start=start, end=end))
    start, end = _window(second, plan.unit_time, plan.time_unit)
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


def _window(second: int, count: int, unit: str) -> tuple[int, int]:
    if unit in _SECONDS:
        length = _SECONDS[unit] * count
        start = second // length * length
        return start, start + length
    now = clock.from_epoch(second)
    months = count * (12 if unit == "years" else 1)
    first = (now.year * 12 + now.month - 1) // months * months
    return _month_start(first), _month_start(first + months)


def _month_start(months: int) -> int:
    return clock.epoch(datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC))


def take(
    connection: Connection, subscription_id: int, limit: Limit, wanted: int
) -> tuple[int, int]:
    """Take up to ``wanted`` units of a limit; return how many, and how many are used by then.

    Units that are taken count as used. Of a limit that stops, nobody gets more than is left, and
    nobody more than an eighth of that, so that the last units reach all who share it. A limit
    that does not stop gives what is wanted.
    """
    used = _opened(connection, subscription_id, limit)
    granted = wanted
    if limit.stops:
        left = limit.amount - used
        granted = min(wanted, max(1, left // 8)) if left > 0 else 0
    if granted:
        _update(connection, subscription_id, limit, granted)
        _tell(connection, subscription_id, limit, used, used + granted)
    return granted, used + granted


def _opened(connection: Connection, subscription_id: int, limit: Limit) -> int:
    """Lock a limit's row, made where it is missing; return what is used of the window."""
    query = _row(subscription_id, limit).with_for_update()
    row = connection.execute(query).first()
    if row is None:
        values = {"kind": limit.kind, "used": 0, "window_start": limit.start}
        insert_missing(connection, _TABLE, [{"subscription_id": subscription_id, **values}])
        row = connection.execute(query).one()
    return int(row.used) if row.window_start >= limit.start else 0


def give_back_many(connection: Connection, units: Sequence[tuple[int, Limit, int]]) -> None:
    """Give back units that were taken and not used, by subscription and limit.

    Nothing happens where the window is over.
    """
    columns = _TABLE.c
    some: Any = bindparam("some")
    connection.execute(
        update(_TABLE)
        .where(
            columns.subscription_id == bindparam("sub"),
            columns.kind == bindparam("of"),
            columns.window_start == bindparam("start"),
            columns.used >= some,
        )
        .values(used=columns.used - some),
        [
            {"sub": sub, "of": limit.kind, "start": limit.start, "some": count}
            for sub, limit, count in sorted(units, key=lambda each: _order(each[:2]))
        ],
    )


def look(
    connection: Connection, subscription_id: int, limits: tuple[Limit, ...]
) -> tuple[State, ...]:
    """Return how each limit stands now, and which would refuse the next call; counts nothing."""
    return look_many(connection, {subscription_id: limits})[subscription_id]


def look_many(
    connection: Connection, asked: Mapping[int, tuple[Limit, ...]]
) -> dict[int, tuple[State, ...]]:
    """Return by subscription how each limit stands now; one query for each 500 subscriptions."""
    counts = {
        (row.subscription_id, row.kind): row
        for part in parts(list(asked))
        for row in connection.execute(_COUNTS, {"subs": part})
    }
    return {
        sub: tuple(_state(counts.get((sub, limit.kind)), limit) for limit in limits)
        for sub, limits in asked.items()
    }


def _state(row: Any, limit: Limit) -> State:
    used = int(row.used) if row is not None and row.window_start >= limit.start else 0
    return State(limit=limit, used=used, refused=limit.stops and used >= limit.amount)


def add(connection: Connection, subscription_id: int, limit: Limit, amount: int) -> None:
    """Count what a call turned out to use, whether or not the limit is passed by it."""
    add_many(connection, {(subscription_id, limit): amount})


def add_many(connection: Connection, amounts: Mapping[tuple[int, Limit], int]) -> None:
    """Count what calls used, by subscription and limit; a few statements, however many there are.

    Of each subscription and kind of limit there may be one window only.
    """
    wanted = {(sub, str(limit.kind)): (sub, limit) for sub, limit in sorted(amounts, key=_order)}
    used = _opened_all(connection, wanted)
    connection.execute(
        _RAISE,
        [
            {"sub": sub, "of": kind, "start": limit.start, "more": amounts[sub, limit]}
            for (sub, kind), (_, limit) in wanted.items()
        ],
    )
    for place, (sub, limit) in wanted.items():
        _tell(connection, sub, limit, used[place], used[place] + amounts[sub, limit])


def _order(place: tuple[int, Limit]) -> tuple[int, str]:
    return place[0], place[1].kind


def _opened_all(
    connection: Connection, wanted: Mapping[tuple[int, str], tuple[int, Limit]]
) -> dict[tuple[int, str], int]:
    """Lock the rows of limits, in order, made where missing; return what is used of each window."""
    found = _locked(connection, list(wanted))
    missing = [place for place in wanted if place not in found]
    if missing:
        rows = [
            {
                "subscription_id": place[0],
                "kind": place[1],
                "used": 0,
                "window_start": wanted[place][1].start,
            }
            for place in missing
        ]
        insert_missing(connection, _TABLE, rows)
        found |= _locked(connection, missing)
    return {
        place: int(row.used) if row.window_start >= wanted[place][1].start else 0
        for place, row in found.items()
    }


def _locked(connection: Connection, places: list[tuple[int, str]]) -> dict[tuple[int, str], Any]:
    """Lock the rows of these limits, and of any other limit of the same subscriptions."""
    some = set(places)
    return {
        (row.subscription_id, row.kind): row
        for part in parts(sorted({sub for sub, _ in places}))
        for row in connection.execute(_LOCKED, {"subs": part})
        if (row.subscription_id, row.kind) in some
    }


def _tell(
    connection: Connection, subscription_id: int, limit: Limit, before: int, after: int
) -> None:
    """Store a notice where a count passes 80 % or all of a quota, before a call is refused."""
    if limit.kind is Kind.QUOTA:
        notices.quota_used(
            connection,
            subscription_id,
            window=(limit.start, limit.end),
            amount=limit.amount,
            counts=(before, after),
            unit="bytes" if limit.in_bytes else "calls",
            stops=limit.stops,
        )


def _update(connection: Connection, subscription_id: int, limit: Limit, cost: int) -> None:
    where = {"sub": subscription_id, "of": limit.kind}
    connection.execute(_RAISE, {**where, "start": limit.start, "more": cost})


_MORE: Any = bindparam("more")
_START: Any = bindparam("start")
_RUNS = _TABLE.c.window_start >= _START
# In this order: MySQL computes each value from what the ones before it have already set.
_RAISE = (
    update(_TABLE)
    .where(_TABLE.c.subscription_id == bindparam("sub"), _TABLE.c.kind == bindparam("of"))
    .ordered_values(
        (_TABLE.c.used, case((_RUNS, _TABLE.c.used + _MORE), else_=_MORE)),
        (_TABLE.c.window_start, case((_RUNS, _TABLE.c.window_start), else_=_START)),
    )
)


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
