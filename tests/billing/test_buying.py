from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from portal.billing.engine import (
    EVENT_TYPES,
    CheckoutSpec,
    CheckoutState,
    CustomerSpec,
    EngineStatus,
    UsageReport,
    UsageType,
)
from portal.errors import (
    BillingEngineError,
    EngineAccessDenied,
    EngineObjectMissing,
    EngineUnavailable,
)
from tests.support.scripted_stripe import page

ACCOUNT = "acct_1"
CUSTOMER = CustomerSpec(name="Dev (App)", email="dev@example.com", metadata={"apim_app": "1"})
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
PAGE = CheckoutSpec(
    customer_id="cus_1",
    price_id="price_1",
    usage_type=UsageType.LICENSED,
    reference="uuid-1",
    success_url="https://portal.example/back?session_id={CHECKOUT_SESSION_ID}",
    cancel_url="https://portal.example/cancel",
    expires_at=NOON,
    metadata={"apim_tenant": "carbon.super"},
)
SESSIONS = "/v1/checkout/sessions"
FROZEN = {"kind": "api_error", "idempotent_replayed": "true", "stripe_should_retry": "false"}


def session(**more):
    return {
        "id": "cs_test_1",
        "object": "checkout.session",
        "status": "open",
        "payment_status": "unpaid",
        "url": "https://checkout.stripe.com/c/pay/cs_test_1",
        "expires_at": int(NOON.timestamp()),
        "client_reference_id": "uuid-1",
        "customer": "cus_1",
        "metadata": {"apim_attempt": "k"},
    } | more


def subscription(**more):
    return {
        "id": "sub_1",
        "object": "subscription",
        "status": "active",
        "customer": "cus_1",
        "items": {"object": "list", "data": []},
    } | more


# --- customers ------------------------------------------------------------------------------------


def test_a_customer_carries_the_attempt_that_made_it(scripted):
    engine, stripe = scripted
    stripe.answer("POST /v1/customers", {"id": "cus_1", "object": "customer"})
    assert engine.ensure_customer(ACCOUNT, CUSTOMER, key="k") == "cus_1"
    assert stripe.asked[0].params == {
        "name": "Dev (App)",
        "email": "dev@example.com",
        "metadata[apim_app]": "1",
        "metadata[apim_attempt]": "k",
    }
    assert stripe.asked[0].headers["Idempotency-Key"] == "k"


def test_a_customer_without_email_is_sent_without(scripted):
    engine, stripe = scripted
    stripe.answer("POST /v1/customers", {"id": "cus_1", "object": "customer"})
    engine.ensure_customer(ACCOUNT, replace(CUSTOMER, email=None, name="x" * 999), key="k")
    assert "email" not in stripe.asked[0].params
    assert len(stripe.asked[0].params["name"]) == 256


def test_after_a_frozen_500_the_customer_of_this_attempt_is_found(scripted):
    engine, stripe = scripted
    stripe.refuse("POST /v1/customers", 500, **FROZEN)
    other = {"id": "cus_0", "object": "customer", "metadata": {"apim_attempt": "other"}}
    ours = {"id": "cus_1", "object": "customer", "metadata": {"apim_attempt": "k"}}
    stripe.answer("GET /v1/customers", page(other, ours))
    assert engine.ensure_customer(ACCOUNT, CUSTOMER, key="k") == "cus_1"
    assert stripe.asked[-1].params["email"] == "dev@example.com"


def test_a_500_that_is_not_frozen_is_only_reported(scripted):
    engine, stripe = scripted
    stripe.refuse("POST /v1/customers", 500, kind="api_error", stripe_should_retry="false")
    with pytest.raises(EngineUnavailable):
        engine.ensure_customer(ACCOUNT, CUSTOMER, key="k")
    assert len(stripe.asked) == 1


# --- payment pages --------------------------------------------------------------------------------


