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

    __slots__ = ("asked_at", "held", "plan", "read_at")

    def __init__(self, plan: PlanLimits, read_at: float, states: tuple[State, ...]) -> None:
        self.plan = plan
        self.read_at = self.asked_at = read_at
        #: The states, and until when they are believed. Both change at once.
        self.held = states, read_at + LOOK_SECONDS


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
        self._waiting: dict[int, PlanLimits] = {}
        self._retry_at = float("-inf")

    def look(self, subscription_id: int, plan: PlanLimits, now: datetime) -> tuple[State, ...]:
        """Return how each limit stood a moment ago, and which would refuse a call; count nothing.

        :raise sqlalchemy.exc.SQLAlchemyError: if the database is needed and does not answer
        """
        limits = quotas.limits_at(plan, now)
        arrived = self._tick()
        states = self._known(subscription_id, limits, arrived)
        if states is None:
            self._waiting[subscription_id] = plan
            # One at a time, who reads for all that wait then.
            with self._turn:
                states = self._known(subscription_id, limits, arrived)
                if states is None:
                    states = self._ask(subscription_id, plan, now)
        return states

    def _known(
        self, subscription_id: int, limits: tuple[Limit, ...], arrived: float
    ) -> tuple[State, ...] | None:
        seen = self._seen.get(subscription_id)
        if seen is None:
            return None
        seen.asked_at = now = self._tick()
        states, until = seen.held
        # A database that is slow may take longer than that; who waited for it need not again.
        is_new = now < until or seen.read_at >= arrived
        return states if is_new and _limits_of(states) == limits else None

    def _ask(self, subscription_id: int, plan: PlanLimits, now: datetime) -> tuple[State, ...]:
        began = self._tick()
        if began < self._retry_at:
            return self._as_it_was(subscription_id, plan, now)
        waiting, self._waiting = self._waiting, {}
        along = self._along(began)
        plans = {each: seen.plan for each, seen in along.items()}
        plans |= waiting.copy() | {subscription_id: plan}
        limits = {each: quotas.limits_at(plans[each], now) for each in plans}
        try:
            with self._reading() as connection:
                states = quotas.look_many(connection, limits)
        except SQLAlchemyError as error:
            log.warning("gateway_is_static", error=type(error).__name__)
            # A database that hangs is not asked by every call.
            self._retry_at = self._tick() + RETRY_SECONDS
            self._read.extendleft(reversed(along.items()))
            return self._as_it_was(subscription_id, plan, now)
        if len(self._seen) >= MOST:
            self._seen.clear()
        for each, its_plan in plans.items():
            seen = _Seen(its_plan, began, states[each])
            if each in along:
                seen.asked_at = along[each].asked_at
            self._seen[each] = seen
            self._read.append((each, seen))
        return states[subscription_id]

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
        self, subscription_id: int, plan: PlanLimits, now: datetime
    ) -> tuple[State, ...]:
        """Return what was read last, if that is not too old; a window that began since is empty.

        :raise sqlalchemy.exc.SQLAlchemyError: if it is too old, or nothing was read of this plan
        """
        seen = self._seen.get(subscription_id)
        if seen is None or seen.plan != plan or self._tick() - seen.read_at > STATIC_SECONDS:
            raise SQLAlchemyError("The database does not answer.")
        before = {state.limit: state for state in seen.held[0]}
        limits = quotas.limits_at(plan, now)
        states = tuple(before.get(limit) or State(limit=limit, used=0) for limit in limits)
        seen.held = states, self._retry_at
        return states


def _limits_of(states: tuple[State, ...]) -> tuple[Limit, ...]:
    return tuple(state.limit for state in states)
