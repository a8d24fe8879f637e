"""What a crash, a lost message or a missing answer left unfinished: what the sweeps look for.

Each list is a page: the lowest numbers after a number, so that what fails holds up nothing behind
it (see :mod:`portal.flows.sweeping`).
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import String, cast, exists, func, select

from portal.extensions import db
from portal.models import (
    Billing,
    CheckoutAttempt,
    CheckoutStatus,
    PlanChange,
    PlanChangeState,
    Subscription,
    Workflow,
)
from portal.services import subscribing
from portal.services.checkouts import LIFETIME


def expired_pages(now: datetime, after: int, limit: int) -> Sequence[int]:
    """Return attempts whose page has expired without an event that says so, after an attempt."""
    return db.session.scalars(
        select(CheckoutAttempt.attempt_id)
        .where(
            CheckoutAttempt.status == CheckoutStatus.PENDING,
            CheckoutAttempt.expires_at < now,
            CheckoutAttempt.attempt_id > after,
        )
        .order_by(CheckoutAttempt.attempt_id)
        .limit(limit)
    ).all()


def unpaid_subscriptions(now: datetime, after: int, limit: int) -> Sequence[int]:
    """Return subscriptions that waited 24 hours for a payment which no open attempt can bring.

    Those after a number, the lowest first.
    """
    began = (
        select(func.max(Workflow.wf_created_time))
        .where(
            Workflow.wf_reference == cast(Subscription.subscription_id, String(20)),
            Workflow.wf_type == subscribing.CREATION,
        )
        .scalar_subquery()
    )
    return db.session.scalars(
        select(Subscription.subscription_id)
        .where(
            Subscription.billing == Billing.PENDING,
            began < now - LIFETIME,
            ~exists().where(CheckoutAttempt.open_key == Subscription.uuid),
            Subscription.subscription_id > after,
        )
        .order_by(Subscription.subscription_id)
        .limit(limit)
    ).all()


def endings(before: datetime, after: int, limit: int) -> Sequence[int]:
    """Return the lowest, after a number, that were to end before a moment and have not ended."""
    return db.session.scalars(
        select(Subscription.subscription_id)
        .where(
            Subscription.ended_at.is_(None),
            Subscription.end_requested_at < before,
            Subscription.subscription_id > after,
        )
        .order_by(Subscription.subscription_id)
        .limit(limit)
    ).all()


def plan_changes(before: datetime, after: int, limit: int) -> Sequence[int]:
    """Return changes, after one, that were asked for before a moment and have no outcome yet."""
    return db.session.scalars(
        select(PlanChange.plan_change_id)
        .where(
            PlanChange.state == PlanChangeState.ASKED,
            PlanChange.asked_at < before,
            PlanChange.plan_change_id > after,
        )
        .order_by(PlanChange.plan_change_id)
        .limit(limit)
    ).all()


def withdrawn_pages(after: int, limit: int) -> Sequence[int]:
    """Return attempts to pay, after one, that are open although their change of plan is closed."""
    return db.session.scalars(
        select(CheckoutAttempt.attempt_id)
        .join(PlanChange, PlanChange.plan_change_id == CheckoutAttempt.plan_change_id)
        .where(
            CheckoutAttempt.status == CheckoutStatus.PENDING,
            PlanChange.state == PlanChangeState.REFUSED,
            CheckoutAttempt.attempt_id > after,
        )
        .order_by(CheckoutAttempt.attempt_id)
        .limit(limit)
    ).all()


def unpaid_plan_changes(before: datetime, after: int, limit: int) -> Sequence[int]:
    """Return changes, after one, that wait since before a moment for what no open page brings."""
    return db.session.scalars(
        select(PlanChange.plan_change_id)
        .where(
            PlanChange.state == PlanChangeState.WAITING,
            PlanChange.asked_at < before,
            PlanChange.mapping_id.is_not(None),
            ~exists().where(CheckoutAttempt.open_key == PlanChange.open_key),
            PlanChange.plan_change_id > after,
        )
        .order_by(PlanChange.plan_change_id)
        .limit(limit)
    ).all()
