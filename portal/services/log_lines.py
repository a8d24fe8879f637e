"""Lines of an nginx's log of calls: one JSON object each, read many at once.

``deploy/nginx-gateway.conf`` says how they are written. Almost all of them look alike, and one
expression takes them apart; what it does not know is read as the JSON that it is. Lines come by
thousands in a second, so they are added up as they are read; :func:`calls` keeps them apart, for
the few that have to be.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import structlog

from portal.models import KeyType
from portal.services.ledger import Group

log = structlog.get_logger()

#: The names in each line.
FIELDS = frozenset({"at", "id", "sub", "key", "method", "path", "status", "in", "out"})
FIRST_FINAL = 200
#: Recorded of a call that no back end answered, as by the portal's own gateway.
UNREACHABLE = 502
_KEY_TYPES = {str(each): each for each in KeyType}
#: Bytes of one call or one answer: a terabyte. What is more is an error of a log, and would make
#: the sum of many lines more than one number of a database holds.
MOST_BYTES = 2**40
#: A number that is less.
_NUMBER = r"0|[1-9][0-9]{0,11}"


def _shape(text: str) -> re.Pattern[str]:
    """Return what takes a usual line apart: its time, what many have in common, in, out.

    :param text: what a character inside of quotes may be
    """
    return re.compile(
        rf'^\{{"at":([1-9][0-9]{{9}}\.[0-9]{{3}}),"id":"{text}*",'
        rf'("sub":"{text}*","key":"(?:{"|".join(_KEY_TYPES)})","method":"{text}{{0,10}}",'
        rf'"path":"{text}*","status":"[0-9]{{3}}"),'
        rf'"in":({_NUMBER}),"out":({_NUMBER})\}}\n',
        re.MULTILINE,
    )


#: The characters that stand in JSON as they are.
_USUAL = _shape(r"[ !#-\[\]-~]")
#: Of lines in which nothing has to be decoded: quicker.
_PLAIN = _shape(r'[^"]')
#: What may stand in such lines.
_AS_IT_IS = bytes(sorted({10, *range(32, 127)} - {ord("\\")}))
#: Characters that are read at a time: what is made of them stays in the processor's cache.
_SOME = 64 * 1024


class Line(NamedTuple):
    """One call of a log."""

    call_id: str
    at: int
    """Epoch milliseconds."""
    subscription: str
    key_type: KeyType
    method: str
    path: str
    status: int
    bytes: int

    @property
    def kind(self) -> "Kind":
        """What it has in common with others."""
        return Kind(self.subscription, self.key_type, self.method, self.path, self.status)


class Kind(NamedTuple):
    """What calls have in common: the part of a line that is the same in many."""

    subscription: str
    key_type: KeyType
    method: str
    path: str
    status: int


#: Time in epoch milliseconds and size of calls, by what they have in common.
Calls = dict[Kind, list[tuple[int, int]]]
Totals = dict[Kind, Group]
#: Time in epoch seconds with three decimals, what is in common, size in, size out.
_Row = tuple[str, str, str, str]


def totals(data: bytes) -> Totals:
    """Return how many calls whole lines are about; others are logged and left out."""
    sums: dict[str, list[Any]] = {}
    found: Totals = {}
    for rows, rest in _pieces(data):
        for at, common, received, sent in rows:
            size = int(received) + int(sent)
            known = sums.get(common)
            if known is None:
                sums[common] = [1, size, at, at]
                continue
            known[0] += 1
            known[1] += size
            # As long as each other, so texts are in the order of the times that they are.
            if at > known[3]:
                known[3] = at
            elif at < known[2]:
                known[2] = at
        for line in parse(rest):
            _add(found, line.kind, Group(1, line.bytes, line.at, line.at))
    for common, (count, size, first, last) in sums.items():
        _add(found, _kind(common), Group(count, size, _millis(first), _millis(last)))
    return found


def _add(found: Totals, kind: Kind, more: Group) -> None:
    known = found.get(kind)
    found[kind] = more if known is None else known.plus(more)


def calls(data: bytes) -> Calls:
    """Return the calls that :func:`totals` adds up, one by one."""
    usual: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    found: Calls = {}
    for rows, rest in _pieces(data):
        for at, common, received, sent in rows:
            usual[common].append((_millis(at), int(received) + int(sent)))
        for line in parse(rest):
            found.setdefault(line.kind, []).append((line.at, line.bytes))
    for common, some in usual.items():
        found.setdefault(_kind(common), []).extend(some)
    return found


def _pieces(data: bytes) -> Iterator[tuple[list[_Row], bytes]]:
    """Yield what usual lines hold, some at a time, and the other lines beside them."""
    start = 0
    while start < len(data):
        # Whole lines; what stands behind the last one is no line.
        end = data.find(b"\n", start + _SOME) + 1 or data.rfind(b"\n", start) + 1 or len(data)
        yield _taken_apart(data[start:end])
        start = end


def _taken_apart(data: bytes) -> tuple[list[_Row], bytes]:
    lines = data.count(b"\n")
    text = data.decode("latin-1")
    if not data.translate(None, _AS_IT_IS):
        rows = _PLAIN.findall(text)
        # As many as there are lines: so none of them holds the end of another.
        if len(rows) == lines:
            return rows, b""
    rows = _USUAL.findall(text)
    rest = "" if len(rows) == lines else _USUAL.sub("", text)
    return rows, rest.encode("latin-1")


def _millis(at: str) -> int:
    return int(at[:10] + at[11:])


def _kind(common: str) -> Kind:
    found = json.loads(f"{{{common}}}")
    return Kind(
        found["sub"],
        _KEY_TYPES[found["key"]],
        found["method"],
        found["path"],
        _final(int(found["status"])),
    )


def parse(data: bytes) -> Iterator[Line]:
    """Yield what :func:`calls` finds line by line, with the ids."""
    wrong = 0
    for found in _objects(data):
        try:
            yield _line(found)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            wrong += 1
    if wrong:
        log.warning("log_lines_left_out", lines=wrong)


def _objects(data: bytes) -> list[Any]:
    """Return what each line holds; ``None`` for one that is no JSON."""
    lines = data.splitlines()
    try:
        # All at once, which is faster than each by itself; a text holds no line end of its own.
        found = json.loads(_text(b"[" + b",".join(lines) + b"]"))
    except (ValueError, RecursionError):
        found = []
    return found if len(found) == len(lines) else [object_of(line) for line in lines]


def object_of(line: bytes) -> Any:
    """Return what a line holds; ``None`` if it is no JSON."""
    try:
        return json.loads(_text(line))
    except (ValueError, RecursionError):
        return None


def _text(data: bytes) -> str:
    """Return a line as text. nginx writes a path's bytes as they are, and they may be any."""
    return data.decode("utf-8", "replace")


