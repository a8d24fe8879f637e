"""Events, payments, endings and usage of ours that should have come to something."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import String, cast, func, or_, select

from portal.extensions import db
from portal.models import (
    BatchState,
    Billing,
    InboxEvent,
    Outcome,
    PlanChange,
    PlanChangeState,
    Subscription,
    UsageBatch,
    Workflow,
)
from portal.services import subscribing

PAGE = 100


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Something that should have been done by now; ``subject`` says of what it is."""

    subject: str
    state: str
    since: datetime
    number: int = 0


def events_known(tenant_id: int, event_ids: Iterable[str]) -> set[str]:
    """Return which of these events are in the inbox."""
    return set(
        db.session.scalars(
            select(InboxEvent.event_id).where(
                InboxEvent.tenant_id == tenant_id, InboxEvent.event_id.in_(list(event_ids))
            )
        )
    )


def unpaid(tenant_id: int, before: datetime, after: int) -> list[Waiting]:
    """Return a page of subscriptions that began to wait for their payment before a moment."""
    began = (
        select(func.max(Workflow.wf_created_time))
        .where(
            Workflow.wf_reference == cast(Subscription.subscription_id, String(20)),
            Workflow.wf_type == subscribing.CREATION,
        )
        .scalar_subquery()
    )
    rows = db.session.execute(
        select(Subscription.subscription_id, Subscription.uuid, began.label("since"))
        .where(
            Subscription.tenant_id == tenant_id,
            Subscription.billing == Billing.PENDING,
            Subscription.ended_at.is_(None),
            Subscription.subscription_id > after,
            began < before,
        )
        .order_by(Subscription.subscription_id)
        .limit(PAGE)
    )
    return [
        Waiting(subject=row.uuid, state="ON_HOLD", since=row.since, number=row.subscription_id)
        for row in rows
    ]


def endings(tenant_id: int, before: datetime, after: int) -> list[Waiting]:
    """Return a page of subscriptions whose end was asked for before a moment."""
    rows = db.session.execute(
        select(Subscription.subscription_id, Subscription.uuid, Subscription.end_requested_at)
        .where(
            Subscription.tenant_id == tenant_id,
            Subscription.ended_at.is_(None),
            Subscription.end_requested_at < before,
            Subscription.subscription_id > after,
        )
        .order_by(Subscription.subscription_id)
        .limit(PAGE)
    )
    return [
        Waiting(
            subject=row.uuid,
            state="DELETE_PENDING",
            since=row.end_requested_at,
            number=row.subscription_id,
        )
        for row in rows
    ]


def plan_changes(tenant_id: int, before: datetime, after: int) -> list[Waiting]:
    """Return a page of changes of plan that were asked for before a moment and are not made."""
    rows = db.session.execute(
        select(PlanChange.plan_change_id, Subscription.uuid, PlanChange.state, PlanChange.asked_at)
        .join(Subscription, Subscription.subscription_id == PlanChange.subscription_id)
        .where(
            PlanChange.tenant_id == tenant_id,
            PlanChange.state == PlanChangeState.ASKED,
            PlanChange.asked_at < before,
            PlanChange.plan_change_id > after,
        )
        .order_by(PlanChange.plan_change_id)
        .limit(PAGE)
    )
    return [
        Waiting(subject=row.uuid, state=row.state, since=row.asked_at, number=row.plan_change_id)
        for row in rows
    ]


def events(tenant_id: int, before: datetime, after: int) -> list[Waiting]:
    """Return a page of events that came before a moment and have had no effect yet."""
    rows = db.session.execute(
        select(InboxEvent.inbox_id, InboxEvent.event_id, InboxEvent.outcome, InboxEvent.received_at)
        .where(
            InboxEvent.tenant_id == tenant_id,
            InboxEvent.outcome.in_((Outcome.PARKED, Outcome.FAILED, Outcome.DEAD)),
            InboxEvent.received_at < before,
            InboxEvent.inbox_id > after,
        )
        .order_by(InboxEvent.inbox_id)
        .limit(PAGE)
    )
    return [
        Waiting(subject=row.event_id, state=row.outcome, since=row.received_at, number=row.inbox_id)
        for row in rows
    ]


def batches(tenant_id: int, before: datetime, after: int) -> list[Waiting]:
    """Return a page of usage that was not acknowledged: parked, or being sent for too long."""
    rows = db.session.execute(
        select(UsageBatch.batch_id, UsageBatch.identifier, UsageBatch.state, UsageBatch.created_at)
        .where(
            UsageBatch.tenant_id == tenant_id,
            UsageBatch.batch_id > after,
            or_(
                UsageBatch.state.in_((BatchState.UNKNOWN, BatchState.REFUSED)),
                (UsageBatch.state == BatchState.SENDING) & (UsageBatch.first_sent_at < before),
            ),
        )
        .order_by(UsageBatch.batch_id)
        .limit(PAGE)
    )
    return [
        Waiting(subject=row.identifier, state=row.state, since=row.created_at, number=row.batch_id)
        for row in rows
    ]
