"""A stub of Stripe's lists: canned pages of subscriptions, no faster than a rate limit lets them.

Answers are made from a template, so that the stub costs little beside what is measured. It knows
one account with one price, and nothing else that differs from the portal.
"""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

PAGE = 100
ACCOUNT = "acct_load"
PRICE, PRODUCT = "price_load", "prod_load"
START = 1_790_000_000
MONTH = 30 * 86_400


def engine_id(number: int) -> str:
    """Return the id of a subscription at the engine; the highest number is the newest."""
    return f"sub_{number:024d}"


def reference(number: int) -> str:
    """Return the portal's UUID of a subscription."""
    return f"00000000-0000-4000-8000-{number:012d}"


def _subscription() -> dict[str, Any]:
    """Return a subscription as Stripe writes it, with @@ where each has its own number."""
    price = {
        "id": PRICE,
        "object": "price",
        "active": True,
        "billing_scheme": "per_unit",
        "created": START,
        "currency": "usd",
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": None,
        "metadata": {},
        "nickname": "Bronze",
        "product": PRODUCT,
        "recurring": {
            "interval": "month",
            "interval_count": 1,
            "meter": None,
            "trial_period_days": None,
            "usage_type": "licensed",
        },
        "tax_behavior": "unspecified",
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "recurring",
        "unit_amount": 999,
        "unit_amount_decimal": "999",
    }
    item = {
        "id": "si_@@",
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": START,
        "current_period_end": START + MONTH,
        "current_period_start": START,
        "discounts": [],
        "metadata": {},
        "plan": {**price, "object": "plan", "amount": 999, "interval": "month"},
        "price": price,
        "quantity": 1,
        "subscription": "sub_@@",
        "tax_rates": [],
    }
    empty = (
        "application_fee_percent cancel_at canceled_at days_until_due default_payment_method "
        "default_source description ended_at next_pending_invoice_item_invoice on_behalf_of "
        "pause_collection pending_invoice_item_interval pending_setup_intent pending_update "
        "schedule test_clock transfer_data trial_end trial_start"
    )
    return {
        **dict.fromkeys(empty.split()),
        "id": "sub_@@",
        "object": "subscription",
        "application": "ca_load",
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": START,
        "billing_mode": {"type": "classic"},
        "cancel_at_period_end": False,
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "collection_method": "charge_automatically",
        "created": START,
        "currency": "usd",
        "customer": "cus_load",
        "default_tax_rates": [],
        "discounts": [],
        "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
        "items": {
            "object": "list",
            "data": [item],
            "has_more": False,
            "total_count": 1,
            "url": "/v1/subscription_items?subscription=sub_@@",
        },
        "latest_invoice": "in_@@",
        "livemode": False,
        "metadata": {"apim_subscription_uuid": "UUID", "apim_tenant": "carbon.super"},
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": "off",
        },
        "start_date": START,
        "status": "active",
        "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
    }


class Limiter:
    """Lets so many pass in a second and holds up the others, in the order in which they came."""

    def __init__(self, rate: float) -> None:
        self._gap = 1 / rate
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Return when it is this one's turn."""
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + self._gap
        time.sleep(turn - now)


def serve(total: int, rate: float, listed: dict[str, list[dict[str, Any]]], ready: Any) -> None:
    """Answer until the process ends; ``ready`` is sent the port.

    :param listed: what other lists hold, by path
    """
    template, limiter = json.dumps(_subscription()), Limiter(rate)

    def page(after: str | None) -> bytes:
        newest = total if after is None else int(after.removeprefix("sub_")) - 1
        oldest = max(newest - PAGE + 1, 1)
        rows = [
            template.replace("@@", f"{number:024d}").replace("UUID", reference(number))
            for number in range(newest, oldest - 1, -1)
        ]
        head = json.dumps({"object": "list", "has_more": oldest > 1, "data": []})
        return f"{head[:-2]}{', '.join(rows)}]}}".encode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            """Answer one list."""
            address = urlsplit(self.path)
            if address.path == "/v1/subscriptions":
                body = page(parse_qs(address.query).get("starting_after", [None])[0])
            else:
                held = listed.get(address.path, [])
                body = json.dumps({"object": "list", "has_more": False, "data": held}).encode()
            limiter.wait()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    ready.send(server.server_port)
    server.serve_forever()
