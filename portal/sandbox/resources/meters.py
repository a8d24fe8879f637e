"""Billing meters."""

from __future__ import annotations

from portal.sandbox import events, ids
from portal.sandbox.call import Call, Json, operation
from portal.sandbox.errors import invalid
from portal.sandbox.resources import common
from portal.sandbox.store import Record


@operation(
    "PostBillingMeters",
    "display_name event_name default_aggregation customer_mapping value_settings",
)
def create(call: Call) -> Json:
    """Create a meter; an event name is taken for ever, also by an inactive meter."""
    params = call.params
    name = params["event_name"]
    if call.db.by_lookup("billing.meter", call.account, name) is not None:
        raise invalid(
            f"A meter with the event name `{name}` already exists.", "event_name",
            "resource_already_exists",
        )  # fmt: skip
    mapping = params.get("customer_mapping") or {}
    values = params.get("value_settings") or {}
    customer_key = mapping.get("event_payload_key", "stripe_customer_id")
    value_key = values.get("event_payload_key", "value")
    if customer_key == value_key:
        raise invalid(
            "The customer and the value of an event can't have the same key.",
            "value_settings[event_payload_key]",
        )
    meter: Record = {
        "id": ids.new("billing.meter"),
        "object": "billing.meter",
        "_account": call.account,
        "_lookup": name,
        "created": call.now,
        "customer_mapping": {
            "event_payload_key": customer_key,
            "type": "by_id",
        },
        "default_aggregation": {"formula": params["default_aggregation"]["formula"]},
        "display_name": params["display_name"],
        "event_name": name,
        "status": "active",
        "status_transitions": {"deactivated_at": None},
        "updated": call.now,
        "value_settings": {"event_payload_key": value_key},
    }
    call.db.insert(meter)
    events.emit(call.db, meter, "billing.meter.created", now=call.now)
    return common.show(call, meter)


@operation("GetBillingMetersId")
def retrieve(call: Call) -> Json:
    """Return one meter."""
    return common.show(call, common.from_path(call, "billing.meter"))


@operation("PostBillingMetersId", "display_name")
def update(call: Call) -> Json:
    """Rename a meter; nothing else of it can change."""
    meter = common.from_path(call, "billing.meter")
    with events.changing(call.db, meter, "billing.meter.updated", now=call.now):
        common.assign(meter, call.params, "display_name")
        meter["updated"] = call.now
    return common.show(call, meter)


@operation("PostBillingMetersIdDeactivate")
def deactivate(call: Call) -> Json:
    """Stop accepting events."""
    meter = common.from_path(call, "billing.meter")
    if meter["status"] == "inactive":
        raise invalid("You cannot deactivate a meter that is already inactive.")
    return _switch(call, meter, "inactive", call.now, "billing.meter.deactivated")


@operation("PostBillingMetersIdReactivate")
def reactivate(call: Call) -> Json:
    """Accept events again."""
    meter = common.from_path(call, "billing.meter")
    if meter["status"] == "active":
        raise invalid("You cannot reactivate a meter that is already active.")
    return _switch(call, meter, "active", None, "billing.meter.reactivated")


def _switch(call: Call, meter: Record, status: str, at: int | None, type: str) -> Json:
    meter["status"] = status
    meter["status_transitions"]["deactivated_at"] = at
    meter["updated"] = call.now
    call.db.save(meter)
    events.emit(call.db, meter, type, now=call.now)
    return common.show(call, meter)


@operation("GetBillingMeters", "status", listing=True)
def index(call: Call) -> Json:
    """List meters."""
    filters = common.equal(call, status="status")
    return common.page(call, "billing.meter", filters, "/v1/billing/meters")
