"""How requests are refused, repeated and kept apart: the transport rules of the API."""

import threading
from typing import Any

import pytest
import stripe

from portal.sandbox import spec
from portal.sandbox.call import ENDPOINTS
from tests.sandbox.conftest import World
from tests.support.wsgi_stripe import stripe_client

VERSION = "2026-04-22.dahlia"


def raw(world: World, method: str, path: str, **more: Any) -> Any:
    headers = {"Authorization": f"Bearer {world.key}", "Stripe-Account": world.account}
    headers |= more.pop("headers", {})
    headers = {name: value for name, value in headers.items() if value is not None}
    return world.app.test_client().open(path, method=method, headers=headers, **more)


def refusal(answer: Any) -> tuple[int, dict[str, Any]]:
    body = answer.get_json()
    assert spec.violations("error", body) == []
    return answer.status_code, body["error"]


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (None, "You did not provide an API key"),
        ("Bearer sk_test_sandbox_wrong1234", "Invalid API Key provided: sk_test_"),
        ("Bearer sk_live_abcdefghijklmnopqrst", "Invalid API Key provided: sk_live_"),
        ("Basic !!", "You did not provide an API key"),
    ],
)
def test_a_key_is_needed(world: World, header: str | None, words: str) -> None:
    answer = raw(world, "GET", "/v1/products", headers={"Authorization": header})
    status, error = refusal(answer)
    assert status == 401
    assert words in error["message"]
    assert "wrong1234" not in error["message"]


def test_the_key_may_be_the_user_of_basic_authentication(world: World) -> None:
    answer = world.app.test_client().get("/v1/account", auth=(world.key, ""))
    assert answer.get_json()["id"] == world.platform


@pytest.mark.parametrize("version", ["2025-03-31.basil", "2026-10-28.endive", "nonsense"])
def test_another_api_version_is_refused(world: World, version: str) -> None:
    answer = raw(world, "GET", "/v1/products", headers={"Stripe-Version": version})
    status, error = refusal(answer)
    assert (status, error["code"]) == (400, "sandbox_unsupported")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/bogus"),
        ("GET", "/v1/products/"),
        ("DELETE", "/v1/prices/price_1"),
        ("GET", "/v1/invoices/upcoming/lines/x"),
        ("GET", "/v1/"),
        ("POST", "/v2/billing/meter_events"),
    ],
)
def test_an_unknown_address_is_a_404_in_stripes_shape(world: World, method: str, path: str) -> None:
    status, error = refusal(raw(world, method, path))
    assert status == 404
    assert error["message"].startswith(f"Unrecognized request URL ({method}: {path})")


def test_what_is_not_implemented_answers_like_an_unknown_address(world: World) -> None:
    missing = [each for each in spec.operations() if each.operation_id not in ENDPOINTS]
    for operation in missing:
        path = operation.template.replace("{test_clock}", "clock_1")
        status, error = refusal(raw(world, operation.method, path))
        assert (status, error["type"]) == (404, "invalid_request_error")


@pytest.mark.parametrize(
    ("form", "code", "param"),
    [
        ({}, "parameter_missing", "name"),
        ({"name": "x", "bogus": "1"}, "parameter_unknown", "bogus"),
        ({"name": "x", "active": "perhaps"}, None, "active"),
        ({"name": "x", "unit_label": "more than twelve"}, None, "unit_label"),
    ],
)
def test_parameters_are_held_to_stripes_document(
    world: World, form: dict[str, str], code: str | None, param: str
) -> None:
    status, error = refusal(raw(world, "POST", "/v1/products", data=form))
    assert (status, error.get("param")) == (400, param)
    assert code in (None, error.get("code"))
    assert world.api.v1.products.list().data == []


def test_what_stripe_knows_and_the_sandbox_does_not_model_is_refused(world: World) -> None:
    form = {"name": "x", "package_dimensions[height]": "1", "package_dimensions[length]": "1",
            "package_dimensions[weight]": "1", "package_dimensions[width]": "1"}  # fmt: skip
    status, error = refusal(raw(world, "POST", "/v1/products", data=form))
    assert (status, error["code"]) == (400, "sandbox_unsupported")
    assert error["param"] == "package_dimensions[height]"


def test_json_is_not_the_encoding_of_v1(world: World) -> None:
    status, error = refusal(raw(world, "POST", "/v1/products", json={"name": "x"}))
    assert status == 400
    assert "application/x-www-form-urlencoded" in error["message"]


def test_a_body_over_a_megabyte_is_refused(world: World) -> None:
    form = {"name": "x" * 1_100_000}
    status, _error = refusal(raw(world, "POST", "/v1/products", data=form))
    assert status == 413


def test_accounts_do_not_see_one_another(world: World) -> None:
    product = world.api.v1.products.create({"name": "Mine"})
    other = world.control("/accounts", platform=world.platform)["id"]
    for account in (other, None):
        client = stripe_client(world.app, world.key, account=account)
        with pytest.raises(stripe.InvalidRequestError) as missing:
            client.v1.products.retrieve(product.id)
        assert (missing.value.http_status, missing.value.code) == (404, "resource_missing")
        assert missing.value.user_message == f"No such product: '{product.id}'"
        assert client.v1.products.list().data == []


