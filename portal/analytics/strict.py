"""Reading what a source answers: what cannot be is refused, and never billed as something else."""

import math
from collections.abc import Mapping
from typing import Any

from portal.analytics.source import SourceUnavailable
from portal.services.outgoing import Bounds

#: The largest number that every JSON library reads exactly.
LARGEST = 2**53
LONGEST_NUMBER = len(str(LARGEST))
#: What each answer of a source has to keep.
BOUNDS = Bounds(seconds=60.0, size=32 * 2**20)
SLOW = "takes too long to answer. Check that it works, and can be reached from here."
LARGE = f"gave an answer of more than {BOUNDS.size // 2**20} MB, which is not read."


def whole(value: object, refusal: str) -> int:
    """Return a number of things, or of milliseconds.

    :raise SourceUnavailable: with the refusal, if it is none, below zero or beyond all measure
    """
    number = int(value) if isinstance(value, float) and math.isfinite(value) else value
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= LARGEST:
        raise SourceUnavailable(refusal)
    return number


def written(value: object, refusal: str) -> int:
    """Return a number that may also be written as text."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value) if len(value) <= LONGEST_NUMBER else None
    return whole(value, refusal)


def text(value: object, refusal: str) -> str:
    """Return a text, empty for none, in which is only what every database stores."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise SourceUnavailable(refusal)
    return value.replace("\0", "?").encode("utf-8", "replace").decode("utf-8")


def rows(value: object, refusal: str) -> list[Mapping[str, Any]]:
    """Return a list of objects."""
    if not isinstance(value, list) or not all(isinstance(row, Mapping) for row in value):
        raise SourceUnavailable(refusal)
    return value
