"""Links of the document: from what a request makes to what can be done with it."""

from collections.abc import Iterator
from typing import Any

#: Collection -> its parameter's name elsewhere, and where an answer holds its value.
MADE = {
    "/throttling/policies/subscription": ("policyId", "policyId"),
    "/publisher/v4/apis": ("apiId", "id"),
    "/publisher/v4/apis/import-openapi": ("apiId", "id"),
    "/devportal/v3/applications": ("applicationId", "applicationId"),
    "/devportal/v3/subscriptions": ("subscriptionId", "subscriptionId"),
}


def add(paths: dict[str, Any]) -> None:
    """Link each operation that makes something to those that take its identifier."""
    for path, methods in paths.items():
        made = next((found for end, found in MADE.items() if path.endswith(end)), None)
        if made is None or "201" not in methods.get("post", {}).get("responses", {}):
            continue
        parameter, member = made
        methods["post"]["responses"]["201"]["links"] = {
            operation_id: {
                "operationId": operation_id,
                "parameters": {f"{place}.{parameter}": f"$response.body#/{member}"},
            }
            for operation_id, place in _takers(paths, parameter)
        }


def _takers(paths: dict[str, Any], wanted: str) -> Iterator[tuple[str, str]]:
    for methods in paths.values():
        for told in methods.values():
            for parameter in told["parameters"]:
                if parameter["name"] == wanted:
                    yield told["operationId"], parameter["in"]
