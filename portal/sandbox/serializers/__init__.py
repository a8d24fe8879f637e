"""One serializer per object: the only place that knows how an answer looks."""

from __future__ import annotations

from collections.abc import Callable

from portal.sandbox.serializers import (
    accounts,
    balance,
    customers,
    discounts,
    endpoints,
    invoices,
    meters,
    payments,
    portals,
    prices,
    products,
    sessions,
    subscriptions,
    test_clocks,
)
from portal.sandbox.serializers.base import Json
from portal.sandbox.store import Db, Record

_RENDERERS: dict[str, Callable[[Db, Record], Json]] = {
    "account": accounts.render,
    "application_fee": balance.render_fee,
    "balance_transaction": balance.render_transaction,
    "billing.meter": meters.render,
    "billing_portal.configuration": portals.render_configuration,
    "billing_portal.session": portals.render_session,
    "charge": balance.render_charge,
    "checkout.session": sessions.render,
    "coupon": discounts.render_coupon,
    "customer": customers.render,
    "invoice": invoices.render,
    "invoice_payment": payments.render_payment,
    "payment_intent": payments.render_intent,
    "payment_method": payments.render_method,
    "price": prices.render,
    "product": products.render,
    "promotion_code": discounts.render_code,
    "refund": balance.render_refund,
    "subscription": subscriptions.render,
    "test_helpers.test_clock": test_clocks.render,
    "webhook_endpoint": endpoints.render,
}


def render(db: Db, record: Record) -> Json:
    """Return any stored object as the API shows it."""
    return _RENDERERS[record["object"]](db, record)
