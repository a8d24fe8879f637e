"""Hosted Checkout: `/c/pay/{session}` and its 3-D Secure page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import Response, make_response, render_template, request, url_for
from werkzeug.wrappers import Response as Answer

from portal.sandbox import money
from portal.sandbox.engine import checkout, lines
from portal.sandbox.engine.cards import Card
from portal.sandbox.engine.results import PayResult
from portal.sandbox.pages import cardform
from portal.sandbox.pages.cardform import CardForm, Step
from portal.sandbox.pages.web import (
    hosted,
    leave_to,
    link,
    message,
    now,
    reading,
    see_other,
    seller_of,
    time_of,
    writing,
)
from portal.sandbox.store import Db, Record

_TEMPLATE = "{CHECKOUT_SESSION_ID}"


@dataclass(frozen=True, slots=True)
class Purchase:
    """A session as its page shows it."""

    session: Record
    seller: dict[str, str]
    items: list[dict[str, Any]]
    email: str | None
    now: int
    code: str = ""

    @property
    def button(self) -> str:
        """Return the text of the button."""
        return "Subscribe" if self.session.get("mode", "subscription") == "subscription" else "Pay"

    @property
    def title(self) -> str:
        """Return what is bought, in a few words."""
        verb = "Subscribe to" if self.button == "Subscribe" else "Pay"
        return f"{verb} {self.items[0]['name']}" if len(self.items) == 1 else self.button


def look_up(db: Db, session_id: str) -> Purchase | None:
    """Return what the page behind an address sells."""
    session = checkout.find(db, session_id)
    if session is None:
        return None
    email = session["customer_email"]
    if session["customer"]:
        customer = db.get("customer", session["_account"], session["customer"])
        email = customer["email"] if customer else email
    items = [describe_item(db, session, item) for item in session["_items"]]
    wanted = (session.get("_discount") or {}).get("promotion_code")
    code = db.get("promotion_code", session["_account"], wanted) if wanted else None
    seller, at = seller_of(db, session["_account"]), time_of(db, session)
    return Purchase(session, seller, items, email, at, code["code"] if code else "")


def describe_item(db: Db, owner: Record, item: dict[str, Any]) -> dict[str, Any]:
    """Return an item of a session or subscription in words: name, unit price, rhythm."""
    price = db.need("price", owner["_account"], item["price"])
    product = db.need("product", owner["_account"], price["product"])
    metered = lines.is_metered(price)
    return {
        "name": product["name"],
        "about": product.get("description"),
        "price": _price_text(price, product, metered),
        "every": _every(price),
        "metered": metered,
        "quantity": item.get("quantity"),
        "today": None if metered else money.display(item.get("amount") or 0, price["currency"]),
    }


def _price_text(price: Record, product: Record, metered: bool) -> str:
    if price["billing_scheme"] == "tiered":
        first = price["tiers"][0]["unit_amount_decimal"] or "0"
        text = f"from {lines.unit_display(first, price['currency'])}"
    else:
        text = lines.unit_display(price["unit_amount_decimal"], price["currency"])
    return f"{text} per {product.get('unit_label') or 'unit'}" if metered else text


def _every(price: Record) -> str:
    rhythm = price["recurring"]
    if rhythm is None:
        return ""
    count = rhythm["interval_count"]
    return rhythm["interval"] if count == 1 else f"{count} {rhythm['interval']}s"


def is_open(purchase: Purchase) -> bool:
    """Tell whether it can still be paid."""
    session = purchase.session
    return bool(session["status"] == "open" and session["expires_at"] > purchase.now)


def closed(purchase: Purchase | None) -> Response:
    """Say why a page can't be used any more."""
    if purchase is None:
        text = "Check the address, or go back to the shop and start the payment again."
        return message("This payment link does not exist", text, status=404)
    session = purchase.session
    if session["status"] == "complete":
        return message(
            "This payment is already complete",
            "There is nothing left to pay here.",
            tone="good", seller=purchase.seller,
            href=_success(session), label=f"Return to {purchase.seller['name']}",
        )  # fmt: skip
    return message(
        "This payment link has expired",
        f"Nothing was charged. Go back to {purchase.seller['name']} and start the payment again.",
        status=410, tone="warn", seller=purchase.seller,
        href=session["cancel_url"], label=f"Return to {purchase.seller['name']}",
    )  # fmt: skip


