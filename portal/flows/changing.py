"""What all changes of plan have in common: each is stored, then made at the engine, then settled.

Broken off in between, it is finished from the row that was stored.
"""

from collections.abc import Callable

from portal import clock
from portal.billing.engine import SubscriptionSnapshot
from portal.errors import BillingEngineError, EngineUnavailable
from portal.extensions import db
from portal.models import PlanChange, PlanChangeState, Subscription, User
from portal.services import plan_moves, subscriptions
from portal.web.unit_of_work import in_unit_of_work


def locked(subscription_id: int) -> Subscription:
    """Return a subscription that nobody else changes until this transaction ends."""
    return db.session.get_one(Subscription, subscription_id, with_for_update={"of": Subscription})


def stored(
    subscription_uuid: str, user_id: int, ask: Callable[[Subscription, User], PlanChange]
) -> int:
    """Store a change of plan in a transaction of its own; return its number.

    :param ask: stores it, for the subscription and the user that it is given
    """
    number = subscriptions.by_uuid(subscription_uuid).subscription_id
    db.session.rollback()

    def store() -> int:
        # Locked, so that who presses at the same moment finds this change, and not none.
        change = ask(locked(number), db.session.get_one(User, user_id))
        db.session.flush()
        return change.plan_change_id

    return in_unit_of_work(store)


def at_engine(plan_change_id: int) -> tuple[PlanChange, Subscription, str] | None:
    """Return a change that is to be made, its subscription, and the engine's id of that.

    ``None``: it has an outcome already, or gets one now, because there is nothing to change.
    """
    change = db.session.get_one(PlanChange, plan_change_id)
    subscription = db.session.get_one(Subscription, change.subscription_id)
    if change.state != PlanChangeState.ASKED:
        return None
    engine_id = subscription.engine_subscription_id
    if subscription.ended_at is not None or engine_id is None:
        plan_moves.refuse(change, "The subscription has ended.")
        return None
    return change, subscription, engine_id


def make(
    plan_change_id: int,
    act: Callable[[], SubscriptionSnapshot],
    settle: Callable[[SubscriptionSnapshot, int], object],
) -> None:
    """Make a stored change at the engine, and settle it here; a refusal closes it.

    :param act: asks the engine
    :param settle: is given the answer, and the epoch second at which it was asked for
    :raise portal.errors.EngineUnavailable: if it is not certain what happened; call again
    :raise portal.errors.BillingEngineError: if the engine refused; the change is closed
    """
    asked_at = clock.epoch(clock.now())
    try:
        snapshot = act()
    except EngineUnavailable:
        raise
    except BillingEngineError as error:
        why = error.message
        in_unit_of_work(
            lambda: plan_moves.refuse(db.session.get_one(PlanChange, plan_change_id), why)
        )
        raise
    in_unit_of_work(lambda: settle(snapshot, asked_at))


def is_certain(finish: Callable[[], None]) -> bool:
    """Finish a change; return whether it is certain what happened, else the worker finishes it."""
    try:
        finish()
    except EngineUnavailable:
        return False
    return True
