from dataclasses import replace
from decimal import Decimal

import pytest

from portal.billing.engine import MeterSpec, PriceSpec, ProductSpec, UsageType
from portal.errors import (
    BillingEngineError,
    EngineAccessDenied,
    EngineObjectMissing,
    EngineUnavailable,
    Invalid,
)
from tests.support.scripted_stripe import page

ACCOUNT = "acct_1"
PRODUCT = ProductSpec(product_id="prod_api1", name="Weather 1.0", metadata={"apim_api": "1"})
METER = MeterSpec(event_name="apim_1_gold", display_name="Weather")
FIXED = PriceSpec(
    product_id="prod_api1",
    lookup_key="apim:1:2",
    nickname="Gold",
    currency="usd",
    unit_minor=Decimal("999"),
    usage_type=UsageType.LICENSED,
    interval="month",
    meter_id=None,
    metadata={"apim_plan": "2"},
)
PER_REQUEST = replace(
    FIXED, unit_minor=Decimal("0.25"), usage_type=UsageType.METERED, meter_id="mtr_1"
)


def price(spec=FIXED, **more):
    return {
        "id": "price_1",
        "object": "price",
        "active": True,
        "product": spec.product_id,
        "currency": spec.currency,
        "unit_amount_decimal": format(spec.unit_minor, "f"),
        "recurring": {
            "interval": spec.interval,
            "usage_type": spec.usage_type.value,
            "meter": spec.meter_id,
        },
    } | more


def meter(**more):
    return {
        "id": "mtr_1",
        "object": "billing.meter",
        "event_name": METER.event_name,
        "status": "active",
        "default_aggregation": {"formula": "sum"},
    } | more


# --- products -----------------------------------------------------------------------------------


def test_a_product_is_created_under_our_own_id(scripted):
    engine, stripe = scripted
    stripe.refuse("POST /v1/products/prod_api1", 404, "resource_missing")
    stripe.answer("POST /v1/products", {"id": "prod_api1", "object": "product"})
    assert engine.ensure_product(ACCOUNT, PRODUCT, key="k") == "prod_api1"
    sent = stripe.asked[-1]
    assert sent.params == {
        "id": "prod_api1",
        "name": "Weather 1.0",
        "metadata[apim_api]": "1",
    }
    assert sent.headers["Idempotency-Key"] == "k"
    assert sent.headers["Stripe-Account"] == ACCOUNT


def test_an_archived_product_is_renamed_and_offered_again(scripted):
    engine, stripe = scripted
    stripe.answer("POST /v1/products/prod_api1", {"id": "prod_api1", "object": "product"})
    assert engine.ensure_product(ACCOUNT, PRODUCT, key="k") == "prod_api1"
    assert [each.what for each in stripe.asked] == ["POST /v1/products/prod_api1"]
    assert stripe.asked[0].params["active"] == "true"
    assert stripe.asked[0].params["name"] == "Weather 1.0"


def test_a_product_that_somebody_made_meanwhile_is_found(scripted):
    engine, stripe = scripted
    stripe.refuse("POST /v1/products/prod_api1", 404, "resource_missing")
    stripe.answer("POST /v1/products/prod_api1", {"id": "prod_api1", "object": "product"})
    stripe.refuse("POST /v1/products", 400, "resource_already_exists")
    assert engine.ensure_product(ACCOUNT, PRODUCT, key="k") == "prod_api1"


def test_a_product_that_is_refused_stays_refused(scripted):
    engine, stripe = scripted
    stripe.refuse("POST /v1/products/prod_api1", 404, "resource_missing")
    stripe.refuse("POST /v1/products", 400, "parameter_invalid_empty", "Empty name.")
    with pytest.raises(BillingEngineError, match="Empty name"):
        engine.ensure_product(ACCOUNT, PRODUCT, key="k")


# --- meters -------------------------------------------------------------------------------------


def test_a_meter_adds_up_requests_by_customer(scripted):
    engine, stripe = scripted
    stripe.answer("POST /v1/billing/meters", meter())
    assert engine.ensure_meter(ACCOUNT, METER, key="k") == "mtr_1"
    assert stripe.asked[0].params == {
        "display_name": "Weather",
        "event_name": "apim_1_gold",
        "default_aggregation[formula]": "sum",
        "customer_mapping[type]": "by_id",
        "customer_mapping[event_payload_key]": "stripe_customer_id",
        "value_settings[event_payload_key]": "value",
    }


@pytest.mark.parametrize("code", ["resource_already_exists", "", "something_new"])
def test_a_meter_whose_name_is_taken_is_found_and_reactivated(scripted, code):
    engine, stripe = scripted
    stripe.refuse("POST /v1/billing/meters", 400, code)
    first = page(meter(id="mtr_0", event_name="other"))
    stripe.answer("GET /v1/billing/meters", first | {"has_more": True, "url": "/v1/billing/meters"})
    stripe.answer("GET /v1/billing/meters", page(meter(status="inactive")))
    stripe.answer("POST /v1/billing/meters/mtr_1/reactivate", meter())
    assert engine.ensure_meter(ACCOUNT, METER, key="k") == "mtr_1"
    assert {each.headers["Stripe-Account"] for each in stripe.asked} == {ACCOUNT}
    assert stripe.asked[-1].what == "POST /v1/billing/meters/mtr_1/reactivate"


