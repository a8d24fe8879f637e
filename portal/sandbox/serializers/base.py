"""The common part of every serializer."""

from __future__ import annotations

from typing import Any

from portal.sandbox.store import Record

Json = dict[str, Any]


def copied(value: Any) -> Any:
    """Return a copy of a JSON value that shares nothing with it."""
    if isinstance(value, dict):
        return {key: copied(each) for key, each in value.items()}
    if isinstance(value, list):
        return [copied(each) for each in value]
    return value


def shaped(shape: Json, record: Record) -> Json:
    """Return `shape` with the record's values; keys that the shape lacks stay inside."""
    result = {key: copied(record.get(key, shape[key])) for key in shape}
    if "test_clock" in shape:
        result["test_clock"] = record.get("_clock")
    return {"id": record["id"], "object": record["object"], **result}


def listing(data: list[Json], url: str, *, has_more: bool = False) -> Json:
    """Return Stripe's list object."""
    return {"object": "list", "data": data, "has_more": has_more, "url": url}
