"""The OpenAPI document, written from the operations that the app really has."""

import re
from collections.abc import Iterator
from typing import Any

from apispec import APISpec
from flask import Flask
from pydantic import BaseModel
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from werkzeug.routing import Rule

from portal.api import links
from portal.api.once import HEADER, LONGEST_KEY, REPLAYED
from portal.api.operation import JSON, Operation
from portal.api.schemas.base import Error, Resource
from portal.services.scopes import SCOPES

PLACE = "#/components/schemas/{model}"
TITLE = "API Monetization Portal"
ABOUT = """WSO2 API Manager's REST APIs for selling APIs, on this portal: the same paths, field
names, status codes and error bodies. Register a client, get a token, send it as a bearer token.

**Lists** take `limit` and `offset`, and answer with `count`, `list` and `pagination`.

**Changes** (`PUT`) need the `ETag` of the version that you have seen as `If-Match`; `*` overwrites
whatever is there.

**Repeats**: send a `POST` with an `Idempotency-Key` of your own. Sent again within 24 hours, the
same request makes nothing more and gets the same answer.

**Refusals** say what happened and what to do; `moreInfo` is a page about that kind."""

#: Status -> name of the shared answer, when it is given.
REFUSALS = {
    400: ("Invalid", "Something that was sent is wrong; `error` says which field and why."),
    401: ("Unauthorized", "There is no valid bearer token."),
    402: ("PaymentDeclined", "The card was declined, or its owner has to confirm."),
    403: ("Forbidden", "The token lacks the scope, or its owner may not do this."),
    404: ("NotFound", "There is no such thing, or it belongs to somebody else."),
    409: ("Conflict", "The state of things does not permit it now."),
    412: ("Outdated", "It has changed since the version that `If-Match` names."),
    413: ("TooLarge", "More than 1 MB was sent."),
    415: ("Unsupported", "The body is of another media type."),
    422: ("KeyReused", "The `Idempotency-Key` stands for another request."),
    428: ("PreconditionRequired", "`If-Match` is missing."),
    429: ("Busy", "Nothing was done. Send the same again after `Retry-After` seconds."),
    502: ("EngineRefused", "The payment provider refused; trying again changes nothing."),
    503: ("EngineUnavailable", "The payment provider does not answer. Try again in a minute."),
}
_PARAMETER = re.compile(r"<(?:[^:<>]+:)?([^<>]+)>")


def write(app: Flask, base_url: str, version: str) -> dict[str, Any]:
    """Return the document of every operation of the app, as an OpenAPI 3.1 object."""
    spec = APISpec(
        title=TITLE,
        version=version,
        openapi_version="3.1.0",
        info={"description": ABOUT},
        servers=[{"url": base_url}],
        tags=[{"name": name} for name in ("Admin", "Publisher", "Developer Portal", "Usage")],
    )
    _security(spec)
    operations = list(operations_of(app))
    _schemas(spec, [item for _, item, _ in operations])
    for status, (name, sentence) in REFUSALS.items():
        spec.components.response(name, _refusal(status, sentence))
    for rule, item, scopes in operations:
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            told = _operation(rule, item, scopes, method)
            spec.path(path=address(rule), operations={method.lower(): told})
    made: dict[str, Any] = spec.to_dict()
    links.add(made["paths"])
    return made


def operations_of(app: Flask) -> Iterator[tuple[Rule, Operation, list[str]]]:
    """Return every operation with its rule and the scopes of which one is needed."""
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: (rule.rule, str(rule.methods))):
        view: Any = app.view_functions[rule.endpoint]
        found = getattr(view, "operation", None)
        if found is not None:
            yield rule, found, view.access.removeprefix("scope:").split(",")


def address(rule: Rule) -> str:
    """Return a rule's path with WSO2's names of its parameters: ``/apis/{apiId}``."""
    return _PARAMETER.sub(lambda found: "{" + to_camel(found[1]) + "}", rule.rule)


def _security(spec: APISpec) -> None:
    sentences = {scope.name: scope.sentence for scope in SCOPES.values()}
    flow = {"tokenUrl": "/oauth2/token", "refreshUrl": "/oauth2/token", "scopes": sentences}
    spec.components.security_scheme(
        "oauth2",
        {"type": "oauth2", "flows": {"password": flow, "clientCredentials": dict(flow)}},
    )


def _schemas(spec: APISpec, operations: list[Operation]) -> None:
    wanted: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {(Error, "serialization"): None}
    for item in operations:
        if item.body is not None:
            wanted[item.body, "validation"] = None
        wanted.update({(model, "validation"): None for model in item.reads.values()})
        wanted.update({(model, "serialization"): None for model in item.answers.values()})
    _, definitions = models_json_schema(list(wanted), by_alias=True, ref_template=PLACE)
    for name, schema in definitions["$defs"].items():
        spec.components.schema(name, schema)


