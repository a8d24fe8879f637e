"""How a subscription and its items look."""

from __future__ import annotations

from portal.sandbox.serializers import prices
from portal.sandbox.serializers.base import Json, listing, shaped
from portal.sandbox.store import Db, Record

SHAPE: Json = {
    "application": None,
    "application_fee_percent": None,
    "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
    "billing_cycle_anchor": 0,
    "billing_cycle_anchor_config": None,
    "billing_mode": None,
    "billing_thresholds": None,
    "cancel_at": None,
    "cancel_at_period_end": False,
    "canceled_at": None,
    "cancellation_details": {"comment": None, "feedback": None, "reason": None},
    "collection_method": "charge_automatically",
    "created": 0,
    "currency": "usd",
    "customer": "",
    "customer_account": None,
    "days_until_due": None,
    "default_payment_method": None,
    "default_source": None,
    "default_tax_rates": [],
    "description": None,
    "discounts": [],
    "ended_at": None,
    "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
    "latest_invoice": None,
    "livemode": False,
    "managed_payments": None,
    "metadata": {},
    "next_pending_invoice_item_invoice": None,
    "on_behalf_of": None,
    "pause_collection": None,
    "payment_settings": {
        "payment_method_options": None,
        "payment_method_types": None,
        "save_default_payment_method": "off",
    },
    "pending_invoice_item_interval": None,
    "pending_setup_intent": None,
    "pending_update": None,
    "schedule": None,
    "start_date": 0,
    "status": "active",
    "test_clock": None,
    "transfer_data": None,
    "trial_end": None,
    "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
    "trial_start": None,
}


def render(db: Db, record: Record) -> Json:
    """Return the subscription as the API shows it."""
    result = shaped(SHAPE, record)
    discount = record.get("_discount")
    result["discounts"] = [discount["id"]] if discount else []
    items = [render_item(db, record, item) for item in record["items"]]
    url = f"/v1/subscription_items?subscription={record['id']}"
    result["items"] = listing(items, url)
    return result


def render_item(db: Db, record: Record, item: Json) -> Json:
    """Return one item; `quantity` is absent where usage is metered."""
    price = db.need("price", record["_account"], item["price"])
    result: Json = {
        "id": item["id"],
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": item["created"],
        "current_period_end": item["current_period_end"],
        "current_period_start": item["current_period_start"],
        "discounts": [],
        "metadata": dict(item["metadata"]),
        "price": prices.render(db, price),
        "subscription": record["id"],
        "tax_rates": [],
    }
    if item["quantity"] is not None:
        result["quantity"] = item["quantity"]
    return result
