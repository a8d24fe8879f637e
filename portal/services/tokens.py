"""OAuth scopes, clients and tokens. Tokens and client secrets exist in clear only in the answer."""

import hashlib
import secrets
from datetime import timedelta

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from sqlalchemy import select

from portal import clock
from portal.errors import Invalid
from portal.extensions import db
from portal.models import OAuthClient, OAuthToken, User
from portal.services import scopes

LIFETIME = timedelta(hours=1)
REFRESH_LIFETIME = timedelta(days=30)
GRANTS = ("password", "client_credentials", "refresh_token")


#: A client secret is random, so that a cheap hash is enough and every token request stays fast.
_hasher = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)


def digest(token: str) -> str:
    """Return what is stored of a token (SHA-256; the token itself has 256 random bits)."""
    return hashlib.sha256(token.encode()).hexdigest()


def allowed(user: User, client: OAuthClient, wanted: str) -> str:
    """Return those of the wanted scopes that the person's roles admit, space separated.

    A person of another tenant than the client's gets nothing, unless the client is for all.
    """
    if client.tenant_id != user.tenant_id and not client.saas_app:
        return ""
    return scopes.joined(scope for scope in scopes.known(wanted) if scope.admits(user.roles))


def register(owner: User, *, name: str, callback: str, grants: str, saas: bool) -> tuple[str, str]:
    """Register a client and return its id and secret; the secret is never shown again.

    :param grants: grant types, space separated, as WSO2's registration takes them
    :raise portal.errors.Invalid: if the name is missing or a grant type is not one of ours
    """
    wanted = grants.split()
    if not name.strip() or len(name) > 255:
        raise Invalid("clientName is required and has at most 255 characters.")
    unknown = [grant for grant in wanted if grant not in GRANTS]
    if unknown or not wanted:
        raise Invalid(f"grantType takes {', '.join(GRANTS)}, separated by spaces.")
    secret = secrets.token_urlsafe(32)
    client = OAuthClient(
        client_id=secrets.token_urlsafe(21),
        client_secret_hash=_hasher.hash(secret),
        tenant_id=owner.tenant_id,
        owner_id=owner.user_id,
        client_name=name.strip(),
        grant_types=wanted,
        redirect_uris=[callback] if callback else [],
        saas_app=saas,
    )
    db.session.add(client)
    return client.client_id, secret


def find_client(client_id: str) -> OAuthClient | None:
    """Return the client with this id."""
    return db.session.scalars(
        select(OAuthClient).where(OAuthClient.client_id == client_id)
    ).one_or_none()


def secret_fits(client: OAuthClient, secret: str) -> bool:
    """Whether this is the client's secret."""
    try:
        return _hasher.verify(client.client_secret_hash or "", secret)
    except (Argon2Error, InvalidHashError):
        return False


def store(client: OAuthClient, user: User | None, issued: dict[str, str | int]) -> OAuthToken:
    """Store the hashes of a token that is about to be handed out."""
    refresh = issued.get("refresh_token")
    now = clock.now()
    token = OAuthToken(
        oauth_client_id=client.oauth_client_id,
        user_id=user.user_id if user else None,
        access_token_hash=digest(str(issued["access_token"])),
        refresh_token_hash=digest(str(refresh)) if refresh else None,
        scope=str(issued.get("scope") or ""),
        issued_at=now,
        expires_at=now + timedelta(seconds=int(issued["expires_in"])),
    )
    db.session.add(token)
    return token


def find(access_token: str) -> OAuthToken | None:
    """Return the token if it is valid now, and whose it is may still use it."""
    token = db.session.scalars(
        select(OAuthToken).where(OAuthToken.access_token_hash == digest(access_token))
    ).one_or_none()
    if token is None or token.revoked_at is not None or token.expires_at <= clock.now():
        return None
    if token.user is None or token.user.disabled:
        return None
    return token


def find_refresh(refresh_token: str) -> OAuthToken | None:
    """Return the token that this refresh token renews, if it still does."""
    token = db.session.scalars(
        select(OAuthToken).where(OAuthToken.refresh_token_hash == digest(refresh_token))
    ).one_or_none()
    if token is None or token.revoked_at is not None:
        return None
    if token.issued_at + REFRESH_LIFETIME <= clock.now():
        return None
    return token
