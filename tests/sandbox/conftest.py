"""A sandbox with one platform and one connected account, on a clock that the test moves."""

import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import stripe
from flask import Flask

from portal.sandbox import spec
from portal.sandbox.app import create_sandbox
from portal.sandbox.clock import ManualClock
from portal.sandbox.settings import SandboxSettings
from tests.support.wsgi_stripe import stripe_client

START = 1_790_000_000
TOKEN = "control-token"
SEVEN = [
    "checkout.session.completed",
    "checkout.session.expired",
    "invoice.payment_succeeded",
    "invoice.payment_failed",
    "invoice.payment_action_required",
    "customer.subscription.updated",
    "customer.subscription.deleted",
]


@dataclass
class World:
    """A running sandbox as a test sees it."""

    app: Flask
    clock: ManualClock
    key: str
    platform: str
    account: str
    sent: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    endpoint_status: int = 200

    @property
    def api(self) -> stripe.StripeClient:
        """The SDK acting for the connected account."""
        return stripe_client(self.app, self.key, account=self.account)

    @property
    def platform_api(self) -> stripe.StripeClient:
        """The SDK acting for the platform itself."""
        return stripe_client(self.app, self.key)

    def control(self, path: str, /, **body: Any) -> dict[str, Any]:
        """Call one of the sandbox's own controls."""
        answer = self.app.test_client().post(
            f"/_sandbox{path}", json=body, headers={"Authorization": f"Bearer {TOKEN}"}
        )
        assert answer.status_code < 300, answer.get_data(as_text=True)
        return answer.get_json()

    def look(self, path: str) -> list[dict[str, Any]]:
        """Read one of the sandbox's own listings."""
        answer = self.app.test_client().get(
            f"/_sandbox{path}", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        assert answer.status_code == 200, answer.get_data(as_text=True)
        return answer.get_json()["data"]

    def event_types(self) -> list[str]:
        """All events of the connected account, oldest first."""
        found = self.look(f"/events?account={self.account}&limit=500")
        return [event["type"] for event in reversed(found)]

    def tick(self, seconds: float = 0) -> dict[str, Any]:
        """Move the clock and do what became due."""
        self.clock.advance(seconds)
        return self.control("/tick")

    # What most tests begin with.

    def licensed(self, amount: int = 999, currency: str = "usd") -> stripe.Price:
        """A product with a monthly price in advance."""
        product = self.api.v1.products.create({"name": "Rates API - Bronze"})
        return self.api.v1.prices.create(
            {
                "product": product.id,
                "currency": currency,
                "unit_amount": amount,
                "recurring": {"interval": "month"},
            }
        )

    def metered(self, unit: str = "0.25", event_name: str = "calls") -> stripe.Price:
        """A product with a monthly price per counted unit."""
        meter = self.api.v1.billing.meters.create(
            {
                "display_name": "Calls",
                "event_name": event_name,
                "default_aggregation": {"formula": "sum"},
            }
        )
        product = self.api.v1.products.create({"name": "Rates API - Pay-as-you-go"})
        return self.api.v1.prices.create(
            {
                "product": product.id,
                "currency": "usd",
                "unit_amount_decimal": unit,
                "recurring": {"interval": "month", "usage_type": "metered", "meter": meter.id},
            }
        )

    def session(self, price: stripe.Price, **more: Any) -> stripe.checkout.Session:
        """An open Checkout Session for a new customer."""
        line: dict[str, Any] = {"price": price.id}
        assert price.recurring is not None
        if price.recurring.usage_type == "licensed":
            line["quantity"] = 1
        if "customer" not in more and "customer_email" not in more:
            more["customer"] = self.api.v1.customers.create({"email": "dev@example.com"}).id
        return self.api.v1.checkout.sessions.create(
            {
                "mode": "subscription",
                "line_items": [line],
                "success_url": "https://portal.test/back?session_id={CHECKOUT_SESSION_ID}",
                "subscription_data": {"metadata": {"ref": "s-1"}},
                **more,
            }
        )

    def pay(self, session: stripe.checkout.Session, **how: Any) -> dict[str, Any]:
        """Pay a session as its page would."""
        return self.control(f"/checkout/sessions/{session.id}/pay", **how)

    def subscribe(self, price: stripe.Price, **more: Any) -> stripe.Subscription:
        """A subscription that was bought with a working card."""
        session = self.session(price, **more)
        assert self.pay(session)["kind"] == "paid"
        paid = self.api.v1.checkout.sessions.retrieve(session.id)
        return self.api.v1.subscriptions.retrieve(str(paid.subscription))


@pytest.fixture
def memory_path(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where the machine has one: nothing here has to survive a power cut."""
    shared = Path("/dev/shm")  # noqa: S108
    if not os.access(shared, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        yield Path(folder)


@pytest.fixture
def world(memory_path: Path) -> Iterator[World]:
    """A strict sandbox: every answer is checked against Stripe's own document."""
    sent: list[tuple[str, dict[str, str], bytes]] = []
    clock = ManualClock(START)
    settings = SandboxSettings(
        database=str(memory_path / "sandbox.sqlite3"),
        base_url="http://sandbox.test",
        admin_token=TOKEN,
        orderly=True,
        strict=True,
    )
    result: World

    def post(url: str, headers: Any, body: bytes) -> int:
        sent.append((url, dict(headers), body))
        return result.endpoint_status

    app = create_sandbox(settings, clock=clock, transport=post)
    result = World(app, clock, "", "", "", sent)
    made = result.control("/platforms", name="Platform")
    result.key, result.platform = made["secret_key"], made["account"]
    result.account = result.control("/accounts", platform=result.platform, name="Publisher")["id"]
    yield result
    check_events(app)
    app.extensions["sandbox"].store.close()


def check_events(app: Flask) -> None:
    """Hold every event of the test against Stripe's own document."""
    with app.extensions["sandbox"].store.read() as db:
        bodies = [json.loads(row[0]) for row in db.execute("SELECT body FROM events")]
    found = {body["type"]: spec.violations(body["object"], body) for body in bodies}
    assert {type: wrong for type, wrong in found.items() if wrong} == {}


@pytest.fixture
def endpoint(world: World) -> stripe.WebhookEndpoint:
    """A Connect endpoint for the seven events."""
    return world.platform_api.v1.webhook_endpoints.create(
        {
            "url": "http://portal.test/webhook",
            "connect": True,
            "enabled_events": SEVEN,  # type: ignore[typeddict-item]
            "api_version": "2026-04-22.dahlia",
        }
    )
