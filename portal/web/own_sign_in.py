"""The Stripe service signs people in as a client of the portal's own authorization server.

The token request does not go over the network: a portal with one worker would wait for itself.
"""

import base64
import hashlib
import secrets
from typing import Any
from urllib.parse import urlencode

from authlib.oidc.core import CodeIDToken
from flask import current_app, session, url_for
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from portal import clock
from portal.models import SystemApp, User
from portal.services import accounts, signing, system_apps
from portal.services.system_apps import STRIPE_SERVICE
from portal.web.authenticated import PENDING, begin_session
from portal.web.engines import absolute, settings
from portal.web.unit_of_work import unit_of_work

CALLBACK = "/api/am/stripe/callback"
#: A person may take this long to sign in; older attempts are forgotten.
_PATIENCE = 3600
_MOST = 5
_LONGEST_TARGET = 1000
_CLOCKS_DIFFER = 60


class SignInRefused(Exception):
    """The answer of the authorization server is not one that signs anybody in.

    :param status: the HTTP status that the Stripe service documents for it
    """

    def __init__(self, message: str, status: int = 401) -> None:
        super().__init__(message)
        self.message, self.status = message, status


def callback_url() -> str:
    """Return where the authorization server sends the browser back to."""
    return absolute(CALLBACK)


def register() -> SystemApp | None:
    """Register the Stripe service, again if it is already."""
    uri = callback_url()
    with unit_of_work():
        return system_apps.register(STRIPE_SERVICE, uri)


def registered() -> SystemApp | None:
    """Return the registration, made now if there is none or the portal has moved."""
    app = system_apps.find(STRIPE_SERVICE)
    if app is None or app.client.redirect_uris != [callback_url()]:
        return register()
    return app


def begin(target: str) -> str | None:
    """Return where to send a visitor who has to sign in and then go on to ``target``.

    ``None`` if there is nobody yet who could own the registration.
    """
    app = registered()
    if app is None:
        return None
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    kept = target if len(target) <= _LONGEST_TARGET else url_for("devportal.home")
    attempts = _attempts()
    attempts[state] = [nonce, verifier, kept, clock.epoch(clock.now())]
    session[PENDING] = dict(list(attempts.items())[-_MOST:])
    challenge = hashlib.sha256(verifier.encode()).digest()
    query = {
        "response_type": "code",
        "client_id": app.client.client_id,
        "redirect_uri": callback_url(),
        "scope": "openid",
        "state": state,
        "nonce": nonce,
        "code_challenge": base64.urlsafe_b64encode(challenge).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }
    return f"{absolute(url_for('oauth.authorize'))}?{urlencode(query)}"


def finish(arguments: dict[str, str]) -> str:
    """Check everything that came back, begin the person's session, and return where to go on.

    :raise SignInRefused: if anything is not as it was asked for; nobody is signed in then
    """
    attempt = _take(arguments.get("state", ""))
    if "error" in arguments:
        raise SignInRefused("Authentication failed")
    if not arguments.get("code"):
        raise SignInRefused("Authorization code is missing", 400)
    if attempt is None:
        raise SignInRefused("Invalid state parameter", 400)
    nonce, verifier, target, _ = attempt
    if arguments.get("iss") != settings().portal_base_url:
        raise SignInRefused("Authentication failed")
    app = system_apps.find(STRIPE_SERVICE)
    if app is None:
        raise SignInRefused("Authentication failed")
    client_id = app.client.client_id
    issued = _exchange(client_id, app.consumer_secret, arguments["code"], verifier)
    claims = check_id_token(issued, client_id, nonce)
    begin_session(_person(claims), clock.from_epoch(int(claims["auth_time"])))
    return str(target)


def _exchange(client_id: str, secret: str, code: str, verifier: str) -> dict[str, Any]:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": callback_url(),
        "code_verifier": verifier,
    }
    shown = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
    inner = current_app.test_request_context(
        url_for("oauth.token"),
        base_url=settings().portal_base_url,
        method="POST",
        data=form,
        headers={"Authorization": f"Basic {shown}"},
    )
    with inner:
        answer = current_app.extensions["portal_oauth"].create_token_response()
    if answer.status_code != 200:
        raise SignInRefused("Authentication failed")
    issued: dict[str, Any] = answer.json
    return issued


def check_id_token(issued: dict[str, Any], client_id: str, nonce: str) -> dict[str, Any]:
    """Return the claims of an id token that was signed by this portal, for this client, now.

    :raise SignInRefused: if signature, algorithm, issuer, audience, time or nonce is not right
    """
    keys = KeySet.import_key_set({"keys": list(signing.published())})
    try:
        token = jwt.decode(issued.get("id_token", ""), keys, algorithms=[signing.ALGORITHM])
        claims = CodeIDToken(
            token.claims,
            token.header,
            {
                "iss": {"essential": True, "value": settings().portal_base_url},
                "aud": {"essential": True, "value": client_id},
                "auth_time": {"essential": True},
                "nonce": {"essential": True},
            },
            {
                "nonce": nonce,
                "client_id": client_id,
                "access_token": issued.get("access_token"),
            },
        )
        claims.validate(now=clock.epoch(clock.now()), leeway=_CLOCKS_DIFFER)
    except (JoseError, ValueError) as error:
        raise SignInRefused("Authentication failed") from error
    return dict(claims)


def _person(claims: dict[str, Any]) -> User:
    """Find who the subject is; it carries the tenant, so that no two people share one."""
    name, at, domain = str(claims["sub"]).rpartition("@")
    user = accounts.find(f"{name}@{domain}") if name and at else None
    if user is None or user.disabled:
        raise SignInRefused("Authentication failed")
    return user


def _attempts() -> dict[str, list[Any]]:
    oldest = clock.epoch(clock.now()) - _PATIENCE
    kept = session.get(PENDING, {})
    return {state: attempt for state, attempt in kept.items() if attempt[3] > oldest}


def _take(state: str) -> list[Any] | None:
    """Return the attempt with this state and forget it: each comes back once."""
    attempts = _attempts()
    found = attempts.pop(state, None)
    session[PENDING] = attempts
    return found
