"""Work that becomes due with time: renewals, finalization, retries, expiry."""

from __future__ import annotations

import logging

from portal.sandbox.engine import advancing, clocks, due, meter_errors
from portal.sandbox.store import Store

log = logging.getLogger(__name__)

_POSTPONE = 60


def run_due(store: Store, now: int, *, limit: int = 1000, careful: bool = False) -> int:
    """Do up to `limit` pieces of due work in the order of their moments; return how many.

    Each is a transaction of its own and is told that it is the moment at which it was due; one
    batch of a test clock's advance is such a piece. With `careful` a piece that breaks is logged
    and postponed, so that it doesn't hold up the rest.
    """
    done = meter_errors.report_due(store, now)
    while done < limit:
        with store.read() as db:
            row = db.execute(
                "SELECT id FROM objects WHERE clock IS NULL AND due_at <= ?"
                " ORDER BY due_at, seq LIMIT 1",
                now,
            ).fetchone()
        if row is None:
            break
        try:
            _do(store, row[0], now)
        except Exception:
            if not careful:
                raise
            log.exception("Due work on %s broke; it is tried again in a minute", row[0])
            with store.write() as db:
                db.execute("UPDATE objects SET due_at = ? WHERE id = ?", now + _POSTPONE, row[0])
        done += 1
    return done


def _do(store: Store, identifier: str, now: int) -> None:
    with store.write() as db:
        row = db.execute(
            "SELECT kind, due_at FROM objects WHERE id = ? AND due_at <= ?", identifier, now
        ).fetchone()
        if row is None:
            return
        if row[0] != clocks.KIND:
            due.perform(db, row[0], identifier, int(row[1]))
        elif (clock := db.find(clocks.KIND, identifier)) is not None:
            advancing.work(db, clock)
