"""Platforms, their connected accounts and keys."""

from __future__ import annotations

import json
from typing import Any

from portal.sandbox import ids
from portal.sandbox.store import Db, Record

DEFAULT_DUNNING = {"days": [3, 5, 7], "end": "cancel"}


def create_platform(db: Db, name: str, *, now: int) -> Record:
    """Create a platform account and its secret key."""
    return _insert(db, _new(name, "US", "usd", now=now), platform=None, key=ids.secret_key())


def create_connected(db: Db, platform: str, details: dict[str, Any], *, now: int) -> Record:
    """Create an account that `platform` may act for.

    `details` may hold name, country, default_currency, email, charges_enabled, card_payments
    (``active``, ``inactive`` or ``pending``), details_submitted, dunning ``{"days", "end"}``.
    """
    country = str(details.get("country") or "US").upper()
    currency = str(details.get("default_currency") or "usd").lower()
    account = _new(details.get("name"), country, currency, now=now)
    account["email"] = details.get("email")
    account["charges_enabled"] = bool(details.get("charges_enabled", True))
    account["payouts_enabled"] = account["charges_enabled"]
    account["details_submitted"] = bool(details.get("details_submitted", True))
    default = "active" if account["charges_enabled"] else "inactive"
    account["capabilities"]["card_payments"] = details.get("card_payments") or default
    account["_dunning"] = {**DEFAULT_DUNNING, **(details.get("dunning") or {})}
    return _insert(db, account, platform=platform, key=None)


def _new(name: str | None, country: str, currency: str, *, now: int) -> Record:
    return {
        "id": ids.new("account"),
        "object": "account",
        "name": name,
        "country": country,
        "default_currency": currency,
        "email": None,
        "charges_enabled": True,
        "payouts_enabled": True,
        "details_submitted": True,
        "capabilities": {"card_payments": "active", "transfers": "active"},
        "metadata": {},
        "created": now,
        "_dunning": dict(DEFAULT_DUNNING),
    }


def _insert(db: Db, account: Record, *, platform: str | None, key: str | None) -> Record:
    account["_account"] = account["id"]
    account["_platform"] = platform or account["id"]
    account["_secret_key"] = key
    db.execute(
        "INSERT INTO accounts (id, platform, secret_key, body, created) VALUES (?, ?, ?, ?, ?)",
        account["id"], account["_platform"], key, json.dumps(account), account["created"],
    )  # fmt: skip
    return account


def save(db: Db, account: Record) -> None:
    """Store the changes of an account."""
    db.execute("UPDATE accounts SET body = ? WHERE id = ?", json.dumps(account), account["id"])


def find(db: Db, identifier: str) -> Record | None:
    """Return an account, platform or connected."""
    row = db.execute("SELECT body FROM accounts WHERE id = ?", identifier).fetchone()
    return json.loads(row[0]) if row else None


def by_key(db: Db, secret_key: str) -> Record | None:
    """Return the platform that `secret_key` belongs to."""
    row = db.execute("SELECT body FROM accounts WHERE secret_key = ?", secret_key).fetchone()
    return json.loads(row[0]) if row else None


def everyone(db: Db) -> list[Record]:
    """Return all accounts, oldest first."""
    rows = db.execute("SELECT body FROM accounts ORDER BY created, id")
    return [json.loads(row[0]) for row in rows]


def platform_of(db: Db, account: str) -> str:
    """Return the platform that `account` is connected to; a platform is its own."""
    row = db.execute("SELECT platform FROM accounts WHERE id = ?", account).fetchone()
    return str(row[0]) if row else account


def is_connected(db: Db, account: str) -> bool:
    """Tell whether `account` is a connected account and not a platform."""
    return platform_of(db, account) != account


def dunning(db: Db, account: str) -> dict[str, Any]:
    """Return how `account` retries failed renewals: days between attempts, and what ends them."""
    record = find(db, account)
    return dict(record["_dunning"]) if record else dict(DEFAULT_DUNNING)
