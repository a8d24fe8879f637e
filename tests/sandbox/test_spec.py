"""Stripe's document decides what the sandbox takes and what it may answer."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from portal.sandbox import spec

EXAMPLES = Path(__file__).parents[1] / "data" / "stripe-events"


def operation(method: str, path: str) -> spec.Operation:
    found = spec.match(method, path)
    assert found is not None, f"{method} {path} is in Stripe's document"
    return found


def refusal(method: str, path: str, *pairs: tuple[str, str], location: str = "body") -> tuple:
    with pytest.raises(spec.SpecError) as caught:
        spec.coerce(operation(method, path), pairs, location)
    return caught.value.message, caught.value.code, caught.value.param


def example(name: str) -> dict:
    return json.loads((EXAMPLES / f"{name}.json").read_text())


class TestMatching:
    def test_path_parameters_are_read_from_the_path(self):
        found = operation("post", "/v1/customers/cus_1")
        assert found.operation_id == "PostCustomersCustomer"
        assert found.template == "/v1/customers/{customer}"
        assert found.path_params == {"customer": "cus_1"}

    def test_a_literal_path_wins_over_an_id(self):
        assert operation("POST", "/v1/invoices/create_preview").path_params == {}
        assert operation("GET", "/v1/invoices/in_1").path_params == {"invoice": "in_1"}

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("DELETE", "/v1/prices/price_1"),
            ("GET", "/v1/customers/"),
            ("GET", "/v1/nothing"),
            ("GET", "/v1/customers/cus_1/payment_methods/pm_1/x"),
            ("PATCH", "/v1/customers/cus_1"),
        ],
    )
    def test_what_stripe_does_not_have_is_none(self, method, path):
        assert spec.match(method, path) is None

    def test_every_operation_is_found_by_its_own_template(self):
        assert len(spec.operations()) == 101
        for each in spec.operations():
            found = operation(each.method, each.template.replace("{", "").replace("}", ""))
            assert found.operation_id == each.operation_id


class TestCoercion:
    def test_a_checkout_request_is_nested_and_typed(self):
        pairs = [
            ("mode", "subscription"),
            ("line_items[0][price]", "price_1"),
            ("line_items[0][quantity]", "1"),
            ("metadata[apim_tenant]", "carbon.super"),
            ("subscription_data[metadata][a]", "b"),
            ("payment_method_types[]", "card"),
            ("automatic_tax[enabled]", "false"),
            ("expires_at", "1776959400"),
        ]
        assert spec.coerce(operation("POST", "/v1/checkout/sessions"), pairs) == {
            "mode": "subscription",
            "line_items": [{"price": "price_1", "quantity": 1}],
            "metadata": {"apim_tenant": "carbon.super"},
            "subscription_data": {"metadata": {"a": "b"}},
            "payment_method_types": ["card"],
            "automatic_tax": {"enabled": False},
            "expires_at": 1776959400,
        }

    def test_unit_prices_stay_the_string_that_was_sent(self):
        price = operation("POST", "/v1/prices")
        pairs = [("currency", "usd"), ("unit_amount_decimal", "0.250000000000")]
        assert spec.coerce(price, pairs)["unit_amount_decimal"] == "0.250000000000"

    def test_numbers_that_are_not_integers_are_decimals(self):
        pairs = [("default_price_data[currency]", "usd"), ("name", "x")]
        size = [(f"package_dimensions[{side}]", "1.5") for side in ("height", "length")]
        size += [(f"package_dimensions[{side}]", "2") for side in ("width", "weight")]
        read = spec.coerce(operation("POST", "/v1/products"), pairs + size)
        assert read["package_dimensions"]["height"] == Decimal("1.5")

    def test_arrays_follow_their_index_and_unnumbered_ones_their_order(self):
        session = operation("POST", "/v1/checkout/sessions")
        numbered = [("line_items[1][price]", "b"), ("line_items[0][price]", "a")]
        assert spec.coerce(session, numbered)["line_items"] == [{"price": "a"}, {"price": "b"}]
        unnumbered = [
            ("line_items[][price]", "a"),
            ("line_items[][quantity]", "1"),
            ("line_items[][price]", "b"),
        ]
        assert spec.coerce(session, unnumbered)["line_items"] == [
            {"price": "a", "quantity": 1},
            {"price": "b"},
        ]

    def test_the_first_fitting_alternative_gives_the_type(self):
        events = operation("GET", "/v1/events")
        assert spec.coerce(events, [("created", "5")], "query") == {"created": 5}
        assert spec.coerce(events, [("created[gte]", "5")], "query") == {"created": {"gte": 5}}
        price = operation("POST", "/v1/prices")
        tiers = [("currency", "usd"), ("tiers[0][up_to]", "10"), ("tiers[1][up_to]", "inf")]
        assert spec.coerce(price, tiers)["tiers"] == [{"up_to": 10}, {"up_to": "inf"}]

    def test_an_empty_string_unsets_where_the_schema_lets_it(self):
        update = operation("POST", "/v1/customers/cus_1")
        assert spec.coerce(update, [("metadata", "")]) == {"metadata": ""}
        assert spec.coerce(update, [("metadata[a]", "")]) == {"metadata": {"a": ""}}
        subscription = operation("POST", "/v1/subscriptions/sub_1")
        assert spec.coerce(subscription, [("cancel_at", "")]) == {"cancel_at": ""}

    def test_a_delete_may_carry_its_parameters_in_the_query(self):
        delete = operation("DELETE", "/v1/subscriptions/sub_1")
        assert spec.coerce(delete, [("invoice_now", "true")], "query") == {"invoice_now": True}
        assert spec.coerce(delete, [("invoice_now", "true")]) == {"invoice_now": True}


class TestRefusals:
    def test_unknown_parameters_are_named(self):
        one = refusal("POST", "/v1/customers", ("bogus", "1"))
        assert one == ("Received unknown parameter: bogus", "parameter_unknown", "bogus")
        message, _, param = refusal("POST", "/v1/customers", ("x", "1"), ("y[z]", "1"))
        assert (message, param) == ("Received unknown parameters: x, y", "x")
        message, _, _ = refusal("POST", "/v1/prices", ("recurring[aggregate_usage]", "sum"))
        assert message == "Received unknown parameter: recurring[aggregate_usage]"

    def test_body_parameters_are_not_taken_from_the_query(self):
        message, _, _ = refusal("POST", "/v1/customers", ("email", "a@b.c"), location="query")
        assert message == "Received unknown parameter: email"

    def test_a_missing_parameter_is_named_with_its_path(self):
        assert refusal("POST", "/v1/products") == (
            "Missing required param: name.",
            "parameter_missing",
            "name",
        )
        found = refusal("POST", "/v1/prices", ("currency", "usd"), ("recurring[meter]", "mtr_1"))
        assert found[0] == "Missing required param: recurring[interval]."

    def test_a_choice_lists_what_it_may_be(self):
        found = refusal("POST", "/v1/prices", ("recurring[interval]", "fortnight"))
        text = "Invalid recurring[interval]: must be one of day, month, week, or year"
        assert found == (text, None, "recurring[interval]")
        message, _, _ = refusal("POST", "/v1/checkout/sessions", ("ui_mode", "hosted"))
        assert message.startswith("Invalid ui_mode: must be one of ")

    @pytest.mark.parametrize("value", ["abc", "1.5", "1e3", " 1", "١", "9" * 20])
    def test_integers_are_plain(self, value):
        message, code, param = refusal("POST", "/v1/prices", ("unit_amount", value))
        assert message == f"Invalid integer: {value}"
        assert (code, param) == ("parameter_invalid_integer", "unit_amount")

    @pytest.mark.parametrize("value", ["1", "True", "yes"])
    def test_booleans_are_true_or_false(self, value):
        found = refusal("POST", "/v1/prices", ("active", value))
        assert found == (f"Invalid boolean: {value}", None, "active")

    def test_decimals_have_up_to_twelve_places_and_no_exponent(self):
        text = "0.0000000000001"
        message, _, _ = refusal("POST", "/v1/prices", ("unit_amount_decimal", text))
        assert message == f"Invalid decimal: {text}; must contain at maximum twelve decimal places."
        message, _, _ = refusal("POST", "/v1/prices", ("unit_amount_decimal", "1E-12"))
        assert message == "Invalid decimal: 1E-12"

    def test_an_empty_string_where_nothing_can_be_unset(self):
        message, code, param = refusal("POST", "/v1/products", ("name", ""))
        assert message.startswith("You passed an empty string for 'name'.")
        assert (code, param) == ("parameter_invalid_empty", "name")

    def test_too_long_text_is_shortened_in_the_answer(self):
        message, _, param = refusal("POST", "/v1/customers", ("email", "a" * 513))
        assert message == f"Invalid string: {'a' * 40}...; must be at most 512 characters"
        assert param == "email"

    def test_metadata_has_stripes_limits(self):
        many = [(f"metadata[k{index}]", "v") for index in range(51)]
        assert "up to 50 keys" in refusal("POST", "/v1/customers", *many)[0]
        long_key = refusal("POST", "/v1/customers", (f"metadata[{'k' * 41}]", "v"))
        assert "keys can have up to 40 characters" in long_key[0]
        long_value = refusal("POST", "/v1/customers", ("metadata[k]", "v" * 501))
        assert "values can have up to 500 characters" in long_value[0]
        assert long_value[2] == "metadata[k]"
        nested = refusal(
            "POST", "/v1/checkout/sessions", ("subscription_data[metadata][a][b]", "c")
        )
        assert "must be strings" in nested[0]

    @pytest.mark.parametrize(
        "pairs",
        [
            [("line_items[x][price]", "p")],
            [("line_items", "p")],
            [("line_items[0]", "p")],
            [("metadata", "p")],
            [("mode[x]", "p")],
            [("mode", "payment"), ("mode[x]", "p")],
            [("metadata[a]", "x"), ("metadata", "p")],
            [("line_items[0", "p")],
            [("[x]", "p")],
            [("metadata" + "[a]" * 50, "p")],
            [("line_items[99999999][price]", "p")],
            [("mode", "pay\x00ment")],
        ],
    )
    def test_the_wrong_shape_is_refused(self, pairs):
        message, _, _ = refusal("POST", "/v1/checkout/sessions", *pairs)
        assert message


class TestShapes:
    @pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.json")))
    def test_every_example_is_valid(self, name):
        loaded = example(name)
        tag = loaded["object"]
        assert spec.violations(tag, loaded) == []

    def test_a_planted_fault_in_an_object_is_found(self):
        subscription = example("_subscription")
        subscription["current_period_end"] = 1
        subscription["status"] = "blocked"
        subscription["items"]["data"][0]["price"]["unit_amount"] = "1500"
        del subscription["start_date"]
        subscription["currency"] = None
        found = "\n".join(spec.violations("subscription", subscription))
        assert "current_period_end: is not in Stripe's schema" in found
        assert "status: is 'blocked', not one of" in found
        assert "items.data[0].price.unit_amount: is not of type integer: '1500'" in found
        assert "start_date: is missing" in found
        assert "currency: is null" in found
        assert len(found.splitlines()) == 5

    def test_a_planted_fault_inside_an_event_is_found(self):
        event = example("customer.subscription.updated")
        event["data"]["object"]["cancel_at"] = "soon"
        event["data"]["previous_attributes"] = {"current_period_end": 1}
        assert spec.violations("event", event) == [
            "data.object.cancel_at: is not of type integer: 'soon'",
            "data.previous_attributes.current_period_end: not an attribute of the object",
        ]

    def test_only_the_strict_check_minds_undocumented_keys(self):
        product = {**example("_product"), "type": "service"}
        assert spec.violations("product", product) == ["type: is not in Stripe's schema"]
        assert spec.violations("product", product, strict=False) == []

    def test_true_is_not_an_integer(self):
        meter = {**example("_billing.meter"), "created": True}
        assert spec.violations("billing.meter", meter) == ["created: is not of type integer: True"]

    def test_an_answer_is_checked_by_its_operation(self):
        listing = {"object": "list", "data": [], "has_more": False, "url": "/v1/customers"}
        assert spec.violations(operation("GET", "/v1/customers"), listing) == []
        listing["url"] = "/v1/prices"
        assert "does not match" in spec.violations(operation("GET", "/v1/customers"), listing)[0]

    def test_a_deleted_object_is_checked_as_such(self):
        read = operation("GET", "/v1/customers/cus_1")
        gone = {"id": "cus_1", "object": "customer", "deleted": True}
        assert spec.violations(read, gone) == []
        assert spec.violations(read, {"id": "cus_1", "object": "customer"})

    def test_an_expanded_object_is_checked_inside(self):
        session = example("_checkout_session_open")
        session["subscription"] = example("_subscription")
        assert spec.violations("checkout.session", session) == []
        session["subscription"]["status"] = "blocked"
        assert "subscription.status" in spec.violations("checkout.session", session)[0]

    def test_errors_have_a_shape_too(self):
        error = {"type": "invalid_request_error", "code": "parameter_unknown", "message": "x"}
        assert spec.violations("error", {"error": error}) == []
        assert spec.violations("error", {"error": {**error, "type": "bad_request"}})

    def test_webhook_endpoints_may_ask_for_the_seven_events(self):
        names = {path.stem for path in EXAMPLES.glob("[a-z]*.json")}
        assert len(names) == 7
        assert names <= spec.event_types()
        assert "invoice.upcoming_soon" not in spec.event_types()
