"""What is sent to an endpoint: the frozen event, signed for this attempt, or a falsified copy."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any

from portal.sandbox import ids
from portal.sandbox.store import Db, Record

#: Seconds by which a stale copy is older than the five minutes that receivers allow.
STALE = 301
#: Faults that send something else than the event.
FALSIFIED = frozenset(
    {"webhook_wrong_secret", "webhook_stale", "webhook_truncated", "webhook_no_account",
     "webhook_other_version", "webhook_unknown_type"}
)  # fmt: skip
_OTHER_VERSION = "2025-03-31.basil"
_UNKNOWN_TYPE = "sandbox.something_unheard_of"


@dataclass(frozen=True, slots=True)
class Parcel:
    """One attempt that is ready to be sent; a falsified one is not the event itself."""

    delivery: str
    url: str
    headers: dict[str, str]
    body: bytes
    falsified: str | None = None


def sign(body: bytes, secrets: list[str], timestamp: int) -> str:
    """Return the `Stripe-Signature` header: one `v1` per active secret."""
    message = f"{timestamp}.".encode() + body
    digests = [hmac.new(key.encode(), message, hashlib.sha256).hexdigest() for key in secrets]
    return ",".join([f"t={timestamp}", *(f"v1={digest}" for digest in digests)])


def active_secrets(endpoint: Record, *, now: int) -> list[str]:
    """Return the endpoint's secrets, newest first; a rolled one counts until it expires."""
    return [
        entry["secret"]
        for entry in endpoint["_secrets"]
        if entry["until"] is None or entry["until"] > now
    ]


def pack(db: Db, delivery: str, *, now: int) -> Parcel | None:
    """Return the next attempt of a delivery; None when nobody is there to take it."""
    row = db.execute(
        "SELECT d.endpoint, e.body, f.kind FROM deliveries d JOIN events e ON e.id = d.event"
        " LEFT JOIN delivery_faults f ON f.delivery = d.id WHERE d.id = ?",
        delivery,
    ).fetchone()
    endpoint = db.find("webhook_endpoint", row[0]) if row else None
    if endpoint is None or endpoint["status"] != "enabled":
        return None
    event: dict[str, Any] = json.loads(row[1])
    if not endpoint["_connect"]:
        event.pop("account", None)
    return _seal(delivery, endpoint, event, row[2], now=now)


def _seal(
    delivery: str, endpoint: Record, event: dict[str, Any], fault: str | None, *, now: int
) -> Parcel:
    _falsify(event, fault)
    body = json.dumps(event, indent=2).encode()
    secrets = active_secrets(endpoint, now=now)
    if fault == "webhook_wrong_secret":
        secrets = [ids.webhook_secret()]
    stamp = now - STALE if fault == "webhook_stale" else now
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        "Stripe-Signature": sign(body, secrets, stamp),
    }
    if fault == "webhook_truncated":
        body = body[: len(body) // 2]
    return Parcel(delivery, endpoint["url"], headers, body, fault)


def _falsify(event: dict[str, Any], fault: str | None) -> None:
    if fault == "webhook_no_account":
        event.pop("account", None)
    elif fault == "webhook_other_version":
        event["api_version"] = _OTHER_VERSION
    elif fault == "webhook_unknown_type":
        event["type"] = _UNKNOWN_TYPE
