"""A decision for a gateway that is not ours: nginx, Traefik, Envoy, APISIX.

The outside gateway asks ``GET /gateway/authorize`` with the caller's key before it passes a call
on. It says which call in one of these ways:

- ``X-Original-URI`` (nginx's ``auth_request``, as ``deploy/nginx-gateway.conf`` sends it);
- ``X-Forwarded-Uri`` (Traefik's ForwardAuth, APISIX's forward-auth);
- the path behind ``/gateway/authorize`` (Envoy's ext_authz with that ``path_prefix``).

A gateway that passes the caller's own fields on lets callers send any of them. So where the path
says it, nothing else counts, also no parameter (Envoy appends the caller's query); and two fields
that name different calls are refused.

200 lets the call through; the answer's fields say whose it is. Anything else is the refusal, a
problem document, as our own gateway answers it. ``?meter=log`` says that the gateway reports every
call in its log: then limits are only looked at here, and counted when the log is read. Without
it, each decision counts as one call against the plan's limits.

nginx takes no other refusal than 401 and 403 from ``auth_request``; with ``?refuse=403`` every
other one is a 403 too, and the field ``X-Refusal`` names the cause. ``?problem=<cause>`` then
answers the caller as our own gateway would. With ``?sandbox=403`` a sandbox key that may call gets
403 as well, with all fields of a 200 and no ``X-Refusal``: nginx can send it another way then,
and calls with production keys cost no choice.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs, unquote

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from portal.gateway import incoming
from portal.gateway.admission import Admitted, admit
from portal.gateway.process import gate_of
from portal.gateway.refused import Refused
from portal.models import SUPER_TENANT, KeyType
from portal.services.decisions import Refusal

PATH = "/gateway/authorize"
PROBLEM = "problem"
Environ = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Place:
    """The API that a call is for."""

    domain: str
    context: str
    version: str


def decide(app: Flask, environ: Environ) -> Admitted:
    """Decide the call that a request to ``/gateway/authorize`` is about.

    :raise Refused: if it may not go through
    :raise sqlalchemy.exc.SQLAlchemyError: if the database is needed and does not answer
    """
    place = place_of(environ)
    key = incoming.key_of_fields(environ.get("HTTP_APIKEY"), environ.get("HTTP_AUTHORIZATION"))
    counts = _options(environ).get("meter") != ["log"]
    return admit(gate_of(app), key, place.domain, place.context, place.version, counts=counts)


def place_of(environ: Environ) -> Place:
    """Return which API a call is for, from where outside gateways say it.

    :raise Refused: if it is for none, leaves the API by dot segments, or is said in two ways
    """
    return _place(_said(environ).partition("?")[0])


# The same few paths come again and again: nginx names the API only.
@lru_cache(1024)
def _place(path: str) -> Place:
    if incoming.leaves(path):
        raise Refused(Refusal.BAD_PATH)
    parts = [unquote(part) for part in path.split("/") if part]
    if parts[:1] == ["gateway"]:
        parts = parts[1:]
    domain = SUPER_TENANT
    if parts[:1] == ["t"]:
        domain, parts = "".join(parts[1:2]), parts[2:]
    if len(parts) < 2:
        raise Refused(Refusal.NO_API)
    return Place(domain=domain, context=parts[0], version=parts[1])


def _said(environ: Environ) -> str:
    if behind := _behind(environ):
        return behind
    fields = (environ.get("HTTP_X_ORIGINAL_URI"), environ.get("HTTP_X_FORWARDED_URI"))
    said = {str(each) for each in fields if each}
    if len(said) > 1:
        raise Refused(Refusal.BAD_REQUEST)
    return said.pop() if said else ""


def _behind(environ: Environ) -> str:
    """Return the path behind ``/gateway/authorize``, which is the caller's as is the query."""
    return str(environ.get("PATH_INFO", ""))[len(PATH) :].strip("/")


def _options(environ: Environ) -> dict[str, list[str]]:
    return {} if _behind(environ) else _parsed(str(environ.get("QUERY_STRING", "")))


@lru_cache(64)
def _parsed(query: str) -> dict[str, list[str]]:
    return parse_qs(query)


def fields(admitted: Admitted) -> list[tuple[str, str]]:
    """Return the answer's fields: whose call it is, for the gateway's log, and its limits."""
    return [
        ("X-Subscription", admitted.subscriber.uuid),
        ("X-Key-Type", admitted.key_type),
        ("X-Api", admitted.target.api_uuid),
        *admitted.headers.items(),
    ]


def is_told_apart(environ: Environ, admitted: Admitted) -> bool:
    """Whether the gateway wants to hear by a 403 that a call may go to the sandbox."""
    return admitted.key_type == KeyType.SANDBOX and _options(environ).get("sandbox") == ["403"]


def only_401_and_403(environ: Environ) -> bool:
    """Whether the gateway takes no other refusal."""
    return _options(environ).get("refuse") == ["403"]


def named_problem(environ: Environ) -> Refusal | None:
    """Return the refusal that is asked for by its name."""
    named = _options(environ).get(PROBLEM)
    return Refusal.by_slug(named[0]) if named else None


class Fast:
    """Answers decisions before Flask does; what is refused goes on to Flask, which says why.

    Flask's own work for a request is several times as much as the decision.
    """

    def __init__(self, app: Flask, wsgi: Callable[..., Iterable[bytes]]) -> None:
        self._app = app
        self._wsgi = wsgi

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        if _is_question(environ) and named_problem(environ) is None:
            try:
                admitted = decide(self._app, environ)
            except (Refused, SQLAlchemyError):
                return self._wsgi(environ, start)
            head = [("Content-Length", "0"), ("Cache-Control", "no-store"), *fields(admitted)]
            start("403 Forbidden" if is_told_apart(environ, admitted) else "200 OK", head)
            return [b""]
        return self._wsgi(environ, start)


def _is_question(environ: Environ) -> bool:
    path = str(environ.get("PATH_INFO", ""))
    return path == PATH or path.startswith(f"{PATH}/")
