"""When the person at this browser proved who they are."""

from datetime import datetime

from flask import session

from portal import clock

_KEY = "authenticated_at"


def remember_authentication() -> None:
    """Note that the person has just proved who they are."""
    session[_KEY] = clock.epoch(clock.now())


def authenticated_at() -> datetime:
    """Return when that was; long ago if nobody noted it."""
    return clock.from_epoch(int(session.get(_KEY, 0)))
