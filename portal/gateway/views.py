"""The gateway: who calls, may they, pass it on, count it, answer."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from threading import Lock
from typing import Any

import requests
import structlog
from flask import Response, current_app, request, url_for
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from portal import clock
from portal.extensions import WRITES, csrf, db
from portal.gateway import bp, incoming, lookup, proxy, refused
from portal.gateway.connection import session_of
from portal.gateway.lookup import Subscriber, Target
from portal.gateway.proxy import Onward
from portal.gateway.refused import Refused
from portal.models import SUPER_TENANT, KeyType
from portal.services import quotas, usage
from portal.services.applications import hash_of
from portal.services.decisions import Refusal, decide
from portal.services.quotas import State
from portal.web.access import with_key
from portal.web.engines import settings

log = structlog.get_logger()

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
#: Words that stand for something else where an API's context would stand.
RESERVED = ("authorize", "t")

csrf.exempt(bp)
_TURN = Lock()


@dataclass(frozen=True, kw_only=True)
class Admitted:
    """A call that may go through."""

    key_type: KeyType
    target: Target
    subscriber: Subscriber
    states: tuple[State, ...]
    headers: dict[str, str]


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
    request_id = uuid.uuid4().hex
    try:
        return _call(request_id, domain, context, version)
    except Refused as refusal:
        return refused.answer(refusal, request_id)
    except SQLAlchemyError as error:
        log.error("gateway_database", error=type(error).__name__, request_id=request_id)
        return refused.answer(Refused(Refusal.NOT_RECORDED), request_id)


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


def _call(request_id: str, domain: str, context: str, version: str) -> Response:
    tenant = f"/t/{domain}" if "domain" in (request.view_args or {}) else ""
    place = f"/gateway{tenant}/{context}/{version}"
    resource = incoming.resource_of(request, place)
    admitted = _admit(incoming.key_of(request), domain, context, version)
    onward = Onward(
        endpoint=admitted.target.endpoint(admitted.key_type),
        resource=resource,
        prefix=place,
        public_origin=settings().portal_base_url,
        request_id=request_id,
    )
    try:
        upstream = proxy.send(session_of(current_app), request, onward)
    except Refused as refusal:
        refusal.headers |= admitted.headers
        if refusal.refusal.http_status >= 500:
            _record(admitted, onward, refusal.refusal.http_status)
        raise
    try:
        _record(admitted, onward, upstream.status_code)
    except SQLAlchemyError:
        upstream.close()
        raise
    return _respond(admitted, onward, upstream)


def _admit(key: str, domain: str, context: str, version: str) -> Admitted:
    now = clock.now()
    with db.engine.connect() as connection:
        found = lookup.find(connection, hash_of(key), domain, context, version, now)
    if found is None:
        raise Refused(Refusal.UNKNOWN_KEY)
    if found.target is None or context in RESERVED:
        raise Refused(Refusal.NO_API)
    subscriber = found.subscriber
    refusal = decide(subscriber.standing if subscriber else None, found.key_type)
    if refusal is not None or subscriber is None:
        raise Refused(refusal or Refusal.NO_SUBSCRIPTION, link=_page(found.target, subscriber))
    states = _count(subscriber)
    headers = quotas.headers(states, now)
    if states[-1].refused:
        link = _page(found.target, subscriber)
        raise Refused(states[-1].limit.refusal, link=link, headers=headers)
    return Admitted(
        key_type=found.key_type,
        target=found.target,
        subscriber=subscriber,
        states=states,
        headers=headers,
    )


def _page(target: Target, subscriber: Subscriber | None) -> str:
    if subscriber is None:
        return url_for("devportal.api", uuid=target.api_uuid)
    return url_for("devportal.subscription", uuid=subscriber.uuid)


def _count(subscriber: Subscriber) -> tuple[State, ...]:
    limits = quotas.limits_at(subscriber.limits, clock.now())
    with _writing(db.engine) as connection:
        states = quotas.admit(connection, subscriber.subscription_id, limits)
        if states[-1].refused:
            connection.rollback()
    return states


@contextmanager
def _writing(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that writes, and commit it.

    SQLite lets one connection write at a time, and one that has to wait sleeps for longer and
    longer; the threads of one process queue here instead, and in order.
    """
    turn = _TURN if engine.dialect.name == "sqlite" else nullcontext()
    with turn, engine.connect().execution_options(**{WRITES: True}) as connection:
        yield connection
        connection.commit()


def _record(admitted: Admitted, onward: Onward, status: int) -> None:
    call_made = usage.Call(
        event_id=onward.request_id,
        tenant_id=admitted.target.tenant_id,
        subscription_id=admitted.subscriber.subscription_id,
        key_type=admitted.key_type,
        method=request.method,
        resource=onward.resource or "/",
        status=status,
        at=clock.now(),
    )
    with _writing(db.engine) as connection:
        usage.record(connection, call_made)


def _respond(admitted: Admitted, onward: Onward, upstream: requests.Response) -> Response:
    weight = _Weight(request.content_length or 0)
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
    if any(state.limit.in_bytes for state in admitted.states):
        engine = db.engine
        response.call_on_close(lambda: _weigh(engine, admitted, weight.total))
    return response


class _Weight:
    """How many bytes a call and its answer have, known when the answer is through."""

    def __init__(self, sent: int) -> None:
        self.total = sent

    def of(self, body: Iterator[bytes]) -> Iterator[bytes]:
        for part in body:
            self.total += len(part)
            yield part


def _weigh(engine: Engine, admitted: Admitted, total: int) -> None:
    with _writing(engine) as connection:
        for state in admitted.states:
            if state.limit.in_bytes:
                quotas.add(connection, admitted.subscriber.subscription_id, state.limit, total)
