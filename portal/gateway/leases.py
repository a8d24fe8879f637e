"""How much of a limit a process may hand out without asking the database.

The count that all processes share stands in the database. A process takes some units of it at a
time and hands them out; what it does not need it gives back within a second. Units are counted
when they are taken, so all processes together never pass a limit; they may stop short of it by
what others hold, which :data:`SHARE` bounds.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from threading import Lock

from sqlalchemy import Connection

from portal import clock
from portal.services import quotas
from portal.services.quotas import Kind, Limit, State

#: Which part of a limit one lease may be. Below 100 (quota) or 10 (burst) units it is one unit.
SHARE = {Kind.QUOTA: 100, Kind.BURST: 10}
LARGEST = 1000
#: A lease that lasted less than this is too small, one that lasted longer than that too large.
TOO_SHORT, TOO_LONG = 0.1, 1.0
#: Units that nobody asked for in this time are given back.
IDLE_SECONDS = 0.5
#: Which part of a limit is a crumb: a lease is never smaller, and so few units may be kept for
#: longer. Below 200,000 units a crumb is one unit.
CRUMB, CRUMB_SECONDS = 100_000, 10.0
#: For how long a limit that is used up is believed to be so.
BELIEVE_SECONDS = 0.2
MOST = 50_000

Opening = Callable[[], AbstractContextManager[Connection]]


class _Lease:
    """What this process holds of one limit of one subscription."""

    __slots__ = ("asked_at", "empty_at", "left", "limit", "lock", "size", "taken_at", "used")

    def __init__(self, limit: Limit) -> None:
        self.lock = Lock()
        self.size = 1
        self.asked_at = 0.0
        self.reset(limit)

    def reset(self, limit: Limit) -> None:
        self.limit = limit
        self.left = 0
        self.used = 0
        self.taken_at = self.empty_at = float("-inf")

    def state(self, *, refused: bool = False) -> State:
        return State(limit=self.limit, used=self.used - self.left, refused=refused)


class Leases:
    """The leases of one process; every method may be called by many threads at once.

    :param writing: opens a transaction that writes, and commits it
    """

    def __init__(self, writing: Opening, tick: Callable[[], float] = time.monotonic) -> None:
        self._writing = writing
        self._tick = tick
        self._held: dict[tuple[int, str], _Lease] = {}
        self._adding = Lock()

    def admit(self, subscription_id: int, limits: tuple[Limit, ...]) -> tuple[State, ...]:
        """Count one call against every limit, and return how each stands afterwards.

        The last state is ``refused`` where a limit is reached; the call then uses up no other.
        A limit in bytes is only looked at; :meth:`weigh` counts them when they are known.

        :raise sqlalchemy.exc.SQLAlchemyError: if more is needed and the database does not answer
        """
        states: list[State] = []
        handed: list[_Lease] = []
        for limit in limits:
            lease = self._lease(subscription_id, limit)
            with lease.lock:
                state = self._hand_out(subscription_id, lease, limit)
            states.append(state)
            if state.refused:
                for other in handed:
                    _put_back(other)
                break
            if not limit.in_bytes:
                handed.append(lease)
        return tuple(states)

    def _lease(self, subscription_id: int, limit: Limit) -> _Lease:
        place = (subscription_id, limit.kind)
        lease = self._held.get(place)
        if lease is not None:
            return lease
        with self._adding:
            if len(self._held) >= MOST:
                self._forget_some()
            return self._held.setdefault(place, _Lease(limit))

    def _hand_out(self, subscription_id: int, lease: _Lease, limit: Limit) -> State:
        now = self._tick()
        if lease.limit != limit:
            # Of a window that is over, what was left is nothing now.
            if lease.limit.start == limit.start:
                self._settle(subscription_id, lease)
            lease.reset(limit)
        lease.asked_at = now
        if lease.left < 1 and now - lease.empty_at > BELIEVE_SECONDS:
            self._take(subscription_id, lease, now)
        if lease.left < 1 and limit.stops:
            return lease.state(refused=True)
        if not limit.in_bytes:
            lease.left -= 1
        return lease.state()

    def _take(self, subscription_id: int, lease: _Lease, now: float) -> None:
        limit = lease.limit
        lasted = now - lease.taken_at
        if lasted < TOO_SHORT:
            lease.size *= 2
        elif lasted > TOO_LONG:
            lease.size = 1
        lease.size = max(lease.size, limit.amount // CRUMB)
        most = max(1, limit.amount // SHARE[limit.kind]) if limit.stops else LARGEST
        lease.size = min(lease.size, most, LARGEST)
        wanted = most if limit.in_bytes else lease.size
        with self._writing() as connection:
            granted, used = quotas.take(connection, subscription_id, limit, wanted)
        lease.left += granted
        lease.used = used
        lease.taken_at = now
        lease.empty_at = now if granted < 1 else float("-inf")

    def weigh(self, subscription_id: int, limit: Limit, size: int) -> None:
        """Count the bytes of a call that has been answered, whether or not the limit is passed."""
        lease = self._lease(subscription_id, limit)
        with lease.lock:
            if lease.limit == limit:
                lease.left -= size
                if lease.left >= 0:
                    return
                size, lease.left = -lease.left, 0
                lease.used += size
            with self._writing() as connection:
                quotas.add(connection, subscription_id, limit, size)

    def give_back(self, *, everything: bool = False) -> int:
        """Give back what nobody has asked for lately; return how many leases that were.

        :param everything: also what is in use, because this process ends
        """
        now, moment = self._tick(), clock.epoch(clock.now())
        back: list[tuple[int, Limit, int]] = []
        for (subscription_id, _), lease in tuple(self._held.items()):
            if not everything and not _is_idle(lease, now):
                continue
            with lease.lock:
                left, lease.left = lease.left, 0
                if left <= 0:
                    lease.left = left
                    continue
                lease.used -= left
                if lease.limit.end > moment:
                    back.append((subscription_id, lease.limit, left))
        if back:
            with self._writing() as connection:
                quotas.give_back_many(connection, back)
        return len(back)

    def _settle(self, subscription_id: int, lease: _Lease) -> None:
        left, lease.left = lease.left, 0
        if left > 0:
            lease.used -= left
            with self._writing() as connection:
                quotas.give_back_many(connection, [(subscription_id, lease.limit, left)])

    def _forget_some(self) -> None:
        for place, lease in tuple(self._held.items()):
            if lease.left == 0:
                del self._held[place]


def _is_idle(lease: _Lease, now: float) -> bool:
    is_crumb = lease.left <= lease.limit.amount // CRUMB
    return now - lease.asked_at > (CRUMB_SECONDS if is_crumb else IDLE_SECONDS)


def _put_back(lease: _Lease) -> None:
    with lease.lock:
        lease.left += 1
