"""The end of a subscription."""

from __future__ import annotations

from portal.sandbox import events, serializers
from portal.sandbox.store import Db, Record


def terminate(
    db: Db,
    subscription: Record,
    *,
    now: int,
    reason: str,
    comment: str | None = None,
    feedback: str | None = None,
) -> Record:
    """Cancel a subscription for good and stop collecting its open invoices.

    `reason` is Stripe's ``cancellation_details.reason``; details given earlier (a scheduled
    cancellation) are kept.
    """
    earlier = subscription["cancellation_details"]
    subscription["cancellation_details"] = {
        "comment": comment or earlier["comment"],
        "feedback": feedback or earlier["feedback"],
        "reason": earlier["reason"] or reason,
    }
    subscription.update(status="canceled", ended_at=now, _due_at=None)
    subscription["canceled_at"] = subscription["canceled_at"] or now
    db.save(subscription)
    stop_collecting(db, subscription)
    payload = serializers.render(db, subscription)
    events.emit(db, subscription, "customer.subscription.deleted", now=now, payload=payload)
    return subscription


def stop_collecting(db: Db, subscription: Record) -> None:
    """Leave open invoices open, without further automatic attempts."""
    filters = (("subscription = ?", subscription["id"]), ("status = ?", "open"))
    for invoice in db.select("invoice", subscription["_account"], *filters):
        invoice.update(auto_advance=False, next_payment_attempt=None, _due_at=None)
        db.save(invoice)
