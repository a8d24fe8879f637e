"""Lines of access logs and tables as the events that the intake takes.

Both have the names of WSO2's analytics events: ``id``, ``time``, ``subscriptionId`` (or ``apiId``
with ``applicationId`` or ``apiKey``), ``keyType``, ``apiMethod``, ``apiResourceTemplate``,
``targetResponseCode`` and ``bytes``. A log of nginx has one JSON object on each line.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, BinaryIO

from portal.errors import Invalid
from portal.services.intake import EVENT_TYPE

NGINX, CSV = "nginx", "csv"
LONGEST_LINE = 64 * 1024
#: What stands in a log for a value that there was not.
NOTHING = ("", "-")
#: What nginx writes of a back end that did not answer.
NO_ANSWER = 502


class Lines:
    """The lines of a file, as bytes are read from it: ``position`` is how far."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.position = 0
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        while line := self._file.readline(LONGEST_LINE):
            self.position += len(line)
            self.number += 1
            yield line.decode("utf-8", "replace")


def events(lines: Lines, kind: str, source: str) -> Iterator[tuple[int, Any]]:
    """Return each record of a file with the number of its line, as an event of ``source``.

    A record without an id gets one made of its text, so that the same file read again gives the
    same ids; equal lines of a file are told apart by their order. What cannot be read is returned
    as ``None``.

    :raise portal.errors.Invalid: if a table has no heading with the names
    """
    seen: dict[str, int] = {}
    for number, text, values in _records(lines, kind):
        yield number, None if values is None else _event(values, text, source, seen)


def _records(lines: Lines, kind: str) -> Iterator[tuple[int, str, Mapping[str, Any] | None]]:
    if kind == CSV:
        yield from _table(lines)
        return
    for line in lines:
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except ValueError:
            found = None
        yield lines.number, line, found if isinstance(found, dict) else None


def _table(lines: Lines) -> Iterator[tuple[int, str, Mapping[str, Any] | None]]:
    rows = csv.DictReader(iter(lines))
    names = set(rows.fieldnames or ())
    missing = {"time", "apiMethod", "targetResponseCode"} - names
    if missing:
        raise Invalid(f"The first line has to name the columns; {sorted(missing)[0]} is missing.")
    for row in rows:
        more = row.pop(None, None)
        yield lines.number, repr(sorted(row.items())), None if more else row


def _event(
    values: Mapping[str, Any], text: str, source: str, seen: dict[str, int]
) -> dict[str, Any]:
    data = {name: value for name, value in values.items() if value not in (None, *NOTHING)}
    identifier, at = data.pop("id", None), data.pop("time", None)
    data["targetResponseCode"] = _status(values.get("targetResponseCode"))
    if "bytes" in data:
        data["bytes"] = _whole(data["bytes"])
    return {
        "specversion": "1.0",
        "type": EVENT_TYPE,
        "source": source,
        "id": identifier or _made(text, seen),
        "time": _time(at),
        "data": data,
    }


def _made(text: str, seen: dict[str, int]) -> str:
    digest = blake2b(text.strip().encode(), digest_size=16).hexdigest()
    seen[digest] = seen.get(digest, 0) + 1
    return f"{digest}-{seen[digest]}"


def _status(value: Any) -> Any:
    """Read a status; of the tries at several back ends, which nginx lists, the last."""
    text = str(value if value is not None else "").replace(":", ",").split(",")[-1].strip()
    return NO_ANSWER if text in NOTHING else _whole(text)


def _whole(value: Any) -> Any:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() else value


def _time(value: Any) -> Any:
    """Read nginx's ``$msec`` too: seconds since 1970 with milliseconds."""
    text = str(value if value is not None else "")
    try:
        return datetime.fromtimestamp(float(text), UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return value
