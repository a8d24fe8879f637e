"""The demo's back end: real APIs to sell, answering from the Unicode CLDR data of Babel.

It stands for somebody else's service: its own process, nothing shared with the portal. Run it
with ``gunicorn "portal.cli.demo_backend:create_backend()"``.
"""

import os
from typing import Any

import pydantic
from flask import Flask, request
from werkzeug.exceptions import HTTPException

from portal.cli.demo_backend import calendar, currency, numbers, openapi
from portal.cli.demo_backend.operations import Answer, Api, Operation, Problem, Refusal

APIS: tuple[Api, ...] = (currency.API, numbers.API, calendar.API)


def documents(base_url: str) -> dict[str, dict[str, Any]]:
    """Return the OpenAPI documents by API name, with `base_url` as the back end's origin."""
    return {api.name: openapi.document(api, base_url.rstrip("/")) for api in APIS}


def create_backend(base_url: str | None = None) -> Flask:
    """Build the WSGI app; `base_url` (or BACKEND_BASE_URL) is written into the documents.

    Without one the documents name servers relative to themselves, as OpenAPI allows.
    """
    origin = os.environ.get("BACKEND_BASE_URL", "") if base_url is None else base_url
    written = documents(origin)
    # No static folder: this app has no pages, and Flask would add a route for one.
    app = Flask(__name__, static_folder=None)
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    app.json.sort_keys = False  # type: ignore[attr-defined]
    for api in APIS:
        for operation in api.operations:
            _add(app, api, operation)
        _serve(app, f"/{api.name}/openapi.json", written[api.name])
    _serve(app, "/openapi.json", openapi.whole(APIS, origin.rstrip("/")))
    _serve(app, "/healthz", {"status": "ok"})
    app.register_error_handler(Refusal, _refused)
    app.register_error_handler(HTTPException, _http_error)
    return app


def _add(app: Flask, api: Api, operation: Operation) -> None:
    rule = f"/{api.name}{operation.path}".replace("{", "<").replace("}", ">")

    def view(**path: str) -> dict[str, Any]:
        return _body(operation.handler(_asked(operation, path)))

    endpoint = f"{api.name}-{operation.operation_id}"
    app.add_url_rule(rule, endpoint, view, methods=["GET"], provide_automatic_options=False)


def _serve(app: Flask, path: str, body: dict[str, Any]) -> None:
    app.add_url_rule(path, path, lambda: body, methods=["GET"], provide_automatic_options=False)


def _asked(operation: Operation, path: dict[str, str]) -> Any:
    for name, values in request.args.lists():
        if len(values) > 1 or name in path:
            raise Refusal(400, "repeated_parameter", f"{name} is given twice.", name)
    try:
        return operation.request.model_validate({**request.args.to_dict(), **path})
    except pydantic.ValidationError as invalid:
        first = invalid.errors(include_url=False, include_context=False, include_input=False)[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        if first["type"] == "extra_forbidden":
            raise Refusal(400, "unknown_parameter", f"There is no {name} here.", name) from invalid
        if first["type"] == "missing":
            raise Refusal(400, "missing_parameter", f"{name} is missing.", name) from invalid
        status, code = (404, "not_found") if name in path else (400, "invalid_parameter")
        raise Refusal(status, code, f"{name}: {first['msg']}.", name) from invalid


def _refused(refusal: Refusal) -> tuple[dict[str, Any], int]:
    return _body(refusal.problem), refusal.status


def _http_error(error: HTTPException) -> tuple[dict[str, Any], int, dict[str, str]]:
    headers = {
        name: value for name, value in error.get_headers() if name in {"Allow", "Retry-After"}
    }
    name = (error.name or "error").lower().replace(" ", "_")
    problem = Problem(error=name, message=error.description or name, parameter="")
    return _body(problem), error.code or 500, headers


def _body(answer: Answer) -> dict[str, Any]:
    return answer.model_dump(mode="json")
