"""The notices of a person: what stands above the pages, and everything that they were told."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, bindparam, or_, select

from portal import clock
from portal.extensions import db
from portal.models import Application, Notice, Subscription

#: More than this above a page would push the page away; the rest stands on the page of notices.
MOST = 3
_NOTICE: Any = Notice.__table__
_SUBSCRIPTION: Any = Subscription.__table__
_APPLICATION: Any = Application.__table__


class Headline(NamedTuple):
    """A notice as it stands above a page."""

    subscription_id: int
    uuid: str
    kind: str
    subject: str


def of_person(user_id: int) -> Select[Notice]:
    """Return the query for a person's notices, the newest first."""
    return (
        select(Notice)
        .join(Subscription, Notice.subscription_id == Subscription.subscription_id)
        .join(Application, Subscription.application_id == Application.application_id)
        .where(Application.owner_id == user_id)
        .order_by(Notice.notice_id.desc())
    )


def open_for(user_id: int) -> Sequence[Headline]:
    """Return what stands above the pages: one for each subscription, the newest, at most three."""
    values = {"person": user_id, "now": clock.now()}
    newest: dict[int, Headline] = {}
    for row in db.session.connection().execute(_open(), values).all():
        newest.setdefault(row.subscription_id, Headline._make(row))
    return list(newest.values())[:MOST]


@lru_cache
def _open() -> Select[Any]:
    query = select(*(_NOTICE.c[name] for name in Headline._fields))
    query = _open_of(query, bindparam("person"))
    return query.order_by(_NOTICE.c.notice_id.desc()).limit(50)


def any_open(person: Any) -> ColumnElement[bool]:
    """Return whether anything stands above a person's pages, for a statement with ``now``."""
    return _open_of(select(_NOTICE.c.notice_id), person).exists()


def _open_of(query: Select[Any], person: Any) -> Select[Any]:
    notice, subscription, application = _NOTICE.c, _SUBSCRIPTION.c, _APPLICATION.c
    return (
        query.join(_SUBSCRIPTION, notice.subscription_id == subscription.subscription_id)
        .join(_APPLICATION, subscription.application_id == application.application_id)
        .where(
            application.owner_id == person,
            notice.closed_at.is_(None),
            or_(notice.relevant_until.is_(None), notice.relevant_until > bindparam("now")),
        )
    )


def dismiss(notice: Notice) -> None:
    """Take a notice, and what was told before it of the same, away from above the pages."""
    older = db.session.scalars(
        select(Notice).where(
            Notice.subscription_id == notice.subscription_id,
            Notice.notice_id <= notice.notice_id,
            Notice.closed_at.is_(None),
        )
    )
    for each in older:
        each.closed_at = clock.now()
