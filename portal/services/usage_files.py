"""Lines of access logs and tables as the events that the intake takes.

Both have the names of WSO2's analytics events: ``id``, ``time``, ``subscriptionId`` (or ``apiId``
with ``applicationId`` or ``apiKey``), ``keyType``, ``apiMethod``, ``apiResourceTemplate``,
``targetResponseCode`` and ``bytes``. A log of nginx has one JSON object on each line.
"""

import codecs
import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, BinaryIO

from portal.errors import Invalid
from portal.services.intake import EVENT_TYPE

NGINX, CSV = "nginx", "csv"
LONGEST_LINE = 64 * 1024
#: What is read in place of a line that is longer: nobody takes it for a call.
TOO_LONG = b"\0"
#: Digits: a number that has more is none that a call could have.
LONGEST_NUMBER = 20
#: The columns that each line of a table has.
NEEDED = ("apiMethod", "targetResponseCode", "time")
#: What stands in a log for a value that there was not.
NOTHING = ("", "-")
#: What nginx writes of a back end that did not answer.
NO_ANSWER = 502


class Lines:
    """The lines of a file, as bytes are read from it: ``position`` is how far.

    The mark that some programs write before UTF-8 is left out.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.position = 0
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        while line := self._part():
            self.number += 1
            if self.number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if _is_cut(line):
                while _is_cut(self._part()):
                    pass
                line = TOO_LONG
            yield line.decode("utf-8", "replace")

    def _part(self) -> bytes:
        part = self._file.readline(LONGEST_LINE)
        self.position += len(part)
        return part


def _is_cut(line: bytes) -> bool:
    return len(line) == LONGEST_LINE and not line.endswith(b"\n")


def events(lines: Lines, kind: str, source: str) -> Iterator[tuple[int, Any]]:
    """Return each record of a file with the number of its line, as an event of ``source``.

    A record without an id gets one made of its text, and equal lines of a file are told apart by
    their order. So a file gives the same ids when it is read again: also when it has grown, has
    another name, or lines of it were mended. The file itself is no part of the id: nothing that
    tells it from others stays the same through all of these, and a call must not be billed twice.
    What cannot be read is returned as ``None``.

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
        except (ValueError, RecursionError):
            found = None
        yield lines.number, line, found if isinstance(found, dict) else None


def _table(lines: Lines) -> Iterator[tuple[int, str, Mapping[str, Any] | None]]:
    # Line by line: a quotation mark that nothing closes must not swallow those that follow.
    rows = ((lines.number, _fields(line)) for line in lines if line.strip())
    _, names = next(rows, (0, None))
    missing = sorted(set(NEEDED) - set(names or ()))
    if names is None or missing:
        raise Invalid(f"The first line has to name the columns; {missing[0]} is missing.")
    for number, fields in rows:
        values = _named(names, fields) if fields else None
        yield number, repr(sorted(values.items())) if values else "", values


def _fields(line: str) -> list[str] | None:
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error:
        return None


def _named(names: Sequence[str], fields: Sequence[str]) -> Mapping[str, Any] | None:
    """Return the fields of a line by their names; ``None`` if it ends too soon or too late."""
    values = dict.fromkeys(names) | dict(zip(names, fields, strict=False))
    whole = len(fields) <= len(names) and all(values[name] is not None for name in NEEDED)
    return values if whole else None


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
    if value is not None and not isinstance(value, str):
        return value
    text = (value or "").replace(":", ",").split(",")[-1].strip()
    return NO_ANSWER if text in NOTHING else _whole(text)


def _whole(value: Any) -> Any:
    if not isinstance(value, str) or len(value) > LONGEST_NUMBER:
        return value
    return int(value) if value.isascii() and value.isdigit() else value


def _time(value: Any) -> Any:
    """Read nginx's ``$msec`` too: seconds since 1970 with milliseconds."""
    try:
        return datetime.fromtimestamp(float(value), UTC).isoformat()
    except (TypeError, ValueError, OverflowError, OSError):
        return value
