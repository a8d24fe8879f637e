"""Products, prices and meters: what may be sold, and what an amount may be."""

from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import World


def product(world: World) -> str:
    return world.api.v1.products.create({"name": "API"}).id


def price(world: World, **fields: Any) -> stripe.Price:
    base: dict[str, Any] = {"currency": "usd", "recurring": {"interval": "month"}}
    if "product" not in fields:
        base["product"] = product(world)
    return world.api.v1.prices.create({**base, **fields})  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("sent", "unit_amount", "unit_amount_decimal"),
    [
        ({"unit_amount": 1500}, 1500, "1500"),
        ({"unit_amount_decimal": "0.25"}, None, "0.25"),
        ({"unit_amount_decimal": "12.000"}, 12, "12"),
        ({"unit_amount_decimal": "0.000000000001"}, None, "0.000000000001"),
        ({"unit_amount": 0}, 0, "0"),
        ({"unit_amount": 99_999_999}, 99_999_999, "99999999"),
        ({"unit_amount": 500, "currency": "JPY"}, 500, "500"),
        ({"unit_amount": 1050, "currency": "kwd"}, 1050, "1050"),
        ({"unit_amount": 500, "currency": "isk"}, 500, "500"),
    ],
)
def test_amounts_come_back_exactly(
    world: World, sent: dict[str, Any], unit_amount: int | None, unit_amount_decimal: str
) -> None:
    made = price(world, **sent)
    assert made.unit_amount == unit_amount
    assert format(made.unit_amount_decimal, "f") == unit_amount_decimal
    assert made.currency == sent.get("currency", "usd").lower()


@pytest.mark.parametrize(
    ("sent", "param"),
    [
        ({}, "unit_amount"),
        ({"unit_amount": 1, "unit_amount_decimal": "1"}, "unit_amount"),
        ({"unit_amount": -1}, "unit_amount"),
        ({"unit_amount": 100_000_000}, "unit_amount"),
        ({"unit_amount_decimal": "0.0000000000001"}, "unit_amount_decimal"),
        ({"unit_amount_decimal": "1E-12"}, "unit_amount_decimal"),
        ({"unit_amount": 1055, "currency": "kwd"}, "unit_amount"),
        ({"unit_amount": 550, "currency": "isk"}, "unit_amount"),
        ({"unit_amount": 1, "currency": "dollars"}, "currency"),
        ({"unit_amount": 1, "recurring": {"interval": "fortnight"}}, "recurring[interval]"),
        (
            {"unit_amount": 1, "recurring": {"interval": "month", "interval_count": 37}},
            "recurring[interval_count]",
        ),
        (
            {"unit_amount": 1, "recurring": {"interval": "month", "usage_type": "metered"}},
            "recurring[meter]",
        ),
        ({"unit_amount": 1, "product": "prod_x"}, "product"),
        ({"unit_amount": 1, "tiers_mode": "volume"}, "tiers_mode"),
    ],
)
def test_what_is_not_a_price_is_refused(world: World, sent: dict[str, Any], param: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        price(world, **sent)
    assert (refused.value.http_status, refused.value.param) == (400, param)
    assert world.api.v1.prices.list().data == []


def test_a_one_time_price_is_not_modelled(world: World) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        world.api.v1.prices.create({"product": product(world), "currency": "usd", "unit_amount": 1})
    assert refused.value.code == "sandbox_unsupported"


def test_a_metered_price_without_meter_is_refused_in_stripes_words(world: World) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="must be backed by meters"):
        price(world, unit_amount=1, recurring={"interval": "month", "usage_type": "metered"})


def test_an_amount_never_changes_and_a_price_is_never_deleted(world: World) -> None:
    made = price(world, unit_amount=1)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        world.api.v1.prices.update(made.id, {"unit_amount": 2})  # type: ignore[typeddict-unknown-key]
    assert refused.value.code == "parameter_unknown"
    archived = world.api.v1.prices.update(made.id, {"active": False, "nickname": "old"})
    assert (archived.active, archived.nickname, archived.unit_amount) == (False, "old", 1)


def test_a_lookup_key_is_unique_until_it_is_transferred(world: World) -> None:
    first = price(world, unit_amount=1, lookup_key="apim:a:b")
    with pytest.raises(stripe.InvalidRequestError) as taken:
        price(world, unit_amount=2, lookup_key="apim:a:b")
    assert taken.value.param == "lookup_key"
    second = price(world, unit_amount=2, lookup_key="apim:a:b", transfer_lookup_key=True)
    found = world.api.v1.prices.list({"lookup_keys": ["apim:a:b", "other"]}).data
    assert [each.id for each in found] == [second.id]
    assert world.api.v1.prices.retrieve(first.id).lookup_key is None


def test_prices_are_listed_by_what_they_are(world: World) -> None:
    metered = world.metered()
    licensed = price(world, unit_amount=1)
    meter = metered.recurring.meter if metered.recurring else None
    list_ = world.api.v1.prices.list
    assert [p.id for p in list_({"recurring": {"meter": str(meter)}}).data] == [metered.id]
    assert [p.id for p in list_({"recurring": {"usage_type": "licensed"}}).data] == [licensed.id]
    assert [p.id for p in list_({"product": str(licensed.product)}).data] == [licensed.id]
    assert list_({"active": False}).data == []
    assert list_({"currency": "eur"}).data == []