def _line(found: Mapping[str, Any]) -> Line:
    subscription = _readable(str(found["sub"]))
    return Line(
        str(found["id"]),
        _within(round(float(found["at"]) * 1000)),
        subscription,
        _KEY_TYPES[found["key"]],
        _readable(str(found["method"])[:10]),
        str(found["path"]),
        _status(str(found["status"]), let_through=bool(subscription)),
        _within(int(found["in"]), MOST_BYTES) + _within(int(found["out"]), MOST_BYTES),
    )


def _status(text: str, *, let_through: bool) -> int:
    """Return what a call was answered with.

    :param let_through: whether it was on its way to a back end
    """
    # Of several tries the last one's status is the answer's: "502, 200" or "502 : 200".
    last = text if len(text) == 3 else text.replace(":", ",").rpartition(",")[2].strip()
    if last in ("", "-") and let_through:
        return UNREACHABLE
    return _final(_within(int(last), 999))


def _final(status: int) -> int:
    """Return a status as it is recorded: what is below 200 is no answer yet, and costs nothing."""
    return UNREACHABLE if status < FIRST_FINAL else status


def _within(number: int, most: int = 2**53) -> int:
    if not 0 <= number <= most:
        raise ValueError(f"{number} is not possible.")
    return number


def _readable(text: str) -> str:
    if not text.isprintable():
        raise ValueError(f"{text!r} is not readable.")
    return text
