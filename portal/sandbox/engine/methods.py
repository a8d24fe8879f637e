"""Saved cards."""

from __future__ import annotations

from portal.sandbox import events, ids
from portal.sandbox.engine import cards
from portal.sandbox.engine.cards import Card
from portal.sandbox.serializers.payments import METHOD, card_details
from portal.sandbox.store import Db, Record


def create(db: Db, account: str, card: Card, *, now: int, authenticated: bool = False) -> Record:
    """Store a card as a payment method that belongs to nobody yet."""
    details = METHOD["billing_details"]
    return db.insert(
        {
            "id": ids.new("payment_method"),
            "object": "payment_method",
            "_account": account,
            "_card": card.behaviour.name,
            "_authenticated": authenticated,
            "billing_details": {**details, "name": card.name or None},
            "card": card_details(card.brand, card.last4, card.exp_month, card.exp_year),
            "created": now,
            "customer": None,
            "metadata": {},
        }
    )


def attach(db: Db, method: Record, customer: Record, *, now: int) -> Record:
    """Attach a saved card to `customer`."""
    method["customer"] = customer["id"]
    method["_clock"] = customer.get("_clock")
    db.save(method)
    events.emit(db, method, "payment_method.attached", now=now)
    return method


def detach(db: Db, method: Record, *, now: int) -> Record:
    """Detach a saved card for good; whatever it was the default of has none."""
    events.emit(db, method, "payment_method.detached", now=now)
    customer = db.need("customer", method["_account"], method["customer"])
    settings = customer["invoice_settings"]
    if settings["default_payment_method"] == method["id"]:
        with events.changing(db, customer, "customer.updated", now=now):
            settings["default_payment_method"] = None
    method.update(customer=None, _detached=True)
    return db.save(method)


def of_customer(db: Db, account: str, customer: str) -> list[Record]:
    """Return the cards of a customer, newest first."""
    return db.select("payment_method", account, ("customer = ?", customer))[::-1]


def default_for(
    db: Db, account: str, subscription: Record | None, customer: Record
) -> Record | None:
    """Return the card that pays: the subscription's, else the customer's default."""
    wanted = (subscription or {}).get("default_payment_method")
    wanted = wanted or customer["invoice_settings"]["default_payment_method"]
    method = db.get("payment_method", account, wanted) if wanted else None
    return method if method and method["customer"] == customer["id"] else None


def setup_verdict(card: Card, *, authenticated: bool | None) -> str | None:
    """Return how saving the card ends: None, ``authenticate``, or a key of `cards.DECLINES`."""
    if card.behaviour.attach:
        return card.behaviour.attach
    verdict = cards.decline(card, present=True, authenticated=authenticated)
    return verdict if verdict in ("authenticate", "authentication_failed") else None
