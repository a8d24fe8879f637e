"""Attempts to pay for a subscription: made, completed, lapsed.

An attempt is stored with everything that will be sent before anything is sent. At most one is
open for a subscription. What the payment page became is applied here, whoever noticed first: the
webhook, the browser coming back, or the worker.
"""

import typing
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal

from sqlalchemy import CursorResult, select, update
from sqlalchemy.exc import IntegrityError

from portal import clock
from portal.billing.engine import CheckoutSession, CheckoutSpec, CheckoutState
from portal.errors import Conflict
from portal.extensions import db
from portal.models import (
    Approval,
    Billing,
    CheckoutAttempt,
    CheckoutStatus,
    EnginePrice,
    EngineSubscription,
    PlanChange,
    Subscription,
    Tenant,
    User,
    WorkflowStatus,
)
from portal.services import customers, plan_moves, refunds, subscribing, subscriptions
from portal.services.subscriptions import Cause, Move

#: Stripe: a session lives at most 24 hours from when *it* stores it, and refuses one second more;
#: half a minute is left for clocks that differ.
LIFETIME = timedelta(hours=24) - timedelta(seconds=30)
SHORTEST = timedelta(minutes=31)


@dataclass(frozen=True, kw_only=True)
class ReturnUrls:
    """Where the payment page sends the browser. ``success`` holds ``{CHECKOUT_SESSION_ID}``."""

    success: str
    cancel: str


def open_attempt(subscription: Subscription) -> CheckoutAttempt | None:
    """Return the attempt that can still be paid, if there is one."""
    return db.session.scalars(
        select(CheckoutAttempt).where(CheckoutAttempt.open_key == subscription.uuid)
    ).one_or_none()


def newest_attempt(subscription: Subscription) -> CheckoutAttempt | None:
    """Return the last attempt, whatever became of it."""
    return db.session.scalars(
        select(CheckoutAttempt)
        .where(CheckoutAttempt.am_subscription_id == subscription.subscription_id)
        .order_by(CheckoutAttempt.attempt_id.desc())
        .limit(1)
    ).one_or_none()


def attempt_for(subscription: Subscription, user: User, urls: ReturnUrls) -> CheckoutAttempt:
    """Return the open attempt, or store a new one; two clicks at once get the same.

    :raise portal.errors.Conflict: if the subscription does not wait for a payment, or its price
        has been withdrawn
    """
    change = plan_moves.awaiting_payment(subscription)
    if change is None and not _is_payable(subscription):
        raise Conflict("There is nothing to pay for this subscription now.")
    found = open_attempt(subscription)
    if found is not None and not _too_late_to_open(found):
        return found
    if found is not None:
        give_up(found)
        if found.open_key is not None:
            return found
    attempt = _new_attempt(subscription, user, urls, change)
    try:
        with db.session.begin_nested():
            db.session.add(attempt)
    except IntegrityError:
        winner = open_attempt(subscription)
        if winner is None:
            raise
        return winner
    return attempt


def _new_attempt(
    subscription: Subscription, user: User, urls: ReturnUrls, change: PlanChange | None
) -> CheckoutAttempt:
    price = change.price if change is not None and change.price else price_of(subscription)
    kind = subscribing.UPDATE if change is not None else subscribing.CREATION
    return CheckoutAttempt(
        am_subscription_id=subscription.subscription_id,
        plan_change_id=change.plan_change_id if change is not None else None,
        workflow_reference=subscribing.workflow_of(subscription, kind).wf_external_reference,
        subscriber_id=user.user_id,
        tenant_id=subscription.tenant_id,
        api_uuid=subscription.api.api_uuid,
        connected_account=price.connected_account,
        customer=customers.customer_for(subscription, price),
        price=price,
        success_url=urls.success,
        cancel_url=urls.cancel,
        expires_at=clock.now().replace(microsecond=0) + LIFETIME,
        open_key=subscription.uuid,
        fee_percent=db.session.get_one(Tenant, subscription.tenant_id).platform_fee_percent,
    )


def _is_payable(subscription: Subscription) -> bool:
    facts = subscription.facts
    is_refused = facts.end_requested or facts.approval is Approval.REJECTED
    return facts.billing is Billing.PENDING and not is_refused


def page_spec(
    attempt: CheckoutAttempt, subscription: Subscription, about: Mapping[str, str]
) -> CheckoutSpec:
    """Return the payment page of an attempt: the same each time, from what is stored with it."""
    version = attempt.price.policy_version
    return CheckoutSpec(
        customer_id=attempt.customer.shared_customer_id or "",
        price_id=attempt.price.plan_id or "",
        usage_type=version.usage_type,
        reference=subscription.uuid,
        success_url=attempt.success_url,
        cancel_url=attempt.cancel_url,
        expires_at=attempt.expires_at,
        metadata=about,
        trial_days=version.trial_days,
        takes_coupons=version.takes_coupons,
        fee_percent=attempt.fee_percent or Decimal(0),
    )


