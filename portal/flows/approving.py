"""Deciding about a subscription: an approval stays here, a rejection reaches the engine."""

from collections.abc import Callable

import structlog
from sqlalchemy import select

from portal.billing.engine import BillingEngine
from portal.errors import PortalError
from portal.extensions import db
from portal.flows import payments, refunding
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

log = structlog.get_logger()

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
    _close_pages(engine_for, _open_pages(subscription_id=subscription_id))
    refunding.sweep(engine_for, subscription_id=subscription_id)


def sweep(engine_for: EngineFor, limit: int = 50) -> int:
    """Close payment pages of rejected subscriptions that are open still; return how many."""
    pages = _open_pages(limit=limit)
    _close_pages(engine_for, pages)
    return len(pages)


def _open_pages(*, subscription_id: int | None = None, limit: int = 50) -> list[int]:
    query = (
        select(CheckoutAttempt.attempt_id)
        .join(Subscription, Subscription.subscription_id == CheckoutAttempt.am_subscription_id)
        .where(
            CheckoutAttempt.status == CheckoutStatus.PENDING,
            Subscription.approval == Approval.REJECTED,
        )
    )
    if subscription_id is not None:
        query = query.where(Subscription.subscription_id == subscription_id)
    found = list(db.session.scalars(query.order_by(CheckoutAttempt.attempt_id).limit(limit)))
    db.session.rollback()
    return found


def _close_pages(engine_for: EngineFor, attempts: list[int]) -> None:
    for attempt_id in attempts:
        try:
            payments.close_page(engine_for, attempt_id)
        except PortalError as error:
            db.session.rollback()
            log.warning("page_not_closed", attempt=attempt_id, error=error.message)
