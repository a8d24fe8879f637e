from dataclasses import replace
from decimal import Decimal

import pytest

from portal.billing.engine import CheckoutState
from portal.errors import BillingEngineError, EngineObjectMissing, EngineUnavailable, Invalid
from portal.rating import Tier
from tests.contract.conftest import CUSTOMER, FIXED, METER, PRODUCT

BACK = "https://portal.example"


def test_a_product_has_the_id_that_the_portal_chose(world, engine, seller):
    assert seller.product() == "prod_weather"
    renamed = replace(PRODUCT, name="Weather 2.0")
    assert engine.ensure_product(world.account, renamed, key="another") == "prod_weather"
    assert world.count("products") == 1


def test_a_meter_is_found_by_its_event_name(world, engine, seller):
    first = seller.meter()
    assert engine.ensure_meter(world.account, METER, key="another") == first
    assert seller.meter() == first
    assert world.count("meters") == 1


def test_a_price_is_found_by_its_lookup_key(world, seller):
    first = seller.price()
    assert seller.price() == first
    assert seller.price(key="another") == first
    assert world.count("prices") == 1


def test_another_lookup_key_is_another_price(seller):
    assert seller.price() != seller.price(replace(FIXED, lookup_key="apim:2"), key="2")


@pytest.mark.parametrize(
    "change", [{"unit_minor": Decimal(1)}, {"currency": "eur"}, {"interval": "year"}]
)
def test_a_lookup_key_never_stands_for_two_prices(seller, change):
    seller.price()
    with pytest.raises(BillingEngineError):
        seller.price(replace(FIXED, **change), key="another")


def test_a_fixed_price_is_whole(seller):
    with pytest.raises(Invalid):
        seller.price(replace(FIXED, unit_minor=Decimal("9.5")))


def test_a_metered_price_needs_its_meter(seller):
    spec = replace(seller.metered(), meter_id=None)
    with pytest.raises(BillingEngineError):
        seller.price(spec)
    with pytest.raises(EngineObjectMissing):
        seller.price(replace(spec, meter_id="mtr_unknown"))


@pytest.mark.parametrize("unit", ["0.25", "0.000000000001", "100", "12.5"])
def test_a_price_per_request_is_exact(world, engine, seller, unit):
    subscription = seller.bought(replace(seller.metered(), unit_minor=Decimal(unit)))
    seller.use(1)
    line = engine.preview(world.account, subscription).lines[0]
    assert line.unit_minor == Decimal(unit)


def test_an_archived_price_is_not_sold_and_can_be_offered_again(world, engine, seller):
    spec = seller.page_spec()
    engine.archive_price(world.account, spec.price_id)
    with pytest.raises(BillingEngineError):
        engine.open_checkout(world.account, spec, key="page")
    assert seller.price(key="price:apim:weather:bronze:1") == spec.price_id
    opened = engine.open_checkout(world.account, spec, key="page again")
    assert opened.state is CheckoutState.OPEN


def test_everything_archived_comes_back_with_the_same_keys(world, engine, seller):
    spec = seller.page_spec()
    engine.archive_price(world.account, spec.price_id)
    engine.archive_product(world.account, PRODUCT.product_id)
    assert seller.page().state is CheckoutState.OPEN
    assert (world.count("products"), world.count("prices")) == (1, 1)


def test_archiving_twice_or_what_never_was_counts_as_done(world, engine, seller):
    price = seller.price()
    for _ in range(2):
        assert engine.archive_price(world.account, price) is None
        assert engine.archive_product(world.account, PRODUCT.product_id) is None
    assert engine.archive_price(world.account, "price_unknown") is None
    assert engine.archive_product(world.account, "prod_unknown") is None


def test_archiving_a_price_does_not_end_its_subscriptions(world, engine, seller):
    subscription = seller.bought()
    engine.archive_price(world.account, seller.price())
    assert engine.subscription(world.account, subscription).status.is_good
    world.renew(subscription)
    assert engine.subscription(world.account, subscription).status.is_good


