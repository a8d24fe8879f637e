"""How a meter looks."""

from __future__ import annotations

from portal.sandbox.serializers.base import Json, shaped
from portal.sandbox.store import Db, Record

SHAPE: Json = {
    "created": 0,
    "customer_mapping": {"event_payload_key": "stripe_customer_id", "type": "by_id"},
    "default_aggregation": {"formula": "sum"},
    "display_name": "",
    "event_name": "",
    "event_time_window": None,
    "livemode": False,
    "status": "active",
    "status_transitions": {"deactivated_at": None},
    "updated": 0,
    "value_settings": {"event_payload_key": "value"},
}


def render(_db: Db, record: Record) -> Json:
    """Return the meter as the API shows it."""
    return shaped(SHAPE, record)
