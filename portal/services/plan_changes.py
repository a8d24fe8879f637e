"""Changing a running subscription to another plan: who may, what is sent, what follows.

From one paid plan to another the engine changes the price. From a free plan the payment page is
where the paid one begins; to a free plan what is paid for ends: ``plan_moves`` has what follows.

What usage costs is known for each billing period as a whole. So wherever a price counts calls, on
either side, the change begins a new period, and what was called until then is invoiced at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from sqlalchemy import exists, select, update
from sqlalchemy.exc import IntegrityError

from portal import clock
from portal.billing.engine import PlanChange as Wanted
from portal.billing.engine import SubscriptionSnapshot
from portal.errors import Conflict, Invalid
from portal.extensions import db
from portal.models import (
    Billing,
    EnginePrice,
    EngineSubscription,
    Need,
    Offer,
    PlanChange,
    PlanChangeState,
    PolicyVersion,
    Status,
    Subscription,
    UsageBucket,
    UsageTally,
    User,
)
from portal.services import billing_events, catalogue, plan_moves, subscribing, subscriptions
from portal.services.catalogue import Plan
from portal.services.ledger import PLAN_LEFT
from portal.services.plan_moves import open_change, refuse, subscription_of
from portal.services.subscriptions import Cause, Move

#: How old a preview may be when it is agreed to.
FRESH = timedelta(minutes=15)
STALE = (
    "The preview is older than 15 minutes, or the price has changed. Look at it again, then press "
    "Change plan."
)


__all__ = ["open_change", "refuse"]


class Way(Enum):
    """How a subscription gets to another plan."""

    SWAP = "swap"
    """From paid to paid: another price at the engine, by proration or in a new period."""
    PAY = "pay"
    """From free to paid: through the payment page."""
    CANCEL = "cancel"
    """From paid to free: what is paid for ends."""
    SWITCH = "switch"
    """From free to free: at once, nobody else is asked."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A plan that a subscription could change to; ``obstacle`` says why not, if it cannot."""

    plan: Plan
    price: EnginePrice | None
    way: Way = Way.SWAP
    obstacle: str = ""


def obstacle(subscription: Subscription) -> str:
    """Say why a subscription's plan cannot be changed now, and what to do; empty if it can."""
    facts = subscription.facts
    version = subscription.policy_version
    rules = (
        (
            facts.billing is Billing.ENDED or facts.end_requested,
            "The subscription has ended. Subscribe again to the plan you want.",
        ),
        (
            version.is_commercial and facts.billing is Billing.NOT_REQUIRED,
            "This plan is billed without Stripe. Unsubscribe, and subscribe to the other plan.",
        ),
        (
            subscription.status not in (Status.UNBLOCKED, Status.TIER_UPDATE_PENDING),
            f"The subscription is {subscription.status}. The plan can change when it works.",
        ),
        (facts.plan_change_pending, _under_way(subscription)),
        (
            subscription.cancel_at is not None,
            "It is cancelled for later. Press Keep the subscription first.",
        ),
    )
    return next((words for holds, words in rules if holds), "")


def _under_way(subscription: Subscription) -> str:
    if subscription.can_pay_change:
        return (
            "A change of plan waits for its payment. Press Complete Payment, or Keep the free plan."
        )
    if subscription.goes_free and subscription.cancel_at is not None:
        return (
            "It goes on with a free plan when the paid period ends. To choose another plan, press "
            "Keep the subscription first."
        )
    return "A change of plan is under way. Wait until it is settled."


def targets(subscription: Subscription, user: User) -> list[Target]:
    """Return the other plans of the same API that are open, each with what is in its way."""
    prices = {
        offer.price.policy_version_id: offer.price
        for offer in db.session.scalars(
            select(Offer).where(Offer.api_id == subscription.api_id)
        ).unique()
    }
    found = []
    for plan in catalogue.plans_of(subscription.api, user):
        version = plan.version
        price = prices.get(version.policy_version_id)
        if version.is_commercial and (price is None or not plan.is_for_sale):
            continue
        if version.policy_version_id == subscription.policy_version_id:
            continue
        if not version.is_commercial and plan.policy.name == subscription.plan_name:
            continue
        found.append(_target(subscription, plan, price if version.is_commercial else None))
    return found


def _target(subscription: Subscription, plan: Plan, price: EnginePrice | None) -> Target:
    if subscription.facts.billing is not Billing.NOT_REQUIRED:
        way = Way.CANCEL if price is None else Way.SWAP
    else:
        way = Way.SWITCH if price is None else Way.PAY
    words = ""
    if price is not None:
        words = _between(subscription, price) if way is Way.SWAP else _sold(subscription, price)
    return Target(plan=plan, price=price, way=way, obstacle=words)


