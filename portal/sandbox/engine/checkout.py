"""Checkout Sessions: paying and expiring. Nothing is created before the payment succeeded."""

from __future__ import annotations

from portal.sandbox import accounts, events, ids
from portal.sandbox.engine import (
    cards,
    charges,
    clocks,
    discounts,
    invoices,
    methods,
    onboarding,
    subscriptions,
)
from portal.sandbox.engine.cards import Card
from portal.sandbox.engine.results import PayResult
from portal.sandbox.serializers.customers import SHAPE as CUSTOMER
from portal.sandbox.store import Db, Record


def discount(session: Record, found: tuple[Record, Record | None] | None) -> None:
    """Set the discount of an open session, or none, and its amounts; nothing is stored."""
    amounts = [item["amount"] for item in session["_items"]]
    taken, session["_discount"] = [0] * len(amounts), None
    if found is not None:
        coupon, code = found
        taken = discounts.parts(amounts, discounts.terms(coupon), session["currency"])
        session["_discount"] = {"coupon": coupon["id"], "promotion_code": code and code["id"]}
    for item, off in zip(session["_items"], taken, strict=True):
        item["discount"] = off
    session["amount_total"] = sum(amounts) - sum(taken)


def find(db: Db, session_id: str) -> Record | None:
    """Return the session behind the address of its page."""
    return db.find("checkout.session", session_id)


def pay(
    db: Db,
    session: Record,
    card: Card,
    *,
    now: int,
    authenticated: bool | None = None,
    email: str | None = None,
    method: Record | None = None,
) -> PayResult:
    """Pay an open session with `card`, which is the saved but unattached `method` if there is one.

    Success creates the subscription and its paid first invoice. A decline leaves everything as it
    was, and the session open. A second press on a complete session changes nothing.
    """
    now = clocks.moment(db, session, now)
    if session["status"] == "complete":
        return PayResult("paid", session=session)
    if session["status"] != "open" or session["expires_at"] <= now:
        return PayResult("closed", "This checkout session has expired.", session=session)
    if not onboarding.can_charge(accounts.find(db, session["_account"])):
        return PayResult("declined", onboarding.CANNOT_CHARGE, session=session)
    verdict = _verdict(session, card, authenticated)
    if verdict == "authenticate":
        return PayResult("requires_action", session=session)
    if verdict is not None:
        code, decline_code, message = cards.DECLINES[verdict]
        return PayResult("declined", message, code, decline_code, session=session)
    return _complete(db, session, card, bool(authenticated), email, method, now=now)


def _verdict(session: Record, card: Card, authenticated: bool | None) -> str | None:
    verdict = methods.setup_verdict(card, authenticated=authenticated)
    if verdict is None and session["amount_total"]:
        return cards.decline(card, present=True, authenticated=authenticated)
    return verdict


def _complete(
    db: Db,
    session: Record,
    card: Card,
    authenticated: bool,
    email: str | None,
    method: Record | None,
    *,
    now: int,
) -> PayResult:
    account = session["_account"]
    customer = _customer(db, session, card, email, now=now)
    method = method or methods.create(db, account, card, now=now, authenticated=authenticated)
    methods.attach(db, method, customer, now=now)
    subscription = _subscribe(db, session, customer, method, now=now)
    invoice = subscriptions.first_invoice(db, subscription, now=now)
    subscriptions.announce(db, subscription, now=now)
    if invoice is not None:
        _take(db, invoice, method, authenticated, now=now)
    session.update(
        status="complete",
        payment_status="paid" if session["amount_total"] else "no_payment_required",
        subscription=subscription["id"],
        invoice=invoice["id"] if invoice else None,
        customer=customer["id"],
        customer_details=_details(customer, card),
        _due_at=None,
    )
    db.save(session)
    events.emit(db, session, "checkout.session.completed", now=now)
    return PayResult("paid", session=session, invoice=invoice, payment_method=method)


def _subscribe(db: Db, session: Record, customer: Record, method: Record, *, now: int) -> Record:
    data = session["_subscription_data"]
    subscription = subscriptions.build(
        db,
        session["_account"],
        customer,
        session["_items"],
        now=now,
        metadata=data.get("metadata") or {},
        default_payment_method=method["id"],
        description=data.get("description"),
        application_fee_percent=data.get("application_fee_percent"),
        trial_end=_trial_end(data, now=now),
    )
    if (found := session.get("_discount")) is not None:
        coupon = db.need("coupon", session["_account"], found["coupon"])
        wanted = found["promotion_code"]
        code = db.need("promotion_code", session["_account"], wanted) if wanted else None
        owner = {"subscription": subscription["id"], "checkout_session": session["id"]}
        subscription["_discount"] = discounts.begin(db, coupon, code, now=now, **owner)
    return subscription


def _take(db: Db, invoice: Record, method: Record, authenticated: bool, *, now: int) -> None:
    invoices.finalize(db, invoice, now=now)
    if invoice["status"] == "open":
        attempt = charges.Attempt(
            present=True, authenticated=authenticated or None, automatic=False, now=now
        )
        charges.take(db, invoice, method, attempt)


def _trial_end(data: Record, *, now: int) -> int | None:
    days, end = data.get("trial_period_days"), data.get("trial_end")
    if days is not None:
        return now + int(days) * 86400
    return int(end) if end is not None else None


def _details(customer: Record, card: Card) -> dict[str, object]:
    return {
        "address": None,
        "business_name": None,
        "email": customer["email"],
        "individual_name": None,
        "name": card.name or customer["name"],
        "phone": None,
        "tax_exempt": "none",
        "tax_ids": [],
    }


def _customer(db: Db, session: Record, card: Card, email: str | None, *, now: int) -> Record:
    if session["customer"]:
        return db.need("customer", session["_account"], session["customer"])
    address = session["customer_email"] or email
    return create_customer(db, session["_account"], now=now, email=address, name=card.name or None)


def create_customer(db: Db, account: str, *, now: int, **fields: object) -> Record:
    """Store a customer and report it."""
    customer: Record = {
        **CUSTOMER,
        "id": ids.new("customer"),
        "object": "customer",
        "_account": account,
        "created": now,
        "invoice_prefix": ids.random_text(8).upper(),
        "metadata": {},
        **fields,
    }
    customer["invoice_settings"] = {
        **CUSTOMER["invoice_settings"],
        **(fields.get("invoice_settings") or {}),  # type: ignore[dict-item]
    }
    db.insert(customer)
    events.emit(db, customer, "customer.created", now=now)
    return customer


def expire(db: Db, session: Record, *, now: int) -> Record:
    """Expire an open session; one that isn't open stays as it is."""
    if session["status"] != "open":
        return session
    session.update(status="expired", _due_at=None)
    db.save(session)
    events.emit(db, session, "checkout.session.expired", now=now)
    return session
