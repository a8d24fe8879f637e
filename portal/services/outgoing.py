"""Calls to addresses that people enter: only to permitted ones, never by redirect.

The address is decided where the socket is opened, so that a name which leads elsewhere at the
second look-up (DNS rebinding) gains nothing. Where the answer is taken whole, it is bounded: in its
size, and in the time until all of it is there.
"""

import socket
from collections.abc import Collection
from dataclasses import dataclass
from http import HTTPStatus
from http.client import BadStatusLine, HTTPResponse
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.util import Timeout

from portal.errors import PortalError
from portal.services import deadline
from portal.services.backends import permitted_addresses
from portal.services.deadline import Deadline

#: Connections kept to one host; as many as a worker process has threads.
POOL = 16
#: Hosts whose connections are kept.
HOSTS = 64
#: How much of an answer is read at a time.
PIECE = 65_536
#: Interim answers that may come before the final one.
MOST_INTERIM = 16


class ForbiddenAddress(Exception):
    """The name leads to an address that this portal may not call."""


class TooLarge(requests.RequestException):
    """The answer is larger than the caller takes."""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How much of an answer is waited for."""

    seconds: float
    """From the first connection to the last byte."""
    size: int
    """Bytes, unpacked."""


def guarded_session(allowlist: Collection[str]) -> requests.Session:
    """Return a session that keeps no cookie, and connects only where it may.

    :param allowlist: origins that may be on private addresses
    """
    session = requests.Session()
    session.trust_env = False
    session.headers.clear()
    # One subscriber's cookies must never be sent with another one's call.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    guard(session, allowlist)
    return session


def guard(
    session: requests.Session, allowlist: Collection[str], bounds: Bounds | None = None
) -> None:
    """Let a session that somebody else made connect only where it may, and follow no redirect.

    What goes through a proxy is the proxy's to decide.

    :param bounds: what an answer has to keep, which is read to its end then before it is returned;
        the session raises ``requests.ReadTimeout`` or :class:`TooLarge` if it does not
    """
    adapter = _Bounded(allowlist, bounds) if bounds else _Adapter(allowlist)
    for prefix in list(session.adapters):
        session.mount(prefix, adapter)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    session.max_redirects = 0


class _Adapter(HTTPAdapter):
    def __init__(self, allowlist: Collection[str]) -> None:
        self._allowlist = allowlist
        super().__init__(pool_connections=HOSTS, pool_maxsize=POOL, max_retries=0)

    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        super().init_poolmanager(*args, **more)
        manager: PoolManager = self.poolmanager
        manager.pool_classes_by_scheme = _guarded_pools(self._allowlist)


class _Once:
    """A pool that closes what comes back: its deadline watches a connection from its opening on."""

    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            conn.close()
        super()._put_conn(None)  # type: ignore[misc]


class _Bounded(_Adapter):
    def __init__(self, allowlist: Collection[str], bounds: Bounds) -> None:
        self._bounds = bounds
        super().__init__(allowlist)

    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        super().init_poolmanager(*args, **more)
        manager: PoolManager = self.poolmanager
        pools = manager.pool_classes_by_scheme.items()
        manager.pool_classes_by_scheme = {
            scheme: type("OncePool", (_Once, pool), {}) for scheme, pool in pools
        }

    def proxy_manager_for(self, proxy: Any, **more: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **more)
        if isinstance(manager, ProxyManager):
            manager.pool_classes_by_scheme = {"http": _WatchedPool, "https": _WatchedSecurePool}
        return manager

    def send(
        self, request: requests.PreparedRequest, stream: bool = False, *how: Any, **more: Any
    ) -> requests.Response:
        # For the server's sake: whatever it answers, no connection is used again.
        request.headers["Connection"] = "close"
        with Deadline(self._bounds.seconds) as limit:
            try:
                answer = super().send(request, True, *how, **more)
                self._read(answer)
            except Exception:
                if not limit.is_over:
                    raise
            if limit.is_over:
                # Also where it looks whole: the end of some answers is that of their connection.
                raise requests.ReadTimeout("The answer took too long.", request=request)
        return answer

    def _read(self, answer: requests.Response) -> None:
        found = bytearray()
        with answer:
            for piece in answer.iter_content(PIECE):
                found += piece
                if len(found) > self._bounds.size:
                    raise TooLarge("The answer is too large.", response=answer)
        # Where requests keeps what it has read by itself.
        answer._content = bytes(found)  # noqa: SLF001


class _Final(HTTPResponse):
    """An answer that is the final one: ``http.client`` takes any but 100 for that.

    What comes after a 103 (Early Hints) on the same connection would be read as the answer to the
    next call, which may be somebody else's.
    """

    _interim = 0

    def _read_status(self) -> tuple[str, int, str]:
        version, status, reason = super()._read_status()  # type: ignore[misc]
        # 101 is final: the connection is no longer one of HTTP.
        if status < 200 and status != HTTPStatus.SWITCHING_PROTOCOLS:
            self._interim += 1
            if self._interim > MOST_INTERIM:
                raise BadStatusLine(f"{status}, again and again")
            # The one that is skipped together with its fields.
            status = HTTPStatus.CONTINUE
        return version, status, reason


def _guarded_pools(allowlist: Collection[str]) -> dict[str, Any]:
    class Plain(HTTPConnection):
        response_class = _Final

        def _new_conn(self) -> socket.socket:
            return _connect(self, "http", allowlist)

    class Secure(HTTPSConnection):
        response_class = _Final

        def _new_conn(self) -> socket.socket:
            return _connect(self, "https", allowlist)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


class _WatchedConnection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return deadline.watched(super()._new_conn())


class _WatchedSecureConnection(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return deadline.watched(super()._new_conn())


class _WatchedPool(_Once, HTTPConnectionPool):
    ConnectionCls = _WatchedConnection


class _WatchedSecurePool(_Once, HTTPSConnectionPool):
    ConnectionCls = _WatchedSecureConnection


def _connect(connection: HTTPConnection, scheme: str, allowlist: Collection[str]) -> socket.socket:
    host = f"[{connection.host}]" if ":" in connection.host else connection.host
    try:
        addresses = permitted_addresses(f"{scheme}://{host}:{connection.port}", allowlist)
    except PortalError as error:
        raise ForbiddenAddress from error
    except OSError as error:
        raise NewConnectionError(connection, "the name does not resolve") from error
    seconds = Timeout.resolve_default_timeout(connection.timeout)
    failure: OSError = OSError("no address")
    for address in addresses:
        if deadline.is_over():
            break
        try:
            return _open(address, connection, seconds)
        except OSError as error:
            failure = error
    if isinstance(failure, TimeoutError):
        raise ConnectTimeoutError(connection, "timed out") from failure
    raise NewConnectionError(connection, str(failure)) from failure


def _open(address: str, connection: HTTPConnection, seconds: float | None) -> socket.socket:
    found = socket.create_connection((address, connection.port), seconds)
    for option in connection.socket_options or ():
        found.setsockopt(*option)
    return deadline.watched(found)
