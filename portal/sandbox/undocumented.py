"""Requests that Stripe's own tools make and its document leaves out, described as it would.

Seen on the wire from the official command line client 1.52.0 (``stripe events resend``) and in its
fixtures (``stripe trigger checkout.session.completed``).
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
    return {
        "operationId": identifier,
        "requestBody": {"content": {"application/x-www-form-urlencoded": {"schema": schema}}},
        "responses": _responses(answer),
    }


def _get(identifier: str, answer: str) -> Any:
    schema = {"type": "array", "items": _TEXT}
    expand = {"name": "expand", "in": "query", "required": False, "schema": schema}
    return {"operationId": identifier, "parameters": [expand], "responses": _responses(answer)}


def _responses(answer: str) -> Any:
    reference = {"$ref": f"#/components/schemas/{answer}"}
    return {"200": {"content": {"application/json": {"schema": reference}}}}


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
    "/v1/payment_pages/{session}": {
        "get": _get("SandboxGetPaymentPagesSession", "checkout.session")
    },
    "/v1/payment_pages/{session}/confirm": {
        "post": _post(
            "SandboxPostPaymentPagesSessionConfirm",
            ["payment_method", "expected_amount"],
            {
                "payment_method": _TEXT,
                "expected_amount": {"type": "integer"},
                "expand": {"type": "array", "items": _TEXT},
            },
            "checkout.session",
        )
    },
}
