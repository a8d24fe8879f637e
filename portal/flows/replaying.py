"""Giving a stored event its effect once more: first to see what would change, then for real.

Harmless by the rules of events: one that is older than what is held changes nothing by itself, and
has the present state read at the engine.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import select

from portal.billing.engine import BillingEngine, BillingEvent
from portal.extensions import db
from portal.models import InboxEvent, Outcome, Subscription, Tenant, TimelineEntry
from portal.services import billing_events, inbox
from portal.services.billing_events import Result
from portal.web.unit_of_work import in_unit_of_work

EngineFor = Callable[[Tenant], BillingEngine]


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What a replay would do, or has done."""

    outcome: Outcome
    detail: str
    before: str | None
    after: str | None
    lines: Sequence[str]
    """What would be written to the timeline, in words."""
    reads_present: bool
    """Whether the worker reads the present state at the engine afterwards."""

    @property
    def changes(self) -> bool:
        """Whether anything is different afterwards."""
        return bool(self.lines) or self.before != self.after or self.reads_present


class _NotKept(Exception):
    """Undoes what was only tried."""


def preview(engine_for: EngineFor, inbox_id: int) -> Replay:
    """Say what an event would change if it came now. Nothing of it is kept.

    :raise portal.errors.PortalError: if the event cannot be read, or billing is not set up
    """
    event = _read(engine_for, inbox_id)
    seen: list[Replay] = []

    def try_it() -> None:
        seen[:] = [_do(inbox_id, event, billing_events.apply)]
        raise _NotKept

    try:
        in_unit_of_work(try_it)
    except _NotKept:
        return seen[0]
    raise AssertionError("unreachable")


def replay(engine_for: EngineFor, inbox_id: int) -> Replay:
    """Give an event its effect again; one that had been given up is tried eight more times.

    :raise portal.errors.PortalError: if the event cannot be read, or billing is not set up
    """
    event = _read(engine_for, inbox_id)

    def again(tenant: Tenant, event: BillingEvent) -> Result:
        return inbox.replay(db.session.get_one(InboxEvent, inbox_id), tenant, event)

    return in_unit_of_work(lambda: _do(inbox_id, event, again))


def _read(engine_for: EngineFor, inbox_id: int) -> BillingEvent:
    row = db.session.get_one(InboxEvent, inbox_id)
    engine = engine_for(db.session.get_one(Tenant, row.tenant_id))
    return engine.translate_event(row.payload)


def _do(
    inbox_id: int, event: BillingEvent, act: Callable[[Tenant, BillingEvent], Result]
) -> Replay:
    row = db.session.get_one(InboxEvent, inbox_id)
    tenant = db.session.get_one(Tenant, row.tenant_id)
    newest = db.session.scalar(
        select(TimelineEntry.entry_id).order_by(TimelineEntry.entry_id.desc()).limit(1)
    )
    result = act(tenant, event)
    subscription = result.subscription
    return Replay(
        outcome=result.outcome,
        detail=result.detail,
        before=result.before,
        after=result.after,
        lines=_lines(subscription, newest or 0),
        reads_present=bool(subscription and subscription.refresh_due),
    )


def _lines(subscription: Subscription | None, after: int) -> Sequence[str]:
    if subscription is None:
        return ()
    return db.session.scalars(
        select(TimelineEntry.because)
        .where(TimelineEntry.subscription_uuid == subscription.uuid, TimelineEntry.entry_id > after)
        .order_by(TimelineEntry.entry_id)
    ).all()