def _success(session: Record) -> str | None:
    # Stripe replaces the literal text only; an encoded %7B…%7D stays as it is.
    url = session["success_url"]
    return url.replace(_TEMPLATE, session["id"]) if url else None


def form_page(purchase: Purchase, form: CardForm, status: int = 200) -> Response:
    """Show what is bought, with the card form."""
    session = purchase.session
    leave_to(session["success_url"], session["cancel_url"])
    form.email = purchase.email or form.email
    body = render_template(
        "hosted/checkout.html",
        purchase=purchase, session=session, seller=purchase.seller, form=form,
        hints=cardform.hints(), back=link(session["cancel_url"]),
    )  # fmt: skip
    return make_response(body, status)


@hosted.get("/c/pay/<session_id>")
def checkout_page(session_id: str) -> Response:
    """Show what is bought and the card form; `?card=` fills in a test card without JavaScript."""
    with reading() as db:
        purchase = look_up(db, session_id)
    if purchase is None or not is_open(purchase):
        return closed(purchase)
    return form_page(purchase, CardForm.prefilled(request.args.get("card"), now=now()))


@hosted.post("/c/pay/<session_id>")
def checkout_pay(session_id: str) -> Answer:
    """Try to pay. A second press after success pays nothing and goes to the same place."""
    form = CardForm.read(request.form)
    with reading() as db:
        purchase = look_up(db, session_id)
    if purchase is None or not is_open(purchase):
        return _after(purchase, PayResult("closed"), form, None)
    form.email = purchase.email or form.email
    form.check_email()
    card = form.card(now=now())
    if card is None:
        return form_page(purchase, form, 422)
    return _pay(session_id, Step(card, form.email), form, None)


def _pay(session_id: str, step: Step, form: CardForm, authenticated: bool | None) -> Answer:
    card = step.card
    with writing() as db:
        purchase = look_up(db, session_id)
        if purchase is None or card is None:
            return closed(purchase)
        result = checkout.pay(
            db, purchase.session, card, now=now(), authenticated=authenticated, email=step.email
        )
    return _after(purchase, result, form, card)


def _after(
    purchase: Purchase | None, result: PayResult, form: CardForm, card: Card | None
) -> Answer:
    if purchase is None:
        return closed(None)
    session = purchase.session
    done = session["status"] == "complete"
    success = _success(session)
    if done and success and link(success):
        leave_to(success)
        return see_other(success)
    if result.kind == "requires_action" and card is not None:
        step = cardform.pack(session["id"], Step(card, form.email))
        return see_other(url_for("hosted.checkout_bank", session_id=session["id"], step=step))
    if result.kind == "declined":
        form.refuse(result.message, result.code)
        return form_page(purchase, form, 402)
    return closed(purchase)


@hosted.get("/c/pay/<session_id>/authenticate")
def checkout_bank(session_id: str) -> Answer:
    """Show the bank's 3-D Secure page."""
    step = cardform.unpack(session_id, request.args.get("step", ""))
    with reading() as db:
        purchase = look_up(db, session_id)
    if purchase is None or not is_open(purchase):
        return closed(purchase)
    if step is None or step.card is None:
        return see_other(url_for("hosted.checkout_page", session_id=session_id))
    session = purchase.session
    leave_to(session["success_url"])
    what = money.display(session["amount_total"], session["currency"])
    return cardform.ask_bank(purchase.seller, ("Amount", what), step.label)


@hosted.post("/c/pay/<session_id>/authenticate")
def checkout_bank_answer(session_id: str) -> Answer:
    """Go on with what the customer chose at the bank's page; walking away changes nothing."""
    step = cardform.unpack(session_id, request.args.get("step", ""))
    chosen = cardform.outcome(request.form)
    if step is None or chosen is None:
        return see_other(url_for("hosted.checkout_page", session_id=session_id))
    form = CardForm(email=step.email, name=step.holder)
    return _pay(session_id, step, form, chosen)
