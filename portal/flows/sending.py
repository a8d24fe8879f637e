"""Sending many batches at once, no faster than the provider takes them.

The database is asked by one thread only, for many batches at a time; the others do nothing but
send. A provider that is busy (429) has counted nothing: the same batch waits and goes again, and
everybody sends more slowly, the more so the more is refused; the speed comes back bit by bit.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Event, Lock
from typing import Self

import structlog

from portal.billing.engine import BillingEngine
from portal.errors import BillingEngineError, EngineAccessDenied, EngineBusy, EngineUnavailable
from portal.services.batches import Sending

log = structlog.get_logger()

#: How many batches are claimed by one transaction, and settled by another.
CLAIM = 200
#: How long a batch waits for a provider that is busy before it is left to the next run.
BUSY_SECONDS = 60.0
#: The calls of how many seconds may catch up at once after a pause.
BURST_SECONDS = 0.25
#: For how long it is counted how many calls are refused as busy, before the speed is changed.
SLOWING_SECONDS = 1.0
#: After how many calls that went well the whole speed is there again, from nothing.
RECOVERY = 1000
#: For how long answers are gathered, to be stored by one transaction.
GATHER_SECONDS = 0.25
#: How often the lease is renewed while calls are waited for.
HEARTBEAT = 20.0


class Pace:
    """Lets so many calls a second through, and fewer while the provider is busy."""

    def __init__(self, per_second: float, *, tick: Callable[[], float] = time.monotonic) -> None:
        self._full = self._rate = per_second
        self._tick = tick
        self._lock = Lock()
        self._next = self._since = tick()
        self._taken = self._refused = 0

    def turn(self) -> float:
        """Take the next turn; return how many seconds it is away."""
        with self._lock:
            now = self._look()
            self._next = max(self._next, now - BURST_SECONDS) + 1 / self._rate
            return max(0.0, self._next - now)

    def busy(self, retry_after: float | None) -> None:
        """Note a call that was refused, and let nobody call before ``retry_after`` is over.

        A few refusals among many calls slow down little, and all of them to the half, each second.
        """
        with self._lock:
            now = self._look()
            self._refused += 1
            self._next = max(self._next, now + (retry_after or 0.0))

    def went_well(self) -> None:
        """Send a little faster again."""
        with self._lock:
            self._look()
            self._taken += 1
            self._rate = min(self._full, self._rate + self._full / RECOVERY)

    def _look(self) -> float:
        now = self._tick()
        if now - self._since >= SLOWING_SECONDS:
            if self._refused:
                share = self._refused / (self._refused + self._taken)
                self._rate = max(self._rate * (1 - share / 2), 1.0)
            self._since, self._taken, self._refused = now, 0, 0
        return now


@dataclass(kw_only=True)
class Outcome:
    """What came of one batch: a receipt, an error, or neither if it was not sent at all."""

    sent: Sending
    receipt: str | None = None
    error: BillingEngineError | None = None
    was_sent: bool = True


@dataclass(kw_only=True)
class Lanes:
    """The threads of one run, and what they have met; a context that ends them.

    One customer's batches are sent one after the other, in the order in which they were put in.
    """

    engine: BillingEngine
    pace: Pace
    patience: int
    denied: set[str] = field(default_factory=set)
    unanswered: int = 0
    stop: Event = field(default_factory=Event)
    lock: Lock = field(default_factory=Lock)
    waiting: int = 0
    """How many were put in and not taken out yet."""
    _lanes: dict[tuple[str, str], deque[Sending]] = field(default_factory=dict)
    _done: SimpleQueue[Outcome | BaseException] = field(default_factory=SimpleQueue)

    def __enter__(self) -> Self:
        self._pool = ThreadPoolExecutor(self.engine.parallel, "publish")
        return self

    def __exit__(self, kind: type[BaseException] | None, *_more: object) -> None:
        if kind is not None:
            self.stop.set()
        self._pool.shutdown()

    def put(self, many: Sequence[Sending]) -> None:
        """Have batches sent; returns at once."""
        self.waiting += len(many)
        for each in many:
            place = each.account, each.report.customer_id
            with self.lock:
                lane = self._lanes.get(place)
                if lane is not None:
                    lane.append(each)
                    continue
                self._lanes[place] = deque([each])
            self._pool.submit(self._lane, place)

    def take(self) -> list[Outcome]:
        """Return what came of some, gathered for a moment; of all the rest, if that is sooner.

        Whatever ended a thread is raised here.
        """
        found: list[Outcome] = []
        until = time.monotonic() + GATHER_SECONDS
        while self.waiting > 0:
            try:
                came = self._done.get(timeout=max(until - time.monotonic(), 0.0))
            except Empty:
                break
            if isinstance(came, BaseException):
                raise came
            self.waiting -= 1
            found.append(came)
        return found

    def _lane(self, place: tuple[str, str]) -> None:
        try:
            while True:
                with self.lock:
                    lane = self._lanes[place]
                    if not lane:
                        del self._lanes[place]
                        return
                    each = lane.popleft()
                self._done.put(self._one(each))
        except BaseException as error:
            self._done.put(error)

    def _one(self, sent: Sending) -> Outcome:
        began = time.monotonic()
        while True:
            if self.stop.wait(self.pace.turn()) or sent.account in self.denied:
                return Outcome(sent=sent, was_sent=False)
            try:
                receipt = self.engine.report_usage(sent.account, sent.report)
            except EngineBusy as error:
                self.pace.busy(error.retry_after)
                if time.monotonic() - began > BUSY_SECONDS:
                    return Outcome(sent=sent, was_sent=False)
            except BillingEngineError as error:
                return self._met(sent, error)
            else:
                self.pace.went_well()
                self._answered()
                return Outcome(sent=sent, receipt=receipt.request_id)

    def _answered(self) -> None:
        with self.lock:
            self.unanswered = 0

    def _met(self, sent: Sending, error: BillingEngineError) -> Outcome:
        if isinstance(error, EngineAccessDenied):
            self.denied.add(sent.account)
        if not isinstance(error, EngineUnavailable):
            self._answered()
            return Outcome(sent=sent, error=error)
        with self.lock:
            self.unanswered += 1
            if self.unanswered >= self.patience:
                self.stop.set()
        return Outcome(sent=sent, error=error)
