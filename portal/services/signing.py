"""The keys that sign id tokens. The newest signs; older ones are published until they end."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from joserfc.jwk import RSAKey
from sqlalchemy import or_, select

from portal import clock
from portal.extensions import db
from portal.models import SigningKey

ALGORITHM = "RS256"
#: What was signed just before a rotation must still verify: an id token lives an hour, and
#: clients keep the list of keys for about a day.
OVERLAP = timedelta(days=2)


def newest() -> SigningKey | None:
    """Return the key that signs now, or ``None`` before the first one was made."""
    return db.session.scalars(
        select(SigningKey)
        .where(SigningKey.retired_at.is_(None))
        .order_by(SigningKey.key_id.desc())
        .limit(1)
    ).one_or_none()


def make() -> SigningKey:
    """Make a key; it signs from now on."""
    made = RSAKey.generate_key(2048, auto_kid=True)
    public: dict[str, Any] = {**made.as_dict(private=False), "use": "sig", "alg": ALGORITHM}
    key = SigningKey(kid=str(made.kid), public_jwk=public)
    key.private_key = made.as_pem(private=True).decode()
    db.session.add(key)
    return key


def rotate() -> SigningKey:
    """Make a new key, and let the others end after :data:`OVERLAP`."""
    end = clock.now() + OVERLAP
    for key in db.session.scalars(select(SigningKey).where(SigningKey.retired_at.is_(None))):
        key.retired_at = end
    return make()


def published() -> Sequence[dict[str, Any]]:
    """Return the public keys with which a signature may be checked, newest first."""
    rows = db.session.scalars(
        select(SigningKey)
        .where(or_(SigningKey.retired_at.is_(None), SigningKey.retired_at > clock.now()))
        .order_by(SigningKey.key_id.desc())
    )
    return [row.public_jwk for row in rows]
