"""Calls to addresses that people enter: only to permitted ones, never by redirect.

The address is decided where the socket is opened, so that a name which leads elsewhere at the
second look-up (DNS rebinding) gains nothing.
"""

import socket
from collections.abc import Collection
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.util import Timeout

from portal.errors import PortalError
from portal.services.backends import permitted_addresses

#: Connections kept to one host; as many as a worker process has threads.
POOL = 16
#: Hosts whose connections are kept.
HOSTS = 64


class ForbiddenAddress(Exception):
    """The name leads to an address that this portal may not call."""


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


def guard(session: requests.Session, allowlist: Collection[str]) -> None:
    """Let a session that somebody else made connect only where it may, and follow no redirect.

    What goes through a proxy is the proxy's to decide.
    """
    adapter = _Adapter(allowlist)
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


def _guarded_pools(allowlist: Collection[str]) -> dict[str, Any]:
    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _connect(self, "http", allowlist)

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _connect(self, "https", allowlist)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


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
    return found
