"""A Stripe that answers every question with the recorded subscription, and counts them.

``CANNED_DELAY`` says how long an answer takes, in milliseconds.
"""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

from flask import Flask

_RECORDED = Path(__file__).parents[1] / "data" / "stripe-events"


def stripe() -> Flask:
    """Return the app."""
    app = Flask("canned")
    delay = float(os.environ.get("CANNED_DELAY", "0")) / 1000
    shown = json.loads((_RECORDED / "customer.subscription.updated.json").read_text())
    subscription = shown["data"]["object"]
    lock = threading.Lock()
    calls = {"count": 0}

    @app.get("/healthz")
    def healthz() -> str:
        return "ok"

    @app.get("/_calls")
    def asked() -> dict[str, int]:
        return calls

    @app.route("/<path:path>", methods=["GET", "POST", "DELETE"])
    def answer(path: str) -> Any:
        with lock:
            calls["count"] += 1
        time.sleep(delay)
        kind, _, name = path.removeprefix("v1/").partition("/")
        if kind == "subscriptions":
            # Only what every subscription has beside it: a customer and a price.
            item = {**subscription["items"]["data"][0], "subscription": name}
            bare = {"latest_invoice": None, "default_payment_method": None, "default_tax_rates": []}
            items = {**subscription["items"], "data": [item]}
            return {**subscription, **bare, "items": items, "id": name, "status": "active"}
        if name.endswith("/features"):
            return {"object": "list", "data": [], "has_more": False, "url": f"/{path}"}
        if kind == "prices":
            return subscription["items"]["data"][0]["price"]
        known = _OTHERS.get(kind.rstrip("s"), {})
        return {**known, "id": name or "acct_platform", "livemode": False}

    return app


_OTHERS: dict[str, dict[str, Any]] = {
    "account": {
        "object": "account",
        "type": "standard",
        "country": "US",
        "default_currency": "usd",
        "charges_enabled": True,
        "details_submitted": True,
        "payouts_enabled": True,
        "capabilities": {"card_payments": "active"},
        "settings": {"dashboard": {"display_name": "Weather"}},
        "metadata": {},
    },
    "customer": {
        "object": "customer",
        "created": 1776873600,
        "balance": 0,
        "currency": "usd",
        "delinquent": False,
        "email": "dana@example.com",
        "invoice_prefix": "ABC",
        "metadata": {},
        "preferred_locales": [],
        "tax_exempt": "none",
    },
    "product": {
        "object": "product",
        "active": True,
        "created": 1776864600,
        "name": "Weather",
        "type": "service",
        "metadata": {},
    },
}
