"""What a gateway process remembers of keys, and how it hears that something has changed.

A call is decided from memory. Before that, the process makes sure that it has asked the database
for changes within the last quarter of a second: for one number that every change of an API, an
application, a key, a token or a plan raises, and for the subscriptions that were written lately.
While the database is away, what is remembered holds for a minute; nothing new is let in.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Any, NamedTuple

import structlog
from sqlalchemy import Connection, Engine, Table, select
from sqlalchemy.exc import SQLAlchemyError

from portal.gateway import lookup
from portal.gateway.lookup import Found
from portal.models import GatewayRevision, Subscription
from portal.models.types import database_epoch
from portal.web import changes

log = structlog.get_logger()

#: How old the knowledge of changes may be before somebody has to ask, and before all have to wait.
ASK_AFTER, WAIT_AFTER = 0.25, 0.6
#: For how long what is remembered holds while the database does not answer.
STATIC_SECONDS = 60.0
RETRY_SECONDS = 0.5
#: A transaction that changes a subscription is seen if it took no longer than this.
LOOK_BACK = 60
#: For how long it is remembered that something is *not* there; grants may take a moment.
NOTHING_SECONDS = 1.0
MOST, MOST_OF_NOTHING = 100_000, 10_000

_revision: Table = GatewayRevision.__table__  # type: ignore[assignment]
_subscription: Table = Subscription.__table__  # type: ignore[assignment]
_NUMBER = select(_revision.c.number).where(_revision.c.id == changes.REVISION)
_CHANGED = select(
    _subscription.c.subscription_id, _subscription.c.application_id, _subscription.c.revision
).where(_subscription.c.changed_at >= database_epoch() - LOOK_BACK)


class Asked(NamedTuple):
    """A key or token, as its SHA-256, at the address of an API."""

    key_hash: str
    domain: str
    context: str
    version: str


@dataclass(slots=True)
class _Nothing:
    """That a key is unknown, or leads to no living subscription, as it was a moment ago."""

    found: Found | None
    until: float


class Known:
    """The memory of one process; every method may be called by many threads at once."""

    def __init__(self, engine: Engine, tick: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._tick = tick
        self._asking = Lock()
        self._keeping = Lock()
        self._retry_at = float("-inf")
        self._asked_at = float("-inf")
        self._local = -1
        self._number: int | None = None
        self.generation = 0
        """Raised whenever everything was forgotten."""
        self._kept: dict[Asked, Found] = {}
        self._of_application: dict[int, set[Asked]] = {}
        self._nothing: dict[Asked, _Nothing] = {}

    def find(self, asked: Asked, now: datetime) -> Found | None:
        """Return what a key leads to, as it was at most a second ago.

        :raise sqlalchemy.exc.SQLAlchemyError: if the database is needed and does not answer
        """
        self.refresh()
        found = self._kept.get(asked)
        if found is None:
            nothing = self._nothing.get(asked)
            if nothing is not None and nothing.until > self._tick():
                return nothing.found
            found = self._ask(asked, now)
        return found if found is not None and found.works_at(now) else None

    def refresh(self) -> None:
        """Hear of changes, unless that was done within the last quarter of a second.

        :raise sqlalchemy.exc.SQLAlchemyError: if the database has been away for too long
        """
        local = changes.local_number()
        now = self._tick()
        age = now - self._asked_at
        if (age < ASK_AFTER and local == self._local) or now < self._retry_at:
            return
        has_to_wait = age >= WAIT_AFTER or local != self._local
        if not self._asking.acquire(blocking=has_to_wait):
            return
        try:
            now = self._tick()
            is_old = now - self._asked_at >= ASK_AFTER or local != self._local
            # Who waited while the database hung does not ask it in turn.
            if is_old and now >= self._retry_at:
                self._hear(local)
        finally:
            self._asking.release()

    def _hear(self, local: int) -> None:
        began = self._tick()
        try:
            with self._engine.connect() as connection:
                number = connection.scalar(_NUMBER) or 0
                changed = connection.execute(_CHANGED).all()
        except SQLAlchemyError as error:
            if began - self._asked_at > STATIC_SECONDS:
                raise
            # A database that hangs is not asked by every call.
            self._retry_at = self._tick() + RETRY_SECONDS
            log.warning("gateway_is_static", error=type(error).__name__)
            return
        with self._keeping:
            if number != self._number:
                self.forget()
            elif local != self._local:
                self._nothing.clear()
            for row in changed:
                self._drop(row)
            self._number, self._asked_at, self._local = number, began, local

    def forget(self) -> None:
        """Forget everything."""
        self.generation += 1
        self._kept.clear()
        self._of_application.clear()
        self._nothing.clear()

    def _drop(self, row: Any) -> None:
        """Forget what a changed subscription's application may do, unless that is known already."""
        for asked in tuple(self._of_application.get(row.application_id, ())):
            found = self._kept.get(asked)
            if found is None or found.subscriber is None:
                continue
            known = found.subscriber
            same = known.subscription_id == row.subscription_id
            if (same and known.revision < row.revision) or (
                row.subscription_id > known.subscription_id
            ):
                self._kept.pop(asked, None)

    def _ask(self, asked: Asked, now: datetime) -> Found | None:
        number = self._number
        began = self._tick()
        with self._engine.connect() as connection:
            found = _find(connection, asked, now)
        with self._keeping:
            if found is None or found.subscriber is None:
                self._keep_nothing(asked, found, began)
            elif number == self._number:
                # Otherwise something changed while the database was asked.
                self._keep(asked, found)
        return found

    def _keep(self, asked: Asked, found: Found) -> None:
        if len(self._kept) >= MOST:
            self.forget()
        self._kept[asked] = found
        self._of_application.setdefault(found.application_id, set()).add(asked)

    def _keep_nothing(self, asked: Asked, found: Found | None, began: float) -> None:
        while len(self._nothing) >= MOST_OF_NOTHING:
            self._nothing.pop(next(iter(self._nothing), asked), None)
        self._nothing[asked] = _Nothing(found, began + NOTHING_SECONDS)


def _find(connection: Connection, asked: Asked, now: datetime) -> Found | None:
    return lookup.find(connection, asked.key_hash, asked.domain, asked.context, asked.version, now)
