"""Moving a test clock: whatever becomes due on the way happens in the order of its moments.

An advance is due work of the real time. It is done in batches, each in one transaction with the
events that it causes, so that a crash resumes it and its memory doesn't grow with its size.
"""

from __future__ import annotations

import json
import logging

from portal.sandbox import events, periods
from portal.sandbox.engine import customers, due
from portal.sandbox.engine.clocks import KIND, check_still
from portal.sandbox.engine.invoices import DRAFT_SECONDS
from portal.sandbox.errors import invalid
from portal.sandbox.store import Db, Record

log = logging.getLogger(__name__)

_BATCH = 250


def advance(db: Db, clock: Record, target: int) -> Record:
    """Send a clock on its way to `target`; `work` takes it there.

    :raise StripeError: 429 while it advances, 400 for a target that Stripe would refuse
    """
    check_still(clock)
    if clock["status"] != "ready":
        raise invalid("This test clock failed to advance. Delete it and use another one.")
    frozen = clock["frozen_time"]
    if target <= frozen:
        raise invalid(
            f"The new frozen time must be after the test clock's current frozen time ({frozen}).",
            "frozen_time",
        )
    limit = _farthest(db, clock)
    if target > limit:
        raise invalid(
            "You cannot advance a test clock more than two intervals of its shortest subscription"
            f" at once (two years without one): {limit} is the latest time.",
            "frozen_time",
        )
    details = {"advancing": {"target_frozen_time": target}}
    clock.update(status="advancing", status_details=details, _due_at=db.wall)
    db.save(clock)
    events.emit(db, clock, f"{KIND}.advancing", now=db.wall)
    return clock


def _farthest(db: Db, clock: Record) -> int:
    rows = db.execute(
        "SELECT DISTINCT json_extract(body, '$._rhythm') FROM objects WHERE clock = ?"
        " AND kind = 'subscription' AND status NOT IN ('canceled', 'incomplete_expired')",
        clock["id"],
    ).fetchall()
    frozen = int(clock["frozen_time"])
    rhythms = [str(row[0]).split() for row in rows] or [["year", "1"]]
    return min(periods.after(frozen, interval, int(count), 2) for interval, count in rhythms)


def next_renewal(db: Db, clock: Record) -> int:
    """Return when the draft of the clock's next renewal is due, an hour after the renewal.

    :raise StripeError: 400 when no subscription runs on the clock
    """
    row = db.execute(
        "SELECT min(due_at) FROM objects WHERE clock = ? AND due_at > ? AND kind = 'subscription'",
        clock["id"],
        clock["frozen_time"],
    ).fetchone()
    if row[0] is None:
        raise invalid("No subscription on this test clock renews.")
    return int(row[0]) + DRAFT_SECONDS


def work(db: Db, clock: Record, *, patient: bool = True) -> None:
    """Do one batch of an advance, or delete a clock whose time is over.

    A `patient` advance first waits until all usage that was sent for its customers is counted.
    Everything on the clock happens in the order of its moments; the clock is ready when nothing is
    left before its target. A piece that breaks leaves the status ``internal_failure``.
    """
    if clock["status"] != "advancing":
        delete(db, clock)
        return
    if patient and _usage_on_its_way(db, clock):
        clock["_due_at"] = db.wall + 1
        db.save(clock)
        return
    target = clock["status_details"]["advancing"]["target_frozen_time"]
    db.execute("SAVEPOINT batch")
    try:
        finished = _batch(db, clock["id"], target)
    except Exception:
        log.exception("Advancing the test clock %s broke", clock["id"])
        db.execute("ROLLBACK TO batch")
        _arrive(db, clock, clock["frozen_time"], "internal_failure")
    else:
        if finished:
            _arrive(db, clock, target, "ready")
    db.execute("RELEASE batch")


def _usage_on_its_way(db: Db, clock: Record) -> bool:
    row = db.execute(
        "SELECT 1 FROM meter_events m JOIN objects o ON o.id = m.customer AND o.clock = ?"
        " WHERE m.counts_at > ? AND m.canceled = 0 LIMIT 1",
        clock["id"],
        db.wall,
    ).fetchone()
    return row is not None


def _batch(db: Db, identifier: str, target: int) -> bool:
    before = None
    for _ in range(_BATCH):
        row = db.execute(
            "SELECT kind, id, due_at FROM objects WHERE clock = ? AND due_at <= ?"
            " ORDER BY due_at, seq LIMIT 1",
            identifier, target,
        ).fetchone()  # fmt: skip
        if row is None:
            return True
        if row == before:
            raise RuntimeError(f"{row[0]} {row[1]} is still due at {row[2]} after its work")
        due.perform(db, *row)
        before = row
    return False


def _arrive(db: Db, clock: Record, frozen_time: int, status: str) -> None:
    clock.update(frozen_time=frozen_time, status=status, status_details={})
    clock["_due_at"] = clock["deletes_after"]
    db.save(clock)
    events.emit(db, clock, f"{KIND}.{status}", now=db.wall)


def delete(db: Db, clock: Record) -> Record:
    """Delete a clock with its customers; their subscriptions are cancelled.

    :raise StripeError: 429 while it advances
    """
    check_still(clock)
    while found := _customers(db, clock):
        for customer in found:
            customers.delete(db, customer, now=clock["frozen_time"])
    events.emit(db, clock, f"{KIND}.deleted", now=db.wall)
    clock.update(deleted=True, status="deleted", _due_at=None)
    return db.save(clock)


def _customers(db: Db, clock: Record) -> list[Record]:
    rows = db.execute(
        "SELECT body FROM objects WHERE clock = ? AND kind = 'customer' AND status IS NULL"
        " LIMIT ?",
        clock["id"], _BATCH,
    ).fetchall()  # fmt: skip
    return [json.loads(row[0]) for row in rows]
