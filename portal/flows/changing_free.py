"""Changing between a free plan and a paid one, on one subscription; finishing it later.

To a paid plan the payment page leads: until it is paid the free plan works. To a free plan the
end of what is paid for leads: now, or with its period.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from portal import clock
from portal.billing.engine import BillingEngine, SubscriptionSnapshot
from portal.extensions import db
from portal.flows import changing, payments, publishing, sweeping
from portal.models import PlanChange, PlanChangeState, Subscription, Tenant
from portal.services import (
    billing_events,
    checkouts,
    plan_changes,
    plan_moves,
    subscriptions,
    unfinished,
)
from portal.services.checkouts import ReturnUrls
from portal.web.unit_of_work import in_unit_of_work

EngineFor = Callable[[Tenant], BillingEngine]
STAYS = "The subscriber keeps the free plan."


def _ask(
    subscription_uuid: str,
    user_id: int,
    policy_uuid: str,
    *,
    version_id: int,
    at_period_end: bool = False,
    asked_by: str | None = None,
) -> int:
    ask = partial(
        plan_changes.ask_without_price,
        policy_uuid=policy_uuid,
        version_id=version_id,
        at_period_end=at_period_end,
        asked_by=asked_by,
    )
    return changing.stored(subscription_uuid, user_id, ask)


def switch(
    subscription_uuid: str,
    user_id: int,
    policy_uuid: str,
    *,
    version_id: int,
    asked_by: str | None = None,
) -> None:
    """Change from one free plan to another, at once.

    :param user_id: the subscriber
    :param asked_by: who acts, where it is not the subscriber
    :raise portal.errors.Conflict: if it cannot be changed, or the plan has changed meanwhile
    """
    _ask(subscription_uuid, user_id, policy_uuid, version_id=version_id, asked_by=asked_by)


def go_paid(
    engine: BillingEngine,
    subscription_uuid: str,
    user_id: int,
    policy_uuid: str,
    *,
    version_id: int,
    urls: ReturnUrls,
) -> str | None:
    """Ask for a paid plan and return its payment page; ``None`` if it is paid already.

    The free plan works until then. Pressed twice, it is the same page.

    :raise portal.errors.Conflict: if it cannot be changed, or the price has changed meanwhile
    :raise portal.errors.BillingEngineError: if the page cannot be opened; Complete Payment or
        the same call tries again
    """
    _ask(subscription_uuid, user_id, policy_uuid, version_id=version_id)
    return payments.open_page(engine, subscription_uuid, user_id, urls)


def keep_free(engine_for: EngineFor, subscription_uuid: str, *, actor: str) -> bool:
    """Take back a change to a paid plan that nobody has paid; return whether the free one stays.

    The page is closed. A payment that was quicker counts. Interrupted, the worker closes it.
    """

    def withdraw() -> list[int]:
        row = subscriptions.by_uuid(subscription_uuid)
        change = plan_moves.awaiting_payment(row)
        if change is None:
            return []
        plan_moves.refuse(change, STAYS, actor)
        attempt = checkouts.open_attempt(row)
        return [attempt.attempt_id] if attempt is not None else []

    for number in in_unit_of_work(withdraw):
        payments.close_page(engine_for, number)
    stays = not subscriptions.by_uuid(subscription_uuid).is_billed
    db.session.rollback()
    return stays


def go_free(
    engine: BillingEngine,
    subscription_uuid: str,
    user_id: int,
    policy_uuid: str,
    *,
    version_id: int,
    at_once: bool,
    asked_by: str | None = None,
) -> bool:
    """End what is paid for, and go on with a free plan; return whether the engine confirmed.

    :param user_id: the subscriber
    :param at_once: now, instead of with the period that is paid for
    :param asked_by: who acts, where it is not the subscriber
    :raise portal.errors.Conflict: if it cannot be changed, or the plan has changed meanwhile
    :raise portal.errors.BillingEngineError: if the engine refused; the plan stays as it was
    """
    number = _ask(
        subscription_uuid,
        user_id,
        policy_uuid,
        version_id=version_id,
        at_period_end=not at_once,
        asked_by=asked_by,
    )
    return changing.is_certain(lambda: finish(engine, number))


@dataclass(frozen=True, kw_only=True)
class _Intent:
    subscription_id: int
    account: str
    engine_id: str
    at_period_end: bool


def finish(engine: BillingEngine, plan_change_id: int) -> None:
    """End at the engine what a stored change to a free plan ends. Twice is once.

    :raise portal.errors.EngineUnavailable: if it is not certain what happened; call again
    :raise portal.errors.BillingEngineError: if the engine refused; the change is closed
    """
    intent = in_unit_of_work(lambda: _intent(plan_change_id))
    if intent is None:
        return
    changing.make(
        plan_change_id, partial(_end, engine, intent), partial(_settle, plan_change_id, intent)
    )


def _end(engine: BillingEngine, intent: _Intent) -> SubscriptionSnapshot:
    if intent.at_period_end:
        return engine.cancel_at_period_end(intent.account, intent.engine_id)
    # What was called until now goes on the last invoice.
    publishing.flush(engine, intent.subscription_id)
    return engine.cancel_subscription(intent.account, intent.engine_id)


def _intent(plan_change_id: int) -> _Intent | None:
    found = changing.at_engine(plan_change_id)
    if found is None:
        return None
    row, subscription, engine_id = found
    return _Intent(
        subscription_id=subscription.subscription_id,
        account=subscription.connected_account or "",
        engine_id=engine_id,
        at_period_end=row.at_period_end,
    )


def _settle(
    plan_change_id: int, intent: _Intent, snapshot: SubscriptionSnapshot, asked_at: int
) -> None:
    # Locked first, so that the change is read as it is with this subscription.
    subscription = changing.locked(intent.subscription_id)
    row = db.session.get_one(PlanChange, plan_change_id)
    if row.state != PlanChangeState.ASKED or subscription.engine_subscription_id is None:
        # An event was quicker.
        return
    row.state = PlanChangeState.WAITING
    billing_events.apply_snapshot(subscription, snapshot, asked_at, actor=row.asked_by)


def sweep(engine_for: EngineFor) -> int:
    """Close what waits for a payment that cannot come any more; return how much was tried."""
    close = partial(payments.close_page, engine_for)
    unpaid = partial(unfinished.unpaid_plan_changes, clock.now() - checkouts.LIFETIME)
    return sweeping.in_turn(
        "withdrawn pages", unfinished.withdrawn_pages, close
    ) + sweeping.in_turn("unpaid plan changes", unpaid, _lapse)


def _lapse(plan_change_id: int) -> None:
    def lapse() -> None:
        row = db.session.get_one(PlanChange, plan_change_id)
        subscription = db.session.get_one(Subscription, row.subscription_id)
        if checkouts.open_attempt(subscription) is None:
            plan_moves.refuse(row, "Not paid within 24 hours.", "worker")

    in_unit_of_work(lapse)
