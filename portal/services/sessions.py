"""Browser sessions that were ended: a copy of their cookie must not work any more."""

import hashlib
from datetime import timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import Select, bindparam, delete, exists, select
from sqlalchemy.orm import joinedload

from portal import clock
from portal.extensions import db
from portal.models import EndedSession, User
from portal.services import notice_board
from portal.services.inserting import insert_missing

#: No session lives longer, whatever the settings say: then its end need not be remembered.
LONGEST = timedelta(days=8)
SOME = 1000


def person(session_id: str, mark: str) -> User | None:
    """Return whose session this is, or ``None`` if it has been ended; one query.

    :param session_id: the person and their epoch, as :meth:`portal.models.User.get_id` writes it
    :param mark: the session's own random mark
    """
    values = {"uuid": session_id.rpartition(".")[0], "mark": _digest(mark)}
    user = db.session.scalars(_whose(), values).unique().one_or_none()
    return user if user is not None and _goes_on(user, session_id) else None


def developer(session_id: str, mark: str) -> tuple[User | None, bool]:
    """Return the same, and whether any notice stands above the person's pages; one query."""
    uuid = session_id.rpartition(".")[0]
    values = {"uuid": uuid, "mark": _digest(mark), "now": clock.now()}
    row = db.session.execute(_whose_with_notices(), values).unique().one_or_none()
    if row is None or not _goes_on(row[0], session_id):
        return None, False
    return row[0], bool(row[1])


def _goes_on(user: User, session_id: str) -> bool:
    return not user.disabled and user.get_id() == session_id


# Built once: each is the statement of every page, and building it costs twice as much as asking.


@lru_cache
def _whose() -> Select[Any]:
    ended = exists().where(EndedSession.session_hash == bindparam("mark"))
    found = select(User).where(User.uuid == bindparam("uuid"), ~ended)
    return found.options(joinedload(User.role_rows))


@lru_cache
def _whose_with_notices() -> Select[Any]:
    return _whose().add_columns(notice_board.any_open(User.user_id))


def end(mark: str) -> None:
    """End a session. Ending it twice is the same."""
    table: Any = EndedSession.__table__
    row = {"session_hash": _digest(mark), "ended_at": clock.now()}
    insert_missing(db.session.connection(), table, [row])


def forget_some() -> int:
    """Delete at most :data:`SOME` rows of sessions that would be over by now; return how many."""
    past = clock.now() - LONGEST
    found = db.session.scalars(
        select(EndedSession.session_hash).where(EndedSession.ended_at < past).limit(SOME)
    ).all()
    if found:
        db.session.execute(delete(EndedSession).where(EndedSession.session_hash.in_(found)))
    return len(found)


def _digest(mark: str) -> str:
    return hashlib.sha256(mark.encode()).hexdigest()
