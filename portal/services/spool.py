"""Files of calls: how a gateway writes them down, and how they come into the ledger.

A record (``records.py``) is appended by one ``write(2)`` before the call is answered, so that a
process that is killed loses nothing. One that a power failure tore is left out and logged, and
those behind it are read.
"""

import struct
import zlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Connection, Table, insert, select, update

from portal import clock
from portal.models import UsageSegment, UsageSpool
from portal.services import evidence, ledger
from portal.services.inserting import insert_missing
from portal.services.ledger import HOUR_MS, Alike, Group, Groups
from portal.services.records import (
    BODY,
    CALL,
    KEYS,
    RECORD,
    ROUTE,
    SIZE,
    SUM,
    call_record,
    route_record,
)

log = structlog.get_logger()

#: What calls have in common as it stands, then time and size.
_COMMON = struct.Struct("<BBHII")
_GROUPED = struct.Struct(f"<{_COMMON.size}sQQ20x")
FORMAT = "spool"
SUFFIX = ".spool"
#: How much of a file is brought in by one transaction.
PORTION = SIZE * 320_000
#: Records from which on they are compressed beside the counting.
_MANY = 4096

_spool: Table = UsageSpool.__table__  # type: ignore[assignment]
_segment: Table = UsageSegment.__table__  # type: ignore[assignment]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One call of a file, for people: what it was, and its id."""

    call_id: str
    subscription_id: int
    at: int
    method: str
    resource: str
    status: int
    key_type: str
    bytes: int


_ANY = call_record(0, 0, 0, 0, 0, 0, 0, b"")


