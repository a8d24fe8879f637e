"""What failed and recovered payments do to a subscription."""

from __future__ import annotations

from portal.sandbox import accounts, events
from portal.sandbox.engine import endings
from portal.sandbox.engine.moments import next_due
from portal.sandbox.store import Db, Record

UPDATED = "customer.subscription.updated"
_DAY = 86400


def plan(db: Db, invoice: Record, subscription: Record, automatic: bool, *, now: int) -> bool:
    """Set the next automatic attempt after a failure; tell whether it was the last one.

    A first invoice that fails is not retried: its subscription is incomplete for 23 hours.
    """
    if not automatic or not invoice["auto_advance"]:
        return False
    invoice["next_payment_attempt"] = invoice["_due_at"] = None
    if subscription["status"] == "incomplete":
        return False
    days = accounts.dunning(db, invoice["_account"])["days"]
    if invoice["attempt_count"] > len(days):
        return True
    when = now + days[invoice["attempt_count"] - 1] * _DAY
    invoice["next_payment_attempt"] = invoice["_due_at"] = when
    return False


def overdue(db: Db, subscription: Record, *, now: int) -> None:
    """Make an active subscription past due."""
    if subscription["status"] in ("active", "trialing"):
        with events.changing(db, subscription, UPDATED, now=now):
            subscription["status"] = "past_due"


def end(db: Db, subscription: Record, behaviour: str, *, now: int) -> None:
    """Do what the account wants after the last attempt: ``cancel``, ``unpaid`` or ``past_due``."""
    if subscription["status"] == "canceled" or behaviour == "past_due":
        return
    if behaviour == "cancel":
        endings.terminate(db, subscription, now=now, reason="payment_failed")
        return
    with events.changing(db, subscription, UPDATED, now=now):
        subscription["status"] = "unpaid"


def recover(db: Db, invoice: Record, *, now: int) -> None:
    """Bring a subscription back once its latest invoice is paid."""
    subscription = db.need("subscription", invoice["_account"], invoice["subscription"])
    if subscription["status"] not in ("past_due", "unpaid", "incomplete"):
        return
    if subscription["latest_invoice"] != invoice["id"]:
        return
    with events.changing(db, subscription, UPDATED, now=now):
        subscription["status"] = "active"
        if subscription.get("_ends_incomplete"):
            del subscription["_ends_incomplete"]
            subscription["_due_at"] = next_due(subscription)
