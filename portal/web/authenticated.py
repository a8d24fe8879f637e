"""The session of somebody who has proved who they are, and when that was."""

from datetime import datetime

from flask import session
from flask_login import login_user

from portal import clock
from portal.models import User

_WHEN = "authenticated_at"
PENDING = "signing_in_elsewhere"


def begin_session(user: User, when: datetime | None = None) -> None:
    """Begin a new session: nothing that a visitor's cookie held survives signing in.

    Except the sign-ins that are under way at this browser: their states are random, and each is
    still checked when it comes back.

    :param when: when the person proved who they are, if it was not just now
    """
    pending = session.get(PENDING)
    session.clear()
    login_user(user)
    session[_WHEN] = clock.epoch(when or clock.now())
    session.permanent = True
    if pending:
        session[PENDING] = pending


def authenticated_at() -> datetime:
    """Return when that was; long ago if nobody noted it."""
    return clock.from_epoch(int(session.get(_WHEN, 0)))