def test_an_id_in_a_parameter_is_a_400_and_in_the_address_a_404(world: World) -> None:
    with pytest.raises(stripe.InvalidRequestError) as by_param:
        world.api.v1.invoices.create_preview({"subscription": "sub_x"})
    assert (by_param.value.http_status, by_param.value.param) == (400, "subscription")
    with pytest.raises(stripe.InvalidRequestError) as by_path:
        world.api.v1.subscriptions.retrieve("sub_x")
    assert (by_path.value.http_status, by_path.value.param) == (404, "id")


def test_access_that_was_withdrawn_is_a_403(world: World) -> None:
    world.control(f"/accounts/{world.account}", revoked=True)
    status, error = refusal(raw(world, "GET", "/v1/products"))
    assert (status, error["code"]) == (403, "account_invalid")
    world.control(f"/accounts/{world.account}", revoked=False)
    assert raw(world, "GET", "/v1/products").status_code == 200


def test_a_repeated_key_gives_the_first_answer_again(world: World) -> None:
    headers = {"Idempotency-Key": "prod:1"}
    first = raw(world, "POST", "/v1/products", data={"name": "A"}, headers=headers)
    again = raw(world, "POST", "/v1/products", data={"name": "A"}, headers=headers)
    assert again.get_json() == first.get_json()
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Original-Request"] == first.headers["Request-Id"]
    assert len(world.api.v1.products.list().data) == 1


def test_a_key_with_other_parameters_is_refused(world: World) -> None:
    options: Any = {"idempotency_key": "prod:2"}
    world.api.v1.products.create({"name": "A"}, options)
    with pytest.raises(stripe.IdempotencyError, match="same parameters"):
        world.api.v1.products.create({"name": "B"}, options)
    with pytest.raises(stripe.IdempotencyError):
        world.api.v1.customers.create({"name": "A"}, options)


def test_a_key_belongs_to_its_account_and_lasts_a_day(world: World) -> None:
    options: Any = {"idempotency_key": "prod:3"}
    first = world.api.v1.products.create({"name": "A"}, options)
    assert world.platform_api.v1.products.create({"name": "A"}, options).id != first.id
    world.clock.advance(86_399)
    assert world.api.v1.products.create({"name": "A"}, options).id == first.id
    world.clock.advance(2)
    assert world.api.v1.products.create({"name": "A"}, options).id != first.id


def test_a_refused_request_leaves_its_key_free(world: World) -> None:
    options: Any = {"idempotency_key": "price:1"}
    with pytest.raises(stripe.InvalidRequestError):
        world.api.v1.products.create({"name": ""}, options)
    with pytest.raises(stripe.InvalidRequestError):
        world.api.v1.prices.create({"product": "prod_x", "currency": "usd"}, options)
    assert world.api.v1.products.create({"name": "A"}, options).name == "A"


def test_a_declined_charge_is_kept_under_its_key(world: World) -> None:
    subscription = world.subscribe(world.licensed())
    customer = str(subscription.customer)
    broken = world.api.v1.payment_methods.attach(
        "pm_card_chargeCustomerFail", {"customer": customer}
    )
    world.clock.advance(10)
    draft = world.control(f"/subscriptions/{subscription.id}/end-period")["invoice"]
    for replayed in (False, True):
        client = world.api
        with pytest.raises(stripe.CardError) as declined:
            client.v1.invoices.pay(
                draft["id"], {"payment_method": broken.id}, {"idempotency_key": "pay:1"}
            )
        assert declined.value.code == "card_declined"
        assert declined.value.headers is not None
        assert ("Idempotent-Replayed" in declined.value.headers) is replayed
    invoice = world.api.v1.invoices.retrieve(draft["id"])
    assert (invoice.status, invoice.attempt_count) == ("open", 1)
    assert world.event_types().count("invoice.payment_failed") == 1


