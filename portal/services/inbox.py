"""The inbox: a genuine event is stored once, together with its effect, and its outcome is kept.

The record and the effect commit together. Storing first and working later would lose an event
whenever the work fails after its repeat was taken for a duplicate.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import CursorResult, Select, delete, select, update
from sqlalchemy.dialects import mysql, postgresql, sqlite

from portal import clock
from portal.billing.engine import BillingEvent, EventKind
from portal.crashpoints import crashpoint
from portal.extensions import db
from portal.models import InboxEvent, Outcome, Subscription, Tenant
from portal.services import billing_events
from portal.services.billing_events import Result

TRIES = 8
_READ_INSTEAD = (Outcome.REFRESHED, Outcome.STALE)
KEPT_FOR = timedelta(days=30)


@dataclass(frozen=True)
class Receipt:
    """What became of one delivery."""

    duplicate: bool
    outcome: Outcome
    detail: str
    refresh_due: bool
    closed: int | None = None
    """The subscription of which a billing period has ended with it."""


def receive(tenant: Tenant, event: BillingEvent, raw: bytes) -> Receipt:
    """Store an event and give it its effect; a repeat is only counted.

    Runs in one unit of work, which may be run again whole.
    """
    if not _insert(tenant, event, raw):
        return _known(tenant, event)
    crashpoint("event stored")
    row = db.session.scalars(_select(tenant, event)).one()
    result = billing_events.apply(tenant, event)
    keep(row, result)
    if event.kind is EventKind.CHECKOUT_COMPLETED:
        _make_due(tenant, event)
    refresh = bool(result.subscription and result.subscription.refresh_due)
    closed = row.am_subscription_id if result.is_closed else None
    return Receipt(False, result.outcome, result.detail, refresh, closed)


def _make_due(tenant: Tenant, event: BillingEvent) -> None:
    """Let events that came too soon be tried at once: what they waited for may be this one."""
    db.session.execute(
        update(InboxEvent)
        .where(
            InboxEvent.tenant_id == tenant.tenant_id,
            InboxEvent.account == event.account,
            InboxEvent.outcome == Outcome.PARKED,
        )
        .values(next_try_at=clock.now())
    )


def _insert(tenant: Tenant, event: BillingEvent, raw: bytes) -> bool:
    """Store the event, or count one more delivery of it; return whether it was new.

    One statement that locks the row either way: asking first and inserting then would let two
    deliveries race, and a failed INSERT makes MySQL's transactions dead-lock.
    """
    values = first_values(tenant.tenant_id, event, raw, clock.now())
    again = {"deliveries": InboxEvent.deliveries + 1}
    if db.session.get_bind().dialect.name in ("mysql", "mariadb"):
        result = db.session.execute(
            mysql.insert(InboxEvent).values(values).on_duplicate_key_update(again)
        )
        # MySQL: 1 for an inserted row, 2 for one that was updated.
        return cast("CursorResult[Any]", result).rowcount == 1
    insert = sqlite.insert if db.session.get_bind().dialect.name == "sqlite" else postgresql.insert
    statement = insert(InboxEvent).values(values)
    deliveries = db.session.scalar(
        statement.on_conflict_do_update(
            index_elements=["tenant_id", "event_id"], set_=again
        ).returning(InboxEvent.deliveries)
    )
    return deliveries == 1


def first_values(
    tenant_id: int, event: BillingEvent, raw: bytes, received_at: datetime
) -> dict[str, Any]:
    """Return an event's row before it is known what the event does."""
    return {
        "tenant_id": tenant_id,
        "event_id": event.event_id,
        "type": event.type[:100],
        "account": event.account,
        "livemode": event.livemode,
        "created": event.created,
        "received_at": received_at,
        "payload_zlib": InboxEvent.pack(raw),
        "outcome": Outcome.FAILED,
        "detail": "",
        "deliveries": 1,
        "attempts": 1,
    }