def test_a_stored_answer_does_not_hide_that_the_meter_was_deactivated(scripted):
    engine, stripe = scripted
    stripe.answer("POST /v1/billing/meters", meter(), idempotent_replayed="true")
    stripe.answer("GET /v1/billing/meters", page(meter(status="inactive")))
    stripe.answer("POST /v1/billing/meters/mtr_1/reactivate", meter())
    assert engine.ensure_meter(ACCOUNT, METER, key="k") == "mtr_1"
    assert stripe.asked[-1].what == "POST /v1/billing/meters/mtr_1/reactivate"


def test_a_meter_that_counts_in_another_way_is_not_used(scripted):
    engine, stripe = scripted
    stripe.refuse("POST /v1/billing/meters", 400, "resource_already_exists")
    stripe.answer("GET /v1/billing/meters", page(meter(default_aggregation={"formula": "last"})))
    with pytest.raises(BillingEngineError, match="does not add up"):
        engine.ensure_meter(ACCOUNT, METER, key="k")


def test_a_refused_meter_that_is_nowhere_stays_refused(scripted):
    engine, stripe = scripted
    stripe.refuse("POST /v1/billing/meters", 400, "parameter_invalid_empty", "Empty.")
    stripe.answer("GET /v1/billing/meters", page())
    with pytest.raises(BillingEngineError, match="Empty"):
        engine.ensure_meter(ACCOUNT, METER, key="k")


def test_a_denied_key_is_not_answered_by_looking(scripted):
    engine, stripe = scripted
    stripe.refuse("POST /v1/billing/meters", 403, "account_invalid")
    with pytest.raises(EngineAccessDenied):
        engine.ensure_meter(ACCOUNT, METER, key="k")
    assert len(stripe.asked) == 1


# --- prices -------------------------------------------------------------------------------------


def test_a_fixed_price_is_a_whole_number_of_minor_units(scripted):
    engine, stripe = scripted
    stripe.answer("GET /v1/prices", page())
    stripe.answer("POST /v1/prices", price())
    assert engine.ensure_price(ACCOUNT, FIXED, key="k") == "price_1"
    assert stripe.asked[0].params["lookup_keys[0]"] == "apim:1:2"
    assert "active" not in stripe.asked[0].params
    assert stripe.asked[1].params == {
        "product": "prod_api1",
        "lookup_key": "apim:1:2",
        "nickname": "Gold",
        "currency": "usd",
        "unit_amount": "999",
        "recurring[interval]": "month",
        "metadata[apim_plan]": "2",
    }
    with pytest.raises(Invalid):
        engine.ensure_price(ACCOUNT, replace(FIXED, unit_minor=Decimal("9.5")), key="k")


@pytest.mark.parametrize(
    ("unit", "sent"),
    [("0.25", "0.25"), ("1E-12", "0.000000000001"), ("1E+2", "100"), ("0.100", "0.1"), ("0", "0")],
)
def test_a_price_per_request_is_a_plain_decimal(scripted, unit, sent):
    engine, stripe = scripted
    stripe.answer("GET /v1/prices", page())
    stripe.answer("POST /v1/prices", price())
    engine.ensure_price(ACCOUNT, replace(PER_REQUEST, unit_minor=Decimal(unit)), key="k")
    params = stripe.asked[-1].params
    assert params["unit_amount_decimal"] == sent
    assert params["recurring[usage_type]"] == "metered"
    assert params["recurring[meter]"] == "mtr_1"
    assert "unit_amount" not in params


def test_a_metered_price_without_a_meter_is_not_sent(scripted):
    engine, stripe = scripted
    with pytest.raises(BillingEngineError):
        engine.ensure_price(ACCOUNT, replace(PER_REQUEST, meter_id=None), key="k")
    assert not stripe.asked


@pytest.mark.parametrize("spec", [FIXED, PER_REQUEST])
def test_an_archived_price_is_found_and_offered_again(scripted, spec):
    engine, stripe = scripted
    stripe.answer("GET /v1/prices", page(price(spec, active=False)))
    stripe.answer("POST /v1/prices/price_1", price(spec))
    assert engine.ensure_price(ACCOUNT, spec, key="k") == "price_1"
    assert stripe.asked[-1].params == {"active": "true"}


@pytest.mark.parametrize(
    "change",
    [
        {"currency": "eur"},
        {"unit_amount_decimal": "998"},
        {"unit_amount_decimal": None},
        {"unit_amount_decimal": "999.5"},
        {"product": "prod_other"},
        {"recurring": {"interval": "year", "usage_type": "licensed", "meter": None}},
        {"recurring": None},
    ],
)
def test_another_price_under_our_lookup_key_is_never_sold(scripted, change):
    engine, stripe = scripted
    stripe.answer("GET /v1/prices", page(price(**change)))
    with pytest.raises(BillingEngineError, match="different price"):
        engine.ensure_price(ACCOUNT, FIXED, key="k")


