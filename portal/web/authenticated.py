"""The session of somebody who has proved who they are: since when, and until when.

The cookie holds three moments beside the person: when the session began, when it was used last,
and when the person last proved who they are. It is signed, so that nobody can change them, and
it carries a random mark by which the session can be ended before its time.
"""

import secrets
from datetime import datetime, timedelta

from flask import Response, after_this_request, current_app, g, request, session
from flask_login import login_user, logout_user

from portal import clock
from portal.extensions import db
from portal.models import User
from portal.services import sessions
from portal.web.engines import settings
from portal.web.unit_of_work import begin_reading, in_unit_of_work

PENDING = "signing_in_elsewhere"
_PROVED, _BEGAN, _USED, _MARK = "authenticated_at", "began_at", "used_at", "mark"
#: The moment of use is noted once a minute: each note sends the cookie anew.
_NOTED = 60


def begin_session(user: User, when: datetime | None = None) -> None:
    """Begin a new session: nothing that a visitor's cookie held survives signing in.

    Except the sign-ins that are under way at this browser: their states are random, and each is
    still checked when it comes back. A session that was there before is ended.

    :param when: when the person proved who they are, if it was not just now
    """
    pending = session.get(PENDING)
    end_session()
    login_user(user)
    now = clock.epoch(clock.now())
    session[_BEGAN] = session[_USED] = now
    session[_PROVED] = min(clock.epoch(when), now) if when else now
    session[_MARK] = secrets.token_urlsafe(16)
    session.permanent = True
    if pending:
        session[PENDING] = pending


def end_session() -> None:
    """End the session: a copy of its cookie works no longer either."""
    mark = session.get(_MARK)
    if mark:
        in_unit_of_work(lambda: sessions.end(mark))
    logout_user()
    session.clear()


def renew_proof() -> None:
    """Note that the person has just proved again who they are; the session gets a new mark."""
    old, session[_MARK] = session[_MARK], secrets.token_urlsafe(16)
    in_unit_of_work(lambda: sessions.end(old))
    session[_PROVED] = session[_USED] = clock.epoch(clock.now())


def person(session_id: str) -> User | None:
    """Return whose session the request carries, unless it is over (Flask-Login's loader)."""
    now, known = clock.epoch(clock.now()), settings()
    began, used = int(session.get(_BEGAN, 0)), int(session.get(_USED, 0))
    idle = now - used > known.session_idle_minutes * 60
    if idle or now - began > known.session_hours * 3600:
        g.session_over = "idle" if idle else "old"
        return None
    user = _person(session_id, session.get(_MARK, ""))
    # What a page asks for by itself is no sign that somebody sits before it.
    if user is not None and now - used >= _NOTED and "HX-Request" not in request.headers:
        session[_USED] = now
    return user


def _person(session_id: str, mark: str) -> User | None:
    view = current_app.view_functions.get(request.endpoint or "")
    if getattr(view, "only_reads", False) and begin_reading():
        after_this_request(_has_read)
    if request.blueprint != "devportal":
        return sessions.person(session_id, mark)
    user, g.has_notices = sessions.developer(session_id, mark)
    return user


def _has_read(response: Response) -> Response:
    db.session.rollback()
    return response


def has_notices() -> bool:
    """Whether anything stands above the pages of the developer who has signed in."""
    return bool(g.get("has_notices", True))


def over() -> str | None:
    """Return why the session that the request carries has ended by itself: ``idle`` or ``old``."""
    reason: str | None = g.get("session_over")
    return reason


def authenticated_at() -> datetime:
    """Return when that was; long ago if nobody noted it."""
    return clock.from_epoch(int(session.get(_PROVED, 0)))


def proved_lately() -> bool:
    """Whether the last proof is new enough for acts that show secrets or move money."""
    return clock.now() - authenticated_at() <= timedelta(minutes=settings().confirm_minutes)
