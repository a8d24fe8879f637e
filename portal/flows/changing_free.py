"""Changing between a free plan and a paid one, on one subscription; finishing it later.

To a paid plan the payment page leads: until it is paid the free plan works. To a free plan the
end of what is paid for leads: now, or with its period.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from portal import clock
from portal.billing.engine import BillingEngine, SubscriptionSnapshot
from portal.errors import BillingEngineError, EngineUnavailable
from portal.extensions import db
from portal.flows import payments, publishing, sweeping
from portal.models import PlanChange, PlanChangeState, Subscription, Tenant, User
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
) -> int:
    number = subscriptions.by_uuid(subscription_uuid).subscription_id
    db.session.rollback()

    def store() -> int:
        asked = plan_changes.ask_without_price(
            # Locked, so that who presses at the same moment finds this change, and not none.
            _locked(number),
            db.session.get_one(User, user_id),
            policy_uuid,
            version_id=version_id,
            at_period_end=at_period_end,
        )
        db.session.flush()
        return asked.plan_change_id

    return in_unit_of_work(store)


def _locked(number: int) -> Subscription:
    return db.session.get_one(Subscription, number, with_for_update={"of": Subscription})


def switch(subscription_uuid: str, user_id: int, policy_uuid: str, *, version_id: int) -> None:
    """Change from one free plan to another, at once.

    :raise portal.errors.Conflict: if it cannot be changed, or the plan has changed meanwhile
    """
    _ask(subscription_uuid, user_id, policy_uuid, version_id=version_id)


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
) -> bool:
    """End what is paid for, and go on with a free plan; return whether the engine confirmed.

    :param at_once: now, instead of with the period that is paid for
    :raise portal.errors.Conflict: if it cannot be changed, or the plan has changed meanwhile
    :raise portal.errors.BillingEngineError: if the engine refused; the plan stays as it was
    """
    number = _ask(
        subscription_uuid, user_id, policy_uuid, version_id=version_id, at_period_end=not at_once
    )
    try:
        finish(engine, number)
    except EngineUnavailable:
        return False
    return True


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
    asked_at = clock.epoch(clock.now())
    try:
        snapshot = _end(engine, intent)
    except EngineUnavailable:
        raise
    except BillingEngineError as error:
        why = error.message
        in_unit_of_work(lambda: _refuse(plan_change_id, why))
        raise
    in_unit_of_work(lambda: _settle(plan_change_id, intent, snapshot, asked_at))


def _end(engine: BillingEngine, intent: _Intent) -> SubscriptionSnapshot:
    if intent.at_period_end:
        return engine.cancel_at_period_end(intent.account, intent.engine_id)
    # What was called until now goes on the last invoice.
    publishing.flush(engine, intent.subscription_id)
    return engine.cancel_subscription(intent.account, intent.engine_id)


def _intent(plan_change_id: int) -> _Intent | None:
    row = db.session.get_one(PlanChange, plan_change_id)
    subscription = db.session.get_one(Subscription, row.subscription_id)
    if row.state != PlanChangeState.ASKED:
        return None
    engine_id = subscription.engine_subscription_id
    if subscription.ended_at is not None or engine_id is None:
        plan_moves.refuse(row, "The subscription has ended.")
        return None
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
    subscription = _locked(intent.subscription_id)
    row = db.session.get_one(PlanChange, plan_change_id)
    if row.state != PlanChangeState.ASKED or subscription.engine_subscription_id is None:
        # An event was quicker.
        return
    row.state = PlanChangeState.WAITING
    billing_events.apply_snapshot(subscription, snapshot, asked_at, actor=row.asked_by)


def _refuse(plan_change_id: int, why: str) -> None:
    plan_moves.refuse(db.session.get_one(PlanChange, plan_change_id), why)


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
