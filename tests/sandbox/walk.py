"""One good request for every operation that the sandbox implements."""

from collections.abc import Callable
from dataclasses import dataclass, field

import stripe

from tests.sandbox.conftest import World

Pairs = dict[str, str]


@dataclass(frozen=True)
class Good:
    """A request that must be answered with 200; `own` ones are about the platform itself."""

    path: str
    pairs: Pairs = field(default_factory=dict)
    own: bool = False


CALLS: dict[str, Callable[[World], Good]] = {}


def good(identifier: str) -> Callable[[Callable[[World], Good]], Callable[[World], Good]]:
    """Say how `identifier` (Stripe's operationId) succeeds."""

    def register(build: Callable[[World], Good]) -> Callable[[World], Good]:
        CALLS[identifier] = build
        return build

    return register


def _plain(identifier: str, path: str, own: bool = False, **pairs: str) -> None:
    CALLS[identifier] = lambda _world: Good(path, pairs, own)


def _on(identifier: str, path: str, make: Callable[[World], str], pairs: Pairs | None = None):
    """Register a request about an object that `make` creates; `{}` stands for its id."""

    def build(world: World) -> Good:
        made = make(world)
        filled = {key: value.replace("{}", made) for key, value in (pairs or {}).items()}
        return Good(path.replace("{}", made), filled)

    CALLS[identifier] = build


def product(world: World) -> str:
    return world.api.v1.products.create({"name": "Rates"}).id


def price(world: World) -> str:
    return world.licensed().id


def meter(world: World) -> str:
    found = world.metered().recurring
    assert found is not None
    return str(found.meter)


def idle_meter(world: World) -> str:
    return world.api.v1.billing.meters.deactivate(meter(world)).id


def customer(world: World) -> str:
    return world.api.v1.customers.create({"email": "dev@example.com"}).id


def card(world: World) -> str:
    attach = world.api.v1.payment_methods.attach
    return attach("pm_card_visa", {"customer": customer(world)}).id


def payer(world: World) -> str:
    method = world.api.v1.payment_methods.retrieve(card(world))
    settings = {"invoice_settings": {"default_payment_method": method.id}}
    return world.api.v1.customers.update(str(method.customer), settings).id  # type: ignore[arg-type]


def session(world: World) -> str:
    return world.session(world.licensed()).id


def paid_session(world: World) -> str:
    opened = world.session(world.licensed())
    assert world.pay(opened)["kind"] == "paid"
    return opened.id


def subscription(world: World) -> str:
    return world.subscribe(world.licensed()).id


def paid_invoice(world: World) -> str:
    return str(world.api.v1.subscriptions.retrieve(subscription(world)).latest_invoice)


def draft(world: World) -> str:
    return str(world.control(f"/subscriptions/{subscription(world)}/end-period")["invoice"]["id"])


def open_invoice(world: World) -> str:
    return world.api.v1.invoices.finalize_invoice(draft(world), {"auto_advance": False}).id


def intent(world: World) -> str:
    paid = {"invoice": paid_invoice(world)}
    payment = world.api.v1.invoice_payments.list(paid).data[0]  # type: ignore[arg-type]
    return str(payment.payment.payment_intent)


def configuration(world: World) -> str:
    features: stripe.params.billing_portal.ConfigurationCreateParamsFeatures = {
        "invoice_history": {"enabled": True}
    }
    return world.api.v1.billing_portal.configurations.create({"features": features}).id


def hook(world: World) -> str:
    endpoints = world.platform_api.v1.webhook_endpoints
    return endpoints.create({"url": "http://a.test/", "enabled_events": ["*"]}).id


def event(world: World) -> str:
    product(world)
    return world.api.v1.events.list({"type": "product.created"}).data[0].id


def _own_on(identifier: str, path: str, pairs: Pairs | None = None) -> None:
    CALLS[identifier] = lambda world: Good(path.replace("{}", hook(world)), pairs or {}, own=True)


_plain("GetAccount", "/v1/account", own=True)
CALLS["GetAccountsAccount"] = lambda world: Good(f"/v1/accounts/{world.account}", own=True)