def test_a_payment_page_for_a_fixed_price(scripted):
    engine, stripe = scripted
    stripe.answer(f"POST {SESSIONS}", session())
    opened = engine.open_checkout(ACCOUNT, PAGE, key="k")
    assert opened.state is CheckoutState.OPEN
    assert opened.expires_at == NOON
    assert stripe.asked[0].params == {
        "mode": "subscription",
        "customer": "cus_1",
        "line_items[0][price]": "price_1",
        "line_items[0][quantity]": "1",
        "payment_method_types[0]": "card",
        "client_reference_id": "uuid-1",
        "metadata[apim_tenant]": "carbon.super",
        "metadata[apim_subscription_uuid]": "uuid-1",
        "metadata[apim_attempt]": "k",
        "subscription_data[metadata][apim_tenant]": "carbon.super",
        "subscription_data[metadata][apim_subscription_uuid]": "uuid-1",
        "success_url": "https://portal.example/back?session_id={CHECKOUT_SESSION_ID}",
        "cancel_url": "https://portal.example/cancel",
        "expires_at": str(int(NOON.timestamp())),
    }


def test_a_metered_price_has_no_quantity(scripted):
    engine, stripe = scripted
    stripe.answer(f"POST {SESSIONS}", session())
    engine.open_checkout(ACCOUNT, replace(PAGE, usage_type=UsageType.METERED), key="k")
    assert "line_items[0][quantity]" not in stripe.asked[0].params


def test_a_repeat_returns_the_page_as_it_is_now_and_not_as_it_was(scripted):
    engine, stripe = scripted
    stripe.answer(f"POST {SESSIONS}", session(), idempotent_replayed="true")
    stripe.answer(f"GET {SESSIONS}/cs_test_1", session(status="complete", payment_status="paid"))
    again = engine.open_checkout(ACCOUNT, PAGE, key="k")
    assert again.state is CheckoutState.COMPLETE
    assert again.is_paid


def test_after_a_frozen_500_the_page_of_this_attempt_is_found(scripted):
    engine, stripe = scripted
    stripe.refuse(f"POST {SESSIONS}", 500, **FROZEN)
    older = session(id="cs_test_0", metadata={"apim_attempt": "before"})
    stripe.answer(f"GET {SESSIONS}", page(older, session()))
    assert engine.open_checkout(ACCOUNT, PAGE, key="k").session_id == "cs_test_1"


def test_the_same_attempt_with_other_values_is_refused(scripted):
    engine, stripe = scripted
    stripe.refuse(f"POST {SESSIONS}", 400, kind="idempotency_error")
    with pytest.raises(BillingEngineError, match="other values"):
        engine.open_checkout(ACCOUNT, PAGE, key="k")
    assert len(stripe.asked) == 1


def test_a_page_is_closed(scripted):
    engine, stripe = scripted
    stripe.answer(f"POST {SESSIONS}/cs_test_1/expire", session(status="expired", url=None))
    assert engine.expire_checkout(ACCOUNT, "cs_test_1").state is CheckoutState.EXPIRED


@pytest.mark.parametrize("status", ["complete", "expired"])
def test_closing_a_page_that_is_not_open_tells_how_it_stands(scripted, status):
    engine, stripe = scripted
    stripe.refuse(f"POST {SESSIONS}/cs_test_1/expire", 400, "", "Only open ones.")
    stripe.answer(f"GET {SESSIONS}/cs_test_1", session(status=status, payment_status="paid"))
    closed = engine.expire_checkout(ACCOUNT, "cs_test_1")
    assert closed.state == status
    assert closed.is_paid is (status == "complete")


def test_a_page_that_stays_open_was_not_closed(scripted):
    engine, stripe = scripted
    stripe.refuse(f"POST {SESSIONS}/cs_test_1/expire", 400, "", "Not now.")
    stripe.answer(f"GET {SESSIONS}/cs_test_1", session())
    with pytest.raises(BillingEngineError, match="Not now"):
        engine.expire_checkout(ACCOUNT, "cs_test_1")


def test_a_portal_address_belongs_to_one_customer(scripted):
    engine, stripe = scripted
    made = {"id": "bps_1", "object": "billing_portal.session", "url": "https://billing.example/p"}
    stripe.answer("POST /v1/billing_portal/sessions", made)
    url = engine.portal_url(ACCOUNT, "cus_1", configuration="bpc_1", return_url="https://x")
    assert url == "https://billing.example/p"
    assert stripe.asked[0].params == {
        "customer": "cus_1",
        "configuration": "bpc_1",
        "return_url": "https://x",
    }


# --- subscriptions and invoices -------------------------------------------------------------------


