"""Stripe's published contract, as this sandbox enforces it.

The source is Stripe's own OpenAPI document for one API version (``data/NOTICE``). Requests are
read and refused with it, responses and event payloads are checked with it, so that the sandbox's
idea of a parameter or of an object is Stripe's and not ours.
"""

import gzip
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from portal.sandbox import undocumented
from portal.sandbox.spec_params import SpecError, coerce_parameters
from portal.sandbox.spec_shapes import check_event, check_value

__all__ = [
    "API_VERSION",
    "Operation",
    "SpecError",
    "coerce",
    "event_types",
    "match",
    "operations",
    "schema_for",
    "undocumented_operations",
    "violations",
]

API_VERSION = "2026-04-22.dahlia"

Schema = Mapping[str, Any]

_BODY = "application/x-www-form-urlencoded"
_JSON = "application/json"
_NOTHING: Schema = {"type": "object", "properties": {}, "additionalProperties": False}


@dataclass(frozen=True)
class Operation:
    """One request that Stripe's document describes.

    ``path_params`` is empty for an operation from :func:`operations`, and filled by :func:`match`.
    """

    method: str
    template: str
    operation_id: str
    path_params: Mapping[str, str]
    body: Schema
    query: Schema
    answer: Schema


@cache
def document() -> Schema:
    """The whole document; read once per process."""
    name = f"stripe-{API_VERSION}.subset.json.gz"
    packed = files("portal.sandbox").joinpath("data", name).read_bytes()
    loaded: Schema = json.loads(gzip.decompress(packed))
    return loaded


@cache
def operations() -> tuple[Operation, ...]:
    """Every operation of the document, most literal path first."""
    return _read(document()["paths"])


@cache
def undocumented_operations() -> tuple[Operation, ...]:
    """The few that Stripe's own tools use and the document leaves out."""
    return _read(undocumented.PATHS)


def _read(paths: Mapping[str, Any]) -> tuple[Operation, ...]:
    found = [
        _operation(method.upper(), template, description)
        for template, methods in paths.items()
        for method, description in methods.items()
    ]
    return tuple(sorted(found, key=lambda each: (each.template.count("{"), each.template)))


def match(method: str, path: str) -> Operation | None:
    """Return the operation that answers ``method path``, or ``None`` where Stripe has none.

    A literal segment wins over a parameter: ``/v1/invoices/create_preview`` is not an invoice id.
    """
    parts = tuple(path.split("/"))
    for operation, pattern in _routes().get((method.upper(), len(parts)), ()):
        params = _path_params(pattern, parts)
        if params is not None:
            return Operation(**{**vars(operation), "path_params": params})
    return None


def coerce(
    operation: Operation, pairs: Sequence[tuple[str, str]], location: str = "body"
) -> dict[str, Any]:
    """Read form or query pairs into typed, nested values.

    Integers become ``int``, booleans ``bool``, other numbers ``Decimal``; decimal strings stay
    strings. An empty string is returned as ``""`` where Stripe lets it unset it. Required
    parameters are those of the chosen location. The body parameters of a DELETE may come in the
    query, as Stripe's own libraries send them.

    Raises :class:`SpecError` with Stripe's text, code and parameter at the first thing that is
    unknown, missing or malformed.
    """
    schema = operation.body if location == "body" else operation.query
    if operation.method == "DELETE" and location == "query":
        schema = _both(operation.body, operation.query)
    return coerce_parameters(schema, pairs)


def violations(subject: Operation | str, value: Any, strict: bool = True) -> list[str]:
    """List what is wrong with a response, or with an object of the schema ``subject``.

    ``subject`` is an operation (its successful answer is meant) or a schema name such as
    ``customer``, ``event`` or ``error``. For events the object inside is checked too, by its
    ``object`` tag. With ``strict`` a key that the document does not list is a violation; Stripe
    itself sends some such keys.
    """
    schemas: Mapping[str, Schema] = document()["components"]["schemas"]
    schema = subject.answer if isinstance(subject, Operation) else schemas[subject]
    found = check_value(schemas, schema, value, strict=strict)
    if isinstance(value, dict) and value.get("object") == "event":
        found += check_event(schemas, value, strict=strict)
    return found


def schema_for(name: str) -> Schema:
    """The schema called ``name``; ``KeyError`` where the document has none."""
    schema: Schema = document()["components"]["schemas"][name]
    return schema


@cache
def event_types() -> frozenset[str]:
    """The event types that a webhook endpoint may ask for, ``*`` included."""
    create = match("POST", "/v1/webhook_endpoints")
    if create is None:  # pragma: no cover - the packaged document always has it
        raise LookupError("The API document has no webhook endpoints.")
    return frozenset(create.body["properties"]["enabled_events"]["items"]["enum"])


def _operation(method: str, template: str, description: Schema) -> Operation:
    query = [each for each in description.get("parameters", ()) if each["in"] == "query"]
    content = description.get("requestBody", {}).get("content", {})
    return Operation(
        method=method,
        template=template,
        operation_id=description["operationId"],
        path_params={},
        body=content.get(_BODY, {}).get("schema", _NOTHING),
        query={
            "type": "object",
            "properties": {each["name"]: each["schema"] for each in query},
            "required": [each["name"] for each in query if each["required"]],
            "additionalProperties": False,
        },
        answer=description["responses"]["200"]["content"][_JSON]["schema"],
    )


@cache
def _routes() -> dict[tuple[str, int], list[tuple[Operation, tuple[str, ...]]]]:
    routes: dict[tuple[str, int], list[tuple[Operation, tuple[str, ...]]]] = {}
    for operation in (*operations(), *undocumented_operations()):
        pattern = tuple(operation.template.split("/"))
        routes.setdefault((operation.method, len(pattern)), []).append((operation, pattern))
    return routes


def _path_params(pattern: tuple[str, ...], parts: tuple[str, ...]) -> dict[str, str] | None:
    params = {}
    for expected, given in zip(pattern, parts, strict=True):
        name = re.fullmatch(r"\{(\w+)\}", expected)
        if name is None:
            if expected != given:
                return None
        elif given:
            params[name[1]] = given
        else:
            return None
    return params


def _both(body: Schema, query: Schema) -> Schema:
    return {
        "type": "object",
        "properties": {**body.get("properties", {}), **query["properties"]},
        "required": [*body.get("required", ()), *query["required"]],
        "additionalProperties": False,
    }
