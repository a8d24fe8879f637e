"""Idempotency keys: the first answer is kept for 24 hours and given again.

https://docs.stripe.com/api/idempotent_requests
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from portal.sandbox.errors import StripeError, invalid
from portal.sandbox.store import Db, Store

_KEPT = 24 * 3600
_LONGEST = 255


@dataclass(frozen=True, slots=True)
class Replay:
    """A kept answer."""

    status: int
    body: dict[str, Any]
    request: str


def fingerprint(method: str, path: str, pairs: list[tuple[str, str]]) -> str:
    """Return what makes two requests the same: address and parameters, whatever their order."""
    text = json.dumps([method, path, sorted(pairs)])
    return hashlib.sha256(text.encode()).hexdigest()


def check(key: str) -> None:
    """Refuse a key that is empty or too long.

    :raise StripeError: saying so
    """
    if not key.strip() or len(key) > _LONGEST:
        raise invalid("Idempotency-Key must be between 1 and 255 characters.")


def replay(db: Db, account: str, key: str, print_: str, *, now: int) -> Replay | None:
    """Return the kept answer to `key`, if there is one.

    :raise StripeError: when the key was used for another request
    """
    row = db.execute(
        "SELECT fingerprint, status, body, request FROM idempotency"
        " WHERE account = ? AND key = ? AND created > ?",
        account, key, now - _KEPT,
    ).fetchone()  # fmt: skip
    if row is None:
        return None
    if row[0] != print_:
        message = (
            "Keys for idempotent requests can only be used with the same parameters they were"
            f" first used with. Try using a key other than '{key}' if you meant to execute a"
            " different request."
        )
        raise StripeError(400, message, type="idempotency_error")
    return Replay(row[1], json.loads(row[2]), row[3])


def keep(db: Db, account: str, key: str, print_: str, answer: Replay, *, now: int) -> None:
    """Keep an answer; an expired one under the same key is replaced."""
    db.execute(
        "INSERT OR REPLACE INTO idempotency (account, key, fingerprint, status, body, request,"
        " created) VALUES (?, ?, ?, ?, ?, ?, ?)",
        account, key, print_, answer.status, json.dumps(answer.body), answer.request, now,
    )  # fmt: skip


def prune(store: Store, *, now: int) -> None:
    """Forget keys older than a day."""
    with store.write() as db:
        db.execute("DELETE FROM idempotency WHERE created <= ?", now - _KEPT)


@dataclass(slots=True)
class InFlight:
    """The keys whose first request is still running in this process."""

    _keys: set[tuple[str, str]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def hold(self, account: str, key: str | None) -> Iterator[None]:
        """Hold a key for the duration of its request.

        :raise StripeError: 409 while another request holds it
        """
        if key is None:
            yield
            return
        entry = (account, key)
        with self._lock:
            if entry in self._keys:
                raise StripeError(
                    409,
                    "There is currently another in-progress request using this Idempotent Key"
                    " (that probably means you submitted twice, and the other request is still"
                    f" going through): {key}. Please try again later.",
                    type="idempotency_error",
                    code="idempotency_key_in_use",
                )
            self._keys.add(entry)
        try:
            yield
        finally:
            with self._lock:
                self._keys.discard(entry)
