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

#: How old a count may be, and from when it is read along with others.
LOOK_SECONDS, ALONG_SECONDS = 0.5, 0.25
#: Who was asked for within this time is read along. A gateway that keeps decisions for a second
#: asks once in it, and any of the workers.
ASKED_SECONDS = 5.0
#: How many subscriptions are read along, and how many are remembered.
TOGETHER, MOST = 500, 50_000

Opening = Callable[[], AbstractContextManager[Connection]]


class _Seen:
    """How the limits of a subscription stood when they were read."""

    __slots__ = ("asked_at", "limits", "plan", "read_at", "states", "until")

    def __init__(
        self, plan: PlanLimits, limits: tuple[Limit, ...], states: tuple[State, ...], read_at: float
    ) -> None:
        self.plan = plan
        self.limits = limits
        self.states = states
        self.read_at = self.asked_at = read_at
        self.until = read_at + LOOK_SECONDS


class Looks:
    """What one process has seen of limits; any number of threads may ask at once.

    :param reading: opens a connection
    """

    def __init__(self, reading: Opening, tick: Callable[[], float] = time.monotonic) -> None:
        self._reading = reading
        self._tick = tick
        self._seen: dict[int, _Seen] = {}
        #: Those that may be read along, the one that was read first in front; each once.
        self._read: deque[tuple[int, _Seen]] = deque()
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
                    found = self._ask(subscription_id, plan, now)
        return found.states

    def _known(self, subscription_id: int, limits: tuple[Limit, ...]) -> _Seen | None:
        seen = self._seen.get(subscription_id)
        if seen is None:
            return None
        seen.asked_at = now = self._tick()
        return seen if now < seen.until and seen.limits == limits else None

    def _ask(self, subscription_id: int, plan: PlanLimits, now: datetime) -> _Seen:
        began = self._tick()
        along = self._along(began)
        plans = {each: seen.plan for each, seen in along.items()} | {subscription_id: plan}
        limits = {each: quotas.limits_at(plans[each], now) for each in plans}
        try:
            with self._reading() as connection:
                states = quotas.look_many(connection, limits)
        except SQLAlchemyError as error:
            return self._as_it_was(subscription_id, plan, limits[subscription_id], error)
        if len(self._seen) >= MOST:
            self._seen.clear()
        for each, its_plan in plans.items():
            seen = _Seen(its_plan, limits[each], states[each], began)
            if each in along:
                seen.asked_at = along[each].asked_at
            self._seen[each] = seen
            self._read.append((each, seen))
        return self._seen[subscription_id]

    def _along(self, now: float) -> dict[int, _Seen]:
        """Take out who is read along now: who was asked for lately, and was read a while ago."""
        found: dict[int, _Seen] = {}
        while self._read and len(found) < TOGETHER:
            each, seen = self._read[0]
            if now - seen.read_at < ALONG_SECONDS:
                break
            self._read.popleft()
            if self._seen.get(each) is seen and now - seen.asked_at <= ASKED_SECONDS:
                found[each] = seen
        return found

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
        states = tuple(before.get(limit) or State(limit=limit, used=0) for limit in limits)
        seen = _Seen(plan, limits, states, last.read_at)
        # A database that hangs is not asked by every call.
        seen.until = now + RETRY_SECONDS
        self._seen[subscription_id] = seen
        return seen
