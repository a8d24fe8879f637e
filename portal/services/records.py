"""How a call is written down: records of 48 bytes.

What calls have in common (method and resource) is written once for each file, before the first
record that uses it. Every record carries a checksum of itself.
"""

import struct
import zlib

from portal.models import KeyType

#: kind, key type, status, subscription, route, milliseconds since 1970, bytes, call id, checksum
RECORD = struct.Struct("<BBHIIQQ16sI")
SIZE = RECORD.size
BODY = struct.Struct("<BBHIIQQ16s")
SUM = struct.Struct("<I")
CALL, ROUTE, WEIGHT = 1, 2, 3
"""A call; a route's name, whose text fills the records behind it; bytes found out later."""
KEYS = (KeyType.PRODUCTION, KeyType.SANDBOX)


def call_record(
    kind: int, key: int, status: int, sub: int, route: int, at: int, size: int, call: bytes
) -> bytes:
    """Return one record: a call, or bytes of one that were found out later.

    :param at: epoch milliseconds
    """
    body = BODY.pack(kind, key, status, sub, route, at, size, call)
    return body + SUM.pack(zlib.crc32(body))


def route_record(number: int, method: str, resource: str) -> bytes:
    """Return what gives a number to a method and a resource for the rest of the file."""
    text = f"{method} {resource}".encode()
    padded = text + b"\0" * (-len(text) % SIZE)
    head = BODY.pack(ROUTE, 0, 0, len(text), number, zlib.crc32(padded), 0, b"")
    return head + SUM.pack(zlib.crc32(head)) + padded
