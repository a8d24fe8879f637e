"""From an access token to the application whose call it is, without loading any object."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, select

from portal.models import KeyType, OAuthClient, OAuthToken, User


@dataclass(frozen=True)
class Caller:
    """The application that an access token stands for, as one of its keys would."""

    application_id: int
    key_type: KeyType
    expires_at: datetime


_QUERY = (
    select(OAuthClient.application_id, OAuthClient.key_type, OAuthToken.expires_at)
    .join(OAuthToken, OAuthToken.oauth_client_id == OAuthClient.oauth_client_id)
    .join(User, User.user_id == OAuthToken.user_id)
    .where(
        OAuthToken.access_token_hash == bindparam("token_hash"),
        OAuthToken.revoked_at.is_(None),
        OAuthToken.expires_at > bindparam("now"),
        User.disabled.is_(False),
        OAuthClient.application_id.is_not(None),
    )
)


def caller(connection: Connection, token_hash: str, now: datetime) -> Caller | None:
    """Return whose call this is; ``None`` if the token does not work, or is for no application.

    One query by a unique index. Whoever keeps the answer has to look at ``expires_at``.

    :param token_hash: SHA-256 of the access token, as ``tokens.digest`` makes it
    """
    row = connection.execute(_QUERY, {"token_hash": token_hash, "now": now}).first()
    if row is None:
        return None
    return Caller(row.application_id, KeyType(row.key_type), row.expires_at)