def _too_late_to_open(attempt: CheckoutAttempt) -> bool:
    """Whether an attempt was never opened and Stripe would not open it any more."""
    return attempt.session_id is None and attempt.expires_at - clock.now() < SHORTEST


def price_of(subscription: Subscription) -> EnginePrice:
    """Return the price that this subscription was sold at.

    :raise portal.errors.Conflict: if it is not at the engine (any more)
    """
    price = db.session.scalars(
        select(EnginePrice).where(
            EnginePrice.api_id == subscription.api_id,
            EnginePrice.policy_version_id == subscription.policy_version_id,
            EnginePrice.connected_account == subscription.connected_account,
        )
    ).one_or_none()
    if price is None or price.plan_id is None:
        raise Conflict("This plan's price is not ready. Ask the publisher of the API.")
    return price


def apply(
    attempt: CheckoutAttempt, subscription: Subscription, page: CheckoutSession, cause: Cause
) -> bool:
    """Apply what the payment page has become; return whether a fact changed.

    May be called any number of times, with any of its states in any order: completed wins.
    """
    if attempt.session_id is None:
        attempt.session_id = page.session_id
    if page.has_failed:
        return _fail(attempt, subscription, page, cause)
    if page.state is CheckoutState.COMPLETE:
        return page.is_paid and complete(attempt, subscription, page, cause)
    if page.state is CheckoutState.EXPIRED:
        return lapse(attempt, subscription, cause)
    return False


#: What an attempt may still become, by what it would become: a payment wins over an expiry.
_BEFORE = {
    CheckoutStatus.EXPIRED: (CheckoutStatus.PENDING,),
    CheckoutStatus.COMPLETED: (CheckoutStatus.PENDING, CheckoutStatus.EXPIRED),
}


_CLOSED_WITH = ("status", "open_key", "checkout_url")


def _close(attempt: CheckoutAttempt, status: CheckoutStatus) -> bool:
    """Close an attempt unless somebody else has done so; return whether it was us.

    Asked of the database, not of the row as it was read: the webhook and the browser may both
    have read it open, and who is second must not take one payment for two.
    """
    closed = db.session.execute(
        update(CheckoutAttempt)
        .where(
            CheckoutAttempt.attempt_id == attempt.attempt_id,
            CheckoutAttempt.status.in_(_BEFORE[status]),
        )
        .values(status=status, open_key=None, checkout_url=None, updated_at=clock.now()),
        execution_options={"synchronize_session": False},
    )
    db.session.refresh(attempt, _CLOSED_WITH)
    return typing.cast("CursorResult[typing.Any]", closed).rowcount == 1


def give_up(attempt: CheckoutAttempt) -> None:
    """Close an attempt whose page was never opened; one that was opened meanwhile stays."""
    db.session.execute(
        update(CheckoutAttempt)
        .where(
            CheckoutAttempt.attempt_id == attempt.attempt_id,
            CheckoutAttempt.status == CheckoutStatus.PENDING,
            CheckoutAttempt.session_id.is_(None),
        )
        .values(status=CheckoutStatus.EXPIRED, open_key=None, updated_at=clock.now()),
        execution_options={"synchronize_session": False},
    )
    db.session.refresh(attempt, _CLOSED_WITH)


def complete(
    attempt: CheckoutAttempt, subscription: Subscription, page: CheckoutSession, cause: Cause
) -> bool:
    """Activate the subscription that was paid, and store its billing record.

    A payment that buys nothing is kept too and goes back: the subscription was not approved, is
    being ended, has ended, or was paid before. Money is never taken and forgotten.
    """
    if page.subscription_id is None or not _close(attempt, CheckoutStatus.COMPLETED):
        return False
    _billing_record(attempt, subscription, page)
    # The session does not say the billing period; the worker reads it.
    subscription.refresh_due = True
    if subscription.engine_subscription_id == page.subscription_id:
        return False
    why = _why_it_goes_back(subscription)
    if why is not None:
        refunds.owe(subscription, page.subscription_id, attempt.connected_account, why[1])
        subscriptions.note(subscription, why[0], replace(cause, because=f"{why[1]} It goes back."))
        if why[0] in _BOUGHT_NOTHING:
            return False
    subscription.engine_subscription_id = page.subscription_id
    _settle_workflow(attempt, subscription, WorkflowStatus.APPROVED, "Paid")
    if attempt.plan_change is not None:
        account = attempt.connected_account
        return plan_moves.go_paid(attempt.plan_change, subscription, account, cause)
    return subscriptions.make(subscription, Move.PAY, cause)


