"""Paying back what bought nothing: cancel at the engine, refund there, store what went back."""

from collections.abc import Callable
from functools import partial

from portal.billing.engine import BillingEngine, Refunded
from portal.errors import BillingEngineError, EngineUnavailable
from portal.extensions import db
from portal.flows import sweeping
from portal.models import Refund, RefundStatus, Tenant
from portal.services import billing_events, refunds
from portal.services.subscriptions import Cause
from portal.web.unit_of_work import in_unit_of_work

EngineFor = Callable[[Tenant], BillingEngine]


def pay_back(engine_for: EngineFor, refund_id: int) -> None:
    """Make one refund. Interrupted anywhere it may be made again: each payment goes back once.

    :raise portal.errors.EngineUnavailable: if the engine gave no certain answer; it stays due
    """
    refund = db.session.get_one(Refund, refund_id)
    if refund.status != RefundStatus.DUE:
        db.session.rollback()
        return
    account, engine_id = refund.connected_account, refund.engine_subscription_id
    key = f"refund:{refund.uuid}"
    engine = engine_for(db.session.get_one(Tenant, refund.tenant_id))
    db.session.rollback()
    try:
        # First the end: a renewal in between would be charged and not paid back.
        engine.cancel_subscription(account, engine_id)
        back = engine.refund(account, engine_id, key=key)
    except EngineUnavailable:
        raise
    except BillingEngineError as error:
        why = error.message
        in_unit_of_work(lambda: refunds.refuse(db.session.get_one(Refund, refund_id), why))
        return
    in_unit_of_work(lambda: _store(refund_id, back))


def _store(refund_id: int, back: Refunded) -> None:
    refund = db.session.get_one(Refund, refund_id)
    refunds.done(refund, back)
    subscription = refund.subscription
    if subscription.engine_subscription_id == refund.engine_subscription_id:
        # It was cancelled at the engine, and the event that says so may come late or never.
        billing_events.end(subscription, Cause(because=refund.because, actor="worker"))


def sweep(engine_for: EngineFor) -> int:
    """Make a page of the refunds that are due; return how many were tried.

    One that fails holds up no other, and is tried again when it is its turn.
    """
    return sweeping.in_turn("refunds", refunds.due, partial(pay_back, engine_for))


def pay_back_all(engine_for: EngineFor, subscription_id: int) -> None:
    """Make the refunds of one subscription; one that fails is left to the worker."""
    found = refunds.of_subscription(subscription_id)
    db.session.rollback()
    for refund_id in found:
        sweeping.alone("refunds", refund_id, partial(pay_back, engine_for))