_on("PostProducts", "/v1/products", lambda _world: "", {"name": "Rates", "metadata[a]": "b"})
_on("GetProducts", "/v1/products", product, {"active": "true", "limit": "3"})
_on("GetProductsId", "/v1/products/{}", product)
_on("PostProductsId", "/v1/products/{}", product, {"active": "false"})
_on("DeleteProductsId", "/v1/products/{}", product)
_on(
    "PostPrices",
    "/v1/prices",
    product,
    {
        "product": "{}", "currency": "usd", "unit_amount_decimal": "0.25", "lookup_key": "k",
        "recurring[interval]": "month",
    },
)  # fmt: skip
_on("GetPrices", "/v1/prices", price, {"type": "recurring"})
_on("GetPricesPrice", "/v1/prices/{}", price, {"expand[]": "product"})
_on("PostPricesPrice", "/v1/prices/{}", price, {"active": "false"})

_plain("PostBillingMeters", "/v1/billing/meters", **{
    "display_name": "Calls", "event_name": "walk", "default_aggregation[formula]": "sum",
})  # fmt: skip
_on("GetBillingMeters", "/v1/billing/meters", meter, {"status": "active"})
_on("GetBillingMetersId", "/v1/billing/meters/{}", meter)
_on("PostBillingMetersId", "/v1/billing/meters/{}", meter, {"display_name": "Requests"})
_on("PostBillingMetersIdDeactivate", "/v1/billing/meters/{}/deactivate", meter)
_on("PostBillingMetersIdReactivate", "/v1/billing/meters/{}/reactivate", idle_meter)


def usage(world: World) -> str:
    meter(world)
    return customer(world)


_on("PostBillingMeterEvents", "/v1/billing/meter_events", usage, {
    "event_name": "calls", "payload[stripe_customer_id]": "{}", "payload[value]": "25",
})  # fmt: skip


@good("PostBillingMeterEventAdjustments")
def adjustment(world: World) -> Good:
    payload = {"stripe_customer_id": usage(world), "value": "1"}
    world.api.v1.billing.meter_events.create(
        {"event_name": "calls", "payload": payload, "identifier": "e-1"}
    )
    pairs = {"event_name": "calls", "type": "cancel", "cancel[identifier]": "e-1"}
    return Good("/v1/billing/meter_event_adjustments", pairs)


@good("GetBillingMetersIdEventSummaries")
def summaries(world: World) -> Good:
    start = world.clock.now() // 86400 * 86400
    pairs = {"start_time": str(start), "end_time": str(start + 86400), "customer": customer(world)}
    return Good(f"/v1/billing/meters/{meter(world)}/event_summaries", pairs)


_plain("PostCustomers", "/v1/customers", email="dev@example.com", name="Dev")
_on("GetCustomers", "/v1/customers", customer, {"email": "dev@example.com"})
_on("GetCustomersCustomer", "/v1/customers/{}", customer)
_on("PostCustomersCustomer", "/v1/customers/{}", customer, {"name": "New name"})
_on("DeleteCustomersCustomer", "/v1/customers/{}", payer)
_on("GetCustomersCustomerPaymentMethods", "/v1/customers/{}/payment_methods", payer)
_plain("PostPaymentMethods", "/v1/payment_methods", **{
    "type": "card", "card[number]": "4242424242424242", "card[exp_month]": "12",
    "card[exp_year]": "2040", "card[cvc]": "123",
})  # fmt: skip
_on("GetPaymentMethods", "/v1/payment_methods", payer, {"customer": "{}", "type": "card"})
_on("GetPaymentMethodsPaymentMethod", "/v1/payment_methods/{}", card)
_on(
    "PostPaymentMethodsPaymentMethodAttach",
    "/v1/payment_methods/pm_card_visa/attach",
    customer,
    {"customer": "{}"},
)
_on("PostPaymentMethodsPaymentMethodDetach", "/v1/payment_methods/{}/detach", card)

_on("PostCheckoutSessions", "/v1/checkout/sessions", price, {
    "mode": "subscription", "line_items[0][price]": "{}", "line_items[0][quantity]": "1",
    "success_url": "https://portal.test/?s={CHECKOUT_SESSION_ID}",
})  # fmt: skip
_on("GetCheckoutSessions", "/v1/checkout/sessions", session, {"status": "open"})
_on("GetCheckoutSessionsSession", "/v1/checkout/sessions/{}", paid_session, {
    "expand[]": "subscription",
})  # fmt: skip
_on("PostCheckoutSessionsSession", "/v1/checkout/sessions/{}", session, {"metadata[a]": "b"})
_on("PostCheckoutSessionsSessionExpire", "/v1/checkout/sessions/{}/expire", session)
_on("GetCheckoutSessionsSessionLineItems", "/v1/checkout/sessions/{}/line_items", session)


