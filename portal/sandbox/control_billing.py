"""The controls that stand for time and for banks: periods, finalization, charges, expiry."""

from __future__ import annotations

from typing import Any

from flask import Response, abort, jsonify

from portal.sandbox import accounts
from portal.sandbox.control import control, find, now, sent, shown
from portal.sandbox.engine import advancing, cards, checkout, clocks, invoices, subscriptions
from portal.sandbox.engine.cards import CardRefused
from portal.sandbox.engine.results import PayResult
from portal.sandbox.service import current
from portal.sandbox.store import Db, Record

Json = dict[str, Any]
_OUTCOMES = ("card_declined", "requires_action")
_ENDINGS = ("unpaid", "cancel", "past_due")


def _at(db: Db, record: Record) -> int:
    return clocks.moment(db, record, now())


def _living(db: Db, identifier: str) -> Record:
    subscription = find(db, "subscription", identifier)
    if subscription["status"] in ("canceled", "incomplete_expired"):
        abort(400, f"The subscription {identifier} has ended.")
    return subscription


@control.post("/subscriptions/<identifier>/end-period")
def end_period(identifier: str) -> Response:
    """End the running period now: `{"subscription", "invoice"}`, the invoice a draft or null."""
    with current().store.write() as db:
        subscription = _living(db, identifier)
        invoice = subscriptions.end_period(db, subscription, now=_at(db, subscription))
        subscription = find(db, "subscription", identifier)
        draft = invoice and shown(db, invoice)
        return jsonify(subscription=shown(db, subscription), invoice=draft)


@control.post("/subscriptions/<identifier>/fail-next-charge")
def fail_next_charge(identifier: str) -> Response:
    """Make the next automatic charge fail: `{"outcome": "card_declined" | "requires_action"}`."""
    outcome = sent().get("outcome", "card_declined")
    if outcome not in _OUTCOMES:
        abort(400, "outcome is card_declined or requires_action.")
    with current().store.write() as db:
        subscription = _living(db, identifier)
        subscription["_fail_next"] = outcome
        db.save(subscription)
    return jsonify(id=identifier, outcome=outcome)


@control.post("/subscriptions/<identifier>/mark-unpaid")
def mark_unpaid(identifier: str) -> Response:
    """End the retries now as the account wants, or as `{"end"}` says."""
    with current().store.write() as db:
        subscription = _living(db, identifier)
        ending = sent().get("end") or accounts.dunning(db, subscription["_account"])["end"]
        if ending not in _ENDINGS:
            abort(400, "end is unpaid, cancel or past_due.")
        if subscription["status"] not in ("past_due", "unpaid"):
            abort(400, f"The subscription is {subscription['status']}: nothing is overdue.")
        subscriptions.mark_unpaid(db, subscription, ending, now=_at(db, subscription))
        return jsonify(shown(db, find(db, "subscription", identifier)))


@control.post("/invoices/<identifier>/finalize")
def finalize(identifier: str) -> Response:
    """Finalize a draft now and try to collect it."""
    with current().store.write() as db:
        invoice = find(db, "invoice", identifier)
        if invoice["status"] != "draft":
            abort(400, f"The invoice {identifier} is {invoice['status']}, not a draft.")
        at = _at(db, invoice)
        invoices.finalize(db, invoice, now=at)
        if invoice["status"] == "open" and invoice["auto_advance"]:
            invoices.collect(db, invoice, now=at, automatic=True)
        return jsonify(shown(db, find(db, "invoice", identifier)))


@control.post("/invoices/<identifier>/retry")
def retry(identifier: str) -> Response:
    """Make the next automatic attempt now."""
    with current().store.write() as db:
        invoice = find(db, "invoice", identifier)
        if invoice["status"] != "open":
            abort(400, f"The invoice {identifier} is {invoice['status']}, not open.")
        result = invoices.collect(db, invoice, now=_at(db, invoice), automatic=True)
        return jsonify(**_result(result), invoice=shown(db, find(db, "invoice", identifier)))


@control.post("/checkout/sessions/<identifier>/expire")
def expire(identifier: str) -> Response:
    """Let an open session expire."""
    with current().store.write() as db:
        session = find(db, "checkout.session", identifier)
        if session["status"] != "open":
            abort(400, f"The session is {session['status']}, not open.")
        return jsonify(shown(db, checkout.expire(db, session, now=_at(db, session))))


@control.post("/checkout/sessions/<identifier>/pay")
def pay(identifier: str) -> Response:
    """Pay a session as its page would: `{"number", "authenticated": true | false | null}`."""
    body = sent()
    number = str(body.get("number") or "4242424242424242")
    with current().store.write() as db:
        session = find(db, "checkout.session", identifier)
        try:
            card = cards.parse(number, "12/40", "123", str(body.get("name") or ""), now=now())
        except CardRefused as refused:
            abort(400, str(refused))
        result = checkout.pay(db, session, card, now=now(), authenticated=body.get("authenticated"))
        return jsonify(
            **_result(result), session=shown(db, find(db, session["object"], identifier))
        )


@control.post("/clocks/<identifier>/advance")
def advance(identifier: str) -> Response:
    """Send a test clock forward by `{"seconds"}`, or `{"to": "next-renewal"}` and its draft's hour.

    The answer is the clock, ``advancing``; the limits are those of the API.
    """
    body = sent()
    with current().store.write() as db:
        clock = find(db, clocks.KIND, identifier)
        seconds = body.get("seconds")
        if body.get("to") == "next-renewal":
            target = advancing.next_renewal(db, clock)
        elif isinstance(seconds, int) and not isinstance(seconds, bool):
            target = clock["frozen_time"] + seconds
        else:
            abort(400, 'Send {"seconds": 3600} or {"to": "next-renewal"}.')
        return jsonify(shown(db, advancing.advance(db, clock, target)))


def _result(result: PayResult) -> Json:
    return {"kind": result.kind, "message": result.message, "code": result.code}
