"""Invoices: draft → open → paid, uncollectible or void."""

from __future__ import annotations

from typing import Any

from portal.sandbox import events, ids, money
from portal.sandbox.engine import charges, clocks, discounts, lines, methods
from portal.sandbox.engine.cards import Card
from portal.sandbox.engine.results import PayResult
from portal.sandbox.store import Db, Record

DRAFT_SECONDS = 3600
_PATIENCE = 72 * 3600
_CHECK_AGAIN = 60


def save(db: Db, invoice: Record) -> Record:
    """Store an invoice with the moment at which something is to be done about it."""
    due = None
    if invoice["status"] == "draft" and invoice["auto_advance"]:
        due = invoice["automatically_finalizes_at"]
    elif invoice["status"] == "open" and invoice["auto_advance"]:
        due = invoice["next_payment_attempt"]
    invoice["_due_at"] = due
    return db.save(invoice)


def create(
    db: Db,
    subscription: Record,
    content: list[dict[str, Any]],
    *,
    reason: str,
    now: int,
    advance: bool = True,
) -> Record:
    """Create a draft with `content` as its lines and report it.

    The subscription's metadata is copied: later changes of it don't change the invoice.
    """
    customer = db.need("customer", subscription["_account"], subscription["customer"])
    due = now + DRAFT_SECONDS if advance else None
    invoice = {
        **_base(subscription, customer, content),
        "id": ids.new("invoice"),
        "_clock": subscription.get("_clock"),
        "_lookup": "test_" + ids.random_text(40),
        "_due_at": due,
        "auto_advance": advance,
        "automatically_finalizes_at": due,
        "attempt_count": 0,
        "attempted": False,
        "billing_reason": reason,
        "created": now,
        "metadata": {},
        "next_payment_attempt": due,
        "period_start": min((line["period"]["start"] for line in content), default=now),
        "period_end": now,
    }
    invoice["_discount"] = discounts.current(subscription, now=now)
    discounts.used(subscription)
    _total(db, invoice, customer)
    db.insert(invoice)
    events.emit(db, invoice, "invoice.created", now=now)
    return invoice


