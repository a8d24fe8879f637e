"""Changing a running subscription to another paid plan: who may, what is sent, what follows.

What usage costs is known for each billing period as a whole. So wherever a price counts calls, on
either side, the change begins a new period, and what was called until then is invoiced at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, update
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
    Offer,
    PlanChange,
    PlanChangeState,
    PolicyVersion,
    Status,
    Subscription,
    UsageTally,
    User,
)
from portal.services import billing_events, catalogue, subscriptions
from portal.services.catalogue import Plan
from portal.services.subscriptions import Cause, Move

#: How old a preview may be when it is agreed to.
FRESH = timedelta(minutes=15)
STALE = (
    "The preview is older than 15 minutes, or the price has changed. Look at it again, then press "
    "Change plan."
)


@dataclass(frozen=True, kw_only=True)
class Target:
    """A plan that a subscription could change to; ``obstacle`` says why not, if it cannot."""

    plan: Plan
    price: EnginePrice | None
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
            not version.is_commercial or facts.billing is Billing.NOT_REQUIRED,
            "A free plan is changed by unsubscribing and subscribing again: nothing is lost.",
        ),
        (
            subscription.status not in (Status.UNBLOCKED, Status.TIER_UPDATE_PENDING),
            f"The subscription is {subscription.status}. The plan can change when it works.",
        ),
        (facts.plan_change_pending, "A change of plan is under way. Wait until it is settled."),
        (
            subscription.cancel_at is not None,
            "It is cancelled for later. Press Keep the subscription first.",
        ),
        (
            subscription.engine_status == "trialing",
            "The plan can be changed when the free trial is over.",
        ),
    )
    return next((words for holds, words in rules if holds), "")


def targets(subscription: Subscription, user: User) -> list[Target]:
    """Return the paid plans of the same API that are for sale, each with what is in its way."""
    prices = {
        offer.price.policy_version_id: offer.price
        for offer in db.session.scalars(
            select(Offer).where(Offer.api_id == subscription.api_id)
        ).unique()
    }
    found = []
    for plan in catalogue.plans_of(subscription.api, user):
        price = prices.get(plan.version.policy_version_id)
        if not plan.version.is_commercial or price is None or not plan.is_for_sale:
            continue
        if price.policy_version_id == subscription.policy_version_id:
            continue
        found.append(Target(plan=plan, price=price, obstacle=_between(subscription, price)))
    return found


def _between(subscription: Subscription, price: EnginePrice) -> str:
    """Say what is in the way of this price."""
    now, then = subscription.policy_version, price.policy_version
    if price.connected_account != subscription.connected_account:
        return "It is sold through another account. Unsubscribe, and subscribe to it anew."
    if (now.currency or "").lower() != (then.currency or "").lower():
        return (
            f"It is sold in {then.currency}, and a subscription keeps its currency. Unsubscribe, "
            "and subscribe to it anew."
        )
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
    subscription: Subscription, user: User, policy_uuid: str, *, version_id: int, moment: datetime
) -> PlanChange:
    """Store a change before anything is sent; the subscription is TIER_UPDATE_PENDING.

    :param version_id: the version of the price that the preview showed
    :param moment: the second from which the preview counted
    :raise portal.errors.Conflict: if it cannot be changed, or what was shown holds no more
    """
    found = target(subscription, user, policy_uuid)
    price = found.price
    now = clock.now()
    is_fresh = now - FRESH <= moment <= now and moment >= (subscription.period_start or moment)
    if price is None or price.policy_version_id != version_id or not is_fresh:
        raise Conflict(STALE)
    change = PlanChange(
        tenant_id=subscription.tenant_id,
        subscription_id=subscription.subscription_id,
        from_version_id=subscription.policy_version_id,
        to_version_id=price.policy_version_id,
        price=price,
        new_period=_begins_period(subscription.policy_version, price.policy_version),
        counted_from=moment.replace(microsecond=0),
        asked_by=user.qualified_name,
        open_key=subscription.uuid,
        period_start=subscription.period_start,
    )
    try:
        with db.session.begin_nested():
            db.session.add(change)
    except IntegrityError as error:
        raise Conflict("A change of plan is under way. Wait until it is settled.") from error
    words = f"Change to {found.plan.policy.display_name}, {found.plan.price_words}."
    subscriptions.make(
        subscription, Move.ASK_PLAN_CHANGE, Cause(because=words, actor=user.qualified_name)
    )
    subscription.pending_policy_version_id = price.policy_version_id
    return change


def settle(change: PlanChange, snapshot: SubscriptionSnapshot, *, asked_at: int) -> bool:
    """Sell at the new price from now on, as the engine does; return whether that is news.

    :param asked_at: when the engine was asked, in epoch seconds
    """
    subscription = _subscription_of(change)
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


def _subscription_of(change: PlanChange) -> Subscription:
    """Return the subscription, and read the change's state after it.

    Everyone who settles a change raises the subscription's version, so a state that was read
    before it may be of another moment, and one that is read after it is not.
    """
    subscription = db.session.get_one(Subscription, change.subscription_id)
    db.session.refresh(change, ["state"])
    return subscription


def _write_off(change: PlanChange) -> None:
    """Leave unbilled what was called while the change was being made.

    The new plan counts no calls, and the old plan's invoice is drawn: there is none for them.
    """
    db.session.execute(
        update(UsageTally)
        .where(UsageTally.subscription_id == change.subscription_id)
        .values(open_since=None, open_until=None)
    )


def refuse(change: PlanChange, why: str) -> None:
    """Leave the plan as it was, and say why."""
    subscription = _subscription_of(change)
    if change.state != PlanChangeState.ASKED:
        return
    change.state, change.open_key, change.detail = PlanChangeState.REFUSED, None, why[:1024]
    if subscription.facts.billing is not Billing.ENDED:
        cause = Cause(because=f"The plan stays as it was. {why}", actor=change.asked_by)
        subscriptions.make(subscription, Move.SETTLE_PLAN_CHANGE, cause)


def unsettled(before: datetime, limit: int) -> Sequence[int]:
    """Return changes that were asked for before a moment and have no outcome yet."""
    return db.session.scalars(
        select(PlanChange.plan_change_id)
        .where(PlanChange.state == PlanChangeState.ASKED, PlanChange.asked_at < before)
        .order_by(PlanChange.plan_change_id)
        .limit(limit)
    ).all()


@dataclass(frozen=True, kw_only=True)
class Sold:
    """What a subscription was sold as in a period of the past."""

    version: PolicyVersion
    period_start: datetime | None
    """Of the period that a change of plan cut short; ``None`` for the present plan."""
    period_end: datetime | None


def sold_at(subscription: Subscription, moment: datetime) -> Sold:
    """Return the version of the plan that calls of a moment were sold at.

    One query, and none for a subscription whose plan never changed since.
    """
    present = Sold(version=subscription.policy_version, period_start=None, period_end=None)
    if clock.epoch(moment) >= subscription.plan_since:
        return present
    change = db.session.scalars(
        select(PlanChange)
        .where(
            PlanChange.subscription_id == subscription.subscription_id,
            PlanChange.state == PlanChangeState.DONE,
            PlanChange.new_period.is_(True),
            PlanChange.took_effect_at > clock.epoch(moment),
        )
        .order_by(PlanChange.took_effect_at)
        .limit(1)
    ).one_or_none()
    if change is None or change.took_effect_at is None:
        return present
    return Sold(
        version=change.from_version,
        period_start=change.period_start,
        period_end=clock.from_epoch(change.took_effect_at),
    )
