"""How payment methods, payment intents and invoice payments look."""

from __future__ import annotations

from portal.sandbox.serializers.base import Json, shaped
from portal.sandbox.store import Db, Record

METHOD: Json = {
    "allow_redisplay": "unspecified",
    "billing_details": {
        "address": {
            "city": None,
            "country": None,
            "line1": None,
            "line2": None,
            "postal_code": None,
            "state": None,
        },
        "email": None,
        "name": None,
        "phone": None,
        "tax_id": None,
    },
    "card": {},
    "created": 0,
    "customer": None,
    "customer_account": None,
    "livemode": False,
    "metadata": {},
    "type": "card",
}

INTENT: Json = {
    "amount": 0,
    "amount_capturable": 0,
    "amount_received": 0,
    "application": None,
    "application_fee_amount": None,
    "automatic_payment_methods": None,
    "canceled_at": None,
    "cancellation_reason": None,
    "capture_method": "automatic",
    "client_secret": None,
    "confirmation_method": "automatic",
    "created": 0,
    "currency": "usd",
    "customer": None,
    "customer_account": None,
    "description": None,
    "last_payment_error": None,
    "latest_charge": None,
    "livemode": False,
    "metadata": {},
    "next_action": None,
    "on_behalf_of": None,
    "payment_method": None,
    "payment_method_types": ["card"],
    "processing": None,
    "receipt_email": None,
    "review": None,
    "setup_future_usage": "off_session",
    "shipping": None,
    "statement_descriptor": None,
    "statement_descriptor_suffix": None,
    "status": "requires_payment_method",
    "transfer_data": None,
    "transfer_group": None,
}

PAYMENT: Json = {
    "amount_paid": None,
    "amount_requested": 0,
    "created": 0,
    "currency": "usd",
    "invoice": "",
    "is_default": True,
    "livemode": False,
    "payment": {},
    "status": "open",
    "status_transitions": {"canceled_at": None, "paid_at": None},
}


def render_method(_db: Db, record: Record) -> Json:
    """Return the payment method as the API shows it."""
    return shaped(METHOD, record)


def render_intent(_db: Db, record: Record) -> Json:
    """Return the payment intent as the API shows it."""
    return shaped(INTENT, record)


def render_payment(_db: Db, record: Record) -> Json:
    """Return the payment of an invoice as the API shows it."""
    return shaped(PAYMENT, record)


def card_details(brand: str, last4: str, month: int, year: int) -> Json:
    """Return the `card` part of a payment method."""
    return {
        "brand": brand,
        "checks": {
            "address_line1_check": None,
            "address_postal_code_check": None,
            "cvc_check": "pass",
        },
        "country": "US",
        "display_brand": "american_express" if brand == "amex" else brand,
        "exp_month": month,
        "exp_year": year,
        "fingerprint": f"sandbox{brand}{last4}"[:16],
        "funding": "credit",
        "generated_from": None,
        "last4": last4,
        "networks": {"available": [brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }
