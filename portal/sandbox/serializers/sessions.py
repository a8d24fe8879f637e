"""How a Checkout Session looks; `url` only while it is open."""

from __future__ import annotations

from portal.sandbox.serializers import prices
from portal.sandbox.serializers.base import Json, shaped
from portal.sandbox.store import Db, Record

SHAPE: Json = {
    "adaptive_pricing": None,
    "after_expiration": None,
    "allow_promotion_codes": None,
    "amount_subtotal": 0,
    "amount_total": 0,
    "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
    "billing_address_collection": None,
    "cancel_url": None,
    "client_reference_id": None,
    "client_secret": None,
    "collected_information": None,
    "consent": None,
    "consent_collection": None,
    "created": 0,
    "currency": None,
    "currency_conversion": None,
    "custom_fields": [],
    "custom_text": {
        "after_submit": None,
        "shipping_address": None,
        "submit": None,
        "terms_of_service_acceptance": None,
    },
    "customer": None,
    "customer_account": None,
    "customer_creation": None,
    "customer_details": None,
    "customer_email": None,
    "discounts": [],
    "expires_at": 0,
    "integration_identifier": None,
    "invoice": None,
    "invoice_creation": None,
    "livemode": False,
    "locale": None,
    "managed_payments": None,
    "metadata": {},
    "mode": "subscription",
    "optional_items": None,
    "origin_context": None,
    "payment_intent": None,
    "payment_link": None,
    "payment_method_collection": "always",
    "payment_method_configuration_details": None,
    "payment_method_options": {},
    "payment_method_types": ["card"],
    "payment_status": "unpaid",
    "permissions": None,
    "phone_number_collection": {"enabled": False},
    "recovered_from": None,
    "saved_payment_method_options": None,
    "setup_intent": None,
    "shipping_address_collection": None,
    "shipping_cost": None,
    "shipping_options": [],
    "status": "open",
    "submit_type": None,
    "subscription": None,
    "success_url": None,
    "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
    "ui_mode": "hosted_page",
    "url": None,
    "wallet_options": None,
}


def render(db: Db, record: Record) -> Json:
    """Return the session as the API shows it."""
    result = shaped(SHAPE, record)
    discount = record.get("_discount")
    if discount is not None:
        result["discounts"] = [{"coupon": None, "promotion_code": discount["promotion_code"]}]
        if discount["promotion_code"] is None:
            result["discounts"][0]["coupon"] = discount["coupon"]
        taken = record["amount_subtotal"] - record["amount_total"]
        result["total_details"]["amount_discount"] = taken
    if record["status"] == "open":
        result["url"] = f"{db.base_url}/c/pay/{record['id']}"
    return result


def render_item(db: Db, record: Record, item: Json) -> Json:
    """Return one line item of a session."""
    price = db.need("price", record["_account"], item["price"])
    return {
        "id": item["id"],
        "object": "item",
        "adjustable_quantity": None,
        "amount_discount": item.get("discount", 0),
        "amount_subtotal": item["amount"],
        "amount_tax": 0,
        "amount_total": item["amount"] - item.get("discount", 0),
        "currency": record["currency"],
        "description": item["description"],
        "metadata": {},
        "price": prices.render(db, price),
        "quantity": item["quantity"],
    }
