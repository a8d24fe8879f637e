"""Test clocks: a time that only their own customers live in."""

from __future__ import annotations

from portal.sandbox import events, ids
from portal.sandbox.errors import StripeError, invalid
from portal.sandbox.store import Db, Record

KIND = "test_helpers.test_clock"
MOST_CUSTOMERS = 3
MOST_SUBSCRIPTIONS = 3
_KEPT = 30 * 86400
_LATEST = 4_102_444_800  # 2100-01-01


def moment(db: Db, record: Record | None, now: int) -> int:
    """Return the second at which `record` lives: its test clock's, else `now`.

    :raise StripeError: 429 when this transaction may change it while its clock advances
    """
    identifier = (record or {}).get("_clock")
    clock = db.find(KIND, identifier) if identifier else None
    if clock is None:
        return now
    if db.writes:
        check_still(clock)
    return int(clock["frozen_time"])


def check_still(clock: Record) -> None:
    """Refuse to touch a clock that is on its way.

    :raise StripeError: 429
    """
    if clock["status"] == "advancing":
        raise StripeError(
            429,
            "Test clock advancement underway - cannot perform modifications.",
            code="rate_limit",
        )


def create(db: Db, account: str, frozen_time: int, name: str | None) -> Record:
    """Store a clock that stands at `frozen_time`; it deletes itself after 30 days.

    :raise StripeError: 400 for a time that is not between 1970 and 2100
    """
    if not 0 < frozen_time < _LATEST:
        raise invalid("Invalid timestamp: must be a time between 1970 and 2100.", "frozen_time")
    clock: Record = {
        "id": ids.new(KIND),
        "object": KIND,
        "_account": account,
        "_due_at": db.wall + _KEPT,
        "created": db.wall,
        "deletes_after": db.wall + _KEPT,
        "frozen_time": frozen_time,
        "name": name,
        "status": "ready",
        "status_details": {},
    }
    db.insert(clock)
    events.emit(db, clock, f"{KIND}.created", now=db.wall)
    return clock


def check_customers(db: Db, clock: Record) -> None:
    """Refuse a fourth customer.

    :raise StripeError: 400
    """
    row = db.execute(
        "SELECT count(*) FROM objects WHERE clock = ? AND kind = 'customer' AND status IS NULL",
        clock["id"],
    ).fetchone()
    if row[0] >= MOST_CUSTOMERS:
        raise invalid(
            f"You can attach at most {MOST_CUSTOMERS} customers to a test clock.", "test_clock"
        )


def check_subscriptions(db: Db, customer: Record) -> None:
    """Refuse a fourth subscription of a customer on a clock.

    :raise StripeError: 400
    """
    if not customer.get("_clock"):
        return
    row = db.execute(
        "SELECT count(*) FROM objects WHERE customer = ? AND kind = 'subscription'"
        " AND status NOT IN ('canceled', 'incomplete_expired')",
        customer["id"],
    ).fetchone()
    if row[0] >= MOST_SUBSCRIPTIONS:
        raise invalid(
            f"A customer on a test clock can have at most {MOST_SUBSCRIPTIONS} subscriptions.",
            "customer",
        )