def _between(subscription: Subscription, price: EnginePrice) -> str:
    """Say what is in the way of changing the price at the engine."""
    now, then = subscription.policy_version, price.policy_version
    if subscription.engine_status == "trialing":
        return "The plan can be changed when the free trial is over."
    if price.connected_account != subscription.connected_account:
        return "It is sold through another account. Unsubscribe, and subscribe to it anew."
    if (now.currency or "").lower() != (then.currency or "").lower():
        return (
            f"It is sold in {then.currency}, and a subscription keeps its currency. Unsubscribe, "
            "and subscribe to it anew."
        )
    return _ready(price)


def _sold(subscription: Subscription, price: EnginePrice) -> str:
    """Say what is in the way of paying for a plan instead of the free one."""
    if not Need(subscription.api.tenant.subscriptions_need).asks_payment:
        return "It is billed without Stripe. Unsubscribe, and subscribe to it anew."
    if not subscription.api.takes_subscriptions:
        return "This API sells no plans any more. Look for a newer version."
    return _ready(price)


def _ready(price: EnginePrice) -> str:
    return "" if price.plan_id else "Its price is not ready. Ask the publisher of the API."


def target(subscription: Subscription, user: User, policy_uuid: str) -> Target:
    """Return one plan to change to.

    :raise portal.errors.Conflict: if the subscription's plan cannot be changed now
    :raise portal.errors.Invalid: if this plan is not among those on offer
    """
    if words := obstacle(subscription):
        raise Conflict(words)
    for found in targets(subscription, user):
        if found.plan.policy.uuid == policy_uuid:
            if found.obstacle:
                raise Conflict(found.obstacle)
            return found
    raise Invalid("This plan is not offered for a change. Choose one of the plans shown.")


def wanted(subscription: Subscription, price: EnginePrice, moment: datetime) -> Wanted:
    """Return what the engine is asked for, to preview or to make a change."""
    return Wanted(
        price_id=price.plan_id or "",
        usage_type=price.policy_version.usage_type,
        new_period=_begins_period(subscription.policy_version, price.policy_version),
        at=moment.replace(microsecond=0),
    )


def _begins_period(now: PolicyVersion, then: PolicyVersion) -> bool:
    return now.is_dynamic or then.is_dynamic or now.billing_cycle != then.billing_cycle


def ask(
    subscription: Subscription,
    user: User,
    policy_uuid: str,
    *,
    version_id: int,
    moment: datetime,
    asked_by: str | None = None,
) -> PlanChange:
    """Store a change between paid plans before anything is sent: TIER_UPDATE_PENDING.

    :param user: the subscriber
    :param version_id: the version of the price that the preview showed
    :param moment: the second from which the preview counted
    :param asked_by: who acts, where it is not the subscriber
    :raise portal.errors.Conflict: if it cannot be changed, or what was shown holds no more
    """
    found = _agreed(subscription, user, policy_uuid, (Way.SWAP,), version_id)
    now = clock.now()
    is_fresh = now - FRESH <= moment <= now and moment >= (subscription.period_start or moment)
    if not is_fresh:
        raise Conflict(STALE)
    who = asked_by or user.qualified_name
    return _store(subscription, who, found, moment=moment.replace(microsecond=0))


def ask_without_price(
    subscription: Subscription,
    user: User,
    policy_uuid: str,
    *,
    version_id: int,
    at_period_end: bool = False,
    asked_by: str | None = None,
) -> PlanChange:
    """Store a change to or from a free plan before anything is sent: TIER_UPDATE_PENDING.

    One that is paid for waits for its payment; asked for once more it is the same change.

    :param user: the subscriber
    :param at_period_end: of a paid plan: let it run until then
    :param asked_by: who acts, where it is not the subscriber
    :raise portal.errors.Conflict: if it cannot be changed, or what was shown holds no more
    """
    known = plan_moves.awaiting_payment(subscription)
    if known is not None and known.to_version_id == version_id:
        return known
    ways = (Way.PAY, Way.CANCEL, Way.SWITCH)
    found = _agreed(subscription, user, policy_uuid, ways, version_id)
    moment = clock.now().replace(microsecond=0)
    who = asked_by or user.qualified_name
    change = _store(subscription, who, found, moment=moment, at_period_end=at_period_end)
    if found.way is Way.PAY:
        assert found.price is not None  # noqa: S101 - decided by the way
        change.state = PlanChangeState.WAITING
        # From now on events of this account are believed about it.
        subscription.connected_account = found.price.connected_account
        subscribing.wait_for_payment(subscription, subscribing.UPDATE)
    if found.way is Way.SWITCH:
        _switch(subscription, change)
    return change