def _base(subscription: Record, customer: Record, content: list[dict[str, Any]]) -> Record:
    """Return what a draft and a preview have in common."""
    return {
        "object": "invoice",
        "_account": subscription["_account"],
        "subscription": subscription["id"],
        "status": "draft",
        "auto_advance": True,
        "amount_paid": 0,
        "currency": subscription["currency"],
        "customer": customer["id"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "lines": content,
        "parent": _parent(subscription),
        "status_transitions": _transitions(),
    }


def _parent(subscription: Record) -> dict[str, Any]:
    return {
        "type": "subscription_details",
        "quote_details": None,
        "subscription_details": {
            "metadata": dict(subscription["metadata"]),
            "subscription": subscription["id"],
        },
    }


def _transitions() -> dict[str, int | None]:
    names = ("finalized_at", "marked_uncollectible_at", "paid_at", "voided_at")
    return dict.fromkeys(names)


def _total(db: Db, invoice: Record, customer: Record) -> None:
    amounts = [line["amount"] for line in invoice["lines"]]
    found, taken = invoice.get("_discount"), [0] * len(amounts)
    if found is not None:
        taken = discounts.parts(amounts, found["terms"], invoice["currency"])
    for line, off in zip(invoice["lines"], taken, strict=True):
        line["discount"] = off
    invoice["subtotal"] = sum(amounts)
    total = invoice["total"] = invoice["subtotal"] - sum(taken)
    invoice["starting_balance"] = customer["balance"]
    due = max(0, total + customer["balance"])
    # Below the minimum charge nothing is collected: the amount waits on the customer's balance.
    invoice["amount_due"] = due if due >= money.minimum_charge(invoice["currency"]) else 0
    invoice["amount_remaining"] = invoice["amount_due"]


def refresh(db: Db, invoice: Record) -> Record:
    """Recount a draft's metered lines and its totals; nothing is stored."""
    if invoice["status"] != "draft":
        return invoice
    account = invoice["_account"]
    subscription = db.need("subscription", account, invoice["subscription"])
    for line in invoice["lines"]:
        if line["metered"]:
            lines.recount(db, subscription, line)
    _total(db, invoice, db.need("customer", account, invoice["customer"]))
    return invoice


def imagined(
    db: Db, subscription: Record, content: list[dict[str, Any]], *, now: int | None = None
) -> Record | None:
    """Return an invoice with `content` as it would be, not stored; None without a line.

    With `now` it is due at once, else at the end of the present period.
    """
    if not content:
        return None
    customer = db.need("customer", subscription["_account"], subscription["customer"])
    item = subscription["items"][0]
    end = item["current_period_end"] if now is None else now
    invoice = {
        **_base(subscription, customer, content),
        "id": "upcoming_" + ids.new("invoice"),
        "billing_reason": "upcoming" if now is None else "subscription_update",
        "created": end,
        "next_payment_attempt": end + DRAFT_SECONDS if now is None else end,
        "period_start": item["current_period_start"],
        "period_end": end,
        "_discount": discounts.current(subscription, now=end),
    }
    _total(db, invoice, customer)
    return invoice


def webhooks_pending(db: Db, invoice: Record) -> bool:
    """Tell whether an endpoint has not yet accepted this invoice's ``invoice.created``."""
    row = db.execute(
        "SELECT 1 FROM deliveries d JOIN events e ON e.id = d.event"
        " WHERE e.object_id = ? AND e.type = 'invoice.created' AND d.state IN ('new', 'pending')",
        invoice["id"],
    ).fetchone()
    return row is not None


def advance(db: Db, invoice: Record, *, now: int) -> None:
    """Do what is due: finalize a draft and charge it, or retry an open invoice.

    A draft waits until its webhooks succeeded, up to 72 hours (Stripe holds it back likewise). On
    a test clock it doesn't wait: how fast a clock moves must not change what is billed.
    """
    if invoice["status"] == "open":
        collect(db, invoice, now=now, automatic=True)
        return
    if invoice["status"] != "draft":
        return
    waits = not invoice.get("_clock") and now < invoice["created"] + _PATIENCE
    if waits and webhooks_pending(db, invoice):
        invoice["automatically_finalizes_at"] = now + _CHECK_AGAIN
        save(db, invoice)
        return
    finalize(db, invoice, now=now)
    if invoice["status"] == "open":
        collect(db, invoice, now=now, automatic=True)


def finalize(db: Db, invoice: Record, *, now: int) -> Record:
    """Turn a draft into an open invoice with number and pages; what needs no money is paid."""
    refresh(db, invoice)
    customer = db.need("customer", invoice["_account"], invoice["customer"])
    prefix = customer["invoice_prefix"]
    invoice["number"] = f"{prefix}-{customer['next_invoice_sequence']:04d}"
    customer["next_invoice_sequence"] += 1
    balance = customer["balance"] + invoice["total"] - invoice["amount_due"]
    invoice["ending_balance"] = balance
    db.save(customer)
    with events.changing(db, customer, "customer.updated", now=now):
        customer["balance"] = balance
    invoice.update(status="open", effective_at=now, automatically_finalizes_at=None)
    invoice["next_payment_attempt"] = None
    invoice["status_transitions"]["finalized_at"] = now
    if invoice["amount_due"]:
        charges.open_payment(db, invoice, now=now)
    save(db, invoice)
    events.emit(db, invoice, "invoice.finalized", now=now)
    if not invoice["amount_due"]:
        charges.settle(db, invoice, now=now)
    return invoice


def collect(
    db: Db,
    invoice: Record,
    *,
    now: int,
    method: Record | None = None,
    present: bool = False,
    authenticated: bool | None = None,
    automatic: bool = False,
) -> PayResult:
    """Try to take the money with `method`, else with the card on file."""
    account = invoice["_account"]
    subscription = db.need("subscription", account, invoice["subscription"])
    if method is None:
        customer = db.need("customer", account, invoice["customer"])
        wanted = invoice.get("default_payment_method")
        method = db.get("payment_method", account, wanted) if wanted else None
        method = method or methods.default_for(db, account, subscription, customer)
    attempt = charges.Attempt(present, authenticated, automatic, now)
    return charges.charge(db, invoice, subscription, method, attempt)


def pay(
    db: Db, invoice: Record, card: Card | None, *, now: int, authenticated: bool | None = None
) -> PayResult:
    """Pay an open invoice with the customer present: with `card`, or with the card on file.

    A paid invoice stays paid (a second press changes nothing). A new card becomes the
    subscription's when it paid.
    """
    now = clocks.moment(db, invoice, now)
    if invoice["status"] == "paid":
        return PayResult("paid", invoice=invoice)
    if invoice["status"] != "open":
        return PayResult("closed", "This invoice can no longer be paid.", invoice=invoice)
    if card is None:
        return collect(db, invoice, now=now, present=True, authenticated=authenticated)
    verdict = methods.setup_verdict(card, authenticated=authenticated)
    if verdict == "authenticate":
        return PayResult("requires_action", invoice=invoice)
    method = methods.create(
        db, invoice["_account"], card, now=now, authenticated=bool(authenticated)
    )
    if verdict is None:
        customer = db.need("customer", invoice["_account"], invoice["customer"])
        methods.attach(db, method, customer, now=now)
    result = collect(db, invoice, now=now, method=method, present=True, authenticated=authenticated)
    if result.kind == "paid":
        _keep_card(db, invoice, method, now=now)
    return result


def _keep_card(db: Db, invoice: Record, method: Record, *, now: int) -> None:
    subscription = db.need("subscription", invoice["_account"], invoice["subscription"])
    if subscription["status"] == "canceled":
        return
    with events.changing(db, subscription, "customer.subscription.updated", now=now):
        subscription["default_payment_method"] = method["id"]


def give_up(db: Db, invoice: Record, *, now: int) -> Record:
    """Mark an open invoice as bad debt: nobody collects it any more, but it can still be paid."""
    invoice.update(status="uncollectible", auto_advance=False, next_payment_attempt=None)
    invoice["status_transitions"]["marked_uncollectible_at"] = now
    save(db, invoice)
    events.emit(db, invoice, "invoice.marked_uncollectible", now=now)
    return invoice


def void(db: Db, invoice: Record, *, now: int) -> Record:
    """Void an open or uncollectible invoice: nothing is owed any more."""
    invoice["status"] = "void"
    invoice["status_transitions"]["voided_at"] = now
    invoice["next_payment_attempt"] = None
    charges.close_payment(db, invoice, now=now)
    save(db, invoice)
    events.emit(db, invoice, "invoice.voided", now=now)
    return invoice


def find_by_token(db: Db, account: str, token: str) -> Record | None:
    """Return the finalized invoice behind the address of its page."""
    invoice = db.by_lookup("invoice", account, token)
    return invoice if invoice and invoice["status"] != "draft" else None


def open_ones(db: Db, account: str, *, customer: str) -> list[Record]:
    """Return a customer's open invoices, oldest first."""
    return db.select("invoice", account, ("customer = ?", customer), ("status = ?", "open"))
