"""What becomes of a change between a free plan and a paid one, on one subscription.

From free to paid: the free plan works until the payment page is paid; a page that lapses leaves
it as it is. From paid to free: the engine's subscription ends, and here it goes on without.
"""

from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, select, update

from portal import clock
from portal.extensions import db
from portal.models import (
    Billing,
    EngineSubscription,
    PlanChange,
    PlanChangeState,
    Subscription,
    UsageBucket,
    UsageTally,
)
from portal.models.subscription import UNKNOWN
from portal.services import subscriptions
from portal.services.ledger import FREE_PLAN, NEVER
from portal.services.subscriptions import Cause, Move

#: Calls of the free plan that can lie in the first period of the paid one: as long as an event
#: of Stripe may be on its way.
LATEST_EVENT = timedelta(days=3)


def open_change(subscription: Subscription) -> PlanChange | None:
    """Return the change of plan that may still take effect."""
    return db.session.scalars(
        select(PlanChange).where(PlanChange.open_key == subscription.uuid)
    ).one_or_none()


def awaiting_payment(subscription: Subscription) -> PlanChange | None:
    """Return the change that takes effect with its payment, if there is one."""
    if subscription.billing != Billing.NOT_REQUIRED:
        return None
    change = open_change(subscription)
    return change if change is not None and change.price is not None else None


def go_paid(change: PlanChange, subscription: Subscription, account: str, cause: Cause) -> bool:
    """Sell the paid plan from now on: its page was paid. What else was asked for is over.

    Calls are billed from when the engine has named the first period: see :func:`begin_billing`.
    """
    other = open_change(subscription)
    if other is not None and other is not change:
        _close(other, PlanChangeState.REFUSED, "Another plan was paid for.")
    now = clock.epoch(clock.now())
    change.took_effect_at = now
    change.period_start = _month_before(clock.from_epoch(now))
    _close(change, PlanChangeState.DONE, None)
    subscription.connected_account = account
    subscription.policy_version_id = change.to_version_id
    subscription.plan_since, subscription.billed_from = now, UNKNOWN
    if change.to_version.is_dynamic:
        set_apart(subscription, clock.epoch(clock.now() - LATEST_EVENT))
    return subscriptions.make(subscription, Move.GO_PAID, cause)


def _month_before(moment: datetime) -> datetime:
    """Return the start of the calendar month that ends a free plan's last stretch."""
    last = (moment - timedelta(seconds=1)).astimezone(UTC)
    return last.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def set_apart(subscription: Subscription, since: int) -> None:
    """Say of the former plan's calls since then that no period of the present plan has them."""
    db.session.execute(
        update(UsageBucket)
        .where(
            UsageBucket.subscription_id == subscription.subscription_id,
            UsageBucket.reason == "",
            UsageBucket.claim == NEVER,
            UsageBucket.starts_at >= since,
        )
        .values(reason=FREE_PLAN)
    )


def begin_billing(subscription: Subscription) -> None:
    """Bill calls from now on, as the paid plan's first period is known. Twice is once."""
    start = subscription.period_start
    if subscription.billed_from == UNKNOWN and start is not None:
        subscription.plan_since = clock.epoch(start)
        subscription.billed_from = max(clock.epoch(clock.now()), clock.epoch(start))


def go_free(subscription: Subscription, cause: Cause) -> bool:
    """Go on with the free plan that was asked for: what was paid for has ended at the engine.

    Where no free plan was asked for, or it is so already, nothing changes.
    """
    change = open_change(subscription)
    if change is None or not subscriptions.may(subscription, Move.GO_FREE):
        return False
    ended = clock.now()
    if change.at_period_end and subscription.period_end is not None:
        ended = min(ended, subscription.period_end)
    change.period_start, change.took_effect_at = subscription.period_start, clock.epoch(ended)
    _close(change, PlanChangeState.DONE, None)
    changed = subscriptions.make(subscription, Move.GO_FREE, cause)
    _forget_paid_plan(subscription)
    subscription.policy_version_id = change.to_version_id
    subscription.plan_since = clock.epoch(ended)
    _forgive(subscription)
    db.session.execute(
        update(EngineSubscription)
        .where(
            EngineSubscription.am_subscription_id == subscription.subscription_id,
            EngineSubscription.cancelled_at.is_(None),
        )
        .values(cancelled_at=clock.now())
    )
    return changed


def _forgive(subscription: Subscription) -> None:
    """Bill no call that was made since the end, while nobody had told the portal of it."""
    since = subscription.plan_since
    unclaimed = (
        UsageTally.subscription_id == subscription.subscription_id,
        UsageTally.period_start >= since,
        UsageTally.claimed == 0,
    )
    if db.session.scalars(select(UsageTally.period_start).where(*unclaimed)).all():
        db.session.execute(
            update(UsageBucket)
            .where(
                UsageBucket.subscription_id == subscription.subscription_id,
                UsageBucket.period_start >= since,
                UsageBucket.claim == 0,
            )
            .values(claim=NEVER)
        )
        db.session.execute(delete(UsageTally).where(*unclaimed))


def _forget_paid_plan(subscription: Subscription) -> None:
    """Empty what belongs to the engine's subscription; its record stays, with its invoices."""
    subscription.engine_subscription_id = subscription.engine_status = None
    subscription.period_start = subscription.period_end = None
    subscription.trial_start = subscription.trial_end = None
    subscription.cancel_at = subscription.pay_url = None
    subscription.needs_authentication = False
    subscription.billed_from = 0


def keep_paid(subscription: Subscription, actor: str) -> None:
    """Take a change to a free plan back, since the end that it waits for was taken back."""
    change = open_change(subscription)
    if change is not None and change.is_to_free and change.at_period_end:
        refuse(change, "The end of the paid plan was taken back.", actor)


def refuse(change: PlanChange, why: str, actor: str | None = None) -> bool:
    """Leave the plan as it is, and say why; return whether the change was open."""
    subscription = subscription_of(change)
    if not change.is_open:
        return False
    _close(change, PlanChangeState.REFUSED, why)
    if subscription.facts.billing is not Billing.ENDED:
        cause = Cause(because=f"The plan stays as it was. {why}", actor=actor or change.asked_by)
        subscriptions.make(subscription, Move.SETTLE_PLAN_CHANGE, cause)
    return True


def subscription_of(change: PlanChange) -> Subscription:
    """Return the subscription, and read the change's state after it.

    Everyone who settles a change raises the subscription's version, so a state that was read
    before it may be of another moment, and one that is read after it is not.
    """
    subscription = db.session.get_one(Subscription, change.subscription_id)
    db.session.refresh(change, ["state"])
    return subscription


def close_ended(subscription: Subscription) -> None:
    """Close a change that waited for something, since the subscription has ended."""
    change = open_change(subscription)
    if change is not None and change.state == PlanChangeState.WAITING:
        _close(change, PlanChangeState.REFUSED, "The subscription has ended.")


def _close(change: PlanChange, state: PlanChangeState, detail: str | None) -> None:
    change.state, change.open_key = state, None
    change.detail = detail[:1024] if detail else None
