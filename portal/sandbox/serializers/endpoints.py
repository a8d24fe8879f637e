"""How a webhook endpoint looks; its secret only in the answer to its creation."""

from __future__ import annotations

from portal.sandbox.serializers.base import Json, shaped
from portal.sandbox.store import Db, Record

SHAPE: Json = {
    "api_version": None,
    "application": None,
    "created": 0,
    "description": None,
    "enabled_events": [],
    "livemode": False,
    "metadata": {},
    "status": "enabled",
    "url": "",
}


def render(_db: Db, record: Record) -> Json:
    """Return the endpoint as the API shows it."""
    return shaped(SHAPE, record)
