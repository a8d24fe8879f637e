"""What happens to an object when its moment has come."""

from __future__ import annotations

from collections.abc import Callable

from portal.sandbox.engine import checkout, invoices, subscriptions
from portal.sandbox.store import Db, Record


def _expire(db: Db, session: Record, *, now: int) -> None:
    checkout.expire(db, session, now=now)


_HANDLERS: dict[str, Callable[..., None]] = {
    "checkout.session": _expire,
    "invoice": invoices.advance,
    "subscription": subscriptions.advance,
}


def perform(db: Db, kind: str, identifier: str, moment: int) -> None:
    """Do what is due about one object; it is told that it is the moment at which it was due."""
    record = db.find(kind, identifier)
    if record is not None:
        _HANDLERS[kind](db, record, now=moment)
