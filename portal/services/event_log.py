"""Reading the inbox: which events came, and what each changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Select, bindparam, func, select

from portal.errors import NotFound
from portal.extensions import db
from portal.models.inbox import InboxEvent, Outcome
from portal.models.subscription import Subscription, TimelineEntry
from portal.services.paging import Page, place_in

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
    """A page of the events, and what there is of them in all."""

    page: Page[Line]
    types: Sequence[str]
    """What the list can be narrowed to."""
    outcomes: Sequence[str]
    dead: int
    """How many were given up."""


def seen(tenant_id: int, *, kind: str = "", outcome: str = "", number: int = 1) -> Seen:
    """Return a page of the tenant's events, newest first, without their bodies: two statements.

    :param kind: only this type; empty for all
    :param outcome: only this outcome; empty for all
    :param number: which page; one beyond the end is the last
    """
    connection = db.session.connection()
    values = {"tenant_id": tenant_id, "kind": kind, "outcome": outcome}
    counts = {
        (each.type, each.outcome): each.events for each in connection.execute(_COUNTS, values).all()
    }
    total = sum(
        events
        for (its_type, its_outcome), events in counts.items()
        if kind in ("", its_type) and outcome in ("", its_outcome)
    )
    at = place_in(total, number, per_page=PER_PAGE)
    lines = _lines(bool(kind), bool(outcome))
    rows = connection.execute(lines, {**values, "skip": at.offset}).all()
    return Seen(
        page=at.page([Line._make(row) for row in rows]),
        types=sorted({its_type for its_type, _ in counts}),
        outcomes=[each.value for each in Outcome],
        dead=sum(events for (_, its_outcome), events in counts.items() if its_outcome == _DEAD),
    )


_EVENTS: Any = InboxEvent.__table__
_DEAD = Outcome.DEAD.value
_COUNTS = (
    select(_EVENTS.c.type, _EVENTS.c.outcome, func.count().label("events"))
    .where(_EVENTS.c.tenant_id == bindparam("tenant_id"))
    .group_by(_EVENTS.c.type, _EVENTS.c.outcome)
)


@lru_cache
def _lines(of_kind: bool, of_outcome: bool) -> Select[Any]:
    query = (
        select(*(_EVENTS.c[name] for name in Line._fields))
        .where(_EVENTS.c.tenant_id == bindparam("tenant_id"))
        .order_by(_EVENTS.c.inbox_id.desc())
        .limit(PER_PAGE)
        .offset(bindparam("skip"))
    )
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
