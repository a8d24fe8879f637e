"""The gate on the way out: a request that Stripe would refuse fails the test that made it."""

from collections.abc import Callable
from decimal import Decimal

import pytest
import stripe

from tests.support.outgoing import gate, wrong_with
from tests.support.scripted_stripe import BASE, KEY, ScriptedTransport

VERSION = "2026-04-22.dahlia"
FORM = {
    "Stripe-Version": VERSION,
    "Authorization": "Bearer k",
    "Content-Type": "application/x-www-form-urlencoded",
    "Idempotency-Key": "key",
}
PRODUCTS = f"{BASE}/v1/products"


def client(version: str = VERSION) -> tuple[stripe.StripeClient, ScriptedTransport]:
    transport = ScriptedTransport()
    made = stripe.StripeClient(
        KEY, stripe_version=version, base_addresses={"api": BASE}, http_client=transport
    )
    return made, transport


@pytest.mark.parametrize(
    ("send", "words"),
    [
        (
            lambda api: api.v1.products.create({"name": "x", "colour": "red"}),
            "Received unknown parameter: colour",
        ),
        (lambda api: api.v1.products.create({"name": "x" * 6000}), "at most 5000"),
        (
            lambda api: api.v1.prices.create(
                {"currency": "usd", "product": "p", "unit_amount_decimal": Decimal("1E-12")}
            ),
            "Invalid decimal: 1E-12",
        ),
        (
            lambda api: api.v1.payouts.create({"amount": 1, "currency": "usd"}),
            "Stripe has no such request",
        ),
    ],
    ids=["unknown parameter", "too long", "exponent", "not in the subset"],
)
def test_a_planted_request_fails(
    monkeypatch: pytest.MonkeyPatch, send: Callable[[stripe.StripeClient], object], words: str
) -> None:
    api, transport = client()
    for path in ("products", "prices", "payouts"):
        transport.answer(f"POST /v1/{path}", {"id": "x", "object": path[:-1]})
    with pytest.raises(AssertionError, match=words), gate(monkeypatch):
        send(api)


def test_another_version_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    api, transport = client("2025-03-31.basil")
    transport.answer("POST /v1/products", {"id": "x", "object": "product"})
    with pytest.raises(AssertionError, match="Stripe-Version"), gate(monkeypatch):
        api.v1.products.create({"name": "x"})


def test_a_swallowed_failure_still_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    api, transport = client()
    transport.refuse("POST /v1/products", 400)
    with (
        pytest.raises(AssertionError, match="bogus"),
        gate(monkeypatch),
        pytest.raises(stripe.InvalidRequestError),
    ):
        api.v1.products.create({"bogus": "1"})  # type: ignore[typeddict-unknown-key]


def test_a_good_request_passes_and_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    api, transport = client()
    transport.answer("POST /v1/products", {"id": "x", "object": "product"})
    with gate(monkeypatch) as seen:
        api.v1.products.create({"name": "x"})
    assert (seen.seen, seen.wrong) == (1, [])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"Authorization": ""}, "there is no key"),
        ({"Content-Type": "application/json"}, "Content-Type"),
        ({"Idempotency-Key": ""}, "Idempotency-Key"),
    ],
)
def test_headers_are_looked_at(change: dict[str, str], words: str) -> None:
    found = wrong_with("post", PRODUCTS, {**FORM, **change}, "name=x")
    assert len(found) == 1
    assert words in found[0]


def test_a_body_that_is_no_form_and_a_query_on_a_post_are_wrong() -> None:
    assert "no form" in wrong_with("post", PRODUCTS, FORM, b"\x00")[0]
    assert "in the address" in wrong_with("post", PRODUCTS + "?a=b", FORM, "name=x")[0]
    assert wrong_with("get", PRODUCTS + "?limit=3", FORM) == []
