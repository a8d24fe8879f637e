"""The evidence behind the buckets: records of calls as they are kept, in a few bytes each.

They are kept column by column, which compresses well.
"""

import struct
import zlib
from collections.abc import Sequence
from io import BytesIO

from portal.services.records import BODY, SIZE, SUM

#: Bytes of a record that are kept: its checksum, behind them, follows from them.
_KEPT = BODY.size
#: What evidence begins with: a mark, how long the compressed names of routes are, how many calls
#: there are, which columns are one byte again and again and which stand as they are (a bit for
#: each), and how long the others are, which are compressed.
_HEAD, _MARK = struct.Struct("<IIIQQI"), 0xFFFFFFFF
#: The first way had no mark: number of records, length of the columns that are compressed.
_OLD_HEAD = struct.Struct("<II")
#: Records that are taken apart at a time. They stay in the processor's cache for all of their
#: columns; with many more it takes twice as long.
_SOME = 4096
#: A column whose beginning stays longer than this part of itself is not worth compressing.
_WORTH = 0.9


def packed(names: bytes, calls: Sequence[memoryview]) -> bytes:
    """Return records compressed, as far as that is worth its time.

    :param names: records that name routes
    :param calls: records of calls, any number in each part
    """
    columns: list[list[bytes]] = [[] for _ in range(_KEPT)]
    data = calls[0] if len(calls) == 1 else memoryview(b"".join(calls))
    for start in range(0, len(data), SIZE * _SOME):
        some = bytes(data[start : start + SIZE * _SOME])
        for at, column in enumerate(columns):
            column.append(some[at::SIZE])
    filled = {at for at, column in enumerate(columns) if column}
    same = {at for at in filled if _is_one_byte(columns[at])}
    random = {at for at in filled - same if _is_random(columns[at][0])}

    def joined(some: set[int]) -> bytes:
        return b"".join(part for at in sorted(some) for part in columns[at])

    alike = zlib.compress(joined(filled - same - random), 1)
    rows = len(data) // SIZE
    short = zlib.compress(names, 1)
    head = _HEAD.pack(_MARK, len(short), rows, _bits(same), _bits(random), len(alike))
    bytes_of_same = bytes(columns[at][0][0] for at in sorted(same))
    return b"".join((head, short, bytes_of_same, alike, joined(random)))


def _is_one_byte(column: list[bytes]) -> bool:
    byte = column[0][:1]
    return all(part == byte * len(part) for part in column)


def _is_random(beginning: bytes) -> bool:
    return len(zlib.compress(beginning, 1)) > len(beginning) * _WORTH


def _bits(columns: set[int]) -> int:
    return sum(1 << at for at in columns)


def unpacked(stored: bytes) -> bytes:
    """Return records as they were before :func:`packed`, those that name routes first."""
    if _OLD_HEAD.unpack_from(stored)[0] != _MARK:
        return _unpacked_at_first(stored)
    _, names, rows, same, random, length = _HEAD.unpack_from(stored)
    at = _HEAD.size
    routes, at = zlib.decompress(stored[at : at + names]), at + names
    bytes_of_same, at = iter(stored[at:]), at + same.bit_count()
    alike = BytesIO(zlib.decompress(stored[at : at + length]))
    as_it_is = BytesIO(stored[at + length :])
    calls = bytearray(rows * SIZE)
    for number in range(_KEPT):
        if same >> number & 1:
            calls[number::SIZE] = bytes([next(bytes_of_same)]) * rows
        else:
            source = as_it_is if random >> number & 1 else alike
            calls[number::SIZE] = source.read(rows)
    _add_checksums(calls)
    return routes + bytes(calls)


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