def _select(tenant: Tenant, event: BillingEvent) -> Select[InboxEvent]:
    return select(InboxEvent).where(
        InboxEvent.tenant_id == tenant.tenant_id, InboxEvent.event_id == event.event_id
    )


def _known(tenant: Tenant, event: BillingEvent) -> Receipt:
    row = db.session.scalars(_select(tenant, event)).one()
    return Receipt(True, Outcome(row.outcome), row.detail, False)


def keep(row: InboxEvent, result: Result) -> None:
    """Keep on the event what it did; plan the next try of one that is parked."""
    row.outcome = result.outcome
    row.detail = result.detail[:1024]
    row.status_before, row.status_after = result.before, result.after
    if result.outcome in _READ_INSTEAD and result.subscription and result.subscription.refresh_due:
        # Known when the present state has been read; see resolve().
        row.status_after = None
    row.am_subscription_id = result.subscription.subscription_id if result.subscription else None
    row.next_try_at = None
    if result.outcome is Outcome.PARKED:
        if row.attempts >= TRIES:
            row.outcome = Outcome.DEAD
            row.detail = f"Given up after {TRIES} tries. {result.detail}"[:1024]
        else:
            # 2 s, 4 s, 8 s … 4 min: the event that it waits for is usually a second behind.
            row.next_try_at = clock.now() + timedelta(seconds=2**row.attempts)


def resolve(subscription: Subscription) -> None:
    """Note on the events that were not taken at their word what reading the present state gave."""
    db.session.execute(
        update(InboxEvent)
        .where(
            InboxEvent.am_subscription_id == subscription.subscription_id,
            InboxEvent.outcome.in_(_READ_INSTEAD),
            InboxEvent.status_after.is_(None),
        )
        .values(status_after=subscription.status)
    )


def due(limit: int = 100) -> list[int]:
    """Return the parked events whose next try has come, oldest first."""
    return list(
        db.session.scalars(
            select(InboxEvent.inbox_id)
            .where(InboxEvent.outcome == Outcome.PARKED, InboxEvent.next_try_at <= clock.now())
            .order_by(InboxEvent.created, InboxEvent.inbox_id)
            .limit(limit)
        )
    )


def retry(row: InboxEvent, tenant: Tenant, event: BillingEvent) -> Result:
    """Try a parked event again."""
    row.attempts += 1
    result = billing_events.apply(tenant, event)
    keep(row, result)
    return result


def postpone(row: InboxEvent, why: str) -> None:
    """Let a parked event wait on, since nobody could try it: that counts as a try."""
    row.attempts += 1
    keep(row, Result(outcome=Outcome.PARKED, detail=why))


def replay(row: InboxEvent, tenant: Tenant, event: BillingEvent) -> Result:
    """Give an event its effect again because a person asks. A parked one gets all of its tries.

    What it did the first time stays on it, unless it does something now.
    """
    row.attempts = 1
    result = billing_events.apply(tenant, event)
    if row.outcome != Outcome.APPLIED or result.before != result.after:
        keep(row, result)
    return result


def forget_some() -> int:
    """Delete at most 500 events that are older than :data:`KEPT_FOR`; return how many."""
    # Of the oldest, so that the table is not searched where nothing has come of age.
    oldest = db.session.execute(
        select(InboxEvent.inbox_id, InboxEvent.received_at).order_by(InboxEvent.inbox_id).limit(500)
    )
    past = clock.now() - KEPT_FOR
    ids = [inbox_id for inbox_id, received_at in oldest if received_at < past]
    if ids:
        db.session.execute(delete(InboxEvent).where(InboxEvent.inbox_id.in_(ids)))
    return len(ids)


def refuse(tenant: Tenant) -> None:
    """Count a delivery whose signature is bad. Nothing of its content is kept."""
    db.session.execute(
        update(Tenant)
        .where(Tenant.tenant_id == tenant.tenant_id)
        .values(refused_events=Tenant.refused_events + 1, last_refused_event_at=clock.now())
    )