def test_cancelling_invoices_what_was_used(scripted):
    engine, stripe = scripted
    stripe.answer("DELETE /v1/subscriptions/sub_1", subscription(status="canceled"))
    assert engine.cancel_subscription(ACCOUNT, "sub_1").status is EngineStatus.CANCELED
    assert stripe.asked[0].params == {"invoice_now": "true", "prorate": "false"}


@pytest.mark.parametrize("status", [400, 404])
def test_cancelling_what_has_ended_counts_as_done(scripted, status):
    engine, stripe = scripted
    stripe.refuse("DELETE /v1/subscriptions/sub_1", status, "resource_missing")
    stripe.answer("GET /v1/subscriptions/sub_1", subscription(status="canceled"))
    assert engine.cancel_subscription(ACCOUNT, "sub_1").status.is_over


def test_cancelling_what_never_was_is_refused(scripted):
    engine, stripe = scripted
    for method in ("DELETE", "GET"):
        stripe.refuse(f"{method} /v1/subscriptions/sub_1", 404, "resource_missing")
    with pytest.raises(EngineObjectMissing):
        engine.cancel_subscription(ACCOUNT, "sub_1")


def test_a_cancel_that_did_not_end_it_is_not_taken_for_done(scripted):
    engine, stripe = scripted
    stripe.refuse("DELETE /v1/subscriptions/sub_1", 400, "", "Not now.")
    stripe.answer("GET /v1/subscriptions/sub_1", subscription())
    with pytest.raises(BillingEngineError, match="Not now"):
        engine.cancel_subscription(ACCOUNT, "sub_1")


@pytest.mark.parametrize("status", [400, 404])
def test_without_a_next_invoice_there_is_no_preview(scripted, status):
    engine, stripe = scripted
    stripe.refuse("POST /v1/invoices/create_preview", status, "invoice_upcoming_none")
    assert engine.preview(ACCOUNT, "sub_1") is None


def test_a_preview_has_no_id_and_exact_unit_prices(scripted, recorded):
    engine, stripe = scripted
    bill = recorded("invoice.payment_failed")["data"]["object"] | {"id": "upcoming_in_1"}
    bill["lines"]["data"][0]["pricing"]["unit_amount_decimal"] = "0.25"
    stripe.answer("POST /v1/invoices/create_preview", bill)
    preview = engine.preview(ACCOUNT, "sub_1")
    assert preview.is_preview
    assert preview.invoice_id is None
    assert preview.lines[0].unit_minor == Decimal("0.25")


def test_at_most_a_hundred_invoices_are_read(scripted, recorded):
    engine, stripe = scripted
    bill = recorded("invoice.payment_failed")["data"]["object"]
    stripe.answer("GET /v1/invoices", page(bill) | {"has_more": True})
    stripe.answer("GET /v1/invoice_payments", page())
    found = engine.invoices(ACCOUNT, "sub_1")
    assert [each.invoice_id for each in found] == ["in_1Weather0002"]
    assert stripe.asked[0].params == {"subscription": "sub_1", "limit": "100"}


# --- usage ----------------------------------------------------------------------------------------

REPORT = UsageReport(
    event_name="apim_1", customer_id="cus_1", quantity=25, identifier="batch:1", timestamp=NOON
)
EVENTS = "POST /v1/billing/meter_events"
SENT = {"object": "billing.meter_event", "identifier": "batch:1"}


def test_usage_is_sent_with_its_identifier(scripted):
    engine, stripe = scripted
    stripe.answer(EVENTS, SENT)
    receipt = engine.report_usage(ACCOUNT, REPORT)
    assert (receipt.duplicate, receipt.request_id) == (False, "req_1")
    assert stripe.asked[0].params == {
        "event_name": "apim_1",
        "payload[stripe_customer_id]": "cus_1",
        "payload[value]": "25",
        "identifier": "batch:1",
        "timestamp": str(int(NOON.timestamp())),
    }
    assert stripe.asked[0].headers["Idempotency-Key"] == "batch:1"


def test_usage_that_stripe_had_already_is_a_duplicate(scripted):
    engine, stripe = scripted
    stripe.answer(EVENTS, SENT, idempotent_replayed="true")
    assert engine.report_usage(ACCOUNT, REPORT).duplicate


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("duplicate_meter_event", "Duplicate."),
        ("", "An event already exists with identifier batch:1."),
        ("resource_already_exists", "Identifier is a duplicate."),
    ],
)
def test_a_refused_duplicate_is_acknowledged(scripted, code, message):
    engine, stripe = scripted
    stripe.refuse(EVENTS, 400, code, message)
    assert engine.report_usage(ACCOUNT, REPORT).duplicate


