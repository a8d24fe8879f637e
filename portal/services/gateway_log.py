"""The log of an nginx that passes calls on: how its lines come into the ledger.

One JSON object a line, as ``deploy/nginx-gateway.conf`` writes it. A log is known by its first
line, which holds that call's id: so it stays the same file when it is rotated to another name,
and one that is copied or restored from a backup is not counted twice.
"""

import zlib
from collections import defaultdict
from collections.abc import Collection, Iterable
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Connection, Table, func, insert, select, update

from portal import clock
from portal.models import UsageSegment, UsageSpool
from portal.services import ledger, log_lines, log_places, quotas, spool
from portal.services.ledger import HOUR_MS, Alike, Group

log = structlog.get_logger()

FORMAT = "nginx"
#: How much of a log is brought in by one transaction.
PORTION = 8 * 1024 * 1024
LONGEST_LINE = 65_536
_spool: Table = UsageSpool.__table__  # type: ignore[assignment]
_segment: Table = UsageSegment.__table__  # type: ignore[assignment]
#: Time in epoch milliseconds and size of each call that is alike.
Some = list[tuple[int, int]]


def name_of(path: Path) -> str | None:
    """Return what a log is known by; ``None`` while its first line is not complete."""
    with path.open("rb") as file:
        first = file.readline(LONGEST_LINE)
    if not first.endswith(b"\n"):
        return None
    return "nginx:" + blake2b(first, digest_size=16).hexdigest()


def drain(connection: Connection, path: Path, *, portion: int = PORTION) -> int:
    """Bring the next portion of a log into the ledger; return how many bytes that was.

    The offset moves in the caller's transaction; limits are counted in it too. A line that is
    not complete is left for the next time; one that is no call is left out and logged.
    """
    name = name_of(path)
    if name is None:
        return 0
    row = spool.row_of(connection, name)
    with path.open("rb") as file:
        file.seek(row.offset)
        data = file.read(portion)
    data = data[: data.rfind(b"\n") + 1]
    if not data:
        return 0
    totals = log_lines.totals(data)
    if totals:
        _count(connection, totals, data)
        _keep(connection, row, data, totals.values())
    connection.execute(
        update(_spool)
        .where(_spool.c.spool_id == row.spool_id)
        .values(offset=row.offset + len(data), drained_at=clock.now())
    )
    return len(data)


def _count(connection: Connection, totals: log_lines.Totals, data: bytes) -> None:
    places = log_places.find(connection, {kind.subscription for kind in totals})
    for kind, total in totals.items():
        if kind.subscription not in places:
            log.error("usage_of_nobody", subscription=kind.subscription, calls=total.calls)

    @cache
    def apart() -> dict[Alike, Some]:
        return _apart(log_lines.calls(data), places)

    def split(which: Alike, moment: int) -> Group:
        return _together([(at, size) for at, size in apart()[which] if at >= moment])

    hours = {at // HOUR_MS for total in totals.values() for at in (total.first, total.last)}
    if len(hours) == 1:
        groups = _of_hour(hours.pop(), totals, places)
    else:
        groups = {which: _together(some) for which, some in apart().items()}
    if groups:
        ledger.count(connection, groups, split)
    _count_limits(connection, places, groups, split)


def _of_hour(hour: int, totals: log_lines.Totals, places: log_places.Places) -> ledger.Groups:
    """Put calls of one hour together that are counted under the same."""
    found: ledger.Groups = {}
    for kind, total in totals.items():
        place = places.get(kind.subscription)
        if place is None:
            continue
        which = place.alike(hour, kind)
        known = found.get(which)
        found[which] = total if known is None else known.plus(total)
    return found


def _apart(calls: log_lines.Calls, places: log_places.Places) -> dict[Alike, Some]:
    """Return the calls of several hours by what they are counted under."""
    found: defaultdict[Alike, Some] = defaultdict(list)
    for kind, some in calls.items():
        place = places.get(kind.subscription)
        if place is None:
            continue
        for hour, those in _by_hour(some):
            found[place.alike(hour, kind)] += those
    return found


def _by_hour(some: Some) -> Iterable[tuple[int, Some]]:
    found: defaultdict[int, Some] = defaultdict(list)
    for call in some:
        found[call[0] // HOUR_MS].append(call)
    return found.items()


def _together(some: Some) -> Group:
    times, sizes = zip(*some, strict=True)
    return Group(len(some), sum(sizes), min(times), max(times))


def _count_limits(
    connection: Connection,
    places: log_places.Places,
    groups: ledger.Groups,
    split: ledger.Split,
) -> None:
    """Count the calls against the limits whose window runs now."""
    now = clock.now()
    limits = {
        place.subscription_id: quotas.limits_at(place.limits, now) for place in places.values()
    }
    used: dict[tuple[int, quotas.Limit], int] = {}
    for which, group in groups.items():
        for limit in limits[which.subscription_id]:
            since = limit.start * 1000
            if group.last >= since:
                those = group if group.first >= since else split(which, since)
                key = which.subscription_id, limit
                used[key] = used.get(key, 0) + (those.bytes if limit.in_bytes else those.calls)
    used = {key: amount for key, amount in used.items() if amount}
    if used:
        quotas.add_many(connection, used)


def _keep(connection: Connection, row: Any, data: bytes, totals: Collection[Group]) -> None:
    connection.execute(
        insert(_segment).values(
            spool_id=row.spool_id,
            offset=row.offset,
            format=FORMAT,
            calls=sum(total.calls for total in totals),
            first_at=min(total.first for total in totals),
            last_at=max(total.last for total in totals),
            records=zlib.compress(data, 1),
            created_at=clock.now(),
        )
    )


def is_one(path: Path) -> bool:
    """Whether a file is a log that ``deploy/nginx-gateway.conf`` writes, by its first line."""
    with path.open("rb") as file:
        first = log_lines.object_of(file.readline(LONGEST_LINE))
    return isinstance(first, dict) and first.keys() >= log_lines.FIELDS


def calls_of(connection: Connection, path: Path) -> int:
    """Return how many calls of a log are in the ledger, as far as their records are kept."""
    query = (
        select(func.coalesce(func.sum(_segment.c.calls), 0))
        .join(_spool, _spool.c.spool_id == _segment.c.spool_id)
        .where(_spool.c.name == name_of(path))
    )
    return int(connection.scalar(query) or 0)


def is_whole(connection: Connection, path: Path) -> bool:
    """Whether everything in a log is in the ledger."""
    name = name_of(path)
    offset = connection.scalar(select(_spool.c.offset).where(_spool.c.name == name))
    return name is not None and offset == path.stat().st_size
