"""Going through everything that an account holds, as reconciliation does."""

from dataclasses import replace

import pytest

from portal.billing.engine import EngineStatus
from portal.errors import EngineAccessDenied, EngineUnavailable
from tests.contract.conftest import FIXED, METER, PRODUCT


def test_a_subscription_is_listed_until_it_ends(world, engine, seller):
    subscription = seller.bought()
    (found,) = engine.living_subscriptions(world.account)
    assert (found.subscription_id, found.status) == (subscription, EngineStatus.ACTIVE)
    assert found == engine.subscription(world.account, subscription)
    assert found.reference == "11111111-2222-3333-4444-555555555555"
    assert found.created is not None
    assert list(engine.living_subscriptions(world.other_account)) == []

    engine.cancel_subscription(world.account, subscription)
    assert list(engine.living_subscriptions(world.account)) == []


def test_a_payment_page_is_listed_while_it_is_open(world, engine, seller):
    first, second = seller.page(key="one"), seller.page(key="two")
    listed = {page.session_id for page in engine.open_checkouts(world.account)}
    assert listed == {first.session_id, second.session_id}

    world.pay(first.session_id)
    engine.expire_checkout(world.account, second.session_id)
    assert list(engine.open_checkouts(world.account)) == []


def test_what_is_sold_is_listed_whether_it_is_archived_or_not(world, engine, seller):
    price_id = seller.price(seller.metered(), key="metered")
    (price,) = engine.prices(world.account)
    (product,) = engine.products(world.account)
    (meter,) = engine.meters(world.account)
    assert (price.price_id, price.product_id) == (price_id, PRODUCT.product_id)
    assert (price.lookup_key, str(price.unit_minor)) == ("apim:weather:payg:1", "0.25")
    assert (price.currency, price.interval) == ("usd", "month")
    assert price.meter_id == meter.meter_id
    assert dict(price.metadata) == dict(FIXED.metadata)
    assert (meter.event_name, meter.active) == (METER.event_name, True)
    assert dict(product.metadata) == dict(PRODUCT.metadata)
    assert (price.active, product.active) == (True, True)

    engine.archive_price(world.account, price_id)
    engine.archive_product(world.account, PRODUCT.product_id)
    assert [each.active for each in engine.prices(world.account)] == [False]
    assert [each.active for each in engine.products(world.account)] == [False]


def test_more_than_one_page_of_them_is_listed_whole(world, engine, seller):
    made = {
        seller.price(replace(FIXED, lookup_key=f"apim:weather:{number}"), key=f"price{number}")
        for number in range(120)
    }
    assert {price.price_id for price in engine.prices(world.account)} == made


def test_an_event_that_no_webhook_took_is_listed_as_the_webhook_would_have_got_it(
    world, engine, seller
):
    page = seller.page()
    world.signed()
    assert list(engine.undelivered_events(world.account)) == []

    world.deliver_nothing()
    world.pay(page.session_id)
    world.signed()
    found = [engine.translate_event(body) for body in engine.undelivered_events(world.account)]
    assert {event.account for event in found} == {world.account}
    assert {event.type for event in found} == {
        "checkout.session.completed",
        "invoice.payment_succeeded",
    }
    assert list(engine.undelivered_events(world.other_account)) == []


@pytest.mark.parametrize(
    "method",
    [
        "living_subscriptions",
        "open_checkouts",
        "products",
        "prices",
        "meters",
        "undelivered_events",
    ],
)
def test_a_list_that_is_refused_or_not_answered_is_no_empty_list(world, engine, method):
    with pytest.raises(EngineAccessDenied):
        list(getattr(engine, method)(world.stranger))
    world.go_down()
    with pytest.raises(EngineUnavailable):
        list(getattr(engine, method)(world.account))
