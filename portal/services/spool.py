"""Files of calls: how a gateway writes them down, and how they come into the ledger.

A record is 48 bytes and is appended by one ``write(2)`` before the call is answered, so that a
process that is killed loses nothing. What calls have in common (method and resource) is written
once for each file, before the first record that uses it. Every record carries a checksum of
itself: one that a power failure tore is left out and logged, and those behind it are read.
"""

import struct
import zlib
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Connection, Table, insert, select, update

from portal import clock
from portal.models import KeyType, UsageSegment, UsageSpool
from portal.services import ledger
from portal.services.inserting import insert_missing
from portal.services.ledger import HOUR_MS, Alike, Group, Groups

log = structlog.get_logger()

#: kind, key type, status, subscription, route, milliseconds since 1970, bytes, call id, checksum
RECORD = struct.Struct("<BBHIIQQ16sI")
SIZE = RECORD.size
_BODY = struct.Struct("<BBHIIQQ16s")
_SUM = struct.Struct("<I")
_CHECKED = struct.Struct(f"<{_BODY.size}sI")
#: What calls have in common as it stands, then time and size.
_COMMON = struct.Struct("<BBHII")
_GROUPED = struct.Struct(f"<{_COMMON.size}s16s20x")
_PACKED = struct.Struct("<II")
#: Bytes of a record that are alike in many; id and checksum, behind them, are random.
_PLAIN = 28
CALL, ROUTE, WEIGHT = 1, 2, 3
"""A call; a route's name, whose text fills the records behind it; bytes found out later."""
KEYS = (KeyType.PRODUCTION, KeyType.SANDBOX)
SANDBOX = 1
FORMAT = "spool"
SUFFIX = ".spool"
#: How much of a file is brought in by one transaction.
PORTION = SIZE * 80_000

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


def call_record(
    kind: int, key: int, status: int, sub: int, route: int, at: int, size: int, call: bytes
) -> bytes:
    """Return one record: a call, or bytes of one that were found out later.

    :param at: epoch milliseconds
    """
    body = _BODY.pack(kind, key, status, sub, route, at, size, call)
    return body + _SUM.pack(zlib.crc32(body))


def route_record(number: int, method: str, resource: str) -> bytes:
    """Return what gives a number to a method and a resource for the rest of the file."""
    text = f"{method} {resource}".encode()
    padded = text + b"\0" * (-len(text) % SIZE)
    head = _BODY.pack(ROUTE, 0, 0, len(text), number, zlib.crc32(padded), 0, b"")
    return head + _SUM.pack(zlib.crc32(head)) + padded


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
    groups, first, last = _grouped(data, routes)
    if groups:
        ledger.count(connection, groups, _Splitter(data, routes))
        calls = sum(group.calls for group in groups.values())
        _keep(connection, row, data, routes, (calls, first, last))
    connection.execute(
        update(_spool)
        .where(_spool.c.spool_id == row.spool_id)
        .values(offset=row.offset + taken, drained_at=clock.now())
    )
    _remember(name, row.offset + taken, routes)
    return taken


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
    return b"".join(kept), at


def _is_sound(record: bytes | memoryview) -> bool:
    (written,) = _SUM.unpack_from(record, _BODY.size)
    return bool(zlib.crc32(record[: _BODY.size]) == written)


def _sound_calls(run: memoryview) -> list[memoryview]:
    crc32 = zlib.crc32
    if all(crc32(body) == written for body, written in _CHECKED.iter_unpack(run)):
        return [run]
    pieces = (run[at : at + SIZE] for at in range(0, len(run), SIZE))
    return [piece for piece in pieces if _is_sound(piece)]


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
    found: defaultdict[bytes, list[bytes]] = defaultdict(list)
    for start, end in _pieces(data, routes):
        for common, rest in _GROUPED.iter_unpack(memoryview(data)[start:end]):
            found[common].append(rest)
    groups: Groups = {}
    for common, many in found.items():
        kind, key, status, sub, route = _COMMON.unpack(common)
        method, resource = routes.get(route, ("?", "?"))
        numbers = struct.unpack(f"<{2 * len(many)}Q", b"".join(many))
        for hour, group in _by_hour(numbers[0::2], numbers[1::2]):
            if kind != CALL:
                group.calls = 0
            alike = Alike(sub, hour, method, resource, status, KEYS[key])
            known = groups.get(alike)
            groups[alike] = group if known is None else known.plus(group)
    if not groups:
        return groups, 0, 0
    return groups, min(g.first for g in groups.values()), max(g.last for g in groups.values())


def _by_hour(times: Sequence[int], sizes: Sequence[int]) -> Iterator[tuple[int, Group]]:
    """Yield how many calls there are in each hour; almost always all are in one."""
    first, last = min(times), max(times)
    if first // HOUR_MS == last // HOUR_MS:
        yield first // HOUR_MS, Group(len(times), sum(sizes), first, last)
        return
    found: dict[int, Group] = {}
    for at, size in zip(times, sizes, strict=True):
        found.setdefault(at // HOUR_MS, Group(0, 0, at, at)).add(at, size)
    yield from found.items()


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


def packed(data: bytes) -> bytes:
    """Return records compressed: column by column, and the random ones as they are."""
    rows = len(data) // SIZE
    columns = [data[at::SIZE] for at in range(SIZE)]
    alike = zlib.compress(b"".join(columns[:_PLAIN]), 1)
    return b"".join((_PACKED.pack(rows, len(alike)), alike, *columns[_PLAIN:]))


def unpacked(stored: bytes) -> bytes:
    """Return records as they were before :func:`packed`."""
    rows, length = _PACKED.unpack_from(stored)
    rest = _PACKED.size + length
    columns = zlib.decompress(stored[_PACKED.size : rest]) + stored[rest:]
    data = bytearray(rows * SIZE)
    for at in range(SIZE):
        data[at::SIZE] = columns[at * rows : (at + 1) * rows]
    return bytes(data)


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


def _keep(
    connection: Connection,
    row: Any,
    data: bytes,
    routes: dict[int, tuple[str, str]],
    what: tuple[int, int, int],
) -> None:
    calls, first, last = what
    # A segment can be read by itself: it begins with the routes that are used in it.
    names = b"".join(route_record(number, *name) for number, name in routes.items())
    connection.execute(
        insert(_segment).values(
            spool_id=row.spool_id,
            offset=row.offset,
            format=FORMAT,
            calls=calls,
            first_at=first,
            last_at=last,
            records=packed(names + data),
            created_at=clock.now(),
        )
    )
