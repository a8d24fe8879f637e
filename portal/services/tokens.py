"""Codes and tokens. They exist in clear only in the answer that hands them out.

Everything that comes from one sign-in is a family. A code or a refresh token that is used twice
was stolen, from whom nobody can tell, so the whole family ends.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import CursorResult, Update, or_, select, update

from portal import clock
from portal.extensions import db
from portal.models import OAuthClient, OAuthCode, OAuthToken, User
from portal.models.types import new_uuid
from portal.services import scopes

LIFETIME = timedelta(hours=1)
REFRESH_LIFETIME = timedelta(days=30)
CODE_LIFETIME = timedelta(seconds=60)


def digest(token: str) -> str:
    """Return what is stored of a token (SHA-256; the token itself has 256 random bits)."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def may_use(user: User, client: OAuthClient) -> bool:
    """Whether the client is for people of this person's tenant."""
    return client.saas_app or client.tenant_id == user.tenant_id


def allowed(user: User, client: OAuthClient, wanted: str) -> str:
    """Return those of the wanted scopes that the person's roles admit, space separated.

    A person of another tenant than the client's gets nothing, unless the client is for all.
    """
    if not may_use(user, client):
        return ""
    return scopes.joined(scope for scope in scopes.known(wanted) if scope.admits(user.roles))


# --- codes ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a client asked the person to agree to."""

    redirect_uri: str
    scope: str
    nonce: str | None
    code_challenge: str
    authenticated_at: datetime


def store_code(client: OAuthClient, user: User, code: str, asked: Asked) -> OAuthCode:
    """Store the hash of a code that is about to be handed out."""
    row = OAuthCode(
        code_hash=digest(code),
        oauth_client_id=client.oauth_client_id,
        user_id=user.user_id,
        redirect_uri=asked.redirect_uri,
        scope=asked.scope,
        nonce=asked.nonce,
        code_challenge=asked.code_challenge,
        authenticated_at=asked.authenticated_at,
        expires_at=clock.now() + CODE_LIFETIME,
    )
    db.session.add(row)
    return row


def find_code(client: OAuthClient, code: str) -> OAuthCode | None:
    """Return this client's code, used or not, as long as it has not expired."""
    row = db.session.scalars(
        select(OAuthCode).where(
            OAuthCode.code_hash == digest(code),
            OAuthCode.oauth_client_id == client.oauth_client_id,
        )
    ).one_or_none()
    if row is None or (row.used_at is None and row.expires_at <= clock.now()):
        return None
    return row


def use_code(row: OAuthCode) -> bool:
    """Use a code up; false if somebody was faster."""
    return _first(
        update(OAuthCode)
        .where(OAuthCode.code_id == row.code_id, OAuthCode.used_at.is_(None))
        .values(used_at=clock.now())
    )


# --- tokens ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Kin:
    """The family that a token belongs to, and the family's last moment."""

    family: str
    refresh_expires_at: datetime

    @classmethod
    def new(cls, family: str | None = None) -> "Kin":
        """Begin a family."""
        return cls(family=family or new_uuid(), refresh_expires_at=clock.now() + REFRESH_LIFETIME)


def store(
    client: OAuthClient, user: User | None, issued: dict[str, Any], kin: Kin | None = None
) -> OAuthToken:
    """Store the hashes of a token that is about to be handed out."""
    refresh = issued.get("refresh_token")
    family = kin or Kin.new()
    now = clock.now()
    token = OAuthToken(
        oauth_client_id=client.oauth_client_id,
        user_id=user.user_id if user else None,
        family=family.family,
        access_token_hash=digest(str(issued["access_token"])),
        refresh_token_hash=digest(str(refresh)) if refresh else None,
        scope=str(issued.get("scope") or ""),
        issued_at=now,
        expires_at=now + timedelta(seconds=int(issued["expires_in"])),
        refresh_expires_at=family.refresh_expires_at if refresh else None,
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


def find_any(text: str) -> OAuthToken | None:
    """Return the row of an access or refresh token, in whatever state it is."""
    mark = digest(text)
    return db.session.scalars(
        select(OAuthToken).where(
            or_(OAuthToken.access_token_hash == mark, OAuthToken.refresh_token_hash == mark)
        )
    ).one_or_none()


def find_refresh(refresh_token: str) -> OAuthToken | None:
    """Return the token that this refresh token was handed out with, in whatever state it is."""
    return db.session.scalars(
        select(OAuthToken).where(OAuthToken.refresh_token_hash == digest(refresh_token))
    ).one_or_none()


def renewable(token: OAuthToken) -> bool:
    """Whether its refresh token works now."""
    end = token.refresh_expires_at
    return token.revoked_at is None and end is not None and end > clock.now()


def use_refresh(token: OAuthToken) -> bool:
    """Use a refresh token up, and end its access token; false if it was used before."""
    now = clock.now()
    return _first(
        update(OAuthToken)
        .where(OAuthToken.token_id == token.token_id, OAuthToken.refreshed_at.is_(None))
        .values(refreshed_at=now, revoked_at=now)
    )


def revoke_family(family: str | None) -> None:
    """End every token of a family. Ending it twice is the same."""
    if family is None:
        return
    db.session.execute(
        update(OAuthToken)
        .where(OAuthToken.family == family, OAuthToken.revoked_at.is_(None))
        .values(revoked_at=clock.now())
    )


def _first(change: Update) -> bool:
    return cast("CursorResult[Any]", db.session.execute(change)).rowcount == 1
