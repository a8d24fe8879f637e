"""Signing in at a tenant's own identity provider, with this portal as its client.

Every provider has a redirect address of its own here, so that the answer of one is never taken
for another's (mix-up, RFC 9700 4.4), beside the ``iss`` that it may send.
"""

import base64
import hashlib
import os
import re
import secrets
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import structlog
from flask import current_app, session, url_for

from portal import clock
from portal.errors import NotAllowed
from portal.extensions import db
from portal.flows.outside_provider import Metadata, ProviderFails, Providers
from portal.models import IdentityProvider, User
from portal.services import id_tokens, identity_providers
from portal.services.outgoing import guarded_session
from portal.web.authenticated import begin_session
from portal.web.engines import absolute, settings
from portal.web.unit_of_work import in_unit_of_work

log = structlog.get_logger()

_ATTEMPTS = "signing_in_outside"
_WHERE = "signed_in_at"
#: A person may take this long at the provider; older attempts are forgotten.
_PATIENCE = 3600
_MOST = 3
_LONGEST_TARGET = 1500
_CLOCKS_DIFFER = 60
_END_OF_TIME = 2**33
_WORD = re.compile(r"[a-z_]{1,60}")
SCOPE = "openid profile email"


def providers() -> Providers:
    """Return what asks providers in this process: made after the fork, as its sockets are."""
    kept: tuple[int, Providers] | None = current_app.extensions.get("portal_outside")
    if kept is None or kept[0] != os.getpid():
        allowlist = settings().backend_allowlist
        kept = (os.getpid(), Providers(guarded_session(allowlist), allowlist))
        current_app.extensions["portal_outside"] = kept
    return kept[1]


def callback_url(domain: str) -> str:
    """Return where a tenant's provider sends the browser back to."""
    return absolute(url_for("account.outside_callback", domain=domain))


