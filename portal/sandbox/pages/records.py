"""What the control room reads: pages of objects, events, deliveries and requests, newest first."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from portal.sandbox.store import Db, Record

Row = dict[str, Any]

PAGE = 50


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of rows and the cursor of the next page, if there is one."""

    rows: list[Row]
    older: int | None


def _listing(db: Db, sql: str, names: str, filters: dict[str, Any], before: int | None) -> Listing:
    """Run `sql` (with ``{where}`` in it) for the rows older than `before`."""
    clauses = [column for column, value in filters.items() if value]
    args = [value for value in filters.values() if value]
    if before is not None:
        clauses.append("x.seq < ?")
        args.append(before)
    where = " AND ".join(clauses) or "1 = 1"
    found = db.execute(sql.format(where=where), *args, PAGE + 1).fetchall()
    rows = [dict(zip(names.split(), row, strict=True)) for row in found]
    more = len(rows) > PAGE
    return Listing(rows[:PAGE], rows[PAGE - 1]["seq"] if more else None)


def objects(
    db: Db, *, kind: str | None, account: str | None, status: str | None, before: int | None
) -> Listing:
    """Return stored objects."""
    sql = (
        "SELECT x.seq, x.id, x.kind, x.account, x.status, x.customer, x.created, x.due_at, x.body"
        " FROM objects x WHERE {where} ORDER BY x.seq DESC LIMIT ?"
    )
    filters = {"x.kind = ?": kind, "x.account = ?": account, "x.status = ?": status}
    names = "seq id kind account status customer created due_at body"
    result = _listing(db, sql, names, filters, before)
    for row in result.rows:
        row["note"] = _note(json.loads(row.pop("body")))
    return result


def _note(record: Record) -> str:
    """Return what tells an object from its neighbours in a list."""
    for name in ("name", "email", "number", "display_name", "event_name", "url", "_card"):
        if record.get(name):
            return str(record[name])
    return str(record.get("billing_reason") or record.get("nickname") or "")


def kinds(db: Db, account: str | None) -> list[tuple[str, int]]:
    """Return how many objects there are of each kind."""
    rows = db.execute(
        "SELECT kind, count(*) FROM objects WHERE ? IS NULL OR account = ? GROUP BY kind"
        " ORDER BY kind",
        account, account,
    ).fetchall()  # fmt: skip
    return [(str(row[0]), int(row[1])) for row in rows]


def kind_of(db: Db, identifier: str) -> str | None:
    """Return the kind of the object `identifier`."""
    row = db.execute("SELECT kind FROM objects WHERE id = ?", identifier).fetchone()
    return str(row[0]) if row else None


def events(
    db: Db, *, type: str | None, account: str | None, subject: str | None, before: int | None
) -> Listing:
    """Return events with how their deliveries stand."""
    sql = (
        "SELECT x.seq, x.id, x.type, x.account, x.object_id, x.created,"
        " (SELECT count(*) FROM deliveries d WHERE d.event = x.id AND d.state = 'delivered'),"
        " (SELECT count(*) FROM deliveries d WHERE d.event = x.id"
        "  AND d.state IN ('new', 'pending')),"
        " (SELECT count(*) FROM deliveries d WHERE d.event = x.id AND d.state = 'failed')"
        " FROM events x WHERE {where} ORDER BY x.seq DESC LIMIT ?"
    )
    filters = {"x.type = ?": type, "x.account = ?": account, "x.object_id = ?": subject}
    names = "seq id type account object_id created delivered waiting failed"
    return _listing(db, sql, names, filters, before)


def event(db: Db, identifier: str) -> Record | None:
    """Return an event as it was frozen."""
    row = db.execute("SELECT body FROM events WHERE id = ?", identifier).fetchone()
    return json.loads(row[0]) if row else None


def deliveries(db: Db, event: str) -> list[Row]:
    """Return the deliveries of an event, oldest first, with the address they go to."""
    names = "id endpoint state attempts due_at duplicate http_status error finished_at"
    rows = db.execute(
        "SELECT id, endpoint, state, attempts, due_at, duplicate, http_status, error, finished_at"
        " FROM deliveries WHERE event = ? ORDER BY seq",
        event,
    ).fetchall()
    result = [dict(zip(names.split(), row, strict=True)) for row in rows]
    for row in result:
        endpoint = db.find("webhook_endpoint", row["endpoint"])
        row["url"] = endpoint["url"] if endpoint else "deleted endpoint"
        row["alive"] = endpoint is not None
    return result


def requests(db: Db, *, account: str | None, failed: bool, before: int | None) -> Listing:
    """Return logged API requests."""
    sql = (
        "SELECT x.seq, x.id, x.created, x.method, x.path, x.account, x.status, x.milliseconds,"
        " x.idempotency_key, x.error FROM requests x WHERE {where} ORDER BY x.seq DESC LIMIT ?"
    )
    filters: dict[str, Any] = {"x.account = ?": account, "x.status >= ?": 400 if failed else None}
    names = "seq id created method path account status milliseconds idempotency_key error"
    return _listing(db, sql, names, filters, before)


def due_next(db: Db) -> list[Row]:
    """Return the next five pieces of work that time will bring."""
    rows = db.execute(
        "SELECT id, kind, due_at FROM objects WHERE due_at IS NOT NULL ORDER BY due_at LIMIT 5"
    ).fetchall()
    return [{"id": row[0], "kind": row[1], "due_at": row[2]} for row in rows]


def totals(db: Db) -> dict[str, int]:
    """Return the figures of the overview."""
    counts = {
        "accounts": "SELECT count(*) FROM accounts",
        "objects": "SELECT count(*) FROM objects",
        "events": "SELECT count(*) FROM events",
        "waiting": "SELECT count(*) FROM deliveries WHERE state IN ('new', 'pending')",
        "failed": "SELECT count(*) FROM deliveries WHERE state = 'failed'",
        "requests": "SELECT count(*) FROM requests",
    }
    return {name: int(db.execute(sql).fetchone()[0]) for name, sql in counts.items()}
