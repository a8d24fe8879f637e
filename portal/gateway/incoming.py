"""What a caller sent: the key, the resource as it was written, the body."""

import re
from urllib.parse import quote, unquote, urlsplit

from flask import Request

from portal.gateway.refused import Refused
from portal.services.decisions import Refusal

#: Whatever could be a key of this portal. Anything else is not looked up.
_KEY = re.compile(r"[A-Za-z0-9._~+/=-]{8,200}")
#: A path that is what it looks like: nothing to decode, no parameters, no dot segments.
_PLAIN = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~!$&'()*+,=:@-]*)*")
#: How often a path is decoded in search of dot segments: back ends decode once, careless ones more.
_DECODINGS = 3


def key_of(request: Request) -> str:
    """Return the application key of a call: the header ApiKey, or a bearer token.

    :raise Refused: if there is none, more than one, or something that cannot be a key
    """
    return _one_of(request.headers.getlist("ApiKey") + _bearer_tokens(request))


def key_of_fields(api_key: str | None, authorization: str | None) -> str:
    """Return the application key from the two fields that may carry it, as :func:`key_of` does.

    :raise Refused: if there is none, more than one, or something that cannot be a key
    """
    found = [] if api_key is None else [api_key]
    if authorization is not None and authorization[:7].lower() == "bearer ":
        found.append(authorization[7:])
    return _one_of(found)


def _one_of(found: list[str]) -> str:
    if not found:
        raise Refused(Refusal.MISSING_KEY)
    if len(found) > 1:
        raise Refused(Refusal.AMBIGUOUS_KEY)
    key = found[0].strip()
    if not key:
        raise Refused(Refusal.MISSING_KEY)
    if not _KEY.fullmatch(key):
        raise Refused(Refusal.UNKNOWN_KEY)
    return key


def _bearer_tokens(request: Request) -> list[str]:
    values = request.headers.getlist("Authorization")
    return [value[7:] for value in values if value[:7].lower() == "bearer "]


def resource_of(request: Request, place: str) -> str:
    """Return what follows ``place`` in the address, with its own percent-encoding and slashes.

    The back end must see ``a%2Fb`` as it was written, so this reads the request line where the
    server hands it on, not the decoded path.

    :param place: the decoded path at which the API stands, for example ``/gateway/weather/1.0``
    :raise Refused: if the path would leave the API at the back end
    """
    raw = _raw_path(request)
    cut = len((request.root_path + place).split("/"))
    segments = raw.split("/")
    if unquote("/".join(segments[:cut])) != request.root_path + place:
        raise Refused(Refusal.NO_API)
    resource = "/".join(["", *segments[cut:]]) if len(segments) > cut else ""
    if leaves(resource):
        raise Refused(Refusal.BAD_PATH)
    return resource


def _raw_path(request: Request) -> str:
    raw = request.environ.get("RAW_URI") or request.environ.get("REQUEST_URI")
    if not raw:
        return quote(request.root_path + request.path, safe="/:@!$&'()*+,;=~-._")
    target = str(raw)
    return target.partition("?")[0] if target.startswith("/") else urlsplit(target).path


def leaves(resource: str) -> bool:
    """Whether a path has dot segments, control characters or backslashes, however encoded."""
    if _PLAIN.fullmatch(resource):
        return False
    text = resource
    for _ in range(_DECODINGS):
        if any(ord(char) < 32 or char in "\\\x7f" for char in text):
            return True
        # Some servers cut parameters off a segment before they look at its dots: ``..;x``.
        if any(part.partition(";")[0] in (".", "..") for part in text.split("/")):
            return True
        text = unquote(text)
    return False
