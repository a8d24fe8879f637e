"""Events: committed with the change that they report, their payload frozen at that moment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from portal.sandbox import accounts, ids, serializers, spec
from portal.sandbox.errors import StripeError
from portal.sandbox.settings import API_VERSION
from portal.sandbox.store import Db, Record

Json = dict[str, Any]


def emit(
    db: Db,
    record: Record,
    type: str,
    *,
    now: int,
    payload: Json | None = None,
    previous: Json | None = None,
) -> Json:
    """Store an event about `record` and queue it for every endpoint that wants it.

    `payload` replaces the object's present look (a deleted one, say); `previous` holds the old
    values of an ``*.updated`` event.

    :raise StripeError: 500 in a strict sandbox, when Stripe's document forbids the payload
    """
    data: Json = {"object": serializers.render(db, record) if payload is None else payload}
    if previous is not None:
        data["previous_attributes"] = previous
    endpoints = _subscribed(db, record["_account"], type)
    event: Json = {
        "id": ids.new("event"),
        "object": "event",
        "api_version": API_VERSION,
        # Stripe dates events by the real time, whatever moment their object has come to.
        "created": db.wall,
        "data": data,
        "livemode": False,
        "pending_webhooks": len(endpoints),
        "request": {"id": db.cause.request, "idempotency_key": db.cause.idempotency_key},
        "type": type,
    }
    if accounts.is_connected(db, record["_account"]):
        event["account"] = record["_account"]
    if db.strict:
        _validate(event)
    _keep(db, event, record)
    for endpoint in endpoints:
        queue(db, event["id"], endpoint["id"], due_at=0)
    return event


def _keep(db: Db, event: Json, record: Record) -> None:
    db.execute(
        "INSERT INTO events (id, account, type, object_id, created, body)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        event["id"], record["_account"], event["type"], record["id"], event["created"],
        json.dumps(event),
    )  # fmt: skip


def _validate(event: Json) -> None:
    found = spec.violations("event", event)
    if found:
        message = f"sandbox schema violation in {event['type']}: " + "; ".join(found[:5])
        raise StripeError(500, message, type="api_error")


def queue(db: Db, event: str, endpoint: str, *, due_at: float) -> str:
    """Queue one delivery; `due_at` 0 leaves the moment to the courier. Return its id."""
    identifier = ids.new("delivery")
    db.execute(
        "INSERT INTO deliveries (id, event, endpoint, state, due_at) VALUES (?, ?, ?, ?, ?)",
        identifier, event, endpoint, "new" if due_at == 0 else "pending", due_at,
    )  # fmt: skip
    return identifier


def _subscribed(db: Db, account: str, type: str) -> list[Record]:
    own = db.select("webhook_endpoint", account)
    wanted = [endpoint for endpoint in own if not endpoint["_connect"]]
    platform = accounts.platform_of(db, account)
    if platform != account:
        theirs = db.select("webhook_endpoint", platform)
        wanted += [endpoint for endpoint in theirs if endpoint["_connect"]]
    return [
        endpoint
        for endpoint in wanted
        if endpoint["status"] == "enabled"
        and ("*" in endpoint["enabled_events"] or type in endpoint["enabled_events"])
    ]


@contextmanager
def changing(db: Db, record: Record, type: str, *, now: int) -> Iterator[None]:
    """Save `record` after the block and emit `type` with the old values, if anything changed."""
    before = serializers.render(db, record)
    yield
    db.save(record)
    previous = difference(before, serializers.render(db, record))
    if previous:
        emit(db, record, type, now=now, previous=previous)


def difference(before: Json, after: Json) -> Json:
    """Return the old values of what changed; of a changed object only its changed keys."""
    previous: Json = {}
    for key in before.keys() | after.keys():
        old, new = before.get(key), after.get(key)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            previous[key] = difference(old, new)
        else:
            previous[key] = old
    return dict(sorted(previous.items()))


def rendered(db: Db, body: str) -> Json:
    """Return a stored event as the API shows it, with the deliveries that are still open."""
    event: Json = json.loads(body)
    row = db.execute(
        "SELECT count(DISTINCT endpoint) FROM deliveries"
        " WHERE event = ? AND state IN ('new', 'pending')",
        event["id"],
    ).fetchone()
    event["pending_webhooks"] = int(row[0])
    return event
