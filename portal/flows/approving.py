"""Deciding about a subscription: an approval stays here, a rejection reaches the engine."""

from collections.abc import Callable, Sequence
from functools import partial

from sqlalchemy import Select, select

from portal.billing.engine import BillingEngine
from portal.extensions import db
from portal.flows import payments, refunding, sweeping
from portal.models import (
    Approval,
    CheckoutAttempt,
    CheckoutStatus,
    Subscription,
    Tenant,
    User,
)
from portal.services import approvals
from portal.web.unit_of_work import in_unit_of_work

EngineFor = Callable[[Tenant], BillingEngine]


def approve(subscription_id: int, approver_id: int) -> None:
    """Let a subscription in.

    :raise portal.errors.Conflict: if it has been decided already, or has ended
    """
    in_unit_of_work(
        lambda: approvals.approve(
            db.session.get_one(Subscription, subscription_id),
            db.session.get_one(User, approver_id),
        )
    )


def reject(engine_for: EngineFor, subscription_id: int, approver_id: int, reason: str) -> None:
    """Refuse a subscription, close its payment page, and pay back what was paid.

    The decision holds at once; what the engine does not answer for, the worker finishes.

    :raise portal.errors.Invalid: if no reason is given
    :raise portal.errors.Conflict: if it has been decided already, or has ended
    """
    in_unit_of_work(
        lambda: approvals.reject(
            db.session.get_one(Subscription, subscription_id),
            db.session.get_one(User, approver_id),
            reason,
        )
    )
    pages = db.session.scalars(
        _open_pages().where(Subscription.subscription_id == subscription_id)
    ).all()
    db.session.rollback()
    for attempt_id in pages:
        sweeping.alone("rejected", attempt_id, partial(payments.close_page, engine_for))
    refunding.pay_back_all(engine_for, subscription_id)


def sweep(engine_for: EngineFor) -> int:
    """Close payment pages of rejected subscriptions that are open still; return how many."""
    return sweeping.in_turn("rejected", _page, partial(payments.close_page, engine_for))


def _page(after: int, limit: int) -> Sequence[int]:
    query = _open_pages().where(CheckoutAttempt.attempt_id > after)
    return db.session.scalars(query.limit(limit)).all()


def _open_pages() -> Select[int]:
    return (
        select(CheckoutAttempt.attempt_id)
        .join(Subscription, Subscription.subscription_id == CheckoutAttempt.am_subscription_id)
        .where(
            CheckoutAttempt.status == CheckoutStatus.PENDING,
            Subscription.approval == Approval.REJECTED,
        )
        .order_by(CheckoutAttempt.attempt_id)
    )
