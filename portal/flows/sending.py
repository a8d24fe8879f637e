"""Sending many batches at once, no faster than the provider takes them.

The database is asked by one thread only, for many batches at a time; the others do nothing but
send. A provider that is busy (429) has counted nothing: the same batch waits and goes again, and
everybody sends at half the speed, which comes back bit by bit.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from threading import Event, Lock

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
#: Calls that are refused at the same time, as busy, are one reason to slow down.
SLOWING_SECONDS = 1.0
#: For how long answers are gathered, to be stored by one transaction.
GATHER_SECONDS = 0.25
HEARTBEAT = 20.0


class Pace:
    """Lets so many calls a second through, and fewer while the provider is busy."""

    def __init__(self, per_second: float, *, tick: Callable[[], float] = time.monotonic) -> None:
        self._full = self._rate = per_second
        self._tick = tick
        self._lock = Lock()
        self._next = tick()
        self._slowed_at = float("-inf")

    def turn(self) -> float:
        """Take the next turn; return how many seconds it is away."""
        with self._lock:
            now = self._tick()
            self._next = max(self._next, now - BURST_SECONDS) + 1 / self._rate
            return max(0.0, self._next - now)

    def busy(self, retry_after: float | None) -> None:
        """Send at half the speed from now on, and nobody before ``retry_after`` is over."""
        with self._lock:
            now = self._tick()
            if now - self._slowed_at >= SLOWING_SECONDS:
                self._rate = max(self._rate / 2, 1.0)
                self._slowed_at = now
            self._next = max(self._next, now + (retry_after or 0.0))

    def went_well(self) -> None:
        """Send a little faster again."""
        with self._lock:
            self._rate = min(self._full, self._rate + self._full / 200)


@dataclass(kw_only=True)
class Outcome:
    """What came of one batch: a receipt, an error, or neither if it was not sent at all."""

    sent: Sending
    receipt: str | None = None
    error: BillingEngineError | None = None
    was_sent: bool = True


@dataclass(kw_only=True)
class Lanes:
    """The threads of one run, and what they have met."""

    engine: BillingEngine
    pace: Pace
    patience: int
    denied: set[str] = field(default_factory=set)
    unanswered: int = 0
    stop: Event = field(default_factory=Event)
    lock: Lock = field(default_factory=Lock)

    def send(self, many: Sequence[Sending], beat: Callable[[], None]) -> Iterator[list[Outcome]]:
        """Send batches at once, one customer's one after the other; yield what came, now and then.

        :param beat: called now and then meanwhile; what it raises stops the sending
        """
        by_customer: dict[tuple[str, str], list[Sending]] = {}
        for each in many:
            by_customer.setdefault((each.account, each.report.customer_id), []).append(each)
        with ThreadPoolExecutor(self.engine.parallel, "publish") as pool:
            going: set[Future[list[Outcome]]] = {
                pool.submit(self._lane, lane) for lane in by_customer.values()
            }
            beaten_at = time.monotonic()
            try:
                while going:
                    done, going = wait(going, GATHER_SECONDS)
                    if time.monotonic() - beaten_at >= HEARTBEAT:
                        beat()
                        beaten_at = time.monotonic()
                    if done:
                        yield [outcome for lane in done for outcome in lane.result()]
            except BaseException:
                self.stop.set()
                raise

    def _lane(self, lane: Sequence[Sending]) -> list[Outcome]:
        return [self._one(each) for each in lane]

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