def drain(connection: Connection, path: Path, name: str, *, portion: int = PORTION) -> int:
    """Bring the next portion of a file into the ledger; return how many bytes that was.

    The offset moves in the caller's transaction. Of two drainers the second finds that it has
    moved. A record that is not complete yet is left for the next time.
    """
    row = row_of(connection, name)
    with path.open("rb") as file:
        file.seek(row.offset)
        data = file.read(portion)
        data, taken = _sound(data[: len(data) // SIZE * SIZE])
        if not taken:
            return 0
        routes = _routes_before(file, name, row.offset)
    if len(data) < taken:
        log.error("spool_damaged", file=name, offset=row.offset, left_out=taken - len(data))
    _count(connection, row, data, routes)
    connection.execute(
        update(_spool)
        .where(_spool.c.spool_id == row.spool_id)
        .values(offset=row.offset + taken, drained_at=clock.now())
    )
    _remember(name, row.offset + taken, routes)
    return taken


def _count(
    connection: Connection, row: Any, data: bytes, routes: dict[int, tuple[str, str]]
) -> None:
    calls = [memoryview(data)[start:end] for start, end in _pieces(data, routes)]
    groups, first, last = _grouped(data, routes)
    if not groups:
        return
    # A segment can be read by itself: it begins with the routes that are used in it.
    used = {(alike.method, alike.resource) for alike in groups}
    names = b"".join(route_record(number, *name) for number, name in routes.items() if name in used)
    # While the database works, calls are compressed.
    with ThreadPoolExecutor(1) as beside:
        is_much = len(data) > SIZE * _MANY
        packing = beside.submit(evidence.packed, names, calls) if is_much else None
        ledger.count(connection, groups, _Splitter(data, routes))
        stored = packing.result() if packing else evidence.packed(names, calls)
    count = sum(group.calls for group in groups.values())
    _keep(connection, row, stored, (count, first, last))


def row_of(connection: Connection, name: str) -> Any:
    """Return a file's row, made where it is missing, and locked: one drainer at a time."""
    query = (
        select(_spool.c.spool_id, _spool.c.offset).where(_spool.c.name == name).with_for_update()
    )
    row = connection.execute(query).first()
    if row is None:
        values = {"name": name, "offset": 0, "drained_at": clock.now()}
        insert_missing(connection, _spool, [values])
        row = connection.execute(query).one()
    return row


def _sound(data: bytes) -> tuple[bytes, int]:
    """Return the records whose checksums are right, and how much of ``data`` was looked at.

    That is less than all of it where a route's text is not there yet.
    """
    kept: list[bytes | memoryview] = []
    at = 0
    while at < len(data):
        if data[at] != ROUTE:
            end = _next_route(data, at)
            kept += _sound_calls(memoryview(data)[at:end])
            at = end
            continue
        if not _is_sound(data[at : at + SIZE]):
            at += SIZE
            continue
        length = _length(data, at)
        if at + length > len(data):
            break
        if zlib.crc32(data[at + SIZE : at + length]) == RECORD.unpack_from(data, at)[5]:
            kept.append(data[at : at + length])
        at += length
    # Almost always all of it is, and nothing needs copying.
    return data[:at] if sum(map(len, kept)) == at else b"".join(kept), at


def _is_sound(record: bytes | memoryview) -> bool:
    (written,) = SUM.unpack_from(record, BODY.size)
    return bool(zlib.crc32(record[: BODY.size]) == written)


def _sound_calls(run: memoryview) -> list[memoryview]:
    if zlib.crc32(run) == _sum_of(len(run) // SIZE):
        return [run]
    pieces = (run[at : at + SIZE] for at in range(0, len(run), SIZE))
    return [piece for piece in pieces if _is_sound(piece)]


@lru_cache(maxsize=64)
def _sum_of(records: int) -> int:
    """Return the checksum of so many records together, if each one's own is right.

    A record that ends with the checksum of what is before it has always the same one itself, and
    that of two together follows from both: what is in the records makes no difference.
    """
    total, some = 0, _ANY * _MANY
    for _ in range(records // _MANY):
        total = zlib.crc32(some, total)
    return zlib.crc32(_ANY * (records % _MANY), total)


def _length(data: bytes, at: int) -> int:
    if data[at] != ROUTE:
        return SIZE
    text = int.from_bytes(data[at + 4 : at + 8], "little")
    return SIZE + text + -text % SIZE


def _next_route(data: bytes, at: int) -> int:
    kinds = data[at::SIZE]
    found = kinds.find(ROUTE)
    return len(data) if found < 0 else at + found * SIZE


def _routes_before(file: Any, name: str, offset: int) -> dict[int, tuple[str, str]]:
    """Return the routes in the part of a file that is in the ledger already.

    They are remembered from the portion before; after a restart that part is read once more.
    """
    if offset == 0:
        return {}
    known = _remembered.get((name, offset))
    if known is not None:
        return dict(known)
    file.seek(0)
    routes: dict[int, tuple[str, str]] = {}
    deque(_pieces(_sound(file.read(offset))[0], routes), maxlen=0)
    return routes


#: Routes by file and offset. What stands before an offset never changes.
_remembered: dict[tuple[str, int], dict[int, tuple[str, str]]] = {}
REMEMBERED = 64


def _remember(name: str, offset: int, routes: dict[int, tuple[str, str]]) -> None:
    while len(_remembered) >= REMEMBERED:
        _remembered.pop(next(iter(_remembered)), None)
    _remembered[name, offset] = routes


def _pieces(data: bytes, routes: dict[int, tuple[str, str]]) -> Iterator[tuple[int, int]]:
    """Yield where runs of call records begin and end, and learn the routes between them."""
    at = 0
    while at < len(data):
        if data[at] == ROUTE:
            length = _length(data, at)
            head = RECORD.unpack_from(data, at)
            text = data[at + SIZE : at + SIZE + head[3]].decode()
            method, _, resource = text.partition(" ")
            routes[head[4]] = (method, resource)
            at += length
        else:
            end = _next_route(data, at)
            yield at, end
            at = end


def _grouped(data: bytes, routes: dict[int, tuple[str, str]]) -> tuple[Groups, int, int]:
    groups: Groups = {}
    for start, end in _pieces(data, routes):
        for common, hour, group in _summed(memoryview(data)[start:end]):
            kind, key, status, sub, route = _COMMON.unpack(common)
            method, resource = routes.get(route, ("?", "?"))
            if kind != CALL:
                group.calls = 0
            alike = Alike(sub, hour, method, resource, status, KEYS[key])
            known = groups.get(alike)
            groups[alike] = group if known is None else known.plus(group)
    if not groups:
        return groups, 0, 0
    return groups, min(g.first for g in groups.values()), max(g.last for g in groups.values())


def _summed(run: memoryview) -> Iterator[tuple[bytes, int, Group]]:
    """Yield what calls have in common, their hour, and how many there are.

    This is done for every call there is, so it is written out.
    """
    found: dict[bytes, Group] = {}
    for common, at, size in _GROUPED.iter_unpack(run):
        try:
            group = found[common]
        except KeyError:
            found[common] = Group(1, size, at, at)
            continue
        group.calls += 1
        group.bytes += size
        if at > group.last:
            group.last = at
        elif at < group.first:
            group.first = at
    if all(group.first // HOUR_MS == group.last // HOUR_MS for group in found.values()):
        yield from ((common, group.first // HOUR_MS, group) for common, group in found.items())
    else:
        yield from _by_hour(run)


def _by_hour(run: memoryview) -> Iterator[tuple[bytes, int, Group]]:
    """Yield the same where an hour ends between two calls that are alike."""
    found: dict[tuple[bytes, int], Group] = {}
    for common, at, size in _GROUPED.iter_unpack(run):
        key = common, at // HOUR_MS
        group = found.get(key)
        if group is None:
            found[key] = Group(1, size, at, at)
        else:
            group.add(at, size)
    yield from ((*key, group) for key, group in found.items())


class _Splitter:
    """Splits a group at the end of a billing period, by reading its records again."""

    def __init__(self, data: bytes, routes: dict[int, tuple[str, str]]) -> None:
        self._data = data
        self._routes = routes

    def __call__(self, alike: Alike, moment: int) -> Group:
        later: Group | None = None
        for entry in entries(self._data, dict(self._routes), weights=True):
            if entry.at < moment or not _belongs(entry, alike):
                continue
            if later is None:
                later = Group(0, 0, entry.at, entry.at)
            later.add(entry.at, entry.bytes)
            later.calls -= 0 if entry.call_id else 1
        return later or Group(0, 0, moment, moment)


def _belongs(entry: Entry, alike: Alike) -> bool:
    mine = (entry.subscription_id, entry.at // HOUR_MS, entry.method, entry.resource)
    return mine == alike[:4] and (entry.status, entry.key_type) == alike[4:]


def entries(
    data: bytes, routes: dict[int, tuple[str, str]] | None = None, *, weights: bool = False
) -> Iterator[Entry]:
    """Yield the calls of a file or a segment one by one.

    :param weights: also bytes that were found out later, as entries without a call id
    """
    routes = {} if routes is None else routes
    for start, end in _pieces(data, routes):
        for kind, key, status, sub, route, at, size, call, _ in RECORD.iter_unpack(data[start:end]):
            if kind != CALL and not weights:
                continue
            method, resource = routes.get(route, ("?", "?"))
            yield Entry(
                call_id=call.hex() if kind == CALL else "",
                subscription_id=sub,
                at=at,
                method=method,
                resource=resource,
                status=status,
                key_type=KEYS[key],
                bytes=size,
            )


def _keep(connection: Connection, row: Any, stored: bytes, what: tuple[int, int, int]) -> None:
    calls, first, last = what
    connection.execute(
        insert(_segment).values(
            spool_id=row.spool_id,
            offset=row.offset,
            format=FORMAT,
            calls=calls,
            first_at=first,
            last_at=last,
            records=stored,
            created_at=clock.now(),
        )
    )
