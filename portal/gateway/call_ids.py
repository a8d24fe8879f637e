"""Ids of calls: unique without asking anybody, and cheap to keep.

Each process draws 74 random bits when it begins and counts on from there, in the free bits of a
UUID of version 8 (RFC 9562, 5.8). No two processes meet, and of a million calls in a row a ledger
keeps the ids in a few bytes each, where random ones take sixteen. An id is a name, not a secret.
"""

import os
from itertools import count
from uuid import UUID

#: Bits of the number, below those that are the process's own.
_COUNTED = 48
_VERSION_8 = 0x8 << 76
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


_ids = CallIds()


def new() -> UUID:
    """Return an id that no call had before, here or anywhere."""
    return _ids.new()


def _draw_anew() -> None:
    global _ids
    _ids = CallIds()


os.register_at_fork(after_in_child=_draw_anew)
