"""Passing a call on to the API's back end and its answer back, both as a stream."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import urlsplit

import requests
from flask import Request
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import HTTPError, ProtocolError
from urllib3.util import SKIP_HEADER
from werkzeug.datastructures import Headers
from werkzeug.exceptions import RequestEntityTooLarge

from portal.gateway.connection import CONNECT_SECONDS, READ_SECONDS, ForbiddenAddress
from portal.gateway.refused import Refused
from portal.services.decisions import Refusal

CHUNK = 16 * 1024
#: Answers below this are no answers yet.
FIRST_FINAL = 200
#: RFC 9110 7.6.1: they belong to one connection and are not passed on.
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
#: Ours to set or to know. Cookies are the portal's own: the gateway stands on the same origin.
_NOT_TO_BACKEND = _HOP_BY_HOP | frozenset(
    {
        "host",
        "content-length",
        "cookie",
        "apikey",
        "expect",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-prefix",
        "x-forwarded-proto",
        "x-real-ip",
        "x-request-id",
    }
)
#: What a back end could say about the portal's whole origin, and what the gateway says itself.
_NOT_TO_CALLER = _HOP_BY_HOP | frozenset(
    {
        "set-cookie",
        "clear-site-data",
        "strict-transport-security",
        "service-worker-allowed",
        "alt-svc",
        "content-security-policy",
        "content-security-policy-report-only",
        "refresh",
        "server",
        "date",
        "ratelimit",
        "ratelimit-policy",
        "x-request-id",
    }
)
_SAFE = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, kw_only=True)
class Onward:
    """A call as it goes to the back end."""

    endpoint: str
    resource: str
    prefix: str
    """Where the API stands at the gateway, for X-Forwarded-Prefix and redirects."""
    public_origin: str
    request_id: str

    def url(self, query: str) -> str:
        """Return the address at the back end."""
        base, _, own_query = self.endpoint.partition("?")
        joined = "&".join(part for part in (own_query, query) if part)
        return base.rstrip("/") + self.resource + (f"?{joined}" if joined else "")


def send(session: requests.Session, request: Request, onward: Onward) -> requests.Response:
    """Pass a call on and return the back end's answer as soon as its header is there.

    :raise Refused: if the back end cannot be reached, may not be called or takes too long
    """
    prepared = _prepare(request, onward)
    try:
        upstream = _send(session, prepared, may_repeat=request.method in _SAFE)
    except ForbiddenAddress as error:
        raise Refused(Refusal.BACKEND_FORBIDDEN) from error
    except RequestEntityTooLarge as error:
        raise Refused(Refusal.BODY_TOO_LARGE) from error
    except requests.ReadTimeout as error:
        raise Refused(Refusal.BACKEND_TIMEOUT) from error
    except (requests.RequestException, HTTPError, OSError) as error:
        raise Refused(Refusal.BACKEND_UNREACHABLE) from error
    if upstream.status_code < FIRST_FINAL:
        # 101: nobody asked for another protocol. Its connection is for no other call.
        upstream.close()
        raise Refused(Refusal.BACKEND_UNREACHABLE)
    return upstream


def _send(
    session: requests.Session, prepared: requests.PreparedRequest, *, may_repeat: bool
) -> requests.Response:
    try:
        return session.send(
            prepared,
            stream=True,
            allow_redirects=False,
            timeout=(CONNECT_SECONDS, READ_SECONDS),
        )
    except requests.ConnectionError as error:
        # A kept connection that the back end was just closing: it saw nothing of the call.
        cause = error.args[0] if error.args else None
        if not may_repeat or prepared.body is not None or not isinstance(cause, ProtocolError):
            raise
    return _send(session, prepared, may_repeat=False)


def _prepare(request: Request, onward: Onward) -> requests.PreparedRequest:
    url = onward.url(request.query_string.decode("latin-1"))
    prepared = requests.Request(request.method, url.partition("?")[0]).prepare()
    prepared.url = url
    prepared.headers = CaseInsensitiveDict(_headers_onward(request, onward))
    body = _Body.of(request)
    if body is not None:
        prepared.body = body  # type: ignore[assignment]
        if body.length is None:
            prepared.headers["Transfer-Encoding"] = "chunked"
        else:
            prepared.headers["Content-Length"] = str(body.length)
    elif request.method not in _SAFE:
        prepared.headers["Content-Length"] = "0"
    return prepared


def _headers_onward(request: Request, onward: Onward) -> dict[str, str]:
    dropped = _NOT_TO_BACKEND | _named_by_connection(request.headers.get("Connection", ""))
    found: dict[str, str] = {}
    for name, value in request.headers:
        lower = name.lower()
        if lower in dropped or (lower == "authorization" and value[:7].lower() == "bearer "):
            continue
        found[name] = value
    # A caller who names no program is passed on as such; urllib3 would name itself.
    found.setdefault("User-Agent", SKIP_HEADER)
    public = urlsplit(onward.public_origin)
    found["X-Forwarded-For"] = request.remote_addr or "unknown"
    found["X-Forwarded-Proto"] = public.scheme
    found["X-Forwarded-Host"] = public.netloc
    found["X-Forwarded-Prefix"] = onward.prefix
    found["X-Request-Id"] = onward.request_id
    return found


def _named_by_connection(value: str) -> frozenset[str]:
    return frozenset(name.strip().lower() for name in value.split(","))


class _Body:
    """A call's body, read from the caller while it is sent to the back end."""

    def __init__(self, stream: IO[bytes], length: int | None) -> None:
        self._stream = stream
        self.length = length
        #: Bytes that were read so far. Of a chunked body nobody says beforehand how many come.
        self.passed_on = 0

    @classmethod
    def of(cls, request: Request) -> "_Body | None":
        """Return the body, or ``None`` where there is none."""
        chunked = request.environ.get("wsgi.input_terminated") and (
            "chunked" in request.headers.get("Transfer-Encoding", "").lower()
        )
        if not chunked and not request.content_length:
            return None
        try:
            return cls(request.stream, None if chunked else request.content_length)
        except RequestEntityTooLarge as error:
            raise Refused(Refusal.BODY_TOO_LARGE) from error

    def read(self, size: int = CHUNK) -> bytes:
        part = self._stream.read(size)
        self.passed_on += len(part)
        return part