def test_one_portal_configuration_for_each_account(world, engine):
    first = engine.ensure_portal_configuration(world.account, return_url=BACK, key="1")
    again = engine.ensure_portal_configuration(
        world.account, return_url="https://b.example", key="2"
    )
    assert first == again
    assert world.count("portals") == 1


def test_a_portal_address_is_new_each_time(world, engine, seller):
    made = engine.ensure_portal_configuration(world.account, return_url=BACK, key="1")
    urls = {
        engine.portal_url(world.account, seller.customer(), configuration=made, return_url=BACK)
        for _ in range(2)
    }
    assert len(urls) == 2
    assert all(url.startswith("http") for url in urls)


def test_a_portal_needs_a_customer_of_this_account(world, engine):
    made = engine.ensure_portal_configuration(world.account, return_url=BACK, key="1")
    with pytest.raises(EngineObjectMissing):
        engine.portal_url(world.account, "cus_unknown", configuration=made, return_url=BACK)


def test_one_key_makes_one_customer(world, engine, seller):
    first = seller.customer()
    assert seller.customer() == first
    assert seller.customer("another") != first
    assert world.count("customers") == 2
    with pytest.raises(BillingEngineError):
        engine.ensure_customer(world.account, replace(CUSTOMER, name="Other"), key="customer")


def test_accounts_do_not_share_what_they_hold(world, engine, seller):
    spec = seller.page_spec()
    with pytest.raises(EngineObjectMissing):
        engine.open_checkout(world.other_account, spec, key="page")
    assert engine.ensure_product(world.other_account, PRODUCT, key="product") == "prod_weather"
    assert engine.ensure_customer(world.other_account, CUSTOMER, key="customer") != spec.customer_id


@pytest.mark.parametrize("kind", ["products", "meters", "prices", "customers", "pages", "portals"])
def test_after_a_lost_answer_the_same_call_finds_what_was_made(world, engine, seller, kind):
    spec = seller.page_spec() if kind == "pages" else None
    if kind == "prices":
        seller.product()
    calls = {
        "products": seller.product,
        "meters": seller.meter,
        "prices": lambda: engine.ensure_price(world.account, FIXED, key="k"),
        "customers": seller.customer,
        "pages": lambda: engine.open_checkout(world.account, spec, key="k").session_id,
        "portals": lambda: engine.ensure_portal_configuration(
            world.account, return_url=BACK, key="k"
        ),
    }
    world.lose_next_answer()
    with pytest.raises(EngineUnavailable):
        calls[kind]()
    found = calls[kind]()
    assert found == calls[kind]()
    assert world.count(kind) == 1


TIERS = (
    Tier(up_to=1000, flat_minor=Decimal(500)),
    Tier(up_to=10_000, unit_minor=Decimal("0.4")),
    Tier(up_to=None, unit_minor=Decimal("0.000000000001")),
)


@pytest.mark.parametrize("is_volume", [False, True], ids=["graduated", "volume"])
def test_a_tiered_price_is_found_again_and_another_under_its_name_is_refused(
    world, engine, seller, is_volume
):
    seller.product()
    spec = replace(seller.metered(), unit_minor=Decimal(0), tiers=TIERS, is_volume=is_volume)
    made = engine.ensure_price(world.account, spec, key="tiers")
    engine.archive_price(world.account, made)
    assert engine.ensure_price(world.account, spec, key="again") == made
    assert world.count("prices") == 1
    for other in (
        replace(spec, is_volume=not is_volume),
        replace(spec, tiers=(replace(TIERS[0], flat_minor=Decimal(501)), *TIERS[1:])),
        replace(spec, tiers=(), unit_minor=Decimal("0.25")),
    ):
        with pytest.raises(BillingEngineError):
            engine.ensure_price(world.account, other, key="other")
