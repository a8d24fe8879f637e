"""Registered programs. Their secrets exist in clear only in the answer that hands them out."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from sqlalchemy import func, select

from portal.errors import Conflict, Invalid
from portal.extensions import db
from portal.models import Application, KeyType, OAuthClient, User

CODE = "authorization_code"
GRANTS = (CODE, "refresh_token", "client_credentials", "password")
_LOCAL = ("127.0.0.1", "::1", "localhost")
_LONGEST = 2000
MOST_OF_APPLICATION = 10

#: A client secret is random, so that a cheap hash is enough and every token request stays fast.
_hasher = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a program asks to be registered as.

    :param grants: grant types; each must be one of :data:`GRANTS`
    :param redirect_uris: where codes may be sent; needed for, and checked with, the code grant
    :param saas: whether people of every tenant may use it
    :param public: whether it can keep no secret
    """

    name: str
    grants: Sequence[str]
    redirect_uris: Sequence[str] = ()
    saas: bool = False
    public: bool = False


def register(owner: User, wanted: Wanted, *, own: bool = False) -> tuple[OAuthClient, str | None]:
    """Register a client and return it with its secret, which is never shown again.

    :param own: whether it is a part of this portal: nobody is asked for consent
    :raise portal.errors.Invalid: naming what is missing or not possible
    """
    name = wanted.name.strip()
    if not name or len(name) > 255:
        raise Invalid("A client needs a name of at most 255 characters.")
    if not own:
        _check_grants(wanted)
    secret = None if wanted.public else new_secret()
    client = OAuthClient(
        client_id=secrets.token_urlsafe(21),
        client_secret_hash=hash_secret(secret) if secret else None,
        tenant_id=owner.tenant_id,
        owner_id=owner.user_id,
        client_name=name,
        grant_types=list(wanted.grants),
        redirect_uris=list(wanted.redirect_uris),
        saas_app=wanted.saas,
        trusted=own,
    )
    db.session.add(client)
    return client, secret


def register_for(
    application: Application, key_type: KeyType, *, grants: Sequence[str], callback: str = ""
) -> tuple[OAuthClient, str]:
    """Register the consumer key and secret of an application; its tokens work at the gateway.

    :raise portal.errors.Invalid: naming what is missing or not possible
    :raise portal.errors.Conflict: if the application has a great many already
    """
    query = select(func.count()).where(OAuthClient.application_id == application.application_id)
    if (db.session.scalar(query) or 0) >= MOST_OF_APPLICATION:
        raise Conflict(f"An application has at most {MOST_OF_APPLICATION} consumer keys.")
    wanted = Wanted(
        name=f"{application.name} ({key_type})",
        grants=grants,
        redirect_uris=[callback] if callback and CODE in grants else [],
    )
    client, secret = register(application.owner, wanted)
    client.application_id, client.key_type = application.application_id, key_type
    return client, secret or ""


def _check_grants(wanted: Wanted) -> None:
    unknown = [grant for grant in wanted.grants if grant not in GRANTS]
    if unknown or not wanted.grants:
        raise Invalid(f"The grant types are {', '.join(GRANTS)}.")
    if wanted.public and set(wanted.grants) & {"client_credentials", "password"}:
        raise Invalid("A client without a secret may only use authorization_code.")
    if CODE in wanted.grants:
        if not wanted.redirect_uris:
            raise Invalid("The grant type authorization_code needs a redirect address.")
        for uri in wanted.redirect_uris:
            check_redirect(uri)


def check_redirect(uri: str) -> None:
    """Accept an address to which codes may be sent: https, or http on the person's own machine.

    :raise portal.errors.Invalid: with a sentence that says what is possible
    """
    wrong = Invalid(
        "A redirect address is an https:// address, or http:// on 127.0.0.1 or localhost, "
        "without a fragment."
    )
    if not uri.isascii() or not uri.isprintable() or len(uri) > _LONGEST or "\\" in uri:
        raise wrong
    try:
        parts = urlsplit(uri)
    except ValueError as error:
        raise wrong from error
    secure = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOCAL)
    if not secure or not parts.hostname or "#" in uri or "@" in parts.netloc or "*" in uri:
        raise wrong


def new_secret() -> str:
    """Return a random secret (256 bits)."""
    return secrets.token_urlsafe(32)


def hash_secret(secret: str) -> str:
    """Return what is stored of a client secret."""
    return _hasher.hash(secret)


def find(client_id: str) -> OAuthClient | None:
    """Return the client with this id."""
    return db.session.scalars(
        select(OAuthClient).where(OAuthClient.client_id == client_id)
    ).one_or_none()


def secret_fits(client: OAuthClient, secret: str) -> bool:
    """Whether this is the client's secret; a client without one has none that fits."""
    if client.client_secret_hash is None:
        return False
    try:
        return _hasher.verify(client.client_secret_hash, secret)
    except (Argon2Error, InvalidHashError):
        return False