def test_two_requests_at_once_with_one_key_make_one_object(world: World) -> None:
    answers: list[int] = []
    barrier = threading.Barrier(6)

    def press() -> None:
        barrier.wait()
        headers = {"Idempotency-Key": "same"}
        answer = raw(world, "POST", "/v1/products", data={"name": "A"}, headers=headers)
        answers.append(answer.status_code)

    threads = [threading.Thread(target=press) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(answers) <= {200, 409}
    assert 200 in answers
    assert len(world.api.v1.products.list().data) == 1


def test_lists_are_paged_with_cursors_newest_first(world: World) -> None:
    made = [world.api.v1.customers.create({"name": str(n)}).id for n in range(5)]
    newest = made[::-1]
    first = world.api.v1.customers.list({"limit": 2})
    assert ([each.id for each in first.data], first.has_more) == (newest[:2], True)
    rest = world.api.v1.customers.list({"limit": 10, "starting_after": newest[1]})
    assert ([each.id for each in rest.data], rest.has_more) == (newest[2:], False)
    back = world.api.v1.customers.list({"limit": 2, "ending_before": newest[3]})
    assert [each.id for each in back.data] == newest[1:3]
    assert [each.id for each in first.auto_paging_iter()] == newest
    for params in ({"limit": 0}, {"limit": 101}, {"starting_after": "cus_x"}):
        with pytest.raises(stripe.InvalidRequestError):
            world.api.v1.customers.list(params)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("/v1/invoices?customer=cus_x", "customer"),
        ("/v1/invoices?subscription=sub_x", "subscription"),
        ("/v1/subscriptions?price=price_x", "price"),
        ("/v1/prices?product=prod_x", "product"),
        ("/v1/customers?test_clock=clock_x", "test_clock"),
        ("/v1/invoice_payments?invoice=in_x", "invoice"),
        ("/v1/refunds?charge=ch_x", "charge"),
    ],
)
def test_a_listing_for_what_this_account_does_not_have_is_refused(
    world: World, path: str, param: str
) -> None:
    status, error = refusal(raw(world, "GET", path))
    assert (status, error["code"], error["param"]) == (400, "resource_missing", param)


def test_lists_in_parameters_have_an_end(world: World) -> None:
    keys = "&".join(f"lookup_keys[{number}]=k{number}" for number in range(11))
    types = "&".join(f"types[{number}]=invoice.paid" for number in range(21))
    for path, param in ((f"/v1/prices?{keys}", "lookup_keys"), (f"/v1/events?{types}", "types")):
        status, error = refusal(raw(world, "GET", path))
        assert (status, error["param"]) == (400, param)
    for query, param in (("type=a.b", "type"), ("types[]=invoice.paid&types[]=a.b", "types[1]")):
        status, error = refusal(raw(world, "GET", f"/v1/events?{query}"))
        assert (status, error["param"]) == (400, param)


def test_metadata_merges_and_an_empty_value_removes(world: World) -> None:
    product = world.api.v1.products.create({"name": "A", "metadata": {"a": "1", "b": "2"}})
    changed = world.api.v1.products.update(product.id, {"metadata": {"b": "", "c": "3"}})
    assert changed.metadata.to_dict() == {"a": "1", "c": "3"}
    cleared = world.api.v1.products.update(product.id, {"metadata": ""})
    assert cleared.metadata.to_dict() == {}
    with pytest.raises(stripe.InvalidRequestError):
        world.api.v1.products.update(product.id, {"metadata": {"k" * 41: "x"}})


def test_expanding_replaces_ids_and_refuses_the_rest(world: World) -> None:
    subscription = world.subscribe(world.licensed())
    shown = world.api.v1.subscriptions.retrieve(
        subscription.id,
        {"expand": ["customer", "latest_invoice.payments", "items.data.price.product"]},
    )
    assert isinstance(shown.customer, stripe.Customer)
    assert isinstance(shown.latest_invoice, stripe.Invoice)
    assert shown.latest_invoice.payments is not None
    assert shown.latest_invoice.payments.data[0].status == "paid"
    product = shown["items"].data[0].price.product
    assert isinstance(product, stripe.Product)
    listed = world.api.v1.subscriptions.list({"expand": ["data.default_payment_method"]})
    assert isinstance(listed.data[0].default_payment_method, stripe.PaymentMethod)
    for path in ("status", "nothing", "items.data.price.product.default_price", "data.customer"):
        with pytest.raises(stripe.InvalidRequestError):
            world.api.v1.subscriptions.retrieve(subscription.id, {"expand": [path]})


def test_the_request_log_knows_every_answer_and_no_card(world: World) -> None:
    answer = raw(
        world, "POST", "/v1/payment_methods",
        data={"type": "card", "card[number]": "4242424242424242", "card[exp_month]": "12",
              "card[exp_year]": "2040", "card[cvc]": "987"},
    )  # fmt: skip
    entry = world.look("/requests")[0]
    assert entry["id"] == answer.headers["Request-Id"]
    assert (entry["status"], entry["account"]) == (200, world.account)
    assert "4242424242424242" not in entry["params"]
    assert "987" not in entry["params"]
    raw(world, "GET", "/v1/customers/cus_x")
    assert world.look("/requests")[0]["error"] == "No such customer: 'cus_x'"


def test_the_controls_need_the_token_and_this_machine(world: World) -> None:
    client = world.app.test_client()
    assert client.post("/_sandbox/reset").status_code == 401
    bearer = {"Authorization": "Bearer wrong"}
    assert client.post("/_sandbox/reset", headers=bearer).status_code == 401
    good = {"Authorization": "Bearer control-token"}
    far = {"REMOTE_ADDR": "192.0.2.7"}
    answer = client.post("/_sandbox/reset", headers=good, environ_overrides=far)
    assert answer.status_code == 403
    assert world.api.v1.products.list().data == []