@good("PostSubscriptions")
def subscribing(world: World) -> Good:
    return Good("/v1/subscriptions", {"customer": payer(world), "items[0][price]": price(world)})


_on("GetSubscriptions", "/v1/subscriptions", subscription, {"status": "all"})
_on("GetSubscriptionsSubscriptionExposedId", "/v1/subscriptions/{}", subscription, {
    "expand[]": "latest_invoice",
})  # fmt: skip
_on("PostSubscriptionsSubscriptionExposedId", "/v1/subscriptions/{}", subscription, {
    "cancel_at_period_end": "true",
})  # fmt: skip
_on("DeleteSubscriptionsSubscriptionExposedId", "/v1/subscriptions/{}", subscription, {
    "invoice_now": "true", "prorate": "false",
})  # fmt: skip
_on("GetSubscriptionItems", "/v1/subscription_items", subscription, {"subscription": "{}"})

_on("GetInvoices", "/v1/invoices", subscription, {"subscription": "{}"})
_on("GetInvoicesInvoice", "/v1/invoices/{}", paid_invoice, {"expand[]": "payments"})
_on("PostInvoicesInvoice", "/v1/invoices/{}", draft, {"metadata[a]": "b"})
_on("PostInvoicesInvoiceFinalize", "/v1/invoices/{}/finalize", draft)
_on("PostInvoicesInvoicePay", "/v1/invoices/{}/pay", open_invoice)
_on("PostInvoicesInvoiceVoid", "/v1/invoices/{}/void", open_invoice)
_on("PostInvoicesInvoiceMarkUncollectible", "/v1/invoices/{}/mark_uncollectible", open_invoice)
_on("GetInvoicesInvoiceLines", "/v1/invoices/{}/lines", paid_invoice)
_on("PostInvoicesCreatePreview", "/v1/invoices/create_preview", subscription, {
    "subscription": "{}",
})  # fmt: skip
_on("GetInvoicePayments", "/v1/invoice_payments", paid_invoice, {"invoice": "{}"})
_on("GetPaymentIntentsIntent", "/v1/payment_intents/{}", intent)

_plain("PostBillingPortalConfigurations", "/v1/billing_portal/configurations", **{
    "features[invoice_history][enabled]": "true",
})  # fmt: skip
_on("GetBillingPortalConfigurations", "/v1/billing_portal/configurations", configuration)
_on(
    "GetBillingPortalConfigurationsConfiguration",
    "/v1/billing_portal/configurations/{}",
    configuration,
)
_on(
    "PostBillingPortalConfigurationsConfiguration",
    "/v1/billing_portal/configurations/{}",
    configuration,
    {"default_return_url": "https://portal.test/"},
)


@good("PostBillingPortalSessions")
def portal_session(world: World) -> Good:
    pairs = {"customer": customer(world), "configuration": configuration(world)}
    return Good("/v1/billing_portal/sessions", pairs)


_plain("PostWebhookEndpoints", "/v1/webhook_endpoints", own=True, **{
    "url": "http://a.test/", "connect": "true", "enabled_events[0]": "invoice.paid",
})  # fmt: skip
_own_on("GetWebhookEndpoints", "/v1/webhook_endpoints", {"limit": "5"})
_own_on("GetWebhookEndpointsWebhookEndpoint", "/v1/webhook_endpoints/{}")
_own_on("PostWebhookEndpointsWebhookEndpoint", "/v1/webhook_endpoints/{}", {"disabled": "true"})
_own_on("DeleteWebhookEndpointsWebhookEndpoint", "/v1/webhook_endpoints/{}")
_on("GetEvents", "/v1/events", event, {"type": "product.*"})
_on("GetEventsId", "/v1/events/{}", event)


@good("SandboxPostEventsIdRetry")
def retry(world: World) -> Good:
    happened, endpoint = event(world), hook(world)
    own = world.platform_api.v1.products.create({"name": "Own"})
    last = world.platform_api.v1.events.list({"type": "product.created"}).data[0]
    assert (happened, last.data.object["id"]) != (last.id, None)
    assert own.id == last.data.object["id"]
    return Good(f"/v1/events/{last.id}/retry", {"webhook_endpoint": endpoint}, own=True)


def clock(world: World) -> str:
    frozen = {"frozen_time": world.clock.now()}
    return world.api.v1.test_helpers.test_clocks.create(frozen).id  # type: ignore[arg-type]


