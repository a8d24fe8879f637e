from dataclasses import replace
from datetime import timedelta

import pytest

from portal import clock
from portal.billing.engine import CheckoutState, EngineStatus, EventKind
from portal.errors import BillingEngineError, EngineObjectMissing

REFERENCE = "11111111-2222-3333-4444-555555555555"


def test_a_page_is_open_until_its_time(seller, world, engine):
    spec = seller.page_spec()
    page = engine.open_checkout(world.account, spec, key="page")
    assert page.state is CheckoutState.OPEN
    assert page.url.startswith("http")
    assert not page.is_paid
    assert page.expires_at == spec.expires_at
    assert (page.reference, page.customer_id) == (REFERENCE, spec.customer_id)
    assert page.subscription_id is None
    assert engine.checkout(world.account, page.session_id) == page


def test_one_key_opens_one_page(seller, world, engine):
    spec = seller.page_spec()
    first = engine.open_checkout(world.account, spec, key="page")
    world.wait(hours=1)
    assert engine.open_checkout(world.account, spec, key="page") == first
    assert world.count("pages") == 1
    assert engine.open_checkout(world.account, spec, key="other").session_id != first.session_id


def test_one_key_with_other_values_is_refused(seller, world, engine):
    spec = seller.page_spec()
    engine.open_checkout(world.account, spec, key="page")
    later = replace(spec, expires_at=spec.expires_at + timedelta(minutes=1))
    with pytest.raises(BillingEngineError):
        engine.open_checkout(world.account, later, key="page")


@pytest.mark.parametrize("hours", [0, 0.4, 25])
def test_a_page_is_open_for_half_an_hour_to_a_day(seller, world, engine, hours):
    spec = seller.page_spec(expires_at=clock.now() + timedelta(hours=hours))
    with pytest.raises(BillingEngineError):
        engine.open_checkout(world.account, spec, key="page")


@pytest.mark.parametrize("change", [{"price_id": "price_unknown"}, {"customer_id": "cus_unknown"}])
def test_a_page_for_what_is_not_there_is_refused(seller, world, engine, change):
    with pytest.raises(EngineObjectMissing):
        engine.open_checkout(world.account, seller.page_spec(**change), key="page")


def test_paying_makes_a_subscription_and_says_so(seller, world, engine):
    page = seller.page()
    world.pay(page.session_id)
    told = {event.kind: event for event in world.events() if event.kind}
    completed = told[EventKind.CHECKOUT_COMPLETED].checkout
    assert completed.session_id == page.session_id
    assert completed.is_paid
    assert completed.reference == REFERENCE
    assert told[EventKind.CHECKOUT_COMPLETED].account == world.account
    assert told[EventKind.CHECKOUT_COMPLETED].livemode is False
    found = engine.subscription(world.account, completed.subscription_id)
    assert found.status is EngineStatus.ACTIVE
    assert found.reference == REFERENCE
    assert found.price_id == seller.price()
    assert found.customer_id == page.customer_id
    assert found.period_start <= clock.now() < found.period_end
    assert found.cancel_at is None
    bill = told[EventKind.PAYMENT_SUCCEEDED].invoice
    assert (bill.status, bill.total, bill.currency) == ("paid", 999, "usd")
    assert bill.subscription_id == completed.subscription_id


def test_a_metered_page_is_paid_with_nothing_to_pay(seller, world, engine):
    page = seller.page(seller.metered())
    world.pay(page.session_id)
    paid = engine.checkout(world.account, page.session_id)
    assert paid.is_paid
    assert engine.subscription(world.account, paid.subscription_id).status.is_good


def test_a_paid_page_has_no_address_and_its_key_still_finds_it(seller, world, engine):
    spec = seller.page_spec()
    page = engine.open_checkout(world.account, spec, key="page")
    world.pay(page.session_id)
    again = engine.open_checkout(world.account, spec, key="page")
    assert again.session_id == page.session_id
    assert again.state is CheckoutState.COMPLETE
    assert again.url is None


def test_a_closed_page_cannot_be_paid_and_says_so(seller, world, engine):
    page = seller.page()
    closed = engine.expire_checkout(world.account, page.session_id)
    assert closed.state is CheckoutState.EXPIRED
    assert closed.url is None
    assert engine.checkout(world.account, page.session_id) == closed
    told = [event for event in world.events() if event.kind is EventKind.CHECKOUT_EXPIRED]
    assert [event.checkout.session_id for event in told] == [page.session_id]
    assert told[0].checkout.reference == REFERENCE
    assert told[0].subscription_id is None


def test_closing_twice_counts_as_done(seller, world, engine):
    page = seller.page()
    first = engine.expire_checkout(world.account, page.session_id)
    assert engine.expire_checkout(world.account, page.session_id) == first


def test_a_payment_that_won_the_race_is_told_by_closing(seller, world, engine):
    page = seller.page()
    world.pay(page.session_id)
    closed = engine.expire_checkout(world.account, page.session_id)
    assert closed.state is CheckoutState.COMPLETE
    assert closed.is_paid
    assert engine.subscription(world.account, closed.subscription_id).status.is_good


def test_a_page_expires_by_itself(seller, world, engine):
    page = seller.page()
    world.wait(hours=24)
    world.signed()
    assert engine.checkout(world.account, page.session_id).state is CheckoutState.EXPIRED


def test_another_account_knows_nothing_of_a_page(seller, world, engine):
    page = seller.page()
    for call in (engine.checkout, engine.expire_checkout):
        with pytest.raises(EngineObjectMissing):
            call(world.other_account, page.session_id)
    assert engine.checkout(world.account, page.session_id).state is CheckoutState.OPEN
