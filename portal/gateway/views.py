"""The gateway: who calls, may they, pass it on, count it, answer."""

import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import requests
import structlog
from flask import Flask, Response, current_app, request
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from portal import clock
from portal.extensions import csrf
from portal.gateway import authorize as decisions
from portal.gateway import bp, incoming, proxy, refused
from portal.gateway.admission import Admitted, admit
from portal.gateway.connection import session_of
from portal.gateway.process import Gate, gate_of
from portal.gateway.proxy import Onward
from portal.gateway.recorder import Line
from portal.gateway.refused import Refused
from portal.models import SUPER_TENANT
from portal.services import call_ids, ledger, records
from portal.services.decisions import Refusal
from portal.web.access import with_key
from portal.web.engines import settings

log = structlog.get_logger()

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

csrf.exempt(bp)


def _routes(*rules: str) -> Any:
    def add(view: Any) -> Any:
        for rule in rules:
            bp.add_url_rule(
                rule,
                view_func=view,
                methods=METHODS,
                provide_automatic_options=False,
                merge_slashes=False,
                strict_slashes=False,
            )
        return view

    return add


@_routes(
    "/<context>/<version>",
    "/<context>/<version>/<rest:resource>",
    "/t/<domain>/<context>/<version>",
    "/t/<domain>/<context>/<version>/<rest:resource>",
)
@with_key
def call(context: str, version: str, domain: str = SUPER_TENANT, resource: str = "") -> Response:
    """Pass a call on to the API's back end, if its key's subscription may, and count it."""
    call_id = call_ids.new()
    request_id = gate_of(_app()).names.of(call_id)
    try:
        return _call(call_id, request_id, domain, context, version)
    except Refused as refusal:
        return refused.answer(refusal, request_id)
    except (SQLAlchemyError, OSError) as error:
        log.error("gateway_cannot_count", error=type(error).__name__, request_id=request_id)
        return refused.answer(Refused(Refusal.NOT_RECORDED), request_id)


@_routes("/authorize", "/authorize/<rest:resource>")
@with_key
def authorize(resource: str = "") -> Response:
    """Tell an outside gateway whether a call may go through; see ``authorize.py``."""
    request_id = uuid.uuid4().hex
    environ = request.environ
    named = decisions.named_problem(environ)
    if named is not None:
        return refused.answer(Refused(named), request_id)
    try:
        admitted = decisions.decide(_app(), environ)
    except Refused as refusal:
        response = refused.answer(refusal, request_id)
        response.headers["X-Refusal"] = refusal.refusal.slug
        if response.status_code != 401 and decisions.only_401_and_403(environ):
            response.status_code = 403
        return response
    except SQLAlchemyError as error:
        log.error("gateway_cannot_decide", error=type(error).__name__, request_id=request_id)
        return refused.answer(Refused(Refusal.NOT_RECORDED), request_id)
    status = 403 if decisions.is_told_apart(environ, admitted) else 200
    return Response(
        "", status, headers={"Cache-Control": "no-store", **dict(decisions.fields(admitted))}
    )


@_routes("/", "/<rest:resource>")
@with_key
def nowhere(resource: str = "") -> Response:
    """Say that an address names no API."""
    return refused.answer(Refused(Refusal.NO_API), uuid.uuid4().hex)


@bp.errorhandler(HTTPException)
def _broken_request(error: HTTPException) -> Response:
    cause = Refusal.BODY_TOO_LARGE if error.code == 413 else Refusal.BAD_REQUEST
    return refused.answer(Refused(cause), uuid.uuid4().hex)


@bp.before_app_request
def _other_method() -> Response | None:
    """Answer a method that no route takes in the gateway's own form."""
    if request.path.startswith("/gateway/") and isinstance(
        request.routing_exception, MethodNotAllowed
    ):
        return refused.answer(Refused(Refusal.BAD_METHOD), uuid.uuid4().hex)
    return None


def _call(call_id: uuid.UUID, request_id: str, domain: str, context: str, version: str) -> Response:
    tenant = f"/t/{domain}" if "domain" in (request.view_args or {}) else ""
    place = f"/gateway{tenant}/{context}/{version}"
    resource = incoming.resource_of(request, place)
    gate = gate_of(_app())
    admitted = admit(gate, incoming.key_of(request), domain, context, version)
    onward = Onward(
        endpoint=admitted.target.endpoint(admitted.key_type),
        resource=resource,
        prefix=place,
        public_origin=settings().portal_base_url,
        request_id=request_id,
    )

    def line_of(status: int, size: int = 0) -> Line:
        return _line(gate, admitted, onward, call_id, status, size)

    try:
        upstream = proxy.send(session_of(current_app), request, onward)
    except Refused as refusal:
        refusal.headers |= admitted.headers
        if refusal.refusal.http_status >= 500:
            gate.record(line_of(refusal.refusal.http_status))
        raise
    try:
        line = line_of(upstream.status_code, _length(upstream))
        gate.record(line)
    except (SQLAlchemyError, OSError):
        upstream.close()
        raise
    return _respond(gate, admitted, onward, upstream, line)


def _app() -> Flask:
    return current_app._get_current_object()  # type: ignore[attr-defined,no-any-return]  # noqa: SLF001


def _length(upstream: requests.Response) -> int:
    """Return how many bytes the call and its answer have, as far as the answer says how many."""
    stated = upstream.headers.get("Content-Length", "")
    answer = int(stated) if stated.isdecimal() and request.method != "HEAD" else 0
    return answer + proxy.passed_on(upstream)


def _line(
    gate: Gate, admitted: Admitted, onward: Onward, call_id: uuid.UUID, status: int, size: int
) -> Line:
    return Line(
        call_id=call_id,
        subscription_id=admitted.subscriber.subscription_id,
        key_type=admitted.key_type,
        method=request.method,
        resource=gate.resource_of(admitted.target.api_id, onward.resource),
        status=status,
        at=ledger.millis(clock.now()),
        bytes=size,
    )


def _respond(
    gate: Gate, admitted: Admitted, onward: Onward, upstream: requests.Response, line: Line
) -> Response:
    weight = _Weight(proxy.passed_on(upstream))
    response = Response(
        weight.of(proxy.body_back(upstream)),
        status=upstream.status_code,
        headers=proxy.headers_back(upstream, onward),
    )
    if "Content-Type" not in upstream.headers:
        del response.headers["Content-Type"]
    response.headers.update(admitted.headers)
    response.headers["X-Request-Id"] = onward.request_id
    response.call_on_close(upstream.close)
    response.call_on_close(lambda: _weigh(gate, admitted, line, weight.total))
    return response


class _Weight:
    """How many bytes a call and its answer have, known when the answer is through."""

    def __init__(self, sent: int) -> None:
        self.total = sent

    def of(self, body: Iterator[bytes]) -> Iterator[bytes]:
        for part in body:
            self.total += len(part)
            yield part


def _weigh(gate: Gate, admitted: Admitted, line: Line, total: int) -> None:
    """Count the bytes of a call whose answer is through."""
    if total > line.bytes:
        gate.record(replace(line, bytes=total - line.bytes), kind=records.WEIGHT)
    for state in admitted.states:
        if state.limit.in_bytes:
            gate.leases.weigh(admitted.subscriber.subscription_id, state.limit, total)
