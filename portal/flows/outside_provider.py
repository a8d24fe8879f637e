"""Asking an outside OpenID provider: what it offers, its keys, and tokens for a code."""

import base64
import json
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

import requests

from portal import clock
from portal.errors import Invalid, PortalError
from portal.services import id_tokens, identity_providers
from portal.services.outgoing import ForbiddenAddress

_SECONDS = (5.0, 10.0)
_MOST_BYTES = 1024 * 1024
_WELL_KNOWN = "/.well-known/openid-configuration"
#: How long what a provider says of itself is believed.
_FRESH = timedelta(minutes=10)
#: A token with an unknown key asks for the keys anew, at most this often.
_PATIENCE = timedelta(minutes=1)


class ProviderFails(PortalError):
    """The provider does not answer, or not as OpenID Connect has it."""

    status_code = 502
    title = "The identity provider does not answer as it should"


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What a provider says of itself (OpenID Connect Discovery 1.0)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    end_session_endpoint: str | None = None
    posts_secret: bool = False
    """Whether the secret goes into the form, because the header is not taken."""
    names_issuer: bool = False
    """Whether every answer carries ``iss`` (RFC 9207)."""


@dataclass
class _Known:
    metadata: Metadata
    read_at: datetime
    keys: list[dict[str, Any]] = field(default_factory=list)
    keys_read_at: datetime | None = None


class Providers:
    """Asks providers, and remembers for a while what they said."""

    def __init__(self, http: requests.Session, allowlist: Collection[str]) -> None:
        self._http, self._allowlist = http, allowlist
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()

    def discover(self, issuer: str, *, anew: bool = False) -> Metadata:
        """Return what a provider says of itself.

        :param anew: whether it is asked now, whatever is remembered
        :raise ProviderFails: with a sentence that says what is wrong with it
        """
        known = self._known.get(issuer)
        if known is None or anew or clock.now() - known.read_at > _FRESH:
            document = self._get(issuer.rstrip("/") + _WELL_KNOWN)
            known = _Known(self._read(issuer, document), clock.now())
            with self._lock:
                self._known[issuer] = known
        return known.metadata

    def check(self, issuer: str) -> Metadata:
        """Ask a provider for everything that signing in needs.

        :raise ProviderFails: with a sentence that says what is wrong with it
        """
        found = self.discover(issuer, anew=True)
        if not self._keys(issuer):
            raise ProviderFails("It publishes no key with which id tokens could be checked.")
        return found

    def exchange(self, issuer: str, client: tuple[str, str | None], form: dict[str, str]) -> Any:
        """Return the answer of the token endpoint.

        :param client: the client's id and secret
        :raise ProviderFails: if it gives no token
        """
        metadata = self.discover(issuer)
        client_id, secret = client
        headers = {"Accept": "application/json"}
        if secret is None or metadata.posts_secret:
            form = form | {"client_id": client_id}
            form |= {"client_secret": secret} if secret else {}
        else:
            # RFC 6749, 2.3.1: both parts are form-encoded before they are joined.
            pair = f"{quote(client_id, safe='')}:{quote(secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        return self._call("POST", metadata.token_endpoint, data=form, headers=headers)

    def claims(self, issuer: str, token: str, **expected: Any) -> dict[str, Any]:
        """Return the claims of an id token of a provider.

        :raise portal.services.id_tokens.NotGenuine: if it is not genuine
        """
        try:
            return id_tokens.verify(token, self._keys(issuer, old=True), issuer=issuer, **expected)
        except id_tokens.UnknownKey:
            return id_tokens.verify(token, self._keys(issuer), issuer=issuer, **expected)

    def _keys(self, issuer: str, *, old: bool = False) -> list[dict[str, Any]]:
        self.discover(issuer)
        known = self._known[issuer]
        last = known.keys_read_at
        if last is not None and (old or clock.now() - last < _PATIENCE):
            return known.keys
        found = self._get(known.metadata.jwks_uri).get("keys")
        keys = [key for key in found if isinstance(key, dict)] if isinstance(found, list) else []
        known.keys, known.keys_read_at = keys, clock.now()
        return keys

    def _read(self, issuer: str, document: Mapping[str, Any]) -> Metadata:
        if document.get("issuer") != issuer:
            raise ProviderFails(
                f"It calls itself {str(document.get('issuer'))[:200]}. Enter exactly this name, "
                "or another address."
            )
        needed = {name: self._address(document, name) for name in _NEEDED}
        end = document.get("end_session_endpoint")
        methods = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        return Metadata(
            issuer=issuer,
            **needed,
            end_session_endpoint=self._address(document, "end_session_endpoint") if end else None,
            posts_secret="client_secret_basic" not in methods and "client_secret_post" in methods,
            names_issuer=document.get("authorization_response_iss_parameter_supported") is True,
        )

    def _address(self, document: Mapping[str, Any], name: str) -> str:
        url = str(document.get(name) or "")
        try:
            identity_providers.check_address(url.partition("?")[0], self._allowlist)
        except Invalid as error:
            raise ProviderFails(f"Its {name} cannot be used: {error.message}") from error
        return url

    def _get(self, url: str) -> dict[str, Any]:
        return self._call("GET", url, headers={"Accept": "application/json"})

    def _call(self, method: str, url: str, **more: Any) -> dict[str, Any]:
        place = urlsplit(url).netloc
        try:
            with self._http.request(
                method, url, timeout=_SECONDS, allow_redirects=False, stream=True, **more
            ) as answer:
                status, raw = answer.status_code, answer.raw.read(_MOST_BYTES + 1, True)
        except ForbiddenAddress as error:
            raise ProviderFails(
                f"{place} leads into a private network, where this portal may not call."
            ) from error
        except (requests.RequestException, OSError) as error:
            raise ProviderFails(f"{place} does not answer. Try again in a minute.") from error
        if status != 200 or len(raw) > _MOST_BYTES:
            raise ProviderFails(f"{place} answered {status}, where 200 is expected.")
        try:
            body = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise ProviderFails(f"{place} did not answer with JSON.") from error
        if not isinstance(body, dict):
            raise ProviderFails(f"{place} did not answer with a JSON object.")
        return body


_NEEDED = ("authorization_endpoint", "token_endpoint", "jwks_uri")
