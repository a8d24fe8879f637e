"""What each event of the billing engine does to a subscription: the documentation's table.

Which subscription an event is about, and whether it may be believed, is found here; what it then
does is decided by ``event_rules``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm.attributes import flag_modified

from portal import clock
from portal.billing.engine import (
    BillingEvent,
    CheckoutSession,
    EngineStatus,
    EventKind,
    SubscriptionSnapshot,
)
from portal.extensions import db
from portal.models import (
    CheckoutAttempt,
    CheckoutStatus,
    EngineSubscription,
    Outcome,
    Status,
    Subscription,
    Tenant,
)
from portal.services import checkouts, notices, plan_moves, subscriptions
from portal.services.event_rules import (
    CANCEL_SCHEDULED,
    CANCEL_WITHDRAWN,
    SAID_BY_ENGINE,
    Line,
    Local,
    agree,
    next_state,
)
from portal.services.subscriptions import Cause, Move


@dataclass(frozen=True, kw_only=True)
class Result:
    """What an event did, in the words of the inbox."""

    outcome: Outcome
    detail: str
    subscription: Subscription | None = None
    before: Status | None = None
    after: Status | None = None
    is_closed: bool = False
    """Whether a billing period of the subscription has ended with it."""


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
    words = _words(event, page)
    cause = Cause(because=words, actor="stripe", event_id=event.event_id)
    changed = checkouts.apply(attempt, subscription, page, cause)
    if changed:
        subscription.engine_at = max(subscription.engine_at, event.created)
    detail = words if changed else "Known already."
    if event.kind is EventKind.CHECKOUT_COMPLETED and not (page.is_paid or page.has_failed):
        detail = "Completed, but the payment is still on its way."
    return Result(
        outcome=Outcome.APPLIED,
        detail=detail,
        subscription=subscription,
        before=before,
        after=subscription.status,
    )


def _words(event: BillingEvent, page: CheckoutSession) -> str:
    if page.has_failed:
        return "The payment did not come: the bank sent it back."
    if event.kind is EventKind.CHECKOUT_EXPIRED:
        return "Not paid within 24 hours."
    return "The payment is confirmed."


def _attempt(tenant: Tenant, event: BillingEvent) -> CheckoutAttempt | None:
    """Find our attempt: only what we made, in the account that we made it in.

    A page whose creation was answered, but whose answer we lost, is recognised by our reference
    in that same account; another account's page that names our subscription is not. If it was
    paid, that counts also where the attempt was given up since: money is not forgotten.
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
    unanswered = (
        select(CheckoutAttempt)
        .join(Subscription, CheckoutAttempt.am_subscription_id == Subscription.subscription_id)
        .where(Subscription.uuid == page.reference, CheckoutAttempt.session_id.is_(None), *ours)
        .order_by(CheckoutAttempt.open_key.is_(None), CheckoutAttempt.attempt_id.desc())
        .limit(1)
    )
    if event.kind is not EventKind.CHECKOUT_COMPLETED:
        # That a page has expired says nothing about an attempt that was given up before.
        unanswered = unanswered.where(CheckoutAttempt.open_key.is_not(None))
    return db.session.scalars(unanswered).one_or_none()


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
    if subscription.ended_at is None and engine_id != subscription.engine_subscription_id:
        return Result(
            outcome=Outcome.STALE, detail="Of a paid plan that is not the subscription's any more."
        )
    before, period = subscription.status, (subscription.period_start, subscription.ended_at)
    outcome, detail = _ordered(subscription, event)
    is_moved = (subscription.period_start, subscription.ended_at) != period
    return Result(
        outcome=outcome,
        detail=detail,
        subscription=subscription,
        before=before,
        after=subscription.status,
        is_closed=is_moved and period[0] is not None,
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
    if event.subscription and event.subscription.status is EngineStatus.INCOMPLETE_EXPIRED:
        # Its payment page says what becomes of ours.
        words = "Its first payment never came; there is nothing to end."
        return Result(outcome=Outcome.IGNORED, detail=words)
    return Result(
        outcome=Outcome.PARKED,
        detail="The subscription is not known yet: tried again when its payment is confirmed.",
    )


def _ordered(subscription: Subscription, event: BillingEvent) -> tuple[Outcome, str]:
    step = next_state(local_of(subscription), event)
    _write(subscription, step.local, step.lines, event.event_id)
    if step.refresh:
        mark_for_refresh(subscription)
    return step.outcome, step.detail


def local_of(subscription: Subscription) -> Local:
    """Return what the rules of events look at."""
    said = {name: getattr(subscription, name) for name in SAID_BY_ENGINE}
    tenant = db.session.get_one(Tenant, subscription.tenant_id)
    return Local(
        facts=subscription.facts,
        gives_grace=tenant.grace_days > 0,
        goes_free=subscription.goes_free and not subscription.end_requested,
        **said,
    )


def _write(
    subscription: Subscription,
    local: Local,
    lines: Sequence[Line],
    event_id: str | None = None,
    *,
    actor: str = "stripe",
) -> None:
    """Write what the rules decided, each line of the timeline with its move."""
    # First, so that a notice can say what the engine said.
    for name in SAID_BY_ENGINE:
        setattr(subscription, name, getattr(local, name))
    plan_moves.begin_billing(subscription)
    for line in lines:
        cause = Cause(because=line.because, actor=actor, event_id=event_id)
        if line.move is None:
            subscriptions.note(subscription, line.name, cause)
        elif line.move is Move.END:
            end(subscription, cause)
        elif line.move is Move.GO_FREE:
            plan_moves.go_free(subscription, cause)
        else:
            subscriptions.make(subscription, line.move, cause)
        if line.name == CANCEL_WITHDRAWN:
            plan_moves.keep_paid(subscription, actor)
    _tell_of_cancelling(subscription, lines)


def _tell_of_cancelling(subscription: Subscription, lines: Sequence[Line]) -> None:
    """Confirm a cancellation, once the subscription says for when it is."""
    for line in lines:
        if line.name == CANCEL_SCHEDULED:
            notices.cancel_scheduled(subscription, subscription.line)
        elif line.name == CANCEL_WITHDRAWN:
            notices.cancel_withdrawn(subscription)


def mark_for_refresh(subscription: Subscription) -> None:
    """Ask the worker to read the present state, also if one is reading at this moment.

    The row's revision rises in any case: what was read before is then known to be too old.
    """
    subscription.refresh_due = True
    flag_modified(subscription, "refresh_due")


def end(subscription: Subscription, cause: Cause) -> bool:
    """End a subscription and close its billing record, keeping both as history."""
    changed = subscriptions.make(subscription, Move.END, cause)
    plan_moves.close_ended(subscription)
    subscription.pay_url = None
    for record in db.session.scalars(
        select(EngineSubscription).where(
            EngineSubscription.am_subscription_id == subscription.subscription_id,
            EngineSubscription.cancelled_at.is_(None),
        )
    ):
        record.cancelled_at = clock.now()
    return changed


def apply_snapshot(
    subscription: Subscription, snapshot: SubscriptionSnapshot, at: int, *, actor: str = "worker"
) -> None:
    """Make our facts agree with a subscription as the engine has answered.

    :param at: when it was asked, in epoch seconds: events from before then are no news
    :param actor: who asked; stands in the timeline
    """
    local, lines, _ = agree(local_of(subscription), snapshot)
    local = replace(local, engine_at=max(local.engine_at, at))
    _write(subscription, local, lines, actor=actor)
