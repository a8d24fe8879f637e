"""The sandbox's storage: one SQLite file, written by one transaction at a time.

An answer leaves the process after its commit (`synchronous=FULL`), so a crash loses nothing that
anybody was told. Keys of a document that begin with an underscore are the sandbox's own and are
never rendered.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portal.sandbox.clock import Clock, RealClock
from portal.sandbox.schema import SCHEMA, TABLES

Record = dict[str, Any]
Filter = tuple[str, Any]


@dataclass(slots=True)
class Cause:
    """What an event names as its cause: the API request, or nothing for the sandbox's own work."""

    request: str | None = None
    idempotency_key: str | None = None


@dataclass(slots=True)
class Page:
    """One page of a listing and whether more follow."""

    records: list[Record]
    has_more: bool


@dataclass(slots=True)
class Db:
    """An open transaction; `wall` is the sandbox's present second, whatever a test clock says."""

    connection: sqlite3.Connection
    base_url: str
    meter_lag: int = 0
    cause: Cause = field(default_factory=Cause)
    strict: bool = False
    wall: int = 0
    writes: bool = False

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        """Run one statement."""
        return self.connection.execute(sql, args)

    def get(self, kind: str, account: str, identifier: str) -> Record | None:
        """Return the object `identifier` of `kind` if it lives on `account`."""
        row = self.execute(
            "SELECT body FROM objects WHERE id = ? AND kind = ? AND account = ?",
            identifier, kind, account,
        ).fetchone()  # fmt: skip
        return json.loads(row[0]) if row else None

    def find(self, kind: str, identifier: str) -> Record | None:
        """Return the object `identifier` of `kind` on whichever account it lives."""
        row = self.execute(
            "SELECT body FROM objects WHERE id = ? AND kind = ?", identifier, kind
        ).fetchone()
        return json.loads(row[0]) if row else None

    def need(self, kind: str, account: str, identifier: str) -> Record:
        """Return an object that the sandbox itself refers to.

        :raise LookupError: when it is missing, which is an error of the sandbox
        """
        record = self.get(kind, account, identifier)
        if record is None:
            raise LookupError(f"{kind} {identifier} is referred to but missing")
        return record

    def by_lookup(self, kind: str, account: str, lookup: str) -> Record | None:
        """Return the object whose unique text (lookup key, event name, page token) is `lookup`."""
        row = self.execute(
            "SELECT body FROM objects WHERE account = ? AND kind = ? AND lookup = ?",
            account, kind, lookup,
        ).fetchone()  # fmt: skip
        return json.loads(row[0]) if row else None

    def by_token(self, kind: str, token: str) -> Record | None:
        """Return the object of `kind` with a unique text, whichever account it lives on."""
        row = self.execute(
            "SELECT body FROM objects WHERE lookup = ? AND kind = ?", token, kind
        ).fetchone()
        return json.loads(row[0]) if row else None

    def insert(self, record: Record) -> Record:
        """Store a new object and return it."""
        self.execute(
            "INSERT INTO objects (customer, subscription, parent, status, lookup, clock, due_at,"
            " body, id, account, kind, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *_columns(record), record["id"], record["_account"], record["object"],
            record["created"],
        )  # fmt: skip
        return record

    def save(self, record: Record) -> Record:
        """Store the changes of an object and return it."""
        self.execute(
            "UPDATE objects SET customer = ?, subscription = ?, parent = ?, status = ?,"
            " lookup = ?, clock = ?, due_at = ?, body = ? WHERE id = ? AND account = ?",
            *_columns(record), record["id"], record["_account"],
        )  # fmt: skip
        return record

    def delete(self, record: Record) -> None:
        """Remove an object."""
        self.execute(
            "DELETE FROM objects WHERE id = ? AND account = ?", record["id"], record["_account"]
        )

    def select(self, kind: str, account: str, *filters: Filter) -> list[Record]:
        """Return all objects of `kind` on `account` that pass `filters`, oldest first."""
        where, args = _where(kind, account, filters)
        rows = self.execute(f"SELECT body FROM objects WHERE {where} ORDER BY seq", *args)  # noqa: S608
        return [json.loads(row[0]) for row in rows]

    def position(self, kind: str, account: str, identifier: str) -> int | None:
        """Return where an object stands in its listing, for cursors."""
        row = self.execute(
            "SELECT seq FROM objects WHERE id = ? AND kind = ? AND account = ?",
            identifier, kind, account,
        ).fetchone()  # fmt: skip
        return int(row[0]) if row else None

    def page(
        self, kind: str, account: str, filters: list[Filter], limit: int, *, backwards: bool = False
    ) -> Page:
        """Return up to `limit` objects, newest first; `backwards` reads from the oldest end."""
        where, args = _where(kind, account, filters)
        order = "ASC" if backwards else "DESC"
        rows = self.execute(
            f"SELECT body FROM objects WHERE {where} ORDER BY seq {order} LIMIT ?",  # noqa: S608
            *args,
            limit + 1,
        ).fetchall()
        records = [json.loads(row[0]) for row in rows[:limit]]
        return Page(records[::-1] if backwards else records, len(rows) > limit)


