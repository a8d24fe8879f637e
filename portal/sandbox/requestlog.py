"""The log of API requests, each under the `req_` id that its answer carried."""

from __future__ import annotations

import threading
from dataclasses import astuple, dataclass
from typing import Any

from portal.sandbox.store import Store

_KEPT = 5000
_COLUMNS = (
    "id, created, method, path, account, status, milliseconds, idempotency_key, params, error"
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One answered request. `params` is the decoded form without secrets, as JSON."""

    id: str
    created: int
    method: str
    path: str
    account: str | None
    status: int
    milliseconds: int
    idempotency_key: str | None
    params: str | None
    error: str | None


class RequestLog:
    """Collects entries in memory and writes them in one transaction per flush.

    A request must not wait for a second commit just to be logged.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[Entry] = []
        self._lock = threading.Lock()

    def add(self, entry: Entry) -> None:
        """Remember one request."""
        with self._lock:
            self._waiting.append(entry)

    def flush(self) -> None:
        """Write what was collected, and forget the oldest entries beyond the newest 5,000."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        marks = ", ".join("?" * 10)
        with self._store.write() as db:
            db.connection.executemany(
                f"INSERT OR IGNORE INTO requests ({_COLUMNS}) VALUES ({marks})",  # noqa: S608
                [astuple(entry) for entry in waiting],
            )
            db.execute(
                "DELETE FROM requests WHERE seq <= (SELECT max(seq) FROM requests) - ?", _KEPT
            )

    def latest(self, limit: int = 100, account: str | None = None) -> list[dict[str, Any]]:
        """Return the newest entries first."""
        self.flush()
        with self._store.read() as db:
            rows = db.execute(
                f"SELECT {_COLUMNS} FROM requests WHERE ? IS NULL OR account = ?"  # noqa: S608
                " ORDER BY seq DESC LIMIT ?",
                account, account, limit,
            ).fetchall()  # fmt: skip
        names = _COLUMNS.split(", ")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def find(self, identifier: str) -> dict[str, Any] | None:
        """Return the entry of one `req_` id."""
        self.flush()
        with self._store.read() as db:
            row = db.execute(
                f"SELECT {_COLUMNS} FROM requests WHERE id = ?",  # noqa: S608
                identifier,
            ).fetchone()
        return dict(zip(_COLUMNS.split(", "), row, strict=True)) if row else None
