"""Events of version 2 of the API: small, unversioned, and only read here, never sent.

https://docs.stripe.com/api/v2/core/events
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from portal.sandbox.call import Call, Json, operation
from portal.sandbox.errors import invalid, not_found
from portal.sandbox.resources import common

_KEPT = 30 * 86400
_USUAL, _MOST = 20, 100
_COMPARISONS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
#: Types of thin events begin with the version of their API; those of snapshots don't.
THIN = "type LIKE 'v_.%'"
Clauses = list[tuple[str, list[Any]]]


@operation("GetV2CoreEventsId")
def retrieve(call: Call) -> Json:
    """Return one event of the last 30 days."""
    row = call.db.execute(
        f"SELECT body FROM events WHERE id = ? AND account = ? AND created > ? AND {THIN}",  # noqa: S608
        call.path["id"], call.account, call.now - _KEPT,
    ).fetchone()  # fmt: skip
    if row is None:
        raise not_found("event", call.path["id"])
    body: Json = json.loads(row[0])
    return body


@operation("GetV2CoreEvents", "created limit object_id page types")
def index(call: Call) -> Json:
    """List the events of the last 30 days, newest first. A page leads on, and not back."""
    limit = _limit(call)
    clauses: Clauses = [
        (THIN, []),
        ("account = ?", [call.account]),
        ("created > ?", [call.now - _KEPT]),
        *_wanted(call),
    ]
    where = " AND ".join(clause for clause, _values in clauses)
    rows = call.db.execute(
        f"SELECT seq, body FROM events WHERE {where} ORDER BY seq DESC LIMIT ?",  # noqa: S608
        *(value for _clause, values in clauses for value in values),
        limit + 1,
    ).fetchall()
    following = _address(call, rows[limit - 1][0]) if len(rows) > limit else None
    return {
        "data": [json.loads(body) for _seq, body in rows[:limit]],
        "next_page_url": following,
        "previous_page_url": None,
    }


def _limit(call: Call) -> int:
    limit = int(call.params.get("limit", _USUAL))
    if not 1 <= limit <= _MOST:
        raise invalid(f"limit must be between 1 and {_MOST}.", "limit", "invalid_limit")
    return limit


def _wanted(call: Call) -> Clauses:
    params, found = call.params, Clauses()
    if "object_id" in params:
        found.append(("object_id = ?", [params["object_id"]]))
    if "types" in params:
        types = common.at_most(call, "types", 20)
        found.append((f"type IN ({', '.join('?' * len(types))})", types))
    for name, text in (params.get("created") or {}).items():
        found.append((f"created {_COMPARISONS[name]} ?", [_second(text, f"created[{name}]")]))
    if "page" in params:
        found.append(("seq < ?", [_cursor(str(params["page"]))]))
    return found


def _second(text: str, param: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError as error:
        raise invalid(f"Invalid timestamp: {text[:40]}", param, "invalid_timestamp") from error


def _cursor(page: str) -> int:
    prefix, _, number = page.partition("_")
    if prefix != "page" or not (number.isascii() and number.isdigit()) or len(number) > 18:
        raise invalid("The page token is invalid.", "page", "invalid_page")
    return int(number)


def _address(call: Call, last: int) -> str:
    kept: list[tuple[str, Any]] = [
        (name, call.params[name]) for name in ("limit", "object_id") if name in call.params
    ]
    kept += [(f"types[{index}]", each) for index, each in enumerate(call.params.get("types", ()))]
    kept += [(f"created[{name}]", each) for name, each in call.params.get("created", {}).items()]
    return "/v2/core/events?" + urlencode([*kept, ("page", f"page_{last}")])
