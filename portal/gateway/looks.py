"""How limits stand, where calls are only let through or refused and counted later from a log.

A process remembers for half a second what it has read. Counts that many callers ask for are read
together, so that what this costs does not grow with the number of callers. While the database is
away, what was read last holds for as long as all else that the process remembers.
"""

import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from threading import Lock

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from portal.gateway.known import RETRY_SECONDS, STATIC_SECONDS
from portal.services import quotas
from portal.services.quotas import Limit, PlanLimits, State

log = structlog.get_logger()

#: How old a count may be, and from when it is read along with others, if it was asked for.
LOOK_SECONDS, ALONG_SECONDS = 0.5, 0.25
#: How many subscriptions are read along, and how many are remembered.
TOGETHER, MOST = 500, 50_000

Opening = Callable[[], AbstractContextManager[Connection]]


class _Seen:
    """How the limits of a subscription stood when they were read."""

    __slots__ = ("asked", "limits", "plan", "read_at", "states", "until")

    def __init__(self, plan: PlanLimits, limits: tuple[Limit, ...], read_at: float) -> None:
        self.plan = plan
        self.limits = limits
        self.read_at = read_at
        self.until = read_at + LOOK_SECONDS
        self.states: tuple[State, ...] = ()
        self.asked = False


class Looks:
    """What one process has seen of limits; any number of threads may ask at once.

    :param reading: opens a connection
    """

    def __init__(self, reading: Opening, tick: Callable[[], float] = time.monotonic) -> None:
        self._reading = reading
        self._tick = tick
        self._seen: dict[int, _Seen] = {}
        #: Those asked for since they were read, the longest ago first; each once.
        self._again: deque[tuple[int, _Seen]] = deque()
        self._turn = Lock()

    def look(self, subscription_id: int, plan: PlanLimits, now: datetime) -> tuple[State, ...]:
        """Return how each limit stood a moment ago, and which would refuse a call; count nothing.

        :raise sqlalchemy.exc.SQLAlchemyError: if the database is needed and does not answer
        """
        limits = quotas.limits_at(plan, now)
        found = self._known(subscription_id, limits)
        if found is None:
            # One at a time: the first reads for those who wait, too.
            with self._turn:
                found = self._known(subscription_id, limits)
                if found is None:
                    found = self._read(subscription_id, plan, now)
        return found.states

    def _known(self, subscription_id: int, limits: tuple[Limit, ...]) -> _Seen | None:
        seen = self._seen.get(subscription_id)
        if seen is None or seen.until <= self._tick() or seen.limits != limits:
            return None
        if not seen.asked:
            seen.asked = True
            self._again.append((subscription_id, seen))
        return seen

    def _read(self, subscription_id: int, plan: PlanLimits, now: datetime) -> _Seen:
        began = self._tick()
        asked = {subscription_id: plan} | self._due(began)
        limits = {each: quotas.limits_at(asked[each], now) for each in asked}
        try:
            with self._reading() as connection:
                states = quotas.look_many(connection, limits)
        except SQLAlchemyError as error:
            return self._as_it_was(subscription_id, plan, limits[subscription_id], error)
        if len(self._seen) >= MOST:
            self._seen.clear()
        for each, plan_of_it in asked.items():
            seen = _Seen(plan_of_it, limits[each], began)
            seen.states = states[each]
            self._seen[each] = seen
        return self._seen[subscription_id]

    def _due(self, now: float) -> dict[int, PlanLimits]:
        """Take out who was asked for and is read along now."""
        due: dict[int, PlanLimits] = {}
        while self._again and len(due) < TOGETHER:
            each, seen = self._again[0]
            if now - seen.read_at < ALONG_SECONDS:
                break
            self._again.popleft()
            if self._seen.get(each) is seen:
                due[each] = seen.plan
        return due

    def _as_it_was(
        self,
        subscription_id: int,
        plan: PlanLimits,
        limits: tuple[Limit, ...],
        error: SQLAlchemyError,
    ) -> _Seen:
        """Return what was read last, if that is not too old; a window that began since is empty."""
        last = self._seen.get(subscription_id)
        now = self._tick()
        if last is None or last.plan != plan or now - last.read_at > STATIC_SECONDS:
            raise error
        log.warning("gateway_is_static", error=type(error).__name__)
        before = {state.limit: state for state in last.states}
        seen = _Seen(plan, limits, last.read_at)
        seen.states = tuple(before.get(limit) or State(limit=limit, used=0) for limit in limits)
        # A database that hangs is not asked by every call.
        seen.until = now + RETRY_SECONDS
        self._seen[subscription_id] = seen
        return seen