_TEST_CLOCKS = "/v1/test_helpers/test_clocks"
CALLS["PostTestHelpersTestClocks"] = lambda world: Good(
    _TEST_CLOCKS, {"frozen_time": str(world.clock.now())}
)
_on("GetTestHelpersTestClocks", _TEST_CLOCKS, clock)
_on("GetTestHelpersTestClocksTestClock", _TEST_CLOCKS + "/{}", clock)
_on("DeleteTestHelpersTestClocksTestClock", _TEST_CLOCKS + "/{}", clock)
CALLS["PostTestHelpersTestClocksTestClockAdvance"] = lambda world: Good(
    f"{_TEST_CLOCKS}/{clock(world)}/advance", {"frozen_time": str(world.clock.now() + 3600)}
)


_on("SandboxGetPaymentPagesSession", "/v1/payment_pages/{}", session)


@good("SandboxPostPaymentPagesSessionConfirm")
def _confirm(world: World) -> Good:
    opened = world.session(world.licensed())
    pairs = {"payment_method": "pm_card_visa", "expected_amount": str(opened.amount_total)}
    return Good(f"/v1/payment_pages/{opened.id}/confirm", pairs)


def charge(world: World) -> str:
    found = world.api.v1.payment_intents.retrieve(intent(world))
    return str(found.latest_charge)


def refund(world: World) -> str:
    return world.api.v1.refunds.create({"charge": charge(world)}).id


def movement(world: World) -> str:
    return str(world.api.v1.charges.retrieve(charge(world)).balance_transaction)


_plain("GetCharges", "/v1/charges", limit="3")
_plain("GetRefunds", "/v1/refunds", limit="3")
_plain("GetBalanceTransactions", "/v1/balance_transactions", type="charge")
_plain("GetApplicationFees", "/v1/application_fees", own=True)
_on("GetChargesCharge", "/v1/charges/{}", charge)
_on("PostRefunds", "/v1/refunds", charge, {"charge": "{}", "reason": "requested_by_customer"})
_on("GetRefundsRefund", "/v1/refunds/{}", refund)
_on("PostRefundsRefund", "/v1/refunds/{}", refund, {"metadata[a]": "1"})
_on("GetBalanceTransactionsId", "/v1/balance_transactions/{}", movement)


@good("GetApplicationFeesId")
def _fee(world: World) -> Good:
    world.subscribe(world.licensed(), subscription_data={"application_fee_percent": 10})
    taken = world.platform_api.v1.application_fees.list().data[0]
    return Good(f"/v1/application_fees/{taken.id}", own=True)


def coupon(world: World) -> str:
    return world.api.v1.coupons.create({"percent_off": 25, "duration": "forever"}).id


def code(world: World) -> str:
    promotion = {"type": "coupon", "coupon": coupon(world)}
    return world.api.v1.promotion_codes.create({"promotion": promotion}).id  # type: ignore[typeddict-item]


_plain("PostCoupons", "/v1/coupons", amount_off="500", currency="usd", id="FIVE")
_plain("GetCoupons", "/v1/coupons", limit="3")
_plain("GetPromotionCodes", "/v1/promotion_codes", limit="3")
_on("GetCouponsCoupon", "/v1/coupons/{}", coupon)
_on("PostCouponsCoupon", "/v1/coupons/{}", coupon, {"name": "Quarter off"})
_on("DeleteCouponsCoupon", "/v1/coupons/{}", coupon)
_on("GetPromotionCodesPromotionCode", "/v1/promotion_codes/{}", code)
_on("PostPromotionCodesPromotionCode", "/v1/promotion_codes/{}", code, {"active": "false"})
_on(
    "PostPromotionCodes",
    "/v1/promotion_codes",
    coupon,
    {"promotion[type]": "coupon", "promotion[coupon]": "{}", "code": "WELCOME"},
)


def report(world: World) -> str:
    """The thin event that tells of usage of nobody."""
    world.metered()
    world.api.v1.billing.meter_events.create(
        {"event_name": "calls", "payload": {"stripe_customer_id": "cus_nobody", "value": "1"}}
    )
    world.tick(20)
    return world.api.v2.core.events.list().data[0].id


_on("GetV2CoreEvents", "/v2/core/events", report, {"limit": "3"})
_on("GetV2CoreEventsId", "/v2/core/events/{}", report)