def test_tiers_are_shown_when_asked_for(world: World) -> None:
    made = price(
        world,
        billing_scheme="tiered",
        tiers_mode="graduated",
        tiers=[
            {"up_to": 1000, "unit_amount_decimal": "0"},
            {"up_to": "inf", "unit_amount_decimal": "0.1"},
        ],
    )
    assert (made.unit_amount, made.billing_scheme) == (None, "tiered")
    assert "tiers" not in made
    shown = world.api.v1.prices.retrieve(made.id, {"expand": ["tiers"]})
    assert shown.tiers is not None
    assert [tier.up_to for tier in shown.tiers] == [1000, None]
    for tiers in (
        [{"up_to": 10, "unit_amount": 1}],
        [{"up_to": "inf", "unit_amount": 1}, {"up_to": "inf", "unit_amount": 1}],
        [{"up_to": 10, "unit_amount": 1}, {"up_to": 5, "unit_amount": 1},
         {"up_to": "inf", "unit_amount": 1}],
        [{"up_to": "inf"}],
    ):  # fmt: skip
        with pytest.raises(stripe.InvalidRequestError):
            price(world, billing_scheme="tiered", tiers_mode="volume", tiers=tiers)


def test_a_product_with_prices_is_archived_and_not_deleted(world: World) -> None:
    made = price(world, unit_amount=1)
    with pytest.raises(stripe.InvalidRequestError, match="cannot be deleted"):
        world.api.v1.products.delete(str(made.product))
    unused = product(world)
    assert world.api.v1.products.delete(unused).deleted is True
    with pytest.raises(stripe.InvalidRequestError):
        world.api.v1.products.retrieve(unused)
    world.api.v1.products.update(str(made.product), {"active": False})
    with pytest.raises(stripe.InvalidRequestError):
        price(world, unit_amount=1, product=made.product)


def test_a_products_id_may_be_chosen_once_in_each_account(world: World) -> None:
    create: Any = {"id": "apim-weather-gold", "name": "Weather"}
    assert world.api.v1.products.create(create).id == "apim-weather-gold"
    assert world.platform_api.v1.products.create(create).id == "apim-weather-gold"
    customer = world.api.v1.customers.create({"email": "dev@example.com"})
    for taken in ("apim-weather-gold", customer.id, "a/b"):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            world.api.v1.products.create({"id": taken, "name": "Again"})
        assert refused.value.param == "id"
    world.api.v1.products.update("apim-weather-gold", {"active": False})
    assert world.platform_api.v1.products.retrieve("apim-weather-gold").active is True


def test_a_meters_keys_are_two(world: World) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="same key"):
        world.api.v1.billing.meters.create(
            {
                "display_name": "Calls",
                "event_name": "calls",
                "default_aggregation": {"formula": "sum"},
                "customer_mapping": {"type": "by_id", "event_payload_key": "who"},
                "value_settings": {"event_payload_key": "who"},
            }
        )


def test_an_event_name_stays_taken_and_an_inactive_meter_takes_nothing(world: World) -> None:
    create: Any = {
        "display_name": "Calls",
        "event_name": "calls",
        "default_aggregation": {"formula": "sum"},
    }
    meter = world.api.v1.billing.meters.create(create)
    with pytest.raises(stripe.InvalidRequestError) as taken:
        world.api.v1.billing.meters.create(create)
    assert taken.value.param == "event_name"
    off = world.api.v1.billing.meters.deactivate(meter.id)
    assert (off.status, off.status_transitions.deactivated_at) == ("inactive", world.clock.now())
    with pytest.raises(stripe.InvalidRequestError):
        world.api.v1.billing.meters.create(create)
    with pytest.raises(stripe.InvalidRequestError):
        world.api.v1.billing.meters.deactivate(meter.id)
    with pytest.raises(stripe.InvalidRequestError, match="inactive"):
        price(
            world,
            unit_amount=1,
            recurring={"interval": "month", "usage_type": "metered", "meter": meter.id},
        )
    on = world.api.v1.billing.meters.reactivate(meter.id)
    assert (on.status, on.status_transitions.deactivated_at) == ("active", None)
    renamed = world.api.v1.billing.meters.update(meter.id, {"display_name": "Requests"})
    assert renamed.display_name == "Requests"
    assert len(world.api.v1.billing.meters.list({"status": "active"}).data) == 1


@pytest.mark.parametrize("currency", ["xyz", "xxx", "eu"])
def test_a_currency_must_be_one_that_stripe_supports(world, currency):
    with pytest.raises(stripe.InvalidRequestError, match="Invalid currency"):
        world.licensed(100, currency)


@pytest.mark.parametrize("by", [0, -2])
def test_a_package_holds_at_least_one(world, by):
    product = world.api.v1.products.create({"name": "Rates"})
    with pytest.raises(stripe.InvalidRequestError) as refused:
        world.api.v1.prices.create(
            {
                "product": product.id,
                "currency": "usd",
                "unit_amount": 100,
                "recurring": {"interval": "month"},
                "transform_quantity": {"divide_by": by, "round": "up"},
            }
        )
    assert refused.value.param == "transform_quantity[divide_by]"


@pytest.mark.parametrize("text", ["<b>", "12345", "A*B", "It's"])
def test_a_statement_descriptor_is_plain(world, text):
    with pytest.raises(stripe.InvalidRequestError) as refused:
        world.api.v1.products.create({"name": "Rates", "statement_descriptor": text})
    assert refused.value.param == "statement_descriptor"


def test_a_get_has_no_body(world):
    answer = world.app.test_client().get(
        "/v1/products", data="limit=1", headers={"Authorization": f"Bearer {world.key}"}
    )
    assert answer.status_code == 400
