"""Requests that Stripe's own tools make and its document leaves out, described as it would.

Seen on the wire from the official command line client 1.52.0 (``stripe events resend``).
"""

from __future__ import annotations

from typing import Any

_TEXT = {"type": "string", "maxLength": 5000}


def _post(identifier: str, required: list[str], properties: dict[str, Any], answer: str) -> Any:
    schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "required": required,
    }
    reference = {"$ref": f"#/components/schemas/{answer}"}
    return {
        "operationId": identifier,
        "requestBody": {"content": {"application/x-www-form-urlencoded": {"schema": schema}}},
        "responses": {"200": {"content": {"application/json": {"schema": reference}}}},
    }


PATHS: dict[str, dict[str, Any]] = {
    "/v1/events/{id}/retry": {
        "post": _post(
            "SandboxPostEventsIdRetry",
            ["webhook_endpoint"],
            {
                "webhook_endpoint": _TEXT,
                "account": _TEXT,
                "expand": {"type": "array", "items": _TEXT},
            },
            "event",
        )
    },
}
