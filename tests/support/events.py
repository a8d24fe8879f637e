"""Stripe's events as a sender has them: bodies of any subscription, signed, sent until taken."""

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests


def updated(
    subscription: dict[str, Any], account: str, event_id: str, created: int, **changes: Any
) -> bytes:
    """Return a ``customer.subscription.updated`` about this object."""
    shown = {key: value for key, value in subscription.items() if not key.startswith("_")}
    return json.dumps(
        {
            "id": event_id,
            "object": "event",
            "type": "customer.subscription.updated",
            "account": account,
            "api_version": "2026-04-22.dahlia",
            "created": created,
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "data": {"object": {**shown, **changes}},
        }
    ).encode()


def signed(body: bytes, secret: str, at: float | None = None) -> dict[str, str]:
    """Return the headers that Stripe sends with a body."""
    moment = int(time.time() if at is None else at)
    mac = hmac.new(secret.encode(), b"%d." % moment + body, hashlib.sha256).hexdigest()
    return {"Stripe-Signature": f"t={moment},v1={mac}", "Content-Type": "application/json"}


class Sender:
    """Sends events to a webhook as Stripe does: each one again until it is answered 2xx."""

    def __init__(self, url: str, secret: str) -> None:
        self.url, self.secret = url, secret
        self.deliveries = 0
        self.statuses: list[int] = []
        self.seconds: list[float] = []
        self.answered: set[str] = set()
        self._lock = threading.Lock()

    def once(self, body: bytes) -> int:
        """Send once; return the status, or 0 if the connection broke."""
        began = time.monotonic()
        try:
            answer = requests.post(
                self.url, data=body, headers=signed(body, self.secret), timeout=30
            )
            status = answer.status_code
        except requests.RequestException:
            status = 0
        with self._lock:
            self.deliveries += 1
            self.statuses.append(status)
            self.seconds.append(time.monotonic() - began)
            if 200 <= status < 300:
                self.answered.add(json.loads(body)["id"])
        return status

    def until_taken(self, body: bytes, seconds: float = 120.0) -> None:
        """Send until it is answered 2xx."""
        end = time.monotonic() + seconds
        while not 200 <= self.once(body) < 300:
            assert time.monotonic() < end, "the event was never taken"
            time.sleep(0.05)

    def all(self, bodies: Iterable[bytes], at_once: int, act: Callable[[bytes], Any]) -> list[Any]:
        """Send many, so many at once."""
        with ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(act, bodies))
