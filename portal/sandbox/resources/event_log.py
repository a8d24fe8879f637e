"""Events as the API lists them."""

from __future__ import annotations

from typing import Any

from portal.sandbox import accounts, events, spec
from portal.sandbox.call import Call, Json, operation
from portal.sandbox.errors import invalid, no_such, not_found
from portal.sandbox.resources import common
from portal.sandbox.serializers.base import listing
from portal.sandbox.store import Record

_KEPT = 30 * 86400
# An endpoint that got the event at last (a repeat, a resend) counts as served.
_OPEN = (
    "EXISTS (SELECT 1 FROM deliveries d WHERE d.event = events.id AND NOT EXISTS (SELECT 1 FROM"
    " deliveries s WHERE s.event = d.event AND s.endpoint = d.endpoint AND s.state = 'delivered'))"
)
# Events of version 2 have a listing of their own.
_SNAPSHOT = "type NOT LIKE 'v_.%'"
_SENT = "EXISTS (SELECT 1 FROM deliveries d WHERE d.event = events.id)"


@operation("GetEventsId")
def retrieve(call: Call) -> Json:
    """Return one event of the last 30 days."""
    row = call.db.execute(
        f"SELECT body FROM events WHERE id = ? AND account = ? AND created > ? AND {_SNAPSHOT}",  # noqa: S608
        call.path["id"], call.account, call.now - _KEPT,
    ).fetchone()  # fmt: skip
    if row is None:
        raise not_found("event", call.path["id"])
    return events.rendered(call.db, row[0])


@operation("SandboxPostEventsIdRetry", "webhook_endpoint account")
def retry(call: Call) -> Json:
    """Send an event again to one endpoint, as ``stripe events resend`` asks for it.

    A platform names the connected account that the event happened on in `account`.
    """
    identifier = call.path["id"]
    wanted = call.params.get("account") or call.account
    if wanted != call.account and accounts.platform_of(call.db, wanted) != call.account:
        raise no_such("account", wanted, "account")
    row = call.db.execute(
        f"SELECT body FROM events WHERE id = ? AND account = ? AND created > ? AND {_SNAPSHOT}",  # noqa: S608
        identifier, wanted, call.now - _KEPT,
    ).fetchone()  # fmt: skip
    if row is None:
        raise not_found("event", identifier)
    endpoint = _endpoint(call, wanted)
    events.queue(call.db, identifier, endpoint["id"], due_at=call.db.wall)
    return events.rendered(call.db, row[0])


def _endpoint(call: Call, account: str) -> Record:
    """Return an enabled endpoint that hears of `account`."""
    name = call.params["webhook_endpoint"]
    platform = accounts.platform_of(call.db, account)
    own = call.db.get("webhook_endpoint", account, name)
    connect = call.db.get("webhook_endpoint", platform, name) if platform != account else None
    found = own if own and not own["_connect"] else connect
    if found is None or (found is connect and not found["_connect"]):
        raise no_such("webhook endpoint", name, "webhook_endpoint")
    if found["status"] != "enabled":
        raise invalid(f"The webhook endpoint {name} is disabled.", "webhook_endpoint")
    return found


@operation("GetEvents", "type types created delivery_success", listing=True)
def index(call: Call) -> Json:
    """List the events of the last 30 days, newest first."""
    where: list[tuple[str, Any]] = [
        (_SNAPSHOT, None),
        ("account = ?", call.account),
        ("created > ?", call.now - _KEPT),
    ]
    where += common.created(call)
    where += _types(call)
    if "delivery_success" in call.params:
        good = call.params["delivery_success"]
        where.append((f"{_SENT} AND NOT {_OPEN}" if good else _OPEN, None))
    backwards = "ending_before" in call.params
    where += _cursor(call)
    limit = common.limits(call)
    args = [v for clause, value in where if "?" in clause for v in _flat(value)]
    clauses = " AND ".join(clause for clause, _ in where)
    order = "ASC" if backwards else "DESC"
    sql = f"SELECT body FROM events WHERE {clauses} ORDER BY seq {order} LIMIT ?"  # noqa: S608
    rows = call.db.execute(sql, *args, limit + 1).fetchall()
    data = [events.rendered(call.db, row[0]) for row in rows[:limit]]
    return listing(data[::-1] if backwards else data, "/v1/events", has_more=len(rows) > limit)


def _flat(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _types(call: Call) -> list[tuple[str, Any]]:
    if "type" in call.params and "types" in call.params:
        raise invalid("You may only specify one of these parameters: type, types.", "types")
    if "type" in call.params:
        wanted = str(call.params["type"])
        _check_type(wanted, "type")
        if wanted.endswith("*"):
            return [("substr(type, 1, ?) = ?", [len(wanted) - 1, wanted[:-1]])]
        return [("type = ?", wanted)]
    if "types" in call.params:
        wanted_types = common.at_most(call, "types", 20)
        for index, each in enumerate(wanted_types):
            _check_type(each, f"types[{index}]")
        marks = ", ".join("?" * len(wanted_types))
        return [(f"type IN ({marks})", wanted_types)]
    return []


def _check_type(wanted: str, param: str) -> None:
    if "*" not in wanted and wanted not in spec.event_types():
        raise invalid(f"Invalid event type: {wanted}", param)


def _cursor(call: Call) -> list[tuple[str, Any]]:
    for param, comparison in (("starting_after", "seq < ?"), ("ending_before", "seq > ?")):
        if param in call.params:
            row = call.db.execute(
                "SELECT seq FROM events WHERE id = ? AND account = ?",
                call.params[param],
                call.account,
            ).fetchone()
            if row is None:
                raise no_such("event", call.params[param], param)
            return [(comparison, row[0])]
    return []
