"""What each event of the billing engine does to a subscription: the documentation's table.

An event is a snapshot of the past. One that is newer than what we hold is applied; one that is
older or of the same second cannot be trusted to be news, so the worker reads the present state at
the engine instead. Ended is absorbing.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm.attributes import flag_modified

from portal import clock
from portal.billing.engine import BillingEvent, EngineStatus, EventKind, SubscriptionSnapshot
from portal.extensions import db
from portal.models import (
    Billing,
    CheckoutAttempt,
    CheckoutStatus,
    EngineSubscription,
    Outcome,
    Status,
    Subscription,
    Tenant,
)
from portal.services import checkouts, subscriptions
from portal.services.subscriptions import Cause, Move


@dataclass(frozen=True, kw_only=True)
class Result:
    """What an event did, in the words of the inbox."""

    outcome: Outcome
    detail: str
    subscription: Subscription | None = None
    before: Status | None = None
    after: Status | None = None


def apply(tenant: Tenant, event: BillingEvent) -> Result:
    """Give an event its effect. Runs in the transaction that stores the event."""
    if event.kind is None:
        return Result(outcome=Outcome.IGNORED, detail=f"The portal does not act on {event.type}.")
    if event.livemode != tenant.is_live:
        mode = "live" if event.livemode else "test"
        return Result(outcome=Outcome.IGNORED, detail=f"A {mode}-mode event of another mode.")
    if event.checkout is not None:
        return _checkout(tenant, event)
    return _about_subscription(tenant, event)


def _checkout(tenant: Tenant, event: BillingEvent) -> Result:
    page = event.checkout
    assert page is not None  # noqa: S101 - the caller looked
    attempt = _attempt(tenant, event)
    if attempt is None:
        return Result(outcome=Outcome.IGNORED, detail="A payment page that is not ours.")
    subscription = db.session.get_one(Subscription, attempt.am_subscription_id)
    before = subscription.status
    words = {
        EventKind.CHECKOUT_COMPLETED: "The payment is confirmed.",
        EventKind.CHECKOUT_EXPIRED: "Not paid within 24 hours.",
    }
    cause = Cause(because=words[event.kind], actor="stripe", event_id=event.event_id)  # type: ignore[index]
    changed = checkouts.apply(attempt, subscription, page, cause)
    if changed:
        subscription.engine_at = max(subscription.engine_at, event.created)
    detail = words[event.kind] if changed else "Known already."  # type: ignore[index]
    if event.kind is EventKind.CHECKOUT_COMPLETED and not page.is_paid:
        detail = "Completed, but the payment is still on its way."
    return Result(
        outcome=Outcome.APPLIED,
        detail=detail,
        subscription=subscription,
        before=before,
        after=subscription.status,
    )


def _attempt(tenant: Tenant, event: BillingEvent) -> CheckoutAttempt | None:
    """Find our attempt: only what we made, in the account that we made it in.

    A page whose creation was answered, but whose answer we lost, is recognised by our reference
    in that same account; another account's page that names our subscription is not.
    """
    page = event.checkout
    assert page is not None  # noqa: S101
    ours = (
        CheckoutAttempt.tenant_id == tenant.tenant_id,
        CheckoutAttempt.connected_account == event.account,
    )
    found = db.session.scalars(
        select(CheckoutAttempt).where(CheckoutAttempt.session_id == page.session_id, *ours)
    ).one_or_none()
    if found is not None or page.reference is None:
        return found
    return db.session.scalars(
        select(CheckoutAttempt).where(
            CheckoutAttempt.open_key == page.reference,
            CheckoutAttempt.session_id.is_(None),
            *ours,
        )
    ).one_or_none()


def _about_subscription(tenant: Tenant, event: BillingEvent) -> Result:
    engine_id = event.subscription_id
    if engine_id is None:
        return Result(outcome=Outcome.IGNORED, detail="An invoice without a subscription.")
    record = db.session.scalars(
        select(EngineSubscription).where(
            EngineSubscription.subscription_id == engine_id,
            EngineSubscription.tenant_id == tenant.tenant_id,
        )
    ).one_or_none()
    if record is None:
        return _unknown(tenant, event)
    subscription = db.session.get_one(Subscription, record.am_subscription_id)
    if event.account != record.connected_account:
        return Result(outcome=Outcome.IGNORED, detail="It comes from another connected account.")
    before = subscription.status
    outcome, detail = _ordered(subscription, event)
    return Result(
        outcome=outcome,
        detail=detail,
        subscription=subscription,
        before=before,
        after=subscription.status,
    )


def _unknown(tenant: Tenant, event: BillingEvent) -> Result:
    """Decide about a subscription at the engine that we hold no billing record of yet.

    It waits if it names one of ours that is sold through this account and not paid yet. All
    else is other business of the publisher.
    """
    waiting = event.reference and db.session.scalar(
        select(CheckoutAttempt.attempt_id)
        .join(Subscription, CheckoutAttempt.am_subscription_id == Subscription.subscription_id)
        .where(
            Subscription.uuid == event.reference,
            CheckoutAttempt.tenant_id == tenant.tenant_id,
            CheckoutAttempt.connected_account == event.account,
            CheckoutAttempt.status == CheckoutStatus.PENDING,
        )
        .limit(1)
    )
    if not waiting:
        return Result(outcome=Outcome.IGNORED, detail="Not a subscription of this portal.")
    return Result(
        outcome=Outcome.PARKED,
        detail="The subscription is not known yet: tried again when its payment is confirmed.",
    )


def _ordered(subscription: Subscription, event: BillingEvent) -> tuple[Outcome, str]:
    if subscription.facts.billing is Billing.ENDED:
        return Outcome.STALE, "The subscription has ended; nothing changes it any more."
    if event.kind is EventKind.SUBSCRIPTION_DELETED:
        return _deleted(subscription, event)
    if event.created > subscription.engine_at:
        subscription.engine_at, before = event.created, subscription.facts
        words = _HANDLERS[event.kind](subscription, event)  # type: ignore[index]
        if subscription.facts != before:
            # Applied at once, and checked: another invoice may be open, and the times that the
            # engine's servers stamp on events need not be in the order in which things happened.
            mark_for_refresh(subscription)
        return Outcome.APPLIED, words
    if not _would_change(subscription, event):
        return Outcome.APPLIED, "Known already."
    mark_for_refresh(subscription)
    if event.created == subscription.engine_at:
        return Outcome.REFRESHED, "Same second as another event: the present state is read."
    return Outcome.STALE, "Older than what is known: the present state is read to be sure."


def mark_for_refresh(subscription: Subscription) -> None:
    """Ask the worker to read the present state, also if one is reading at this moment.

    The row's revision rises in any case: what was read before is then known to be too old.
    """
    subscription.refresh_due = True
    flag_modified(subscription, "refresh_due")


def _cause(event: BillingEvent, because: str) -> Cause:
    return Cause(because=because, actor="stripe", event_id=event.event_id)


def _deleted(subscription: Subscription, event: BillingEvent) -> tuple[Outcome, str]:
    snapshot = event.subscription
    why = (snapshot.cancel_reason if snapshot else None) or "cancelled"
    words = f"The subscription has ended at Stripe ({why.replace('_', ' ')})."
    end(subscription, _cause(event, words))
    subscription.engine_at = max(subscription.engine_at, event.created)
    subscription.engine_status = EngineStatus.CANCELED
    return Outcome.APPLIED, words


def end(subscription: Subscription, cause: Cause) -> bool:
    """End a subscription and close its billing record, keeping both as history."""
    changed = subscriptions.make(subscription, Move.END, cause)
    subscription.pay_url = None
    for record in db.session.scalars(
        select(EngineSubscription).where(
            EngineSubscription.am_subscription_id == subscription.subscription_id,
            EngineSubscription.cancelled_at.is_(None),
        )
    ):
        record.cancelled_at = clock.now()
    return changed


def _failed(subscription: Subscription, event: BillingEvent) -> str:
    invoice = event.invoice
    action = event.kind is EventKind.PAYMENT_ACTION_REQUIRED
    if subscription.facts.billing is Billing.PENDING:
        return "During the first payment: the payment page itself asks again."
    subscription.pay_url = invoice.hosted_url if invoice else None
    # payment_failed follows action_required for the same invoice; it must not hide why.
    subscription.needs_authentication = action or subscription.needs_authentication
    words = (
        "The bank wants the payment confirmed; access stops until then."
        if action
        else "A payment failed; access stops until it is paid."
    )
    _step(subscription, Move.FALL_BEHIND, _cause(event, words))
    return words


def _paid(subscription: Subscription, event: BillingEvent) -> str:
    subscription.pay_url = None
    subscription.needs_authentication = False
    words = "The invoice is paid."
    _step(subscription, Move.CATCH_UP, _cause(event, words))
    return words


def _updated(subscription: Subscription, event: BillingEvent) -> str:
    assert event.subscription is not None  # noqa: S101 - decided by the kind
    return apply_snapshot(
        subscription,
        event.subscription,
        Cause(because="", actor="stripe", event_id=event.event_id),
    )


_HANDLERS: dict[EventKind, Callable[[Subscription, BillingEvent], str]] = {
    EventKind.PAYMENT_SUCCEEDED: _paid,
    EventKind.PAYMENT_FAILED: _failed,
    EventKind.PAYMENT_ACTION_REQUIRED: _failed,
    EventKind.SUBSCRIPTION_UPDATED: _updated,
}


def apply_snapshot(subscription: Subscription, snapshot: SubscriptionSnapshot, cause: Cause) -> str:
    """Make our facts agree with a subscription as the engine saw it; return what happened.

    :param cause: who says so; its words are replaced by the engine's status
    """
    subscription.engine_status = snapshot.status
    subscription.period_start = snapshot.period_start
    subscription.period_end = snapshot.period_end
    words = f"Stripe reports {snapshot.status.replace('_', ' ')}."
    said = Cause(because=words, actor=cause.actor, event_id=cause.event_id)
    if snapshot.status.is_over:
        end(subscription, said)
        return words
    if snapshot.cancel_at != subscription.cancel_at:
        words = _schedule(subscription, snapshot, said)
    if snapshot.status.is_arrears:
        _step(subscription, Move.FALL_BEHIND, said)
    elif snapshot.status.is_good:
        subscription.pay_url, subscription.needs_authentication = None, False
        _step(subscription, Move.CATCH_UP, said)
    return words


def _schedule(subscription: Subscription, snapshot: SubscriptionSnapshot, said: Cause) -> str:
    subscription.cancel_at = snapshot.cancel_at
    name, words = "CANCEL_WITHDRAWN", "The cancellation was withdrawn."
    if snapshot.cancel_at is not None:
        name = "CANCEL_SCHEDULED"
        words = f"Cancelled; it works until {snapshot.cancel_at:%Y-%m-%d %H:%M} UTC."
    cause = Cause(because=words, actor=said.actor, event_id=said.event_id)
    subscriptions.record(subscription, name, cause, before=subscription.status)
    return words


def _step(subscription: Subscription, move: Move, cause: Cause) -> bool:
    """Make a move where it starts; where it does not, the event is about the past."""
    if not subscriptions.may(subscription, move):
        return False
    return subscriptions.make(subscription, move, cause)


def _would_change(subscription: Subscription, event: BillingEvent) -> bool:
    """Whether an event that is not newer says anything else than what we hold."""
    billing = subscription.facts.billing
    if event.subscription is not None:
        snapshot = event.subscription
        arrears = billing is Billing.OVERDUE
        return (
            snapshot.status.is_over
            or snapshot.status.is_arrears != arrears
            or snapshot.cancel_at != subscription.cancel_at
            or snapshot.period_end != subscription.period_end
        )
    if event.kind is EventKind.PAYMENT_SUCCEEDED:
        return billing is Billing.OVERDUE
    if event.kind is EventKind.PAYMENT_ACTION_REQUIRED:
        return billing is Billing.PAID or not subscription.needs_authentication
    # An overdue subscription without a page to pay at helps nobody: only invoices name one.
    return billing is Billing.PAID or subscription.pay_url is None
