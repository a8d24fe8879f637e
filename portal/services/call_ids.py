"""Ids of calls: unique without asking anybody, cheap to keep, and silent about other calls.

Each process draws 74 random bits when it begins and counts on from there, in the free bits of a
UUID of version 8 (RFC 9562, 5.8). No two processes meet, and of a million calls in a row a ledger
keeps the ids in a few bytes each, where random ones take sixteen.

Outside, where callers and back ends see them, ids go by other names: whoever could compare two of
a process would know how many calls all others made between them.
"""

import os
from hashlib import blake2b
from itertools import count
from uuid import UUID

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

#: Bits of the number, below those that are the process's own.
_COUNTED = 48
_VERSION = 8
_VERSION_8 = _VERSION << 76
_VARIANT = 0b10 << 62
#: Where a UUID has its version and its variant; the random bits pass around them.
_FIXED = 0xF << 76 | 0b11 << 62


class CallIds:
    """The ids that one process gives; any number of threads may ask."""

    def __init__(self) -> None:
        drawn = int.from_bytes(os.urandom(16), "big") >> _COUNTED << _COUNTED
        self._own = drawn & ~_FIXED | _VERSION_8 | _VARIANT
        self._numbers = count()

    def new(self) -> UUID:
        """Return an id that no call had before."""
        return UUID(int=self._own | next(self._numbers))


class Names:
    """What the ids are outside: the same for the same id, and without any order.

    :param number: the database's own, which nobody outside knows (``spool_place``); without it
        the names are this object's alone
    """

    def __init__(self, number: int | None) -> None:
        secret = os.urandom(16) if number is None else f"calls of {number}".encode()
        key = blake2b(secret, digest_size=16, person=b"call ids").digest()
        # One block each, and never two alike: what ECB gives away elsewhere.
        self._cipher = Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305

    def of(self, call_id: UUID) -> str:
        """Return the name of an id, 32 hexadecimal digits; random ids of before are their own."""
        if call_id.version != _VERSION:
            return call_id.hex
        return self._cipher.encryptor().update(call_id.bytes).hex()


_ids = CallIds()


def new() -> UUID:
    """Return an id that no call had before, here or anywhere."""
    return _ids.new()


def _draw_anew() -> None:
    global _ids
    _ids = CallIds()


os.register_at_fork(after_in_child=_draw_anew)
