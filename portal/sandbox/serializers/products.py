"""How a product looks."""

from __future__ import annotations

from portal.sandbox.serializers.base import Json, shaped
from portal.sandbox.store import Db, Record

SHAPE: Json = {
    "active": True,
    "created": 0,
    "default_price": None,
    "description": None,
    "images": [],
    "livemode": False,
    "marketing_features": [],
    "metadata": {},
    "name": "",
    "package_dimensions": None,
    "shippable": None,
    "statement_descriptor": None,
    "tax_code": None,
    "unit_label": None,
    "updated": 0,
    "url": None,
}


def render(_db: Db, record: Record) -> Json:
    """Return the product as the API shows it."""
    return shaped(SHAPE, record)
