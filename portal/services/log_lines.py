"""Lines of an nginx's log of calls: one JSON object each, read many at once.

``deploy/nginx-gateway.conf`` says how they are written. Almost all of them look alike, and one
expression takes them apart; what it does not know is read as the JSON that it is.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import structlog

from portal.models import KeyType

log = structlog.get_logger()

#: The names in each line.
FIELDS = frozenset({"at", "id", "sub", "key", "method", "path", "status", "in", "out"})
_KEY_TYPES = {str(each): each for each in KeyType}
#: Text that stands in JSON as it is.
_PLAIN = r"[ !#-\[\]-~]"
_NUMBER = r"0|[1-9][0-9]{0,17}"
_USUAL = re.compile(
    rf'^\{{"at":([1-9][0-9]{{0,11}})\.([0-9]{{3}}),"id":"{_PLAIN}*",'
    rf'("sub":"{_PLAIN}*","key":"(?:{"|".join(_KEY_TYPES)})","method":"{_PLAIN}{{0,10}}",'
    rf'"path":"{_PLAIN}*","status":"[0-9]{{3}}"),'
    rf'"in":({_NUMBER}),"out":({_NUMBER})\}}\n',
    re.MULTILINE,
)


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


class Kind(NamedTuple):
    """What calls have in common: the part of a line that is the same in many."""

    subscription: str
    key_type: KeyType
    method: str
    path: str
    status: int


#: Time in epoch milliseconds and size of calls, by what they have in common.
Calls = dict[Kind, list[tuple[int, int]]]


def read(data: bytes) -> Calls:
    """Return the calls that whole lines are about; others are logged and left out.

    A call that did not reach a back end is not in the log: its line names no status.
    """
    text = data.decode("latin-1")
    parts = _USUAL.findall(text)
    usual: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for second, millis, common, received, sent in parts:
        usual[common].append((int(second + millis), int(received) + int(sent)))
    found = {_kind(common): calls for common, calls in usual.items()}
    if len(parts) != text.count("\n"):
        for line in parse(_USUAL.sub("", text).encode("latin-1")):
            kind = Kind(line.subscription, line.key_type, line.method, line.path, line.status)
            found.setdefault(kind, []).append((line.at, line.bytes))
    return found


def _kind(common: str) -> Kind:
    found = json.loads(f"{{{common}}}")
    return Kind(
        found["sub"],
        _KEY_TYPES[found["key"]],
        found["method"],
        found["path"],
        int(found["status"]),
    )


def parse(data: bytes) -> Iterator[Line]:
    """Yield what :func:`read` finds line by line, with the ids."""
    wrong = 0
    for found in _objects(data):
        try:
            yield _line(found)
        except (ValueError, KeyError, TypeError, AttributeError):
            wrong += 1
    if wrong:
        log.warning("log_lines_left_out", lines=wrong)


def _objects(data: bytes) -> list[Any]:
    """Return what each line holds; ``None`` for one that is no JSON."""
    lines = data.splitlines()
    try:
        # All at once, which is faster than each by itself; a text holds no line end of its own.
        found = json.loads(b"[" + b",".join(lines) + b"]")
    except ValueError:
        found = []
    return found if len(found) == len(lines) else [object_of(line) for line in lines]


def object_of(line: bytes) -> Any:
    """Return what a line holds; ``None`` if it is no JSON."""
    try:
        return json.loads(line)
    except ValueError:
        return None


def _line(found: Mapping[str, Any]) -> Line:
    status = str(found["status"])
    # Of several tries the last one's status is the answer's: "502, 200" or "502 : 200".
    last = status if len(status) == 3 else status.replace(":", ",").rpartition(",")[2]
    return Line(
        str(found["id"]),
        round(float(found["at"]) * 1000),
        str(found["sub"]),
        _KEY_TYPES[found["key"]],
        str(found["method"])[:10],
        str(found["path"]),
        int(last),
        int(found["in"]) + int(found["out"]),
    )
