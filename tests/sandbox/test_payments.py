"""Cards at Checkout, at renewals, on the invoice page and in the Customer Portal."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import stripe

from portal.sandbox.engine import cards, invoices, portal
from portal.sandbox.engine.cards import Card, CardRefused
from portal.sandbox.store import Db
from tests.sandbox.conftest import START, World


def card(number: str) -> Card:
    return cards.parse(number, "12 / 40", "123", "Ada", now=START)


@contextmanager
def writing(world: World) -> Iterator[Db]:
    with world.app.extensions["sandbox"].store.write() as db:
        yield db


@pytest.mark.parametrize(
    ("number", "code"),
    [
        ("4000000000000002", "card_declined"),
        ("4000000000009995", "card_declined"),
        ("4000000000000069", "expired_card"),
        ("4000000000000127", "incorrect_cvc"),
        ("4000000000000119", "processing_error"),
        ("4000000000000341", "card_declined"),
    ],
)
def test_a_declined_card_leaves_the_session_open_and_nothing_behind(
    world: World, number: str, code: str
) -> None:
    session = world.session(world.licensed())
    result = world.pay(session, number=number)
    assert (result["kind"], result["code"]) == ("declined", code)
    assert result["session"]["status"] == "open"
    for kind in ("subscription", "invoice", "payment_method", "payment_intent"):
        assert world.look(f"/objects?kind={kind}") == []


@pytest.mark.parametrize("number", ["4000002500003155", "4000002760003184", "4000000000003220"])
def test_three_d_secure_is_asked_for_and_may_fail(world: World, number: str) -> None:
    session = world.session(world.licensed())
    assert world.pay(session, number=number)["kind"] == "requires_action"
    failed = world.pay(session, number=number, authenticated=False)
    assert failed["kind"] == "declined"
    assert "unable to authenticate" in failed["message"]
    assert world.pay(session, number=number, authenticated=True)["kind"] == "paid"


def test_authentication_may_be_followed_by_a_decline(world: World) -> None:
    session = world.session(world.licensed())
    result = world.pay(session, number="4000008260003178", authenticated=True)
    assert (result["kind"], result["message"]) == ("declined", "Your card has insufficient funds.")


@pytest.mark.parametrize(
    ("number", "status"),
    [
        ("4242424242424242", "active"),
        ("4000002500003155", "active"),
        ("4000003800000446", "active"),
        ("4000002760003184", "past_due"),
    ],
)
def test_a_renewal_depends_on_the_card(world: World, number: str, status: str) -> None:
    session = world.session(world.licensed())
    assert world.pay(session, number=number, authenticated=True)["kind"] == "paid"
    subscription = world.api.v1.subscriptions.list().data[0]
    world.clock.advance(10)
    invoice = world.control(f"/subscriptions/{subscription.id}/end-period")["invoice"]
    world.control(f"/invoices/{invoice['id']}/finalize")
    assert world.api.v1.subscriptions.retrieve(subscription.id).status == status
    asked = "invoice.payment_action_required" in world.event_types()
    assert asked is (status == "past_due")


def test_a_session_without_customer_makes_one(world: World) -> None:
    subscription = world.subscribe(world.licensed(), customer_email="new@example.com")
    customer = world.api.v1.customers.retrieve(str(subscription.customer))
    assert (customer.email, customer.currency) == ("new@example.com", "usd")
    with pytest.raises(stripe.InvalidRequestError, match="cannot combine currencies"):
        world.session(world.licensed(500, "jpy"), customer=customer.id)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"line_items": [{"price": "METERED", "quantity": 1}]}, "line_items[0][quantity]"),
        ({"line_items": [{"price": "LICENSED"}]}, "line_items[0][quantity]"),
        ({"line_items": [{"price": "price_x", "quantity": 1}]}, "line_items[0][price]"),
        ({"customer_email": "a@example.com"}, "customer_email"),
        ({"customer": "cus_x"}, "customer"),
        ({"expires_at": START + 1799}, "expires_at"),
        ({"expires_at": START + 86_401}, "expires_at"),
        ({"success_url": "portal.test"}, "success_url"),
        ({"mode": "payment"}, "mode"),
        ({"ui_mode": "hosted"}, "ui_mode"),
        ({"payment_method_types": ["card", "paypal"]}, "payment_method_types"),
        ({"success_url": "https://portal.test/" + "a" * 5000}, "success_url"),
        ({"customer": None, "customer_email": "nobody"}, "customer_email"),
        ({"currency": "eur"}, "currency"),
        ({"line_items": [{"price": "LICENSED", "quantity": 1}] * 2}, "line_items"),
    ],
)
def test_a_session_that_makes_no_sense_is_refused(
    world: World, change: dict[str, Any], param: str
) -> None:
    licensed, metered = world.licensed(), world.metered()
    prices = {"METERED": metered.id, "LICENSED": licensed.id}
    wanted = {"customer": _customer(world), **change}
    if "line_items" in wanted:
        lines = wanted["line_items"]
        wanted["line_items"] = [
            {**each, "price": prices.get(each["price"], each["price"])} for each in lines
        ]
    if wanted["customer"] is None:
        del wanted["customer"]
    with pytest.raises(stripe.InvalidRequestError) as refused:
        world.session(licensed, **wanted)
    assert refused.value.param == param
    assert world.look("/objects?kind=checkout.session") == []


def _customer(world: World) -> str:
    return world.api.v1.customers.create({"email": "dev@example.com"}).id


def test_less_than_the_minimum_charge_can_not_be_sold(world: World) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        world.session(world.licensed(49))
    assert refused.value.code == "amount_too_small"
    assert world.session(world.licensed(50)).amount_total == 50


def test_an_account_that_can_not_charge_sells_nothing(world: World) -> None:
    world.control(f"/accounts/{world.account}", charges_enabled=False)
    with pytest.raises(stripe.InvalidRequestError, match="cannot currently make"):
        world.session(world.licensed())


@pytest.mark.parametrize(
    ("number", "exp", "cvc"),
    [
        ("4111111111111111", "12/40", "123"),
        ("4242 4242 4242 4241", "12/40", "123"),
        ("4242424242424242", "01/20", "123"),
        ("4242424242424242", "13/40", "123"),
        ("4242424242424242", "soon", "123"),
        ("4242424242424242", "12/40", "12"),
    ],
)
def test_only_test_cards_with_a_future_date_are_taken(number: str, exp: str, cvc: str) -> None:
    with pytest.raises(CardRefused):
        cards.parse(number, exp, cvc, "Ada", now=START)


def test_a_real_card_number_is_refused_and_stored_nowhere(world: World) -> None:
    number = "4532015112830366"
    with pytest.raises(stripe.CardError, match="test card"):
        world.api.v1.payment_methods.create(
            {
                "type": "card",
                "card": {"number": number, "exp_month": 12, "exp_year": 2040, "cvc": "123"},
            }
        )
    world.look("/requests")
    store = world.app.extensions["sandbox"].store
    with store.read() as db:
        dump = "\n".join(db.connection.iterdump())
    assert number not in dump


def test_virtual_cards_become_real_ones_when_attached(world: World) -> None:
    customer = _customer(world)
    attach = world.api.v1.payment_methods.attach
    visa = attach("pm_card_visa", {"customer": customer})
    assert visa.id.startswith("pm_1")
    assert (visa.customer, visa.card and visa.card.last4) == (customer, "4242")
    for name in ("pm_card_chargeDeclined", "pm_card_visa_chargeDeclinedInsufficientFunds"):
        with pytest.raises(stripe.CardError) as declined:
            attach(name, {"customer": customer})
        assert declined.value.code == "card_declined"
    attach("pm_card_chargeCustomerFail", {"customer": customer})
    assert len(world.api.v1.customers.payment_methods.list(customer).data) == 2
    with pytest.raises(stripe.InvalidRequestError):
        attach("pm_card_nonsense", {"customer": customer})
    detached = world.api.v1.payment_methods.detach(visa.id)
    assert detached.customer is None
    with pytest.raises(stripe.InvalidRequestError, match="may not be used again"):
        attach(visa.id, {"customer": customer})


def _overdue(world: World, outcome: str = "card_declined") -> tuple[stripe.Subscription, str]:
    subscription = world.subscribe(world.licensed())
    world.clock.advance(10)
    world.control(f"/subscriptions/{subscription.id}/fail-next-charge", outcome=outcome)
    invoice = world.control(f"/subscriptions/{subscription.id}/end-period")["invoice"]
    world.control(f"/invoices/{invoice['id']}/finalize")
    return subscription, invoice["id"]


def test_the_invoice_page_brings_a_subscription_back(world: World) -> None:
    subscription, invoice_id = _overdue(world, "requires_action")
    shown = world.api.v1.invoices.retrieve(invoice_id)
    assert shown.hosted_invoice_url is not None
    account, token = shown.hosted_invoice_url.split("/")[-2:]
    with writing(world) as db:
        invoice = invoices.find_by_token(db, account, token)
        assert invoice is not None
        declined = invoices.pay(db, invoice, card("4000000000000002"), now=world.clock.now())
        assert declined.kind == "declined"
    with writing(world) as db:
        invoice = invoices.find_by_token(db, account, token)
        assert invoice is not None
        paid = invoices.pay(db, invoice, card("5555555555554444"), now=world.clock.now())
        assert paid.kind == "paid"
        assert invoices.pay(db, invoice, None, now=world.clock.now()).kind == "paid"
    now = world.api.v1.subscriptions.retrieve(
        subscription.id, {"expand": ["default_payment_method"]}
    )
    assert now.status == "active"
    assert isinstance(now.default_payment_method, stripe.PaymentMethod)
    assert now.default_payment_method.card is not None
    assert now.default_payment_method.card.brand == "mastercard"
    types = world.event_types()
    assert types.count("invoice.payment_succeeded") == 2


def _portal(world: World, customer: str, **features: Any) -> str:
    configuration = world.api.v1.billing_portal.configurations.create(
        {
            "features": {
                "invoice_history": {"enabled": True},
                "payment_method_update": {"enabled": True},
                "subscription_cancel": {"enabled": True, "mode": "at_period_end"},
                **features,
            }
        }
    )
    session = world.api.v1.billing_portal.sessions.create(
        {
            "customer": customer,
            "configuration": configuration.id,
            "return_url": "https://portal.test/",
        }
    )
    return session.url.rpartition("/")[2]


def test_a_new_card_in_the_portal_pays_what_is_overdue(world: World) -> None:
    subscription, invoice_id = _overdue(world)
    token = _portal(world, str(subscription.customer))
    with writing(world) as db:
        ps = portal.open_session(db, token, now=world.clock.now())
        assert [each["status"] for each in portal.subscriptions(db, ps)] == ["past_due"]
        result = portal.add_card(db, ps, card("4242424242424242"), now=world.clock.now())
    assert result.kind == "paid"
    assert world.api.v1.invoices.retrieve(invoice_id).status == "paid"
    assert world.api.v1.subscriptions.retrieve(subscription.id).status == "active"


def test_the_portal_cancels_flexible_subscriptions_by_date(world: World) -> None:
    subscription = world.subscribe(world.licensed())
    end = subscription["items"].data[0].current_period_end
    token = _portal(world, str(subscription.customer))
    with writing(world) as db:
        ps = portal.open_session(db, token, now=world.clock.now())
        portal.cancel(db, ps, subscription.id, reason="unused", now=world.clock.now())
    planned = world.api.v1.subscriptions.retrieve(subscription.id)
    assert (planned.status, planned.cancel_at, planned.cancel_at_period_end) == (
        "active",
        end,
        False,
    )
    assert planned.cancellation_details is not None
    assert planned.cancellation_details.feedback == "unused"
    with writing(world) as db:
        ps = portal.open_session(db, token, now=world.clock.now())
        portal.undo_cancel(db, ps, subscription.id, now=world.clock.now())
    assert world.api.v1.subscriptions.retrieve(subscription.id).cancel_at is None
    with writing(world) as db:
        ps = portal.open_session(db, token, now=world.clock.now())
        portal.cancel(db, ps, subscription.id, reason="unused", now=world.clock.now())
    world.tick(end - world.clock.now())
    ended = world.api.v1.subscriptions.retrieve(subscription.id)
    assert (ended.status, ended.ended_at) == ("canceled", end)
    assert world.event_types()[-1] == "customer.subscription.deleted"


def test_a_portal_session_is_for_one_customer_and_not_for_long(world: World) -> None:
    mine, theirs = world.subscribe(world.licensed()), world.subscribe(world.licensed())
    token = _portal(world, str(mine.customer), subscription_cancel={"enabled": False})
    now = world.clock.now()
    with writing(world) as db:
        ps = portal.open_session(db, token, now=now)
        assert [each["id"] for each in portal.subscriptions(db, ps)] == [mine.id]
        with pytest.raises(portal.PortalRefused):
            portal.cancel(db, ps, mine.id, reason=None, now=now)
        with pytest.raises(portal.PortalRefused):
            portal.open_session(db, "test_unknown", now=now)
    with writing(world) as db, pytest.raises(portal.PortalRefused, match="expired"):
        portal.open_session(db, token, now=now + 3601)
    second = _portal(world, str(mine.customer))
    with writing(world) as db, pytest.raises(portal.PortalRefused, match="expired"):
        portal.open_session(db, second, now=now + 301)
    third = _portal(world, str(mine.customer))
    with writing(world) as db:
        ps = portal.open_session(db, third, now=now)
        with pytest.raises(portal.PortalRefused, match="no such"):
            portal.cancel(db, ps, theirs.id, reason=None, now=now)
