"""Refunds: when a payment goes back, and what became of it.

A payment goes back where it bought nothing: the subscription was not approved, was being ended
when it arrived, had ended before, or had been paid already.
"""

from collections.abc import Sequence

from sqlalchemy import Select, select
from sqlalchemy.exc import IntegrityError

from portal import clock
from portal.billing.engine import Refunded
from portal.errors import NotFound
from portal.extensions import db
from portal.models import EngineSubscription, Refund, RefundStatus, Subscription, Tenant
from portal.money import Money
from portal.services import subscriptions
from portal.services.subscriptions import Cause

NOTE = "REFUNDED"


def owe(
    subscription: Subscription, engine_subscription_id: str, account: str, because: str
) -> Refund:
    """Store that what was paid for a subscription at the engine goes back; once for each."""
    query = select(Refund).where(Refund.engine_subscription_id == engine_subscription_id)
    found = db.session.scalars(query).one_or_none()
    if found is not None:
        return found
    made = Refund(
        tenant_id=subscription.tenant_id,
        am_subscription_id=subscription.subscription_id,
        engine_subscription_id=engine_subscription_id,
        connected_account=account,
        because=because[:1024],
    )
    try:
        with db.session.begin_nested():
            db.session.add(made)
    except IntegrityError:
        return db.session.scalars(query).one()
    return made


def owe_all(subscription: Subscription, because: str) -> None:
    """Store that everything that was ever paid for a subscription goes back."""
    for record in db.session.scalars(
        select(EngineSubscription).where(
            EngineSubscription.am_subscription_id == subscription.subscription_id
        )
    ):
        owe(subscription, record.subscription_id, record.connected_account, because)


def due(after: int, limit: int) -> Sequence[int]:
    """Return the refunds that the engine is to be asked for, the oldest first, after one."""
    return db.session.scalars(_due().where(Refund.refund_id > after).limit(limit)).all()


def of_subscription(subscription_id: int) -> Sequence[int]:
    """Return the refunds of a subscription that the engine is to be asked for."""
    return db.session.scalars(_due().where(Refund.am_subscription_id == subscription_id)).all()


def _due() -> Select[int]:
    due = Refund.status == RefundStatus.DUE
    return select(Refund.refund_id).where(due).order_by(Refund.refund_id)


def done(refund: Refund, back: Refunded, actor: str = "worker") -> None:
    """Store what went back, and say so in the subscription's history, once however often."""
    subscription = refund.subscription
    # Read after the subscription, whose version everyone raises who settles a refund of it.
    db.session.refresh(refund, ["status"])
    if refund.status == RefundStatus.DONE:
        return
    refund.status, refund.done_at, refund.error = RefundStatus.DONE, clock.now(), None
    refund.amount_minor, refund.currency = back.amount_minor, back.currency
    cause = Cause(because=f"{refund.because} {words(refund)}", actor=actor)
    subscriptions.note(subscription, NOTE, cause)


def words(refund: Refund) -> str:
    """Say what went back."""
    if not refund.amount_minor or not refund.currency:
        return "Nothing had been charged."
    return f"{Money(refund.amount_minor, refund.currency)} were paid back."


def refuse(refund: Refund, why: str) -> None:
    """Store that the engine refused; it stays so until somebody decides."""
    if refund.status == RefundStatus.DUE:
        refund.status, refund.error = RefundStatus.REFUSED, why[:1024]


def decide(tenant: Tenant, refund_id: int, *, is_paid_back: bool, actor: str) -> int:
    """Bring a refused refund on: it was paid back by hand, or the engine is asked again.

    Returns the subscription's number.

    :raise portal.errors.NotFound: if the tenant has no such refund that was refused
    """
    refund = db.session.scalars(
        select(Refund)
        .where(
            Refund.refund_id == refund_id,
            Refund.tenant_id == tenant.tenant_id,
            Refund.status == RefundStatus.REFUSED,
        )
        .with_for_update()
    ).one_or_none()
    if refund is None:
        raise NotFound("There is no such refund, or it has been dealt with already.")
    refund.status, refund.error = RefundStatus.DUE, None
    if is_paid_back:
        refund.because = f"{refund.because} {actor} confirmed that it was paid back by hand."
        refund.status, refund.done_at = RefundStatus.DONE, clock.now()
        cause = Cause(because=refund.because, actor=actor)
        subscriptions.note(refund.subscription, NOTE, cause)
    return refund.am_subscription_id
