"""The common part of every serializer."""

from __future__ import annotations

import copy
from typing import Any

from portal.sandbox.store import Record

Json = dict[str, Any]


def shaped(shape: Json, record: Record) -> Json:
    """Return `shape` with the record's values; keys that the shape lacks stay inside."""
    result = copy.deepcopy(shape)
    for key in shape:
        if key in record:
            result[key] = copy.deepcopy(record[key])
    if "test_clock" in shape:
        result["test_clock"] = record.get("_clock")
    return {"id": record["id"], "object": record["object"], **result}


def listing(data: list[Json], url: str, *, has_more: bool = False) -> Json:
    """Return Stripe's list object."""
    return {"object": "list", "data": data, "has_more": has_more, "url": url}
