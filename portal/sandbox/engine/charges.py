"""Taking money for an open invoice, and what success or failure does to its subscription."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from portal.sandbox import accounts, events, faults, ids, serializers
from portal.sandbox.engine import balance, cards, dunning, onboarding
from portal.sandbox.engine.results import Kind, PayResult
from portal.sandbox.store import Db, Record

_NEEDS_ACTION = (
    "This payment requires additional user action before it can be completed successfully."
    " Payment can be completed using the PaymentIntent associated with the invoice."
)
NO_METHOD = (
    "There is no `default_payment_method` set on this Customer or Invoice. Please set a"
    " `default_payment_method` prior to finalizing or paying this Invoice."
)


@dataclass(frozen=True, slots=True)
class Attempt:
    """The circumstances of one attempt; `automatic` ones follow the retry schedule."""

    present: bool
    authenticated: bool | None
    automatic: bool
    now: int


def open_payment(db: Db, invoice: Record, *, now: int) -> None:
    """Give a finalized invoice its payment intent and its default payment."""
    intent_id = ids.new("payment_intent")
    common = {"_account": invoice["_account"], "_clock": invoice.get("_clock"), "created": now}
    db.insert(
        {
            **common,
            "id": intent_id,
            "object": "payment_intent",
            "amount": invoice["amount_due"],
            "client_secret": f"{intent_id}_secret_{ids.random_text(25)}",
            "currency": invoice["currency"],
            "customer": invoice["customer"],
            "description": "Subscription creation"
            if invoice["billing_reason"] == "subscription_create"
            else "Subscription update",
            "status": "requires_payment_method",
            "_parent": invoice["id"],
        }
    )
    db.insert(
        {
            **common,
            "id": ids.new("invoice_payment"),
            "object": "invoice_payment",
            "amount_requested": invoice["amount_due"],
            "currency": invoice["currency"],
            "invoice": invoice["id"],
            "payment": {"type": "payment_intent", "payment_intent": intent_id},
            "status": "open",
            "status_transitions": {"canceled_at": None, "paid_at": None},
            "_parent": invoice["id"],
        }
    )
    invoice["_intent"] = intent_id


def intent_of(db: Db, invoice: Record) -> Record:
    """Return the payment intent of a finalized invoice that asked for money."""
    return db.need("payment_intent", invoice["_account"], invoice["_intent"])


def _payment_of(db: Db, invoice: Record) -> Record:
    filters = ("parent = ?", invoice["id"])
    return db.select("invoice_payment", invoice["_account"], filters)[0]


def close_payment(db: Db, invoice: Record, *, now: int) -> None:
    """Cancel the intent and the payment of an invoice that will not be collected."""
    if "_intent" not in invoice:
        return
    intent, payment = intent_of(db, invoice), _payment_of(db, invoice)
    intent.update(status="canceled", canceled_at=now, cancellation_reason="void_invoice")
    db.save(intent)
    events.emit(db, intent, "payment_intent.canceled", now=now)
    payment["status"] = "canceled"
    payment["status_transitions"]["canceled_at"] = now
    db.save(payment)


def charge(
    db: Db, invoice: Record, subscription: Record, method: Record | None, attempt: Attempt
) -> PayResult:
    """Try once to take `amount_remaining` from `method`."""
    verdict = _verdict(db, subscription, method, attempt)
    if verdict is None and method is not None:
        return take(db, invoice, method, attempt)
    if verdict == "authenticate" and attempt.present:
        return _ask(db, invoice, method, attempt)
    return _fail(db, invoice, subscription, method, verdict or "no_method", attempt)


_PLANNED = {"requires_action": "authenticate", "card_declined": "generic_decline"}


def _verdict(db: Db, subscription: Record, method: Record | None, attempt: Attempt) -> str | None:
    fault = faults.take(
        db,
        "charge",
        payment_method=method["id"] if method else None,
        customer=subscription["customer"],
        subscription=subscription["id"],
        account=subscription["_account"],
    )
    if fault is not None:
        return _PLANNED.get(fault.outcome, fault.outcome)
    planned = subscription.pop("_fail_next", None) if not attempt.present else None
    if planned is not None:
        db.save(subscription)
        return "authenticate" if planned == "requires_action" else "generic_decline"
    if method is None:
        return "no_method"
    if not onboarding.can_charge(accounts.find(db, subscription["_account"])):
        return "cannot_charge"
    return cards.decline(
        cards.from_record(method), present=attempt.present, authenticated=attempt.authenticated
    )


def _count(invoice: Record, attempt: Attempt) -> None:
    # Stripe: any attempt counts as the first; afterwards only automatic retries count.
    if attempt.automatic or not invoice["attempt_count"]:
        invoice["attempt_count"] += 1
    invoice["attempted"] = True


def take(db: Db, invoice: Record, method: Record, attempt: Attempt) -> PayResult:
    """Take the money of an open invoice from a card that is known to work."""
    _count(invoice, attempt)
    if attempt.authenticated and not method.get("_authenticated"):
        method["_authenticated"] = True
        db.save(method)
    intent, payment = intent_of(db, invoice), _payment_of(db, invoice)
    intent.update(
        status="succeeded",
        amount_received=intent["amount"],
        payment_method=method["id"],
        last_payment_error=None,
        next_action=None,
    )
    subscription = db.need("subscription", invoice["_account"], invoice["subscription"])
    balance.record_charge(db, invoice, subscription, intent, method, now=attempt.now)
    db.save(intent)
    events.emit(db, intent, "payment_intent.succeeded", now=attempt.now)
    payment.update(status="paid", amount_paid=payment["amount_requested"])
    payment["status_transitions"]["paid_at"] = attempt.now
    db.save(payment)
    invoice["amount_paid"] = invoice["amount_due"]
    invoice["amount_remaining"] = 0
    settle(db, invoice, now=attempt.now)
    events.emit(db, payment, "invoice_payment.paid", now=attempt.now)
    return PayResult("paid", invoice=invoice, payment_method=method)


def settle(db: Db, invoice: Record, *, now: int, out_of_band: bool = False) -> None:
    """Mark an invoice paid, report it and let its subscription recover.

    Money that did not come through Stripe is reported by ``invoice.paid`` alone.
    """
    invoice.update(status="paid", next_payment_attempt=None, _due_at=None)
    invoice["attempted"] = True
    invoice["amount_remaining"] = 0
    invoice["status_transitions"]["paid_at"] = now
    db.save(invoice)
    events.emit(db, invoice, "invoice.paid", now=now)
    if not out_of_band:
        events.emit(db, invoice, "invoice.payment_succeeded", now=now)
    dunning.recover(db, invoice, now=now)


def _ask(db: Db, invoice: Record, method: Record | None, attempt: Attempt) -> PayResult:
    intent = intent_of(db, invoice)
    _await_action(db, intent, method)
    return PayResult("requires_action", invoice=invoice, payment_method=method)


def _await_action(db: Db, intent: Record, method: Record | None) -> None:
    intent.update(
        status="requires_action",
        payment_method=method["id"] if method else None,
        next_action={"type": "use_stripe_sdk", "use_stripe_sdk": {}},
    )
    db.save(intent)


def failure(verdict: str) -> tuple[str | None, str | None, str]:
    """Return error code, decline code and message of a failed charge."""
    if verdict == "no_method":
        return None, None, NO_METHOD
    if verdict == "cannot_charge":
        return None, None, onboarding.CANNOT_CHARGE
    if verdict == "authenticate":
        return (
            "invoice_payment_intent_requires_action",
            None,
            _NEEDS_ACTION,
        )
    return cards.DECLINES[verdict]


def _fail(
    db: Db,
    invoice: Record,
    subscription: Record,
    method: Record | None,
    verdict: str,
    attempt: Attempt,
) -> PayResult:
    code, decline_code, message = failure(verdict)
    _count(invoice, attempt)
    intent = intent_of(db, invoice)
    if verdict == "authenticate":
        _await_action(db, intent, method)
    else:
        _refuse(db, intent, method, (code, decline_code, message), now=attempt.now)
    last = dunning.plan(db, invoice, subscription, attempt.automatic, now=attempt.now)
    db.save(invoice)
    if verdict == "authenticate":
        events.emit(db, invoice, "invoice.payment_action_required", now=attempt.now)
    events.emit(db, invoice, "invoice.payment_failed", now=attempt.now)
    dunning.overdue(db, subscription, now=attempt.now)
    if last:
        settings = accounts.dunning(db, invoice["_account"])
        dunning.end(db, subscription, settings["end"], now=attempt.now)
    kind: Kind = "requires_action" if verdict == "authenticate" else "declined"
    return PayResult(kind, message, code, decline_code, invoice=invoice, payment_method=method)


def _refuse(
    db: Db,
    intent: Record,
    method: Record | None,
    reason: tuple[str | None, str | None, str],
    *,
    now: int,
) -> None:
    code, decline_code, message = reason
    error: dict[str, Any] = {"type": "card_error", "message": message}
    error |= {"code": code} if code else {}
    error |= {"decline_code": decline_code} if decline_code else {}
    if method is not None:
        error["payment_method"] = serializers.render(db, method)
    intent.update(
        status="requires_payment_method",
        payment_method=None,
        next_action=None,
        last_payment_error=error,
    )
    db.save(intent)
    events.emit(db, intent, "payment_intent.payment_failed", now=now)
