"""Usage that was accepted and is not counted, and what Stripe says of it afterwards.

Stripe gathers what it could not count and reports it for each meter and window of time, as a thin
event: https://docs.stripe.com/billing/subscriptions/usage-based/recording-usage-api
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import UTC, datetime
from typing import Any

from portal.sandbox import accounts, ids, spec
from portal.sandbox.errors import StripeError
from portal.sandbox.store import Db, Store

TYPE = "v1.billing.meter.error_report_triggered"
_WINDOW = 10
_SAMPLES = 5
Note = tuple[str, str, str]


def note(
    db: Db, account: str, meter: str, identifier: str, reason: tuple[str, str], *, at: int
) -> None:
    """Keep an event that will not be counted at `at`: `reason` is Stripe's code and a sentence."""
    db.execute(
        "INSERT INTO meter_errors (account, meter, identifier, code, message, due_at)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        account, meter, identifier, *reason, at,
    )  # fmt: skip


def report_due(store: Store, now: int) -> int:
    """Report every window that is over; return how many reports were made."""
    over = now // _WINDOW * _WINDOW
    with store.read() as db:
        if not _waits(db, over):
            return 0
    with store.write() as db:
        found: dict[tuple[str, str, int], list[Note]] = defaultdict(list)
        for account, meter, due_at, *said in _waits(db, over):
            found[account, meter, due_at // _WINDOW * _WINDOW].append((said[0], said[1], said[2]))
        for (account, meter, start), notes in found.items():
            _report(db, account, meter, start, notes)
        db.execute("DELETE FROM meter_errors WHERE due_at < ?", over)
    return len(found)


def _waits(db: Db, over: int) -> list[Any]:
    return db.execute(
        "SELECT account, meter, due_at, identifier, code, message FROM meter_errors"
        " WHERE due_at < ? ORDER BY seq",
        over,
    ).fetchall()


def _report(db: Db, account: str, meter: str, start: int, notes: list[Note]) -> None:
    event: dict[str, Any] = {
        "id": ids.new("v2.core.event"),
        "object": "v2.core.event",
        "created": rfc3339(db.wall),
        "data": _data(start, notes),
        "livemode": False,
        "related_object": {
            "id": meter,
            "type": "billing.meter",
            "url": f"/v1/billing/meters/{meter}",
        },
        "type": TYPE,
    }
    if accounts.is_connected(db, account):
        event["context"] = account
    if db.strict and (wrong := spec.violations("v2.core.event", event)):
        raise StripeError(500, f"sandbox schema violation in {TYPE}: {wrong[:5]}", type="api_error")
    db.execute(
        "INSERT INTO events (id, account, type, object_id, created, body)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        event["id"], account, TYPE, meter, db.wall, json.dumps(event),
    )  # fmt: skip


def _data(start: int, notes: list[Note]) -> dict[str, Any]:
    many = len(notes)
    counts = Counter(code for _identifier, code, _message in notes)
    return {
        "developer_message_summary": f"There {'is' if many == 1 else 'are'} {many} invalid"
        f" event{'' if many == 1 else 's'}",
        "reason": {
            "error_count": many,
            "error_types": [
                {"code": code, "error_count": count, "sample_errors": _samples(code, notes)}
                for code, count in counts.items()
            ],
        },
        "validation_end": rfc3339(start + _WINDOW),
        "validation_start": rfc3339(start),
    }


def _samples(wanted: str, notes: list[Note]) -> list[dict[str, Any]]:
    mine = [(identifier, message) for identifier, code, message in notes if code == wanted]
    return [
        {"error_message": message, "request": {"identifier": identifier}}
        for identifier, message in mine[:_SAMPLES]
    ]


def rfc3339(second: int) -> str:
    """Write a moment as version 2 of the API does: ``2026-09-21T14:13:20.000Z``."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