def _where(kind: str, account: str, filters: Any) -> tuple[str, list[Any]]:
    clauses, args = ["account = ?", "kind = ?"], [account, kind]
    for clause, value in filters:
        clauses.append(clause)
        if "?" in clause:
            args.extend(value if isinstance(value, (list, tuple)) else [value])
    return " AND ".join(clauses), args


def _columns(record: Record) -> tuple[Any, ...]:
    return (
        record.get("customer"),
        record.get("subscription"),
        record.get("_parent"),
        record.get("status"),
        record.get("_lookup"),
        record.get("_clock"),
        record.get("_due_at"),
        json.dumps(record, separators=(",", ":")),
    )


class Store:
    """The file. `write` transactions run one after the other; `read` ones beside them."""

    def __init__(
        self,
        path: str,
        *,
        base_url: str = "",
        meter_lag: int = 0,
        strict: bool = False,
        clock: Clock | None = None,
    ) -> None:
        """Open `path` and create the tables it lacks; `strict` checks every event's payload."""
        self.path = path
        self._clock = clock or RealClock()
        self.strict = strict
        self.base_url = base_url
        self.meter_lag = meter_lag
        self.committed = threading.Event()
        self._write_lock = threading.RLock()
        self._pool: list[sqlite3.Connection] = []
        self._pool_lock = threading.Lock()
        self._writer = self._connect()
        self._writer.executescript(SCHEMA)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=15, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        return connection

    @contextmanager
    def write(self, cause: Cause | None = None) -> Iterator[Db]:
        """Open a transaction; it is committed at the end, or undone if an exception leaves it."""
        with self._write_lock:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield Db(
                    self._writer,
                    self.base_url,
                    self.meter_lag,
                    cause or Cause(),
                    self.strict,
                    self._clock.now(),
                    writes=True,
                )
            except BaseException:
                self._writer.execute("ROLLBACK")
                raise
            self._writer.execute("COMMIT")
        self.committed.set()

    @contextmanager
    def read(self) -> Iterator[Db]:
        """Open a transaction that sees one state of the file and changes nothing."""
        with self._pool_lock:
            connection = self._pool.pop() if self._pool else None
        connection = connection or self._connect()
        connection.execute("BEGIN")
        try:
            yield Db(connection, self.base_url, self.meter_lag, wall=self._clock.now())
        finally:
            connection.execute("ROLLBACK")
            with self._pool_lock:
                self._pool.append(connection)

    def copy_to(self, path: Path) -> None:
        """Write one consistent state of the file to `path`, which must not exist yet."""
        with closing(self._connect()) as connection:
            connection.execute("VACUUM INTO ?", (str(path),))

    def reset(self) -> None:
        """Empty every table."""
        with self.write() as db:
            for table in TABLES:
                db.execute(f"DELETE FROM {table}")  # noqa: S608

    def close(self) -> None:
        """Close the file."""
        with self._write_lock, self._pool_lock:
            self._writer.close()
            for connection in self._pool:
                connection.close()
            self._pool.clear()
