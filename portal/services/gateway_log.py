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
from sqlalchemy import Connection, Table, insert, select, update

from portal import clock
from portal.models import KeyType, UsageSegment, UsageSpool
from portal.services import ledger, log_places, quotas, spool
from portal.services.ledger import HOUR_MS, Alike

log = structlog.get_logger()

FORMAT = "nginx"
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
    for text in data.splitlines():
        try:
            yield _line(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError):
            wrong += 1
    if wrong:
        log.warning("log_lines_left_out", lines=wrong)


def _line(found: Mapping[str, Any]) -> Line:
    # Of several tries the last one's status is the answer's: "502, 200" or "502 : 200".
    status = int(str(found["status"]).replace(":", ",").rpartition(",")[2])
    return Line(
        call_id=str(found["id"]),
        at=round(float(found["at"]) * 1000),
        subscription=str(found["sub"]),
        key_type=KeyType(found["key"]),
        method=str(found["method"])[:10],
        path=str(found["path"]),
        status=status,
        bytes=int(found["in"]) + int(found["out"]),
    )


def _count(connection: Connection, lines: list[Line]) -> None:
    places = log_places.find(connection, {line.subscription for line in lines})
    calls = []
    for line in lines:
        place = places.get(line.subscription)
        if place is None:
            log.error("usage_of_nobody", subscription=line.subscription, call=line.call_id)
            continue
        alike = Alike(
            place.subscription_id,
            line.at // HOUR_MS,
            line.method,
            place.resource_of(line.path),
            line.status,
            line.key_type,
        )
        calls.append((alike, line.at, line.bytes))
    groups = ledger.grouped(calls)
    if groups:
        ledger.count(connection, groups, ledger.splitter(calls))
    _count_limits(connection, places, calls)


def _count_limits(
    connection: Connection,
    places: Mapping[str, log_places.Place],
    calls: list[tuple[Alike, int, int]],
) -> None:
    """Count the calls against the limits whose window runs now."""
    now = clock.now()
    by_id = {place.subscription_id: place for place in places.values()}
    for number in sorted({alike.subscription_id for alike, _, _ in calls}):
        for limit in quotas.limits_at(by_id[number].limits, now):
            mine = [
                size
                for alike, at, size in calls
                if alike.subscription_id == number and at >= limit.start * 1000
            ]
            amount = sum(mine) if limit.in_bytes else len(mine)
            if amount:
                quotas.add(connection, number, limit, amount)


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


def is_whole(connection: Connection, path: Path) -> bool:
    """Whether everything in a log is in the ledger."""
    name = name_of(path)
    offset = connection.scalar(select(_spool.c.offset).where(_spool.c.name == name))
    return name is not None and offset == path.stat().st_size
