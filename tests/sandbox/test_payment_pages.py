"""Paying a session over the API, as fixtures of the Stripe CLI do; as strict as its page."""

from typing import Any

import pytest

from tests.sandbox.conftest import World
from tests.sandbox.test_spec_walk import send
from tests.sandbox.walk import Good


def confirm(
    world: World, session: str, method: str = "pm_card_visa", amount: int = 999
) -> tuple[int, Any]:
    pairs = {"payment_method": method, "expected_amount": str(amount)}
    return send(world, "POST", Good(f"/v1/payment_pages/{session}/confirm", pairs))


def test_a_confirmed_page_is_a_paid_session(world):
    opened = world.session(world.licensed())
    method = world.api.v1.payment_methods.create({"type": "card", "card": {"token": "tok_visa"}})
    status, body = confirm(world, opened.id, method.id)
    assert (status, body["status"], body["payment_status"]) == (200, "complete", "paid")
    subscription = world.api.v1.subscriptions.retrieve(body["subscription"])
    assert subscription.default_payment_method == method.id
    again, refused = confirm(world, opened.id)
    assert (again, refused["error"]["code"]) == (400, "checkout_not_active_session")


@pytest.mark.parametrize(
    ("method", "code"),
    [
        ("pm_card_visa_chargeDeclined", "card_declined"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card"),
        ("pm_card_authenticationRequired", "authentication_required"),
    ],
)
def test_a_card_that_fails_leaves_the_session_open(world, method, code):
    opened = world.session(world.licensed())
    status, body = confirm(world, opened.id, method)
    assert (status, body["error"]["code"]) == (402, code)
    assert world.api.v1.checkout.sessions.retrieve(opened.id).status == "open"
    assert world.api.v1.subscriptions.list().data == []


def test_the_expected_amount_must_be_the_one_that_is_shown(world):
    opened = world.session(world.licensed())
    status, body = confirm(world, opened.id, amount=998)
    assert (status, body["error"]["code"]) == (400, "checkout_amount_mismatch")


def test_a_card_of_somebody_is_not_taken(world):
    method = world.subscribe(world.licensed()).default_payment_method
    status, body = confirm(world, world.session(world.licensed()).id, str(method))
    assert (status, body["error"]["code"]) == (400, "payment_method_unexpected_state")


def test_somebody_has_to_pay(world):
    opened = world.api.v1.checkout.sessions.create(
        {
            "mode": "subscription",
            "line_items": [{"price": world.licensed().id, "quantity": 1}],
            "success_url": "https://portal.test/back",
        }
    )
    status, body = confirm(world, opened.id)
    assert (status, body["error"]["code"]) == (400, "email_invalid")
