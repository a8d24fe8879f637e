"""Counting meter events. They belong to (meter, customer), never to a subscription."""

from __future__ import annotations

from portal.sandbox.store import Db, Record

_FORMULAS = {
    "sum": "SELECT coalesce(sum(value), 0)",
    "count": "SELECT count(*)",
    "last": "SELECT coalesce((SELECT value",
}
_MATCH = (
    " FROM meter_events WHERE meter = ? AND customer = ? AND timestamp >= ? AND timestamp < ?"
    " AND canceled = 0 AND counts_at <= ?"
)


def quantity(db: Db, meter: Record, customer: str, start: int, end: int) -> int:
    """Return what `meter` counted for `customer` from `start` up to, not including, `end`.

    Events that are still on their way (the configured lag, in real time) are not counted yet.
    """
    formula = meter["default_aggregation"]["formula"]
    sql = _FORMULAS[formula] + _MATCH
    if formula == "last":
        sql += " ORDER BY timestamp DESC, seq DESC LIMIT 1), 0)"
    row = db.execute(sql, meter["id"], customer, start, end, db.wall).fetchone()
    return int(row[0])


def counted_at(db: Db, account: str, customer: str, second: int) -> bool:
    """Whether anything was used in this very second."""
    sql = "SELECT 1 FROM meter_events WHERE account = ? AND customer = ? AND timestamp = ?"
    return db.execute(sql, account, customer, second).fetchone() is not None
