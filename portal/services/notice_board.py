"""The notices of a person: what stands above the pages, and everything that they were told."""

from collections.abc import Sequence

from sqlalchemy import Select, select
from sqlalchemy.orm import raiseload

from portal import clock
from portal.extensions import db
from portal.models import Application, Notice, Subscription

#: More than this above a page would push the page away; the rest stands on the page of notices.
MOST = 3


def of_person(user_id: int) -> Select[Notice]:
    """Return the query for a person's notices, the newest first."""
    return (
        select(Notice)
        .join(Subscription, Notice.subscription_id == Subscription.subscription_id)
        .join(Application, Subscription.application_id == Application.application_id)
        .where(Application.owner_id == user_id)
        .order_by(Notice.notice_id.desc())
    )


def open_for(user_id: int) -> Sequence[Notice]:
    """Return what stands above the pages: one for each subscription, the newest, at most three."""
    rows = db.session.scalars(
        of_person(user_id)
        .where(
            Notice.closed_at.is_(None),
            (Notice.relevant_until.is_(None)) | (Notice.relevant_until > clock.now()),
        )
        .options(raiseload(Notice.subscription))
        .limit(50)
    )
    newest: dict[int, Notice] = {}
    for notice in rows:
        newest.setdefault(notice.subscription_id, notice)
    return list(newest.values())[:MOST]


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
