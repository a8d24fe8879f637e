"""Usage: meter events, their adjustments and their summaries."""

from __future__ import annotations

import re
import uuid

from portal.sandbox import faults, ids
from portal.sandbox.call import Call, Json, operation
from portal.sandbox.engine import meter_errors, usage
from portal.sandbox.errors import invalid, missing_param, unsupported
from portal.sandbox.resources import common
from portal.sandbox.serializers.base import listing
from portal.sandbox.store import Record

_DAY = 86400
_OLDEST = 35 * _DAY
_NEWEST = 300
_IDENTIFIER_WINDOW = _DAY
_GROUPS = {"hour": 3600, "day": _DAY}
_LARGEST = 10**15


@operation("PostBillingMeterEvents", "event_name payload identifier timestamp")
def create(call: Call) -> Json:
    """Accept one usage event. That it is accepted doesn't mean that it is counted yet."""
    params = call.params
    meter = _meter(call, params["event_name"])
    customer, value = _payload(meter, params["payload"])
    known = call.db.get("customer", call.account, customer)
    if known is not None:
        call.follow(known)
    timestamp = _timestamp(call)
    identifier = params.get("identifier") or str(uuid.uuid4())
    _check_identifier(call, meter, identifier)
    fault = faults.take(
        call.db, "meter", event_name=meter["event_name"], customer=customer, account=call.account
    )
    lag = int(fault.seconds) if fault else call.settings.meter_lag
    refused = _refused_later(known, customer, fault)
    if refused is not None:
        at = call.db.wall + lag
        meter_errors.note(call.db, call.account, meter["id"], identifier, refused, at=at)
    call.db.execute(
        "INSERT INTO meter_events (account, meter, event_name, customer, identifier, value,"
        " timestamp, received_at, counts_at, canceled) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        call.account, meter["id"], meter["event_name"], customer, identifier, value, timestamp,
        call.db.wall, call.db.wall + lag, 0 if refused is None else 1,
    )  # fmt: skip
    return {
        "object": "billing.meter_event",
        "created": call.now,
        "event_name": meter["event_name"],
        "identifier": identifier,
        "livemode": False,
        "payload": dict(params["payload"]),
        "timestamp": timestamp,
    }


def _refused_later(
    known: Record | None, customer: str, fault: faults.Fault | None
) -> tuple[str, str] | None:
    """Return why an event will not be counted: Stripe looks at these things afterwards only."""
    if known is None or known.get("deleted"):
        return "meter_event_customer_not_found", f"No such customer: '{customer}'"
    if fault is not None and fault.kind == "meter_reject":
        return (
            "archived_meter",
            "The meter was archived (a fault that the sandbox was told to make)",
        )
    return None


def _meter(call: Call, event_name: str) -> Record:
    meter = call.db.by_lookup("billing.meter", call.account, event_name)
    if meter is None:
        raise invalid(
            f"No active meter found for event name `{event_name}`.", "event_name",
            "resource_missing",
        )  # fmt: skip
    if meter["status"] != "active":
        raise invalid(
            f"The meter for event name `{event_name}` is inactive.", "event_name",
            "archived_meter",
        )  # fmt: skip
    return meter


def _payload(meter: Record, payload: Json) -> tuple[str, int]:
    customer_key = meter["customer_mapping"]["event_payload_key"]
    value_key = meter["value_settings"]["event_payload_key"]
    needed = [customer_key]
    if meter["default_aggregation"]["formula"] != "count":
        needed.append(value_key)
    for key in needed:
        if not payload.get(key):
            raise invalid(
                f"The payload of the meter event is missing the key `{key}`.", f"payload[{key}]",
                "parameter_missing",
            )  # fmt: skip
    for key in payload:
        if key not in (customer_key, value_key):
            raise unsupported(f"the dimension {key} of a meter event", f"payload[{key}]")
    text = str(payload.get(value_key, "1"))
    if not re.fullmatch(r"-?[0-9]{1,16}", text) or abs(int(text)) > _LARGEST:
        raise invalid(
            f"Invalid value `{text[:40]}` for `{value_key}`: the value of a meter event must be a"
            " whole number.",
            f"payload[{value_key}]",
            "parameter_invalid_integer",
        )
    return str(payload[customer_key]), int(text)