def _settle_workflow(
    attempt: CheckoutAttempt, subscription: Subscription, status: WorkflowStatus, words: str
) -> None:
    kind = subscribing.CREATION if attempt.plan_change_id is None else subscribing.UPDATE
    workflow = subscribing.workflow_of(subscription, kind)
    workflow.wf_status, workflow.wf_status_desc = status, words


#: Notes about payments that change no fact: the subscription has ended, or lives by another one.
_BOUGHT_NOTHING = ("PAID_AFTER_END", "PAID_TWICE")


def _why_it_goes_back(subscription: Subscription) -> tuple[str, str] | None:
    """Return the name of the note and the words, where a payment that arrives buys nothing."""
    facts = subscription.facts
    rules = (
        (facts.billing is Billing.ENDED, "PAID_AFTER_END", "Paid after it had ended."),
        (
            facts.billing is Billing.PAID or facts.billing.is_arrears,
            "PAID_TWICE",
            "Paid a second time, on another page.",
        ),
        (
            facts.approval is Approval.REJECTED,
            "PAID_UNAPPROVED",
            "Paid after it had not been approved.",
        ),
        (facts.end_requested, "PAID_WHILE_ENDING", "Paid while it was being ended."),
    )
    return next(((name, words) for holds, name, words in rules if holds), None)


def _billing_record(
    attempt: CheckoutAttempt, subscription: Subscription, page: CheckoutSession
) -> None:
    if page.subscription_id is None or db.session.scalar(
        select(EngineSubscription.id).where(
            EngineSubscription.subscription_id == page.subscription_id
        )
    ):
        return
    db.session.add(
        EngineSubscription(
            am_subscription_id=subscription.subscription_id,
            subscribed_application_id=subscription.application_id,
            subscribed_api_id=subscription.api_id,
            tenant_id=subscription.tenant_id,
            subscription_id=page.subscription_id,
            shared_customer_id=attempt.customer_id,
            mapping_id=attempt.mapping_id,
            connected_account=attempt.connected_account,
        )
    )


def lapse(attempt: CheckoutAttempt, subscription: Subscription, cause: Cause) -> bool:
    """Close an attempt that nobody paid; reject the subscription if it was its last attempt.

    Where it was to pay a change from a free plan, that change is refused, and the plan stays.

    An older page's expiry says nothing about a newer attempt.
    """
    if not _close(attempt, CheckoutStatus.EXPIRED):
        return False
    newest = newest_attempt(subscription)
    if newest is not None and newest.attempt_id != attempt.attempt_id:
        return False
    change = attempt.plan_change
    if change is None and not subscriptions.may(subscription, Move.LAPSE):
        return False
    _settle_workflow(attempt, subscription, WorkflowStatus.REJECTED, "Not paid in 24 hours")
    if change is not None:
        return plan_moves.refuse(change, cause.because, cause.actor)
    return subscriptions.make(subscription, Move.LAPSE, cause)


def _fail(
    attempt: CheckoutAttempt, subscription: Subscription, page: CheckoutSession, cause: Cause
) -> bool:
    """Close an attempt whose payment was on its way for days and did not come.

    What the engine began for it is kept on record, so that the worker ends it there.
    """
    lapsed = lapse(attempt, subscription, cause)
    if attempt.status == CheckoutStatus.COMPLETED:
        return False
    _billing_record(attempt, subscription, page)
    subscription.refresh_due = True
    if lapsed:
        subscribing.workflow_of(subscription).wf_status_desc = "The payment failed"
    return lapsed


def try_again(subscription: Subscription, user: User) -> None:
    """Let a lapsed subscription wait for payment once more.

    :raise portal.errors.Conflict: if the API or its price is not for sale any more, or the
        subscription was not approved
    :raise portal.errors.MoveRefused: if the subscription has not lapsed
    """
    if not subscription.api.takes_subscriptions:
        raise Conflict("This API takes no new subscriptions. Look for a newer version.")
    if subscription.facts.approval is Approval.REJECTED:
        raise Conflict("This subscription was not approved. There is nothing to pay for.")
    cause = Cause(because="The subscriber tries to pay again.", actor=user.qualified_name)
    if subscriptions.make(subscription, Move.TRY_AGAIN, cause):
        subscribing.wait_for_payment(subscription)
