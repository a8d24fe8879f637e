"""Planned trouble: the next so many requests, webhooks, usage events or charges go wrong.

A fault is a row that counts down. It is planned over ``POST /_sandbox/faults``; one request alone
may also carry it in the header ``X-Sandbox-Fault``, with the admin token in ``X-Sandbox-Token``.
"""

from __future__ import annotations

import hmac
import json
import time
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from werkzeug.datastructures import Headers

from portal.sandbox import ids
from portal.sandbox.errors import StripeError
from portal.sandbox.store import Db

Json = dict[str, Any]

#: What may be planned, and what narrows it down; a narrowing value may hold ``*``.
FAMILIES: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "api": (
        frozenset({
            "error_before", "error_after", "reset_after", "delay", "rate_limit", "lock_timeout",
            "malformed",
        }),
        frozenset({"method", "path", "account"}),
    ),
    "webhook": (
        frozenset({
            "webhook_drop", "webhook_duplicate", "webhook_delay", "webhook_reorder",
            "webhook_wrong_secret", "webhook_stale", "webhook_truncated", "webhook_no_account",
            "webhook_other_version", "webhook_unknown_type",
        }),
        frozenset({"type", "endpoint", "account"}),
    ),
    "meter": (
        frozenset({"meter_reject", "meter_lag"}),
        frozenset({"event_name", "customer", "account"}),
    ),
    "charge": (
        frozenset({"charge"}),
        frozenset({"payment_method", "customer", "subscription", "account"}),
    ),
}  # fmt: skip
#: How a planned charge ends.
OUTCOMES = frozenset(
    {"card_declined", "insufficient_funds", "expired_card", "processing_error", "requires_action"}
)
_MOST = 10_000
_LONGEST = 3600
_TIMED = frozenset({"delay", "webhook_delay", "webhook_reorder", "meter_lag"})
_REASONS = frozenset(
    {"global-rate", "global-concurrency", "endpoint-rate", "endpoint-concurrency",
     "resource-specific"}
)  # fmt: skip
_MEANT = " (a fault that the sandbox was told to make)"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong. `seconds` is the length of a delay."""

    kind: str
    seconds: float = 0.0
    outcome: str = ""
    reason: str = "global-rate"
    only: Json = field(default_factory=dict)

    @property
    def family(self) -> str:
        """Return what it happens to: api, webhook, meter or charge."""
        return next(name for name, (kinds, _) in FAMILIES.items() if self.kind in kinds)


def read(body: Json) -> tuple[Fault, int]:
    """Return the fault that `body` describes and how often it happens.

    :raise ValueError: saying what is wrong with it
    """
    known = {kind: narrowing for kinds, narrowing in FAMILIES.values() for kind in kinds}
    kind = body.get("kind")
    if kind not in known:
        raise ValueError(f"kind is one of {', '.join(sorted(known))}.")
    extra = set(body) - known[kind] - {"kind", "times", "seconds", "outcome", "reason"}
    if extra:
        raise ValueError(f"{kind} doesn't know {', '.join(sorted(extra))}.")
    times, seconds = body.get("times", 1), body.get("seconds", 1)
    if isinstance(times, bool) or not isinstance(times, int) or not 0 < times <= _MOST:
        raise ValueError(f"times is a whole number from 1 to {_MOST}.")
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise ValueError("seconds is a number.")
    if not 0 <= seconds <= _LONGEST:
        raise ValueError(f"seconds is at most {_LONGEST}.")
    only = {name: body[name] for name in known[kind] if body.get(name)}
    if not all(isinstance(value, str) for value in only.values()):
        raise ValueError(f"{', '.join(sorted(known[kind]))} are texts.")
    outcome, reason = _details(kind, body)
    return Fault(kind, seconds if kind in _TIMED else 0.0, outcome, reason, only), times


def _details(kind: str, body: Json) -> tuple[str, str]:
    outcome = body.get("outcome") or ("card_declined" if kind == "charge" else "")
    if outcome and (kind != "charge" or outcome not in OUTCOMES):
        raise ValueError(f"A charge's outcome is one of {', '.join(sorted(OUTCOMES))}.")
    reason = body.get("reason") or "global-rate"
    if reason not in _REASONS:
        raise ValueError(f"reason is one of {', '.join(sorted(_REASONS))}.")
    return outcome, reason


def plan(db: Db, fault: Fault, times: int) -> str:
    """Let `fault` happen the next `times` times; return its id."""
    identifier = ids.new("fault")
    details = {
        "kind": fault.kind, "seconds": fault.seconds, "outcome": fault.outcome,
        "reason": fault.reason, "only": fault.only,
    }  # fmt: skip
    db.execute(
        "INSERT INTO faults (id, family, times, remaining, body) VALUES (?, ?, ?, ?, ?)",
        identifier, fault.family, times, times, json.dumps(details),
    )  # fmt: skip
    return identifier


def planned(db: Db) -> list[Json]:
    """Return all faults, oldest first, with how often each will still happen."""
    rows = db.execute("SELECT id, family, times, remaining, body FROM faults ORDER BY seq")
    return [
        {"id": row[0], "family": row[1], "times": row[2], "remaining": row[3]} | json.loads(row[4])
        for row in rows
    ]


def forget(db: Db, identifier: str | None = None) -> int:
    """Forget one fault or all of them; return how many there were."""
    return db.execute(
        "DELETE FROM faults WHERE ? IS NULL OR id = ?", identifier, identifier
    ).rowcount


def next_one(db: Db, family: str, **facts: str | None) -> tuple[str, Fault] | None:
    """Return the oldest fault of `family` that still has to happen and fits `facts`."""
    rows = db.execute(
        "SELECT id, body FROM faults WHERE family = ? AND remaining > 0 ORDER BY seq", family
    )
    for identifier, body in rows.fetchall():
        fault = Fault(**json.loads(body))
        if all(fnmatchcase(facts.get(name) or "", wanted) for name, wanted in fault.only.items()):
            return identifier, fault
    return None


def take(db: Db, family: str, **facts: str | None) -> Fault | None:
    """Let the fault that fits happen once: count it down and return it."""
    found = next_one(db, family, **facts)
    if found is None:
        return None
    db.execute("UPDATE faults SET remaining = remaining - 1 WHERE id = ?", found[0])
    return found[1]


def from_header(headers: Headers, token: str) -> Fault | None:
    """Return the fault that a request carries: ``delay; seconds=2``.

    :raise StripeError: when the token is wrong, or the fault is none of an API request
    """
    text = headers.get("X-Sandbox-Fault")
    if text is None:
        return None
    if not hmac.compare_digest(headers.get("X-Sandbox-Token", "").encode(), token.encode()):
        raise StripeError(403, "Sandbox: X-Sandbox-Fault needs the admin token in X-Sandbox-Token.")
    kind, *rest = [part.strip() for part in text.split(";")]
    body: Json = {"kind": kind}
    for part in rest:
        name, _, value = part.partition("=")
        body[name] = float(value) if name == "seconds" and value.isdigit() else value
    try:
        fault, _times = read(body)
    except ValueError as error:
        raise StripeError(400, f"Sandbox: {error}") from error
    if fault.family != "api":
        raise StripeError(400, f"Sandbox: {kind} is planned over /_sandbox/faults only.")
    return fault


def before(fault: Fault | None) -> None:
    """Do what happens before a request is executed: wait, or refuse it.

    :raise StripeError: none of them is kept under the request's idempotency key
    """
    kind = fault.kind if fault else ""
    if fault is not None and kind == "delay":
        time.sleep(fault.seconds)
    elif kind == "error_before":
        raise StripeError(500, f"An unknown error occurred{_MEANT}.", type="api_error")
    elif fault is not None and kind == "rate_limit":
        raise too_fast(fault.reason)
    elif kind == "lock_timeout":
        raise StripeError(
            409,
            "This object cannot be accessed right now because another API request or Stripe"
            " process is currently accessing it. If you see this error intermittently, retry the"
            " request.",
            code="lock_timeout",
        )


def after() -> StripeError:
    """Return the 500 of a request that was executed; its idempotency key keeps it."""
    return StripeError(500, f"An unknown error occurred afterwards{_MEANT}.", type="api_error")


def too_fast(reason: str) -> StripeError:
    """Return the 429 for `reason`, which its header names."""
    error = StripeError(
        429,
        "Request rate limit exceeded. Learn more about rate limits here"
        " https://stripe.com/docs/rate-limits.",
        code="rate_limit",
    )
    error.headers["Stripe-Rate-Limited-Reason"] = reason
    return error