def begin(provider: IdentityProvider, target: str, *, again: bool = False) -> str:
    """Return where to send a visitor who signs in at a provider and then goes on to ``target``.

    :param again: whether the provider must ask who it is, also whom it knows already
    :raise portal.flows.outside_provider.ProviderFails: if the provider does not answer
    """
    issuer, client_id = provider.issuer, provider.client_id
    domain = provider.tenant.tenant_domain
    db.session.rollback()
    metadata = providers().discover(issuer)
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    kept = target if len(target) <= _LONGEST_TARGET else ""
    attempts = _attempts()
    attempts[state] = [domain, issuer, nonce, verifier, kept, clock.epoch(clock.now()), again]
    session[_ATTEMPTS] = dict(list(attempts.items())[-_MOST:])
    challenge = hashlib.sha256(verifier.encode()).digest()
    query = urlencode(
        {
            "response_type": "code",
            "client_id": client_id,
            "redirect_uri": callback_url(domain),
            "scope": SCOPE,
            "state": state,
            "nonce": nonce,
            "code_challenge": base64.urlsafe_b64encode(challenge).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        # With max_age the provider has to say when it asked (OpenID Connect Core 3.1.2.1).
        | ({"prompt": "login", "max_age": "0"} if again else {})
    )
    address = metadata.authorization_endpoint
    return f"{address}{'&' if '?' in address else '?'}{query}"


def finish(domain: str, arguments: dict[str, str]) -> str:
    """Check everything that came back, begin the person's session, and return where to go on.

    :raise portal.errors.NotAllowed: saying why; nobody is signed in then
    :raise portal.flows.outside_provider.ProviderFails: if the provider does not answer
    """
    attempt = _take(arguments.get("state", ""))
    if attempt is None or attempt[0] != domain:
        raise NotAllowed("This sign-in was begun in another browser, or too long ago.")
    _, issuer, nonce, verifier, target, begun, again = attempt
    provider = identity_providers.enabled_for(domain)
    if provider is None or provider.issuer != issuer:
        raise NotAllowed("The settings of this sign-in have changed meanwhile.")
    client = (provider.client_id, provider.client_secret)
    db.session.rollback()
    _check_sender(providers().discover(issuer), arguments)
    id_token, claims = _redeem(issuer, client, domain, (arguments.get("code", ""), verifier), nonce)
    proved = _proved_at(claims, begun if again else None)

    def store() -> str:
        now = identity_providers.enabled_for(domain)
        if now is None or now.issuer != issuer:
            raise NotAllowed("The settings of this sign-in have changed meanwhile.")
        return identity_providers.person_of(now, claims, id_token).uuid

    uuid = in_unit_of_work(store)
    begin_session(db.session.query(User).filter_by(uuid=uuid).one(), proved)
    session[_WHERE] = domain
    return str(target)


def _proved_at(claims: dict[str, Any], since: int | None) -> datetime | None:
    """Return when the provider asked who it is; ``None`` if it does not say.

    :param since: the moment from which it had to ask again, if it had to
    """
    said = claims.get("auth_time")
    at = said if isinstance(said, int) and 0 < said < _END_OF_TIME else None
    if since is not None and (at is None or at < since - _CLOCKS_DIFFER):
        raise NotAllowed("The provider did not ask you again who you are.")
    return clock.from_epoch(at) if at else None


def _check_sender(metadata: Metadata, arguments: dict[str, str]) -> None:
    """Refuse an answer that another server has given, and one that says no."""
    sender = arguments.get("iss")
    if sender != metadata.issuer and (sender is not None or metadata.names_issuer):
        _note("issuer")
        raise NotAllowed("The answer came from another server than you were sent to.")
    if "error" in arguments:
        word = arguments["error"] if _WORD.fullmatch(arguments["error"]) else "an error"
        raise NotAllowed(f"The provider did not sign you in: {word}.")
    if not arguments.get("code"):
        raise NotAllowed("The provider sent no code.")


def _redeem(
    issuer: str, client: tuple[str, str | None], domain: str, proof: tuple[str, str], nonce: str
) -> tuple[str, dict[str, Any]]:
    """Exchange a code with its verifier; return the id token and its claims."""
    form = {
        "grant_type": "authorization_code",
        "code": proof[0],
        "redirect_uri": callback_url(domain),
        "code_verifier": proof[1],
    }
    issued = providers().exchange(issuer, client, form)
    token = issued.get("id_token")
    if not isinstance(token, str):
        raise NotAllowed("The provider sent no id token.")
    given = issued.get("access_token")
    access_token = given if isinstance(given, str) else None
    expected = {"client_id": client[0], "nonce": nonce, "access_token": access_token}
    try:
        return token, providers().claims(issuer, token, **expected)
    except id_tokens.NotGenuine as error:
        _note(str(error))
        raise NotAllowed("What the provider sent does not prove who you are.") from error


def _note(cause: str) -> None:
    log.warning("outside_sign_in_refused", cause=cause)


def end_address(user: User) -> str | None:
    """Return where the person signs out at the provider at which they signed in, if they did.

    Must be asked before the session ends.
    """
    domain = session.get(_WHERE)
    provider = identity_providers.enabled_for(domain) if domain == user.tenant_domain else None
    if provider is None:
        return None
    identity = identity_providers.identity_of(user, provider)
    query = {
        "client_id": provider.client_id,
        "post_logout_redirect_uri": absolute(url_for("account.front")),
    }
    if identity is not None and identity.id_token:
        query["id_token_hint"] = identity.id_token
    issuer = provider.issuer
    db.session.rollback()
    try:
        address = providers().discover(issuer).end_session_endpoint
    except ProviderFails:
        return None
    if address is None:
        return None
    return f"{address}{'&' if '?' in address else '?'}{urlencode(query)}"


def _attempts() -> dict[str, list[Any]]:
    oldest = clock.epoch(clock.now()) - _PATIENCE
    kept = session.get(_ATTEMPTS, {})
    return {state: attempt for state, attempt in kept.items() if attempt[5] > oldest}


def _take(state: str) -> list[Any] | None:
    """Return the attempt with this state and forget it: each comes back once."""
    attempts = _attempts()
    found = attempts.pop(state, None)
    session[_ATTEMPTS] = attempts
    return found