def test_after_a_frozen_500_the_identifier_decides(scripted):
    engine, stripe = scripted
    stripe.refuse(EVENTS, 500, **FROZEN)
    stripe.refuse(EVENTS, 400, "duplicate_meter_event")
    assert engine.report_usage(ACCOUNT, REPORT).duplicate
    sent = [each.params["identifier"] for each in stripe.asked]
    assert sent == ["batch:1", "batch:1"]


def test_the_same_identifier_with_another_quantity_is_no_duplicate(scripted):
    engine, stripe = scripted
    stripe.refuse(EVENTS, 400, kind="idempotency_error")
    with pytest.raises(BillingEngineError, match="other values"):
        engine.report_usage(ACCOUNT, REPORT)


def test_other_refusals_are_no_duplicates(scripted):
    engine, stripe = scripted
    stripe.refuse(EVENTS, 400, "", "The event timestamp cannot be more than 35 days in past.")
    with pytest.raises(BillingEngineError, match="35 days"):
        engine.report_usage(ACCOUNT, REPORT)


def test_counted_usage_is_added_up(scripted):
    engine, stripe = scripted
    summary = {"object": "billing.meter_event_summary", "id": "mes_1", "aggregated_value": 25.0}
    stripe.answer(
        "GET /v1/billing/meters/mtr_1/event_summaries",
        page(summary, summary | {"id": "mes_2", "aggregated_value": 5}),
    )
    total = engine.usage_total(ACCOUNT, meter_id="mtr_1", customer_id="cus_1", start=NOON, end=NOON)
    assert total == 30


# --- the platform itself --------------------------------------------------------------------------


def test_the_key_is_tested_outside_any_account(scripted):
    engine, stripe = scripted
    stripe.answer("GET /v1/account", {"id": "acct_p", "object": "account", "country": "DE"})
    check = engine.test_key()
    assert (check.account, check.livemode, check.country) == ("acct_p", False, "DE")
    assert "Stripe-Account" not in stripe.asked[0].headers


@pytest.mark.parametrize(
    ("enabled", "cards", "can"),
    [(True, "active", True), (False, "active", False), (True, "pending", False), (True, "", False)],
)
def test_an_account_can_charge_when_cards_are_active(scripted, enabled, cards, can):
    engine, stripe = scripted
    found = {
        "id": "acct_1",
        "object": "account",
        "charges_enabled": enabled,
        "capabilities": {"card_payments": cards},
        "settings": {"dashboard": {"timezone": "Etc/UTC"}},
    }
    stripe.answer("GET /v1/accounts/acct_1", found)
    check = engine.check_account("acct_1")
    assert check.can_charge is can
    assert check.timezone == "Etc/UTC"
    assert "Stripe-Account" not in stripe.asked[0].headers


@pytest.mark.parametrize(("status", "code"), [(403, "account_invalid"), (404, "resource_missing")])
def test_an_account_that_is_not_connected_is_denied(scripted, status, code):
    engine, stripe = scripted
    stripe.refuse("GET /v1/accounts/acct_1", status, code)
    with pytest.raises(EngineAccessDenied):
        engine.check_account("acct_1")


def test_a_webhook_is_registered_for_connected_accounts_and_seven_events(scripted):
    engine, stripe = scripted
    made = {
        "id": "we_1",
        "object": "webhook_endpoint",
        "secret": "whsec_new",
        "api_version": "2026-04-22.dahlia",
    }
    stripe.answer("POST /v1/webhook_endpoints", made)
    hook = engine.register_webhook("https://portal.example/hook", key="k")
    assert (hook.endpoint_id, hook.secret) == ("we_1", "whsec_new")
    assert "whsec_new" not in repr(hook)
    sent = stripe.asked[0].params
    assert sent["connect"] == "true"
    assert sent["api_version"] == hook.api_version == "2026-04-22.dahlia"
    assert tuple(sent[f"enabled_events[{n}]"] for n in range(7)) == EVENT_TYPES
    assert stripe.asked[0].headers["Idempotency-Key"] == "k"