def _timestamp(call: Call) -> int:
    timestamp = int(call.params.get("timestamp", call.now))
    oldest = call.now - _OLDEST
    if timestamp < oldest:
        raise invalid(
            "The event timestamp cannot be more than 35 days in past. Expected a timestamp greater"
            f" than or equal to {oldest}.",
            "timestamp",
            "timestamp_too_far_in_past",
        )
    if timestamp > call.now + _NEWEST:
        raise invalid(
            "The event timestamp cannot be more than 5 minutes in the future. Expected a timestamp"
            f" less than or equal to {call.now + _NEWEST}.",
            "timestamp",
            "timestamp_in_future",
        )
    return timestamp


def _check_identifier(call: Call, meter: Record, identifier: str) -> None:
    row = call.db.execute(
        "SELECT 1 FROM meter_events WHERE account = ? AND event_name = ? AND identifier = ?"
        " AND received_at > ?",
        call.account, meter["event_name"], identifier, call.db.wall - _IDENTIFIER_WINDOW,
    ).fetchone()  # fmt: skip
    if row is not None:
        raise invalid(
            f"An event already exists with identifier {identifier}.", "identifier",
            "duplicate_meter_event",
        )  # fmt: skip


@operation("PostBillingMeterEventAdjustments", "event_name type cancel")
def adjust(call: Call) -> Json:
    """Take an event back that was received within the last 24 hours."""
    params = call.params
    identifier = (params.get("cancel") or {}).get("identifier")
    if not identifier:
        raise missing_param("cancel[identifier]")
    row = call.db.execute(
        "SELECT seq FROM meter_events WHERE account = ? AND event_name = ? AND identifier = ?"
        " AND received_at > ? AND canceled = 0 ORDER BY seq DESC",
        call.account, params["event_name"], identifier, call.db.wall - _IDENTIFIER_WINDOW,
    ).fetchone()  # fmt: skip
    if row is None:
        raise invalid(
            f"No meter event found with identifier {identifier} within the last 24 hours.",
            "cancel[identifier]",
            "resource_missing",
        )
    call.db.execute("UPDATE meter_events SET canceled = 1 WHERE seq = ?", row[0])
    return {
        "object": "billing.meter_event_adjustment",
        "cancel": {"identifier": identifier},
        "event_name": params["event_name"],
        "livemode": False,
        "status": "complete",
        "type": "cancel",
    }


@operation(
    "GetBillingMetersIdEventSummaries",
    "customer start_time end_time value_grouping_window",
    listing=True,
)
def summaries(call: Call) -> Json:
    """Return what was counted for a customer, in one piece or per hour or day."""
    meter = common.from_path(call, "billing.meter")
    customer = common.from_param(call, "customer", "customer")
    start, end = int(call.params["start_time"]), int(call.params["end_time"])
    window = call.params.get("value_grouping_window")
    _check_alignment(start, end, window)
    step = _GROUPS[window] if window else max(end - start, 1)
    if "starting_after" in call.params or "ending_before" in call.params:
        raise unsupported("paging through summaries with a cursor", "starting_after")
    limit, url = common.limits(call), f"/v1/billing/meters/{meter['id']}/event_summaries"
    data = []
    for begin in range(start, end, step):
        value = usage.quantity(call.db, meter, customer["id"], begin, min(begin + step, end))
        if value or not window:
            data.append(_summary(meter, begin, min(begin + step, end), value))
    return listing(data[::-1][:limit], url, has_more=len(data) > limit)


def _check_alignment(start: int, end: int, window: str | None) -> None:
    if end <= start:
        raise invalid("`end_time` must be after `start_time`.", "end_time")
    step = _GROUPS[window] if window else 60
    for name, value in (("start_time", start), ("end_time", end)):
        if value % step:
            raise invalid(f"`{name}` must be aligned with {window or 'minute'} boundaries.", name)
    if (end - start) // step > 10_000 and window:
        raise invalid("The range is too long for this grouping window.", "value_grouping_window")


def _summary(meter: Record, start: int, end: int, value: int) -> Json:
    return {
        "id": ids.new("summary"),
        "object": "billing.meter_event_summary",
        "aggregated_value": value,
        "end_time": end,
        "livemode": False,
        "meter": meter["id"],
        "start_time": start,
    }