def passed_on(upstream: requests.Response) -> int:
    """Return how many bytes the body had of the call that this answers."""
    body: Any = upstream.request.body
    return body.passed_on if isinstance(body, _Body) else 0


def headers_back(upstream: requests.Response, onward: Onward) -> Headers:
    """Return the back end's header fields that its caller gets."""
    dropped = _NOT_TO_CALLER | _named_by_connection(upstream.headers.get("Connection", ""))
    found = Headers()
    raw: Any = upstream.raw.headers
    for name, value in raw.items():
        if name.lower() == "location":
            value = _location(value, onward)
        if name.lower() not in dropped:
            found.add(name, value)
    return found


def _location(value: str, onward: Onward) -> str:
    """Turn the back end's own address into the gateway's; leave others alone."""
    base = onward.endpoint.partition("?")[0].rstrip("/")
    path = urlsplit(base).path
    for start in (base, path if value.startswith("/") and not value.startswith("//") else base):
        if value == start or value.startswith((start + "/", start + "?")):
            return onward.public_origin + onward.prefix + value[len(start) :]
    return value


def body_back(upstream: requests.Response) -> Iterator[bytes]:
    """Yield the answer's bytes as the back end wrote them, also where they are compressed.

    An answer that breaks off breaks off for the caller too: nothing may look complete that is not.
    """
    try:
        yield from upstream.raw.stream(CHUNK, decode_content=False)
    finally:
        upstream.close()
