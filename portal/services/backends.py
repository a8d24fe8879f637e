"""Where an API's back end may be: which addresses a publisher may name, and the gateway call.

The portal stands inside a company's network, so a publisher could otherwise use it to reach what
only that network may reach: cloud metadata, databases, the portal itself. The address is checked
when it is saved, and again when the gateway connects, because a name may lead elsewhere by then.
"""

import ipaddress
import socket
from collections.abc import Callable, Collection
from typing import Any
from urllib.parse import SplitResult, urlsplit

from portal.errors import Invalid, NotAllowed

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Lookup = Callable[..., list[Any]]

LONGEST_URL = 2000
DEFAULT_PORTS = {"http": 80, "https": 443}
#: Names that lead to this machine or stay inside a network (RFC 6761, RFC 6762, RFC 8375, ICANN).
_INNER_NAMES = ("localhost", "local", "internal", "home.arpa", "localdomain")
#: IPv6 ranges that wrap an IPv4 address: 6to4, NAT64, and the deprecated "compatible" form.
_SIX_TO_FOUR = ipaddress.ip_network("2002::/16")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
#: What older Pythons take for global (RFC 6890, RFC 8215), and Azure's own address in each network.
_MORE_INNER = tuple(
    ipaddress.ip_network(each) for each in ("192.0.0.0/24", "168.63.129.16/32", "64:ff9b:1::/48")
)
_COMPATIBLE = ipaddress.ip_network("::/96")


def check_url(url: str, allowlist: Collection[str] = ()) -> str:
    """Return the address of a back end as it is stored: without a slash at the end.

    Asks no name server: :func:`permitted_addresses` does, when the gateway connects.

    :param allowlist: origins that may be on private addresses; one without a port allows all ports
    :raise portal.errors.Invalid: with a sentence that says what to enter instead
    """
    text = url.strip()
    parts = _split(text)
    if is_allowed(text, allowlist):
        return text.rstrip("/")
    host = parts.hostname or ""
    address = _literal(host)
    inner = host in _INNER_NAMES or host.endswith(tuple(f".{name}" for name in _INNER_NAMES))
    if inner or (address is not None and not is_public(address)):
        raise Invalid(
            "This address leads into a private network, where the gateway may not call. Enter a "
            "public address, or ask the operator to add it to BACKEND_ALLOWLIST."
        )
    if address is None and "." not in host:
        raise Invalid("Enter the back end's full host name, for example api.example.com.")
    return text.rstrip("/")


def permitted_addresses(
    url: str, allowlist: Collection[str] = (), *, lookup: Lookup = socket.getaddrinfo
) -> list[str]:
    """Return the addresses at which the gateway may connect to a back end; look the name up now.

    The gateway connects to one of these and to nothing else: a second look-up could answer
    differently (DNS rebinding).

    :raise portal.errors.NotAllowed: if any address is private and the origin is not allowed
    :raise OSError: if the name does not resolve
    """
    parts = _split(url)
    port = parts.port or DEFAULT_PORTS[parts.scheme]
    answers = lookup(parts.hostname, port, type=socket.SOCK_STREAM)
    found = list(dict.fromkeys(str(answer[4][0]) for answer in answers))
    if not is_allowed(url, allowlist) and not all(
        is_public(ipaddress.ip_address(address.partition("%")[0])) for address in found
    ):
        raise NotAllowed(
            "The back end's name leads into a private network, where the gateway may not call."
        )
    return found


def is_allowed(url: str, allowlist: Collection[str]) -> bool:
    """Whether the operator has allowed this back end's origin by name."""
    parts = _split(url)
    return any(_matches(parts, entry) for entry in allowlist)


def is_public(address: Address) -> bool:
    """Whether an address is on the open internet, also when IPv6 wraps an IPv4 address."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = _wrapped(address)
        if inner is not None:
            return is_public(inner)
    if any(address.version == inner.version and address in inner for inner in _MORE_INNER):
        return False
    return address.is_global and not address.is_multicast


def _matches(parts: SplitResult, entry: str) -> bool:
    allowed = urlsplit(entry)
    if (allowed.scheme, allowed.hostname) != (parts.scheme, parts.hostname):
        return False
    return allowed.port is None or allowed.port == (parts.port or DEFAULT_PORTS[parts.scheme])


def _split(url: str) -> SplitResult:
    if not url or len(url) > LONGEST_URL or not url.isascii() or not url.isprintable():
        raise Invalid("Enter the back end's address, for example https://api.example.com/v1.")
    if " " in url or "\\" in url:
        raise Invalid("The back end's address must not contain spaces or backslashes.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Invalid("The back end's address has a port or host that cannot be read.") from error
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or port == 0:
        raise Invalid("The back end's address must begin with https:// or http:// and name a host.")
    if parts.username is not None or parts.password is not None:
        raise Invalid("The back end's address must not contain a user name or password.")
    if parts.query or parts.fragment:
        raise Invalid("The back end's address must end before ? and #.")
    return parts


def _literal(host: str) -> Address | None:
    """Read a host that is an address, also in the short forms that the system's resolver takes."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        # 127.1, 0x7f000001 and 2130706433 all mean 127.0.0.1 to connect().
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None


def _wrapped(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.teredo is not None:
        return address.teredo[1]
    if address in _SIX_TO_FOUR:
        return address.sixtofour
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None
