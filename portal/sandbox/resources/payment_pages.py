"""Paying a Checkout Session without its page, as fixtures of the Stripe CLI do."""

from __future__ import annotations

from portal.sandbox import money
from portal.sandbox.call import Call, Json, operation
from portal.sandbox.engine import cards, checkout
from portal.sandbox.errors import StripeError, invalid
from portal.sandbox.resources import common
from portal.sandbox.resources.payment_methods import virtual
from portal.sandbox.store import Record


@operation("SandboxGetPaymentPagesSession")
def retrieve(call: Call) -> Json:
    """Return the session behind a payment page."""
    return common.show(call, common.from_path(call, "checkout.session"))


@operation("SandboxPostPaymentPagesSessionConfirm", "payment_method expected_amount")
def confirm(call: Call) -> Json:
    """Press the page's button with a card that belongs to nobody yet.

    :raise StripeError: 402 for a card that is declined or asks for 3-D Secure, 400 for another
        amount than the page shows
    """
    session = common.from_path(call, "checkout.session")
    if session["status"] != "open":
        raise invalid(
            f"This Checkout Session is not open: it has a status of `{session['status']}`.",
            code="checkout_not_active_session",
        )
    if call.params["expected_amount"] != session["amount_total"]:
        shown = money.display(session["amount_total"], session["currency"])
        raise invalid(
            f"The amount of this Checkout Session is {shown}.", "expected_amount",
            "checkout_amount_mismatch",
        )  # fmt: skip
    method = _method(call, session)
    result = checkout.pay(
        call.db,
        session,
        cards.from_record(method),
        now=call.now,
        email=method["billing_details"]["email"],
        method=method,
    )
    if result.kind == "paid":
        return common.show(call, call.db.need("checkout.session", call.account, session["id"]))
    code = result.code or ("authentication_required" if result.kind == "requires_action" else None)
    message = result.message or "This card needs 3-D Secure: pay on the session's page."
    raise StripeError(402, message, type="card_error", code=code, decline_code=result.decline_code)


def _method(call: Call, session: Record) -> Record:
    method = virtual(call, call.params["payment_method"], "payment_method")
    if method["customer"] is not None or method.get("_detached"):
        raise invalid(
            "The payment method you provided has already been attached to a customer.",
            "payment_method",
            "payment_method_unexpected_state",
        )
    if session["customer"] is None and not (
        session["customer_email"] or method["billing_details"]["email"]
    ):
        raise invalid(
            "You must provide an email: the session has no customer.",
            "payment_method",
            "email_invalid",
        )
    return method
