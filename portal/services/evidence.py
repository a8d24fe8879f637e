"""The evidence behind the buckets: records of calls as they are kept, in a few bytes each.

They are kept column by column, which compresses well.
"""

import struct
import zlib
from collections.abc import Sequence

from portal.services.records import BODY, SIZE, SUM

#: Bytes of a record that are kept: its checksum, behind them, follows from them.
_KEPT = BODY.size
#: What evidence begins with: a mark, how long the records are that name routes, how many calls
#: there are, which columns stand as they are (a bit for each), and how long the others are.
_HEAD, _MARK = struct.Struct("<IIIQI"), 0xFFFFFFFF
#: The first way had no mark: number of records, length of the columns that are compressed.
_OLD_HEAD = struct.Struct("<II")
#: Records that are taken apart at a time. They stay in the processor's cache for all of their
#: columns; with many more it takes twice as long.
_SOME = 4096
#: A column whose beginning stays longer than this part of itself is not worth compressing.
_WORTH = 0.9


def packed(names: bytes, calls: Sequence[memoryview]) -> bytes:
    """Return records compressed. Columns that are random stand as they are, which is faster.

    :param names: records that name routes
    :param calls: records of calls, any number in each part
    """
    columns: list[list[bytes]] = [[] for _ in range(_KEPT)]
    for part in calls:
        for start in range(0, len(part), SIZE * _SOME):
            some = bytes(part[start : start + SIZE * _SOME])
            for at, column in enumerate(columns):
                column.append(some[at::SIZE])
    random = {at for at, column in enumerate(columns) if column and _is_random(column[0])}
    alike = zlib.compress(
        b"".join(part for at in range(_KEPT) if at not in random for part in columns[at]), 1
    )
    rows = sum(map(len, calls)) // SIZE
    head = _HEAD.pack(_MARK, len(names), rows, sum(1 << at for at in random), len(alike))
    return b"".join((head, names, alike, *(part for at in sorted(random) for part in columns[at])))


def _is_random(beginning: bytes) -> bool:
    return len(zlib.compress(beginning, 1)) > len(beginning) * _WORTH


def unpacked(stored: bytes) -> bytes:
    """Return records as they were before :func:`packed`, those that name routes first."""
    if _OLD_HEAD.unpack_from(stored)[0] != _MARK:
        return _unpacked_at_first(stored)
    _, names, rows, mask, length = _HEAD.unpack_from(stored)
    at = _HEAD.size + names
    alike, random = zlib.decompress(stored[at : at + length]), stored[at + length :]
    calls = bytearray(rows * SIZE)
    taken = [0, 0]
    for number in range(_KEPT):
        kind = mask >> number & 1
        source = random if kind else alike
        calls[number::SIZE] = source[taken[kind] : taken[kind] + rows]
        taken[kind] += rows
    _add_checksums(calls)
    return stored[_HEAD.size : at] + bytes(calls)


def _add_checksums(calls: bytearray) -> None:
    view = memoryview(calls)
    for start in range(0, len(calls), SIZE):
        SUM.pack_into(calls, start + _KEPT, zlib.crc32(view[start : start + _KEPT]))


def _unpacked_at_first(stored: bytes) -> bytes:
    rows, length = _OLD_HEAD.unpack_from(stored)
    rest = _OLD_HEAD.size + length
    columns = zlib.decompress(stored[_OLD_HEAD.size : rest]) + stored[rest:]
    data = bytearray(rows * SIZE)
    for at in range(SIZE):
        data[at::SIZE] = columns[at * rows : (at + 1) * rows]
    return bytes(data)
