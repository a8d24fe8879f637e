"""How a test clock looks."""

from __future__ import annotations

from portal.sandbox.serializers.base import Json, shaped
from portal.sandbox.store import Db, Record

SHAPE: Json = {
    "created": 0,
    "deletes_after": 0,
    "frozen_time": 0,
    "livemode": False,
    "name": None,
    "status": "ready",
    "status_details": {},
}


def render(_db: Db, record: Record) -> Json:
    """Return the clock as the API shows it, a deleted one as a stub."""
    if record.get("deleted"):
        return {"id": record["id"], "object": record["object"], "deleted": True}
    return shaped(SHAPE, record)
