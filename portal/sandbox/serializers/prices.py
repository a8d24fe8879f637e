"""How a price looks; `tiers` only where they were asked for with `expand`."""

from __future__ import annotations

from portal.sandbox.serializers.base import Json, shaped
from portal.sandbox.store import Db, Record

SHAPE: Json = {
    "active": True,
    "billing_scheme": "per_unit",
    "created": 0,
    "currency": "usd",
    "custom_unit_amount": None,
    "livemode": False,
    "lookup_key": None,
    "metadata": {},
    "nickname": None,
    "product": "",
    "recurring": None,
    "tax_behavior": "unspecified",
    "tiers_mode": None,
    "transform_quantity": None,
    "type": "recurring",
    "unit_amount": None,
    "unit_amount_decimal": None,
}


def render(_db: Db, record: Record) -> Json:
    """Return the price as the API shows it."""
    return shaped(SHAPE, record)