def _switch(subscription: Subscription, change: PlanChange) -> None:
    change.state, change.open_key = PlanChangeState.DONE, None
    change.took_effect_at = clock.epoch(clock.now())
    subscription.policy_version_id = change.to_version_id
    words = f"The plan is {change.to_version.policy.display_name} now."
    cause = Cause(because=words, actor=change.asked_by)
    subscriptions.make(subscription, Move.SETTLE_PLAN_CHANGE, cause)


def _agreed(
    subscription: Subscription,
    user: User,
    policy_uuid: str,
    ways: Sequence[Way],
    version_id: int,
) -> Target:
    """Return a plan whose price is still what was shown."""
    found = target(subscription, user, policy_uuid)
    if found.way not in ways or found.plan.version.policy_version_id != version_id:
        raise Conflict(STALE)
    return found


def _store(
    subscription: Subscription,
    asked_by: str,
    found: Target,
    *,
    moment: datetime,
    at_period_end: bool = False,
) -> PlanChange:
    now, then = subscription.policy_version, found.plan.version
    change = PlanChange(
        tenant_id=subscription.tenant_id,
        subscription_id=subscription.subscription_id,
        from_version_id=now.policy_version_id,
        to_version_id=then.policy_version_id,
        mapping_id=found.price.mapping_id if found.price is not None else None,
        new_period=found.way is not Way.SWAP or _begins_period(now, then),
        at_period_end=found.way is Way.CANCEL and at_period_end,
        counted_from=moment,
        asked_by=asked_by,
        open_key=subscription.uuid,
        period_start=subscription.period_start,
    )
    try:
        with db.session.begin_nested():
            db.session.add(change)
    except IntegrityError as error:
        raise Conflict("A change of plan is under way. Wait until it is settled.") from error
    price = f", {found.plan.price_words}" if then.is_commercial else ""
    words = f"Change to {found.plan.policy.display_name}{price}."
    cause = Cause(because=words, actor=asked_by)
    subscriptions.make(subscription, Move.ASK_PLAN_CHANGE, cause)
    subscription.pending_policy_version_id = then.policy_version_id
    return change


def settle(change: PlanChange, snapshot: SubscriptionSnapshot, *, asked_at: int) -> bool:
    """Sell at the new price from now on, as the engine does; return whether that is news.

    :param asked_at: when the engine was asked, in epoch seconds
    """
    subscription = subscription_of(change)
    if change.state != PlanChangeState.ASKED:
        return False
    began = snapshot.period_start if change.new_period else change.counted_from
    change.state, change.open_key = PlanChangeState.DONE, None
    change.took_effect_at = clock.epoch(began or clock.now())
    if subscription.facts.billing is Billing.ENDED:
        change.detail = "The subscription ended in the same moment."
        return False
    subscription.policy_version_id = change.to_version_id
    if change.new_period:
        subscription.plan_since = change.took_effect_at
    if change.to_version.is_dynamic and not change.from_version.is_dynamic:
        # What was called before is paid for by the fixed price, whenever it is told.
        subscription.billed_from = change.took_effect_at
        plan_moves.set_apart(subscription, change.took_effect_at)
    db.session.execute(
        update(EngineSubscription)
        .where(EngineSubscription.subscription_id == snapshot.subscription_id)
        .values(mapping_id=change.mapping_id)
    )
    cause = Cause(
        because=f"The plan is {change.to_version.policy.display_name} now.", actor=change.asked_by
    )
    subscriptions.make(subscription, Move.SETTLE_PLAN_CHANGE, cause)
    billing_events.apply_snapshot(subscription, snapshot, asked_at, actor=change.asked_by)
    if not change.to_version.is_dynamic:
        _write_off(change)
    return True


def _write_off(change: PlanChange) -> None:
    """Leave unbilled what was called while the change was being made, and say so.

    The new plan counts no calls, and the old plan's invoice is drawn: there is none for them.
    """
    whose = UsageTally.subscription_id == change.subscription_id
    unclaimed = exists().where(
        whose,
        UsageTally.period_start == UsageBucket.period_start,
        UsageTally.claimed == UsageBucket.claim,
    )
    db.session.execute(
        update(UsageBucket)
        .where(
            UsageBucket.subscription_id == change.subscription_id,
            UsageBucket.reason == "",
            unclaimed,
        )
        .values(reason=PLAN_LEFT)
    )
    db.session.execute(
        update(UsageTally)
        .where(whose)
        .values(counted=UsageTally.claimed, open_since=None, open_until=None)
    )
