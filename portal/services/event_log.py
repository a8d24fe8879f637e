"""Reading the inbox: which events came, and what each changed."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import defer

from portal.errors import NotFound
from portal.extensions import db
from portal.models.inbox import InboxEvent, Outcome
from portal.models.subscription import Subscription, TimelineEntry
from portal.services.paging import Page, page_of

PER_PAGE = 50


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What the list can be narrowed to."""

    types: Sequence[str]
    outcomes: Sequence[str]


def page(tenant_id: int, *, kind: str = "", outcome: str = "", number: int = 1) -> Page[InboxEvent]:
    """Return a page of the tenant's events, newest first, without their bodies.

    :param kind: only this type; empty for all
    :param outcome: only this outcome; empty for all
    """
    query = (
        select(InboxEvent)
        .options(defer(InboxEvent.payload_zlib))
        .where(InboxEvent.tenant_id == tenant_id)
        .order_by(InboxEvent.inbox_id.desc())
    )
    if kind:
        query = query.where(InboxEvent.type == kind)
    if outcome:
        query = query.where(InboxEvent.outcome == outcome)
    return page_of(query, number, per_page=PER_PAGE)


def choices(tenant_id: int) -> Choices:
    """Return the types that the tenant has received, and every outcome."""
    types = db.session.scalars(
        select(InboxEvent.type).where(InboxEvent.tenant_id == tenant_id).distinct()
    )
    return Choices(types=sorted(types), outcomes=[outcome.value for outcome in Outcome])


def dead(tenant_id: int) -> int:
    """Return how many of the tenant's events were given up."""
    query = select(func.count()).where(
        InboxEvent.tenant_id == tenant_id, InboxEvent.outcome == Outcome.DEAD
    )
    return db.session.scalar(query) or 0


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
