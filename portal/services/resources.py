"""From a call's path to the resource that it is counted under: ``/users/7`` is ``/users/{id}``.

Counting by the path itself would keep what stands in it, a name or a number of somebody's, and
make a bucket for each value.
"""

import json
import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import unquote

from sqlalchemy import Connection, select

from portal.models import Api
from portal.services.ledger import LONGEST_RESOURCE

#: A segment that is some thing's id rather than its kind: a number, a UUID, hexadecimal digits,
#: anything long, an address.
_ID = re.compile(
    r"\d+|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|(?=[a-zA-Z-]*\d)[0-9a-zA-Z_-]{12,}|.{40,}|.*[@:].*"
)
_PLACE = re.compile(r"\{[^{}]*\}")
#: Of longer paths only so much is looked at: servers take none, but a log may hold any.
LONGEST_PATH = 8192
#: Stands for a place; no readable path has it.
_ANY = "\0"
_SOME_PLACES = re.compile(f"({_ANY}+)")
#: What no database, or not every one, takes as text: callers can write it into a path.
_UNREADABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class Resources:
    """The paths that an API's document names."""

    def __init__(self, paths: Iterable[str]) -> None:
        plain: list[str] = []
        patterns: list[tuple[re.Pattern[str], str]] = []
        for path in map(_readable, paths):
            if "{" not in path:
                plain.append(path)
                continue
            patterns.append((_pattern(path), path))
        self._plain = frozenset(plain)
        # Of two that fit, the one with fewer places says more.
        self._patterns = sorted(patterns, key=lambda found: found[1].count("{"))

    def of(self, path: str) -> str:
        """Return the resource of a path, at most 255 characters; never with what it is about."""
        clean = _readable(unquote(path[:LONGEST_PATH])).rstrip("/") or "/"
        if clean in self._plain:
            return clean[:LONGEST_RESOURCE]
        for pattern, template in self._patterns:
            if pattern.fullmatch(clean):
                return template[:LONGEST_RESOURCE]
        kept = ["{id}" if _ID.fullmatch(part) else part for part in clean.split("/")]
        return "/".join(kept)[:LONGEST_RESOURCE]


def _pattern(path: str) -> re.Pattern[str]:
    """Return what fits a template's paths, where each place takes at least one character.

    Callers choose what it reads, so it never tries a second way to divide a segment among places:
    the number of ways grows with a power of the length, and a search holds the whole process.
    """
    segments = _PLACE.sub(_ANY, path).split("/")
    return re.compile("/".join(map(_segment, segments)))


def _segment(template: str) -> str:
    start, *rest = _SOME_PLACES.split(template)
    pairs = list(zip(rest[::2], rest[1::2], strict=True))
    found = re.escape(start)
    for number, (places, text) in enumerate(pairs, 1):
        # A text is taken where it comes first, and the last one at the segment's end: if any way
        # fits, this one does. The group is atomic: it is not asked for another way.
        which = "" if number == len(pairs) else "?"
        found += f"(?>[^/]{{{len(places)},}}{which}{re.escape(text)})"
    return found


def _readable(text: str) -> str:
    return _UNREADABLE.sub("\ufffd", text)


@lru_cache(maxsize=32)
def of_definition(definition: str | None) -> Resources:
    """Return the resources of an OpenAPI document; none if there is no document."""
    try:
        document = json.loads(definition) if definition else {}
        paths = document.get("paths", {})
        return Resources(str(path) for path in paths)
    except (ValueError, AttributeError, TypeError, RecursionError):
        return Resources(())


def definition_of(connection: Connection, api_id: int) -> str | None:
    """Return an API's OpenAPI document."""
    found: str | None = connection.scalar(select(Api.definition).where(Api.api_id == api_id))
    return found
