"""Reading the inbox: which events came, and what each changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Select, bindparam, func, literal_column, select

from portal.errors import NotFound
from portal.extensions import db
from portal.models.inbox import InboxEvent, Outcome
from portal.models.subscription import Subscription, TimelineEntry

PER_PAGE = 50


class Line(NamedTuple):
    """An event as the list shows it."""

    event_id: str
    type: str
    outcome: str
    detail: str
    status_before: str | None
    status_after: str | None
    received_at: datetime
    deliveries: int

    @property
    def change(self) -> str:
        """What became of the subscription's status; empty where the event says nothing of it."""
        before, after = self.status_before, self.status_after
        return f"{before} → {after}" if before and after and before != after else after or ""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Some of the events, and how to come to the others."""

    lines: Sequence[Line]
    newer: int | None
    """Give this as ``after`` for the next newer ones; ``None``: these are the newest."""
    older: int | None
    """Give this as ``before`` for the next older ones; ``None``: there are none."""
    dead: int
    """How many were given up; a thousand means that many or more."""


def seen(
    tenant_id: int, *, kind: str = "", outcome: str = "", before: int = 0, after: int = 0
) -> Seen:
    """Return fifty of the tenant's events, newest first, without their bodies.

    No event is counted or passed over for its place. A type that is rare has all looked through.
    Where nothing stands before or after a place, these are the newest.

    :param kind: only this type; empty for all
    :param outcome: only this outcome; empty for all
    :param before: only what came before the event of this number; 0: the newest
    :param after: only what came after it
    """
    connection = db.session.connection()
    values = {"tenant_id": tenant_id, "kind": kind, "outcome": outcome, "place": before or after}

    def some(way: str) -> list[Any]:
        return list(connection.execute(_lines(bool(kind), bool(outcome), way), values))

    if after and not before:
        rows = some("after")
        if len(rows) > PER_PAGE:
            return _shown(rows[PER_PAGE - 1 :: -1], newer=True, older=True)
    rows = some("before") if before else []
    if rows:
        return _shown(rows[:PER_PAGE], newer=True, older=len(rows) > PER_PAGE)
    rows = some("")
    if rows:
        return _shown(rows[:PER_PAGE], newer=False, older=len(rows) > PER_PAGE)
    dead = connection.scalar(select(_DEAD), {"tenant_id": tenant_id}) if kind or outcome else 0
    return Seen(lines=[], newer=None, older=None, dead=dead or 0)


def _shown(rows: list[Any], *, newer: bool, older: bool) -> Seen:
    return Seen(
        lines=[Line._make(row[2:]) for row in rows],
        newer=rows[0].inbox_id if newer else None,
        older=rows[-1].inbox_id if older else None,
        dead=rows[0].dead,
    )


_EVENTS: Any = InboxEvent.__table__
_SOME_DEAD = (
    select(_EVENTS.c.inbox_id)
    .where(
        _EVENTS.c.tenant_id == bindparam("tenant_id"),
        _EVENTS.c.outcome == literal_column(f"'{Outcome.DEAD.value}'"),
    )
    .limit(1000)
)
_DEAD = select(func.count()).select_from(_SOME_DEAD.subquery()).scalar_subquery()


@lru_cache
def _lines(of_kind: bool, of_outcome: bool, way: str) -> Select[Any]:
    number = _EVENTS.c.inbox_id
    query = (
        select(number, _DEAD.label("dead"), *(_EVENTS.c[name] for name in Line._fields))
        .where(_EVENTS.c.tenant_id == bindparam("tenant_id"))
        .order_by(number if way == "after" else number.desc())
        .limit(PER_PAGE + 1)
    )
    if way:
        place: Any = bindparam("place")
        query = query.where(number > place if way == "after" else number < place)
    if of_kind:
        query = query.where(_EVENTS.c.type == bindparam("kind"))
    return query.where(_EVENTS.c.outcome == bindparam("outcome")) if of_outcome else query


def lines_of(event: InboxEvent) -> Sequence[TimelineEntry]:
    """Return what an event has written to the timeline of its subscription."""
    return db.session.scalars(
        select(TimelineEntry)
        .join(Subscription, Subscription.uuid == TimelineEntry.subscription_uuid)
        .where(
            Subscription.tenant_id == event.tenant_id,
            TimelineEntry.stripe_event_id == event.event_id,
        )
        .order_by(TimelineEntry.entry_id)
    ).all()


def one(tenant_id: int, event_id: str) -> InboxEvent:
    """Return one event of the tenant.

    :raise portal.errors.NotFound: if there is none, also when it is another tenant's
    """
    found = db.session.scalars(
        select(InboxEvent).where(InboxEvent.tenant_id == tenant_id, InboxEvent.event_id == event_id)
    ).one_or_none()
    if found is None:
        raise NotFound("There is no such event.")
    return found


def subscription_of(event: InboxEvent) -> Subscription | None:
    """Return the subscription that an event was about, if it is known."""
    if event.am_subscription_id is None:
        return None
    return db.session.get(Subscription, event.am_subscription_id)
