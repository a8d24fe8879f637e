"""What the authorization server need not remember any more.

A used code or refresh token is kept as long as anything of its family could still work: only so
is its second use noticed as a theft.
"""

from datetime import timedelta

from sqlalchemy import ColumnElement, and_, delete, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute

from portal import clock
from portal.extensions import db
from portal.models import OAuthCode, OAuthToken, SigningKey
from portal.services.tokens import REFRESH_LIFETIME

#: For people who look into what happened.
_KEPT = timedelta(days=1)
#: Rows of one transaction: nobody waits long for it.
SOME = 1000


def forget_some() -> int:
    """Delete at most :data:`SOME` rows of each kind; return how many. Repeat until it is none."""
    past = clock.now() - _KEPT
    unused = and_(OAuthCode.used_at.is_(None), OAuthCode.expires_at < past)
    used = OAuthCode.expires_at < past - REFRESH_LIFETIME
    last = func.coalesce(OAuthToken.refresh_expires_at, OAuthToken.expires_at)
    return (
        _forget(OAuthCode.code_id, or_(unused, used))
        + _forget(OAuthToken.token_id, and_(last < past, OAuthToken.expires_at < past))
        + _forget(SigningKey.key_id, SigningKey.retired_at < past)
    )


def _forget(key: InstrumentedAttribute[int], condition: ColumnElement[bool]) -> int:
    # MySQL cannot delete from a table that the same statement reads.
    ids = db.session.scalars(select(key).where(condition).limit(SOME)).all()
    if ids:
        db.session.execute(delete(key.class_).where(key.in_(ids)))
    return len(ids)
