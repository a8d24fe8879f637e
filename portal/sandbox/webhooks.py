"""Webhook delivery: from the table, signed afresh for every attempt, retried until it succeeds.

By default deliveries are delayed a little, overtake one another and are sometimes doubled, as
Stripe's are; orderly mode sends each endpoint its events one by one.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Mapping
from queue import SimpleQueue

import requests

from portal.sandbox import events, faults, ids, parcels
from portal.sandbox.clock import Clock
from portal.sandbox.faults import Fault
from portal.sandbox.parcels import Parcel
from portal.sandbox.settings import SandboxSettings
from portal.sandbox.store import Db, Record, Store

log = logging.getLogger(__name__)

# Seconds before the second, third, … attempt. Stripe's own schedule runs for up to three days.
BACKOFF = (1, 5, 25, 125, 625)
_TIMEOUT = (5, 10)
_DUPLICATES = 0.05
_WORKERS = 4

Transport = Callable[[str, Mapping[str, str], bytes], int]


class HttpTransport:
    """Posts over HTTP. A redirect is a failure, and proxies are not used."""

    def __init__(self) -> None:
        self._local = threading.local()

    def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """Return the status of the endpoint's answer.

        :raise requests.RequestException: when there is none
        """
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.trust_env = False
        answer = session.post(
            url, data=body, headers=dict(headers), timeout=_TIMEOUT, allow_redirects=False
        )
        return answer.status_code

    def close(self) -> None:
        """Close the connections of this thread."""
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is not None:
            session.close()


class Courier:
    """Sends what is queued. Several processes must not run it over one file."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        settings: SandboxSettings,
        transport: Transport | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._orderly = settings.orderly
        self._random = random.Random(settings.seed)  # noqa: S311 - shuffles, protects nothing
        self._transport = transport or HttpTransport()
        self._flying: set[str] = set()
        self._busy: set[str] = set()
        self._landed = threading.Condition()

    def admit(self) -> None:
        """Give every new delivery its moment, and double some of them."""
        now = self._clock.precise()
        with self._store.read() as db:
            waiting = db.execute("SELECT 1 FROM deliveries WHERE state = 'new' LIMIT 1").fetchone()
        if waiting is None:
            return
        with self._store.write() as db:
            rows = db.execute(
                "SELECT d.id, d.event, d.endpoint, e.type, e.account FROM deliveries d"
                " JOIN events e ON e.id = d.event WHERE d.state = 'new' ORDER BY d.seq"
            ).fetchall()
            for identifier, event, endpoint, type, account in rows:
                fault = faults.take(db, "webhook", type=type, endpoint=endpoint, account=account)
                self._schedule(db, (identifier, event, endpoint), fault, now)

    def _schedule(
        self, db: Db, delivery: tuple[str, str, str], fault: Fault | None, now: float
    ) -> None:
        identifier, event, endpoint = delivery
        kind = fault.kind if fault else ""
        if kind == "webhook_drop":
            _settle(db, identifier, state="dropped", due_at=0.0)
            return
        due = now if self._orderly else now + self._random.uniform(0.0, 0.4)
        due += fault.seconds if fault else 0.0
        _settle(db, identifier, state="pending", due_at=due)
        by_chance = not self._orderly and self._random.random() < _DUPLICATES
        if by_chance or kind == "webhook_duplicate":
            again = due + self._random.uniform(0.2, 1.0)
            twin = events.queue(db, event, endpoint, due_at=again)
            db.execute("UPDATE deliveries SET duplicate = 1 WHERE id = ?", twin)
        elif kind and kind != "webhook_delay":
            db.execute(
                "INSERT INTO delivery_faults (delivery, endpoint, kind) VALUES (?, ?, ?)",
                identifier, endpoint, kind,
            )  # fmt: skip

    def next_due(self) -> float | None:
        """Return when the next delivery is due."""
        with self._store.read() as db:
            row = db.execute(
                "SELECT min(due_at) FROM deliveries WHERE state = 'pending'"
            ).fetchone()
        return None if row[0] is None else float(row[0])

    def _due(self) -> list[tuple[str, str]]:
        with self._store.read() as db:
            rows = db.execute(
                "SELECT d.id, d.endpoint FROM deliveries d JOIN events e ON e.id = d.event"
                " WHERE d.state = 'pending' AND d.due_at <= ? ORDER BY e.seq, d.seq LIMIT 200",
                self._clock.precise(),
            ).fetchall()
        return [(str(row[0]), str(row[1])) for row in rows]

    def run_due(self) -> int:
        """Send everything that is due, one after the other; return how much there was.

        What the senders in the background have begun is waited for, and not sent beside them.
        """
        count = 0
        self.admit()
        for delivery, endpoint in self._due():
            with self._landed:
                self._landed.wait_for(lambda: self._may_fly(delivery, endpoint))  # noqa: B023
                self._start(delivery, endpoint)
            try:
                self.deliver(delivery)
            finally:
                self._land(delivery, endpoint)
            count += 1
        return count

    def _may_fly(self, delivery: str, endpoint: str) -> bool:
        return delivery not in self._flying and not (self._orderly and endpoint in self._busy)

    def _start(self, delivery: str, endpoint: str) -> None:
        self._flying.add(delivery)
        self._busy.add(endpoint)

    def _land(self, delivery: str, endpoint: str) -> None:
        with self._landed:
            self._flying.discard(delivery)
            self._busy.discard(endpoint)
            self._landed.notify_all()

    def dispatch(self, parcels: SimpleQueue[tuple[str, str] | None]) -> int:
        """Hand what is due to the senders; in orderly mode one attempt per endpoint at a time."""
        self.admit()
        started = 0
        for delivery, endpoint in self._due():
            with self._landed:
                if not self._may_fly(delivery, endpoint):
                    continue
                self._start(delivery, endpoint)
            parcels.put((delivery, endpoint))
            started += 1
        return started

    def _send_forever(self, parcels: SimpleQueue[tuple[str, str] | None]) -> None:
        while (parcel := parcels.get()) is not None:
            delivery, endpoint = parcel
            try:
                self.deliver(delivery)
            except Exception:
                log.exception("Delivery %s broke", delivery)
            self._land(delivery, endpoint)
            self._store.committed.set()

    def deliver(self, delivery: str) -> None:
        """Make one attempt and store how it ended."""
        with self._store.read() as db:
            # The list that named this delivery may be older than the end of its last attempt.
            row = db.execute(
                "SELECT 1 FROM deliveries WHERE id = ? AND state = 'pending' AND due_at <= ?",
                delivery,
                self._clock.precise(),
            ).fetchone()
            if row is None:
                return
            parcel = parcels.pack(db, delivery, now=self._clock.now())
        if parcel is None:
            with self._store.write() as db:
                _settle(db, delivery, state="dropped", due_at=0.0)
            return
        status: int | None = None
        error: str | None = None
        try:
            status = self._transport(parcel.url, parcel.headers, parcel.body)
        except requests.RequestException as failure:
            error = type(failure).__name__
        with self._store.write() as db:
            self._finish(db, parcel, status, error)

    def _finish(self, db: Db, parcel: Parcel, status: int | None, error: str | None) -> None:
        now, delivery = self._clock.precise(), parcel.delivery
        row = db.execute(
            "SELECT attempts, endpoint FROM deliveries WHERE id = ?", delivery
        ).fetchone()
        if row is None:
            return
        db.execute("DELETE FROM delivery_faults WHERE delivery = ?", delivery)
        attempts, state, due = int(row[0]) + 1, "pending", now
        if parcel.falsified in parcels.FALSIFIED:
            # It was not the event: that one still has to arrive, whatever was answered.
            attempts, due, error = attempts - 1, now + BACKOFF[0], f"sent {parcel.falsified}"
        elif status is not None and 200 <= status < 300:
            state = "delivered"
            _release(db, row[1], now=now)
        elif attempts > len(BACKOFF):
            state = "failed"
        else:
            due = now + BACKOFF[attempts - 1]
        db.execute(
            "UPDATE deliveries SET state = ?, due_at = ?, attempts = ?, http_status = ?,"
            " error = ?, finished_at = ? WHERE id = ?",
            state, due, attempts, status, error, now, delivery,
        )  # fmt: skip

    def run_forever(self, stop: threading.Event) -> None:
        """Send until `stop` is set; attempts that have begun are finished."""
        parcels: SimpleQueue[tuple[str, str] | None] = SimpleQueue()
        senders = [
            threading.Thread(target=self._send_forever, args=(parcels,), name=name, daemon=True)
            for name in (f"webhook-{number}" for number in range(_WORKERS))
        ]
        for sender in senders:
            sender.start()
        while not stop.is_set():
            self._store.committed.clear()
            try:
                self.dispatch(parcels)
            except Exception:
                log.exception("Could not dispatch webhooks")
            due = self.next_due()
            wait = 0.5 if due is None else min(0.5, max(0.05, due - self._clock.precise()))
            self._store.committed.wait(wait)
        for _ in senders:
            parcels.put(None)
        for sender in senders:
            sender.join(timeout=_TIMEOUT[1])


def _settle(db: Db, delivery: str, *, state: str, due_at: float) -> None:
    db.execute("UPDATE deliveries SET state = ?, due_at = ? WHERE id = ?", state, due_at, delivery)


def _release(db: Db, endpoint: str, *, now: float) -> None:
    """Let what was held back follow the delivery that has just overtaken it."""
    db.execute(
        "UPDATE deliveries SET due_at = min(due_at, ?) WHERE state = 'pending' AND id IN"
        " (SELECT delivery FROM delivery_faults WHERE endpoint = ? AND kind = 'webhook_reorder')",
        now, endpoint,
    )  # fmt: skip


def resend(db: Db, event: str, endpoint: str, *, now: float) -> str:
    """Queue an event once more for one endpoint; return the delivery's id."""
    return events.queue(db, event, endpoint, due_at=now)


def roll(db: Db, endpoint: Record, *, now: int, keep: int = 0) -> str:
    """Give an endpoint a new secret; the old ones stay valid `keep` seconds longer."""
    secret = ids.webhook_secret()
    for entry in endpoint["_secrets"]:
        entry["until"] = min(entry["until"] or now + keep, now + keep)
    endpoint["_secrets"].insert(0, {"secret": secret, "until": None})
    db.save(endpoint)
    return secret
