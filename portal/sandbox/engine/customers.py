"""The end of a customer."""

from __future__ import annotations

from portal.sandbox import events
from portal.sandbox.engine import subscriptions
from portal.sandbox.store import Db, Record


def delete(db: Db, customer: Record, *, now: int) -> Record:
    """Delete a customer for good; its subscriptions are cancelled."""
    for subscription in db.select(
        "subscription", customer["_account"], ("customer = ?", customer["id"])
    ):
        if subscription["status"] not in ("canceled", "incomplete_expired"):
            subscriptions.cancel(db, subscription, now=now)
    events.emit(db, customer, "customer.deleted", now=now)
    customer.update(deleted=True, status="deleted")
    return db.save(customer)