def test_a_price_that_somebody_made_meanwhile_is_found(scripted):
    engine, stripe = scripted
    stripe.answer("GET /v1/prices", page())
    stripe.answer("GET /v1/prices", page(price()))
    stripe.refuse("POST /v1/prices", 400, "resource_already_exists")
    assert engine.ensure_price(ACCOUNT, FIXED, key="k") == "price_1"


def test_after_a_frozen_500_the_price_is_found(scripted):
    engine, stripe = scripted
    stripe.answer("GET /v1/prices", page())
    stripe.answer("GET /v1/prices", page(price()))
    stripe.refuse("POST /v1/prices", 500, kind="api_error", idempotent_replayed="true")
    assert engine.ensure_price(ACCOUNT, FIXED, key="k") == "price_1"


def test_after_a_frozen_500_that_made_nothing_a_new_key_is_used(scripted):
    engine, stripe = scripted
    frozen = {"kind": "api_error", "idempotent_replayed": "true", "stripe_should_retry": "false"}
    stripe.answer("GET /v1/prices", page())
    stripe.refuse("POST /v1/prices", 500, **frozen)
    stripe.answer("POST /v1/prices", price())
    assert engine.ensure_price(ACCOUNT, FIXED, key="k") == "price_1"
    keys = [each.headers["Idempotency-Key"] for each in stripe.asked if each.method == "POST"]
    assert keys == ["k", "k:again1"]


def test_frozen_500s_without_end_are_given_back_as_unavailable(scripted):
    engine, stripe = scripted
    stripe.answer("GET /v1/prices", page())
    stripe.refuse(
        "POST /v1/prices",
        500,
        kind="api_error",
        idempotent_replayed="true",
        stripe_should_retry="false",
    )
    with pytest.raises(EngineUnavailable):
        engine.ensure_price(ACCOUNT, FIXED, key="k")
    assert sum(each.method == "POST" for each in stripe.asked) == 3


# --- the end of selling ---------------------------------------------------------------------------


def test_archiving_makes_inactive_and_deletes_nothing(scripted):
    engine, stripe = scripted
    stripe.answer("POST /v1/prices/price_1", price(active=False))
    stripe.answer("POST /v1/products/prod_api1", {"id": "prod_api1", "object": "product"})
    engine.archive_price(ACCOUNT, "price_1")
    engine.archive_product(ACCOUNT, "prod_api1")
    assert [each.params for each in stripe.asked] == [{"active": "false"}] * 2


def test_archiving_what_is_gone_counts_as_done(scripted):
    engine, stripe = scripted
    stripe.refuse("POST /v1/prices/price_1", 404, "resource_missing")
    stripe.refuse("POST /v1/products/prod_api1", 404, "resource_missing")
    assert engine.archive_price(ACCOUNT, "price_1") is None
    assert engine.archive_product(ACCOUNT, "prod_api1") is None


def test_archiving_does_not_hide_a_lost_answer(scripted):
    engine, stripe = scripted
    stripe.refuse("POST /v1/prices/price_1", 503, kind="api_error")
    with pytest.raises(EngineUnavailable):
        engine.archive_price(ACCOUNT, "price_1")


def test_a_portal_configuration_is_made_once_and_its_address_corrected(scripted):
    engine, stripe = scripted
    path = "/v1/billing_portal/configurations"
    ours = {
        "id": "bpc_1",
        "object": "billing_portal.configuration",
        "default_return_url": "https://old.example",
        "metadata": {"apim_portal": "1"},
    }
    stripe.answer(f"GET {path}", page(ours | {"id": "bpc_0", "metadata": {}}))
    stripe.answer(f"POST {path}", ours)
    made = engine.ensure_portal_configuration(ACCOUNT, return_url="https://old.example", key="k")
    assert made == "bpc_1"
    sent = stripe.asked[-1].params
    assert sent["features[subscription_cancel][mode]"] == "at_period_end"
    assert sent["features[payment_method_update][enabled]"] == "true"
    assert sent["metadata[apim_portal]"] == "1"
    stripe.answer(f"GET {path}", page(ours))
    stripe.answer(f"POST {path}/bpc_1", ours)
    for _ in range(2):
        engine.ensure_portal_configuration(ACCOUNT, return_url="https://new.example", key="k")
    assert stripe.asked[-1].params == {"default_return_url": "https://new.example"}


def test_a_missing_product_is_said(scripted):
    engine, stripe = scripted
    stripe.answer("GET /v1/prices", page())
    stripe.refuse("POST /v1/prices", 400, "resource_missing", "No such product: 'prod_api1'")
    with pytest.raises(EngineObjectMissing, match="prod_api1"):
        engine.ensure_price(ACCOUNT, FIXED, key="k")
