"""The seven events of one life at Stripe, and an engine that states what is true there.

A life is made by the sandbox, or told by the recorded events: a page that expires, another one
that is paid, a renewal that the bank wants confirmed, its payment, a cancellation for later, an
end. Each event is as Stripe would send it; each ``Stage`` is what Stripe answers from a second on.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from portal import clock
from portal.billing.engine import (
    BillingEvent,
    CheckoutSession,
    EngineStatus,
    Invoice,
    SubscriptionSnapshot,
)
from portal.billing.registry import EngineSettings
from portal.billing.stripe import translate
from portal.billing.stripe.engine import StripeBillingEngine
from tests.sandbox.conftest import World
from tests.support.wsgi_stripe import WsgiHttpClient

Json = dict[str, Any]
RECORDED = Path(__file__).parents[1] / "data" / "stripe-events"
DELETED = "customer.subscription.deleted"
SEVEN = (
    "checkout.session.completed",
    "checkout.session.expired",
    "invoice.payment_succeeded",
    "invoice.payment_failed",
    "invoice.payment_action_required",
    "customer.subscription.updated",
    DELETED,
)


@dataclass(frozen=True)
class Stage:
    """What Stripe answers: the subscription, and its invoices, newest first."""

    snapshot: SubscriptionSnapshot
    invoices: tuple[Invoice, ...]


@dataclass
class Life:
    """One subscription at Stripe: which events there were, and what was true from when on."""

    account: str
    older: str
    """The page that expired; ``paid`` is the one that was paid after it."""
    paid: str
    pages: dict[str, CheckoutSession]
    events: dict[str, list[Json]] = field(default_factory=lambda: {kind: [] for kind in SEVEN})
    stages: dict[str, Stage] = field(default_factory=dict)
    begins: dict[str, int] = field(default_factory=dict)
    """From which second on a stage is true, where that is known."""

    @property
    def engine_id(self) -> str:
        return str(self.pages[self.paid].subscription_id)

    @property
    def last(self) -> datetime:
        """When the last of the events was made."""
        every = [body["created"] for bodies in self.events.values() for body in bodies]
        return datetime.fromtimestamp(max(every), UTC)

    def name_at(self, second: int) -> str:
        """Return which stage was true in a second."""
        return max(
            (since, number, name)
            for number, (name, since) in enumerate(self.begins.items())
            if since <= second
        )[2]


class Stated:
    """An engine that reads events as Stripe sends them and answers with what is stated."""

    def __init__(self, secret: str = "whsec_memory_secret_0001") -> None:
        self.secret = secret
        self.life: Life
        self.final = ""
        self.follows_the_clock = False
        """Whether what is true changes with time, up to ``final``, or is ``final`` all along."""
        self.cancelled: list[str] = []
        self._stripe = StripeBillingEngine(
            EngineSettings(secret_key="sk_test_memory_1234", api_base="http://127.0.0.1:9")
        )

    def verify_event(self, payload: bytes, header: str, secrets: Sequence[str]) -> BillingEvent:
        return self._stripe.verify_event(payload, header, secrets)

    def translate_event(self, payload: Mapping[str, Any]) -> BillingEvent:
        return self._stripe.translate_event(payload)

    @property
    def _stage(self) -> Stage:
        life, name = self.life, self.final
        if self.follows_the_clock:
            at = min(clock.epoch(clock.now()), life.begins[name])
            name = life.name_at(at)
        return life.stages[name]

    def subscription(self, account: str, subscription_id: str) -> SubscriptionSnapshot:
        assert (account, subscription_id) == (self.life.account, self.life.engine_id)
        return self._stage.snapshot

    def invoices(self, account: str, subscription_id: str) -> Sequence[Invoice]:
        assert (account, subscription_id) == (self.life.account, self.life.engine_id)
        return self._stage.invoices

    def checkout(self, account: str, session_id: str) -> CheckoutSession:
        assert account == self.life.account
        return self.life.pages[session_id]

    def expire_checkout(self, account: str, session_id: str) -> CheckoutSession:
        return self.checkout(account, session_id)

    def cancel_subscription(self, account: str, subscription_id: str) -> SubscriptionSnapshot:
        self.cancelled.append(subscription_id)
        return self.subscription(account, subscription_id)


# --- as the sandbox makes it ------------------------------------------------------------------


def from_sandbox(world: World, reference: str) -> Life:
    """Live a life in the sandbox, and write down its events and what was true."""
    about = {translate.REFERENCE: reference}
    stripe = StripeBillingEngine(
        EngineSettings(secret_key=world.key, api_base="http://sandbox.test"),
        transport=WsgiHttpClient(world.app),
    )
    price = world.licensed()
    older, paid = (
        world.session(
            price,
            client_reference_id=reference,
            metadata=about,
            subscription_data={"metadata": about},
        )
        for _ in range(2)
    )
    world.api.v1.checkout.sessions.expire(older.id)
    world.clock.advance(60)
    world.pay(paid)
    life = Life(
        world.account,
        older.id,
        paid.id,
        {each: stripe.checkout(world.account, each) for each in (older.id, paid.id)},
    )

    def write_down(name: str) -> None:
        life.stages[name] = Stage(
            stripe.subscription(world.account, life.engine_id),
            tuple(stripe.invoices(world.account, life.engine_id)),
        )
        life.begins[name] = int(world.clock.now())
        world.clock.advance(1)

    write_down("bought")
    _renew(world, life, write_down)
    for body in reversed(world.look(f"/events?account={world.account}&limit=500")):
        if body["type"] in life.events:
            life.events[body["type"]].append(body)
    return life


def _renew(world: World, life: Life, write_down: Any) -> None:
    """Ask for the payment of a renewal, get it, cancel for later, and end."""
    name = life.engine_id
    world.control(f"/subscriptions/{name}/fail-next-charge", outcome="requires_action")
    invoice = world.control(f"/subscriptions/{name}/end-period")["invoice"]["id"]
    write_down("renewed")
    world.control(f"/invoices/{invoice}/finalize")
    write_down("asked")
    world.api.v1.invoices.pay(invoice)
    write_down("paid")
    world.api.v1.subscriptions.update(name, {"cancel_at_period_end": True})
    write_down("cancelled")
    world.api.v1.subscriptions.cancel(name)
    write_down("ended")


# --- as it was recorded -----------------------------------------------------------------------


def from_recording(reference: str) -> Life:
    """Tell a life with the recorded events; the expired page gets an id of its own."""
    events = {kind: json.loads((RECORDED / f"{kind}.json").read_text()) for kind in SEVEN}
    for kind, body in events.items():
        named = body["data"]["object"]
        for each in (named, *(named.get("parent") or {}).values()):
            if isinstance(each, dict) and translate.REFERENCE in (each.get("metadata") or {}):
                each["metadata"][translate.REFERENCE] = reference
        if kind.startswith("checkout."):
            named["client_reference_id"] = reference
    thing = {kind: body["data"]["object"] for kind, body in events.items()}
    thing["checkout.session.expired"]["id"] = "cs_test_a1WeatherGold0000"
    pages = [
        translate.checkout(thing[kind])
        for kind in ("checkout.session.expired", "checkout.session.completed")
    ]
    older, paid = (page.session_id for page in pages)
    completed = events["checkout.session.completed"]
    life = Life(
        completed["account"],
        older,
        paid,
        {page.session_id: page for page in pages},
        {kind: [body] for kind, body in events.items()},
    )
    overdue = translate.subscription(thing["customer.subscription.updated"])
    owed = translate.invoice(thing["invoice.payment_failed"])
    settled = replace(overdue, status=EngineStatus.ACTIVE)
    receipt = translate.invoice(thing["invoice.payment_succeeded"])
    life.stages = {
        "paid": Stage(settled, (replace(owed, status="paid"), receipt)),
        "overdue": Stage(overdue, (owed, receipt)),
        "asked": Stage(overdue, (replace(owed, needs_authentication=True), receipt)),
        "cancelled": Stage(replace(settled, cancel_at=settled.period_end), (receipt,)),
        "unpaid": Stage(replace(overdue, status=EngineStatus.UNPAID), (owed, receipt)),
        "ended": Stage(translate.subscription(thing[DELETED]), (receipt,)),
    }
    return life
