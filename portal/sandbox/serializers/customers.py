"""How a customer looks."""

from __future__ import annotations

from portal.sandbox.serializers.base import Json, shaped
from portal.sandbox.store import Db, Record

SHAPE: Json = {
    "address": None,
    "balance": 0,
    "created": 0,
    "currency": None,
    "customer_account": None,
    "default_source": None,
    "delinquent": False,
    "description": None,
    "discount": None,
    "email": None,
    "invoice_prefix": None,
    "invoice_settings": {
        "custom_fields": None,
        "default_payment_method": None,
        "footer": None,
        "rendering_options": None,
    },
    "livemode": False,
    "metadata": {},
    "name": None,
    "next_invoice_sequence": 1,
    "phone": None,
    "preferred_locales": [],
    "shipping": None,
    "tax_exempt": "none",
    "test_clock": None,
}


def render(_db: Db, record: Record) -> Json:
    """Return the customer as the API shows it; a deleted one as a stub."""
    if record.get("deleted"):
        return {"id": record["id"], "object": "customer", "deleted": True}
    return shaped(SHAPE, record)
