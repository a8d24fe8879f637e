"""The log of an nginx that passes calls on: how its lines come into the ledger.

One JSON object a line, as ``deploy/nginx-gateway.conf`` writes it. A log is known by its first
line, which holds that call's id: so it stays the same file when it is rotated to another name,
and one that is copied or restored from a backup is not counted twice.
"""

import json
import zlib
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import structlog
from sqlalchemy import Connection, Table, func, insert, select, update

from portal import clock
from portal.models import KeyType, UsageSegment, UsageSpool
from portal.services import ledger, log_places, quotas, spool
from portal.services.ledger import HOUR_MS, Alike

log = structlog.get_logger()

FORMAT = "nginx"
#: The names in each line.
FIELDS = frozenset({"at", "id", "sub", "key", "method", "path", "status", "in", "out"})
#: How much of a log is brought in by one transaction.
PORTION = 4 * 1024 * 1024
_spool: Table = UsageSpool.__table__  # type: ignore[assignment]
_segment: Table = UsageSegment.__table__  # type: ignore[assignment]


class Line(NamedTuple):
    """One call of a log."""

    call_id: str
    at: int
    """Epoch milliseconds."""
    subscription: str
    key_type: KeyType
    method: str
    path: str
    status: int
    bytes: int


def name_of(path: Path) -> str | None:
    """Return what a log is known by; ``None`` while its first line is not complete."""
    with path.open("rb") as file:
        first = file.readline(65_536)
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
    lines = list(parse(data))
    _count(connection, lines)
    if lines:
        _keep(connection, row, data, lines)
    connection.execute(
        update(_spool)
        .where(_spool.c.spool_id == row.spool_id)
        .values(offset=row.offset + len(data), drained_at=clock.now())
    )
    return len(data)


def parse(data: bytes) -> Iterator[Line]:
    """Yield the calls that whole lines are about; others are logged and left out.

    A call that did not reach a back end is not in the log: its line names no status.
    """
    wrong = 0
    for found in _objects(data):
        try:
            yield _line(found)
        except (ValueError, KeyError, TypeError, AttributeError):
            wrong += 1
    if wrong:
        log.warning("log_lines_left_out", lines=wrong)


def _objects(data: bytes) -> list[Any]:
    """Return what each line holds; ``None`` for one that is no JSON."""
    lines = data.splitlines()
    try:
        # All at once, which is faster than each by itself; a text holds no line end of its own.
        found = json.loads(b"[" + b",".join(lines) + b"]")
    except ValueError:
        found = []
    return found if len(found) == len(lines) else [_object(line) for line in lines]


def _object(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _line(found: Mapping[str, Any]) -> Line:
    status = str(found["status"])
    # Of several tries the last one's status is the answer's: "502, 200" or "502 : 200".
    last = status if len(status) == 3 else status.replace(":", ",").rpartition(",")[2]
    return Line(
        str(found["id"]),
        round(float(found["at"]) * 1000),
        str(found["sub"]),
        _KEY_TYPES[found["key"]],
        str(found["method"])[:10],
        str(found["path"]),
        int(last),
        int(found["in"]) + int(found["out"]),
    )


_KEY_TYPES = {str(each): each for each in KeyType}


def _count(connection: Connection, lines: list[Line]) -> None:
    places = log_places.find(connection, {line.subscription for line in lines})
    calls = list(_calls(lines, places))
    groups = ledger.grouped(calls)
    if groups:
        ledger.count(connection, groups, ledger.splitter(calls))
    _count_limits(connection, places, calls)


def _calls(
    lines: list[Line], places: Mapping[str, log_places.Place]
) -> Iterator[tuple[Alike, int, int]]:
    """Yield what each call is counted under, its time and its size."""
    #: Equal calls are many: what they have in common is made once.
    alike: dict[tuple[str, str, str, int, KeyType, int], Alike] = {}
    for line in lines:
        hour = line.at // HOUR_MS
        common = (line.subscription, line.method, line.path, line.status, line.key_type, hour)
        known = alike.get(common)
        if known is None:
            place = places.get(line.subscription)
            if place is None:
                log.error("usage_of_nobody", subscription=line.subscription, call=line.call_id)
                continue
            resource = place.resource_of(line.path)
            known = alike[common] = Alike(
                place.subscription_id, hour, line.method, resource, line.status, line.key_type
            )
        yield known, line.at, line.bytes


def _count_limits(
    connection: Connection,
    places: Mapping[str, log_places.Place],
    calls: list[tuple[Alike, int, int]],
) -> None:
    """Count the calls against the limits whose window runs now."""
    now = clock.now()
    limits = {
        place.subscription_id: quotas.limits_at(place.limits, now) for place in places.values()
    }
    since = min((limit.start for each in limits.values() for limit in each), default=0) * 1000
    amounts: dict[tuple[int, quotas.Kind], int] = {}
    for alike, at, size in calls:
        if at < since:
            continue
        number = alike.subscription_id
        for limit in limits[number]:
            if at >= limit.start * 1000:
                key = number, limit.kind
                amounts[key] = amounts.get(key, 0) + (size if limit.in_bytes else 1)
    of_kind = {(number, limit.kind): limit for number, each in limits.items() for limit in each}
    used = {(number, of_kind[number, kind]): n for (number, kind), n in amounts.items() if n}
    if used:
        quotas.add_many(connection, used)


def _keep(connection: Connection, row: Any, data: bytes, lines: list[Line]) -> None:
    connection.execute(
        insert(_segment).values(
            spool_id=row.spool_id,
            offset=row.offset,
            format=FORMAT,
            calls=len(lines),
            first_at=min(line.at for line in lines),
            last_at=max(line.at for line in lines),
            records=zlib.compress(data, 1),
            created_at=clock.now(),
        )
    )


def is_one(path: Path) -> bool:
    """Whether a file is a log that ``deploy/nginx-gateway.conf`` writes, by its first line."""
    with path.open("rb") as file:
        first = _object(file.readline(65_536))
    return isinstance(first, dict) and first.keys() >= FIELDS


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