def _refusal(status: int, sentence: str) -> dict[str, Any]:
    told: dict[str, Any] = {
        "description": sentence,
        "content": {JSON: {"schema": {"$ref": PLACE.format(model="Error")}}},
    }
    if status == 401:
        told["headers"] = {"WWW-Authenticate": _header("Bearer", required=True)}
    if status == 429:
        told["headers"] = {"Retry-After": _header("In how many seconds.", required=True)}
    return told


def _header(description: str, *, required: bool = False) -> dict[str, Any]:
    return {"description": description, "required": required, "schema": {"type": "string"}}


def _operation(rule: Rule, item: Operation, scopes: list[str], method: str) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operationId": to_camel(rule.endpoint.rpartition(".")[2]),
        "summary": item.summary,
        "description": item.description,
        "tags": [_tag(rule.rule)],
        "security": [{"oauth2": [scope]} for scope in scopes],
        "parameters": [*_path(rule), *_query(item), *_headers(item)],
        "responses": _responses(rule, item, method),
    }
    if item.body is not None:
        schema = {"$ref": PLACE.format(model=item.body.__name__)}
        told["requestBody"] = {
            "required": not item.body_optional,
            "content": {item.media_type: {"schema": schema}},
        }
    if item.reads:
        told["requestBody"] = {
            "required": True,
            "content": {
                kind: {"schema": {"$ref": PLACE.format(model=model.__name__)}}
                for kind, model in item.reads.items()
            },
        }
    return told


def _tag(path: str) -> str:
    part = path.removeprefix("/api/am/").partition("/")[0]
    named = {"admin": "Admin", "publisher": "Publisher", "usage": "Usage"}
    return named.get(part, "Developer Portal")


def _path(rule: Rule) -> list[dict[str, Any]]:
    found = []
    for name in _PARAMETER.findall(rule.rule):
        converter = rule._converters[name]  # noqa: SLF001 - werkzeug tells it nowhere else
        schema: dict[str, Any] = {"type": "string"}
        if type(converter).__name__ == "UUIDConverter":
            schema["format"] = "uuid"
        elif type(converter).__name__ == "AnyConverter":
            # Its expression is (?:PRODUCTION|SANDBOX).
            schema["enum"] = converter.regex[3:-1].split("|")
        found.append({"in": "path", "name": to_camel(name), "required": True, "schema": schema})
    return found


def _query(item: Operation) -> list[dict[str, Any]]:
    if item.query is None:
        return []
    schema = item.query.model_json_schema(by_alias=True, ref_template=PLACE)
    required = schema.get("required", [])
    return [
        {
            "in": "query",
            "name": name,
            "required": name in required,
            "description": part.pop("description", ""),
            "schema": part,
        }
        for name, part in schema["properties"].items()
    ]


def _headers(item: Operation) -> list[dict[str, Any]]:
    found = []
    if item.conditional:
        sentence = "The ETag of the version that you have seen, or `*`."
        found.append({"in": "header", "name": "If-Match", "required": True} | _told(sentence))
    if item.keyed:
        told = _told("A name of your own for this request: a repeat makes nothing more.")
        told["schema"] |= {"maxLength": LONGEST_KEY, "pattern": "^[ -~]+$"}
        found.append({"in": "header", "name": HEADER, "required": False} | told)
    return found


def _told(sentence: str) -> dict[str, Any]:
    return {"description": sentence, "schema": {"type": "string", "minLength": 1}}


def _responses(rule: Rule, item: Operation, method: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status, model in item.answers.items():
        headers = {}
        if issubclass(model, Resource):
            headers["ETag"] = _header("The version of this representation.", required=True)
        if status == 201:
            headers["Location"] = _header("Where it is.", required=True)
        if item.keyed:
            headers[REPLAYED] = _header("`true` if this answer was given before.")
        found[str(status)] = {
            "description": model.__doc__.splitlines()[0] if model.__doc__ else "Done.",
            "content": {JSON: {"schema": {"$ref": PLACE.format(model=model.__name__)}}},
            **({"headers": headers} if headers else {}),
        }
        if status == 200 and method == "GET" and issubclass(model, Resource):
            found["304"] = {"description": "You hold this version already (If-None-Match)."}
    for status in sorted(_refused(rule, item)):
        found[str(status)] = {"$ref": f"#/components/responses/{REFUSALS[status][0]}"}
    return found


def _refused(rule: Rule, item: Operation) -> set[int]:
    refused = {401, 403, *item.refuses}
    if rule.arguments:
        refused.add(404)
    if item.query is not None:
        refused.add(400)
    if item.body is not None or item.reads:
        refused |= {400, 413, 415}
    if item.conditional:
        refused |= {412, 428}
    if item.keyed:
        refused |= {400, 422}
    return refused
