"""Rate limits as a switch: Stripe's test mode allows each account 25 requests a second.

https://docs.stripe.com/rate-limits
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager

from portal.sandbox.clock import Clock
from portal.sandbox.faults import too_fast

STRIPES = 25


class Limits:
    """Counts the requests of the last second; 0 lets everything through."""

    def __init__(self, clock: Clock, per_second: int = 0) -> None:
        self.per_second = per_second
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[str, deque[float]] = defaultdict(deque)
        self._busy: set[tuple[str, ...]] = set()

    def admit(self, account: str) -> None:
        """Count one request of `account`.

        :raise StripeError: 429 when it is one too many
        """
        if not self.per_second:
            return
        now = self._clock.precise()
        with self._lock:
            seen = self._seen[account]
            while seen and seen[0] <= now - 1:
                seen.popleft()
            if len(seen) >= self.per_second:
                raise too_fast("global-rate")
            seen.append(now)

    @contextmanager
    def alone(self, *what: str) -> Iterator[None]:
        """Hold what only one request may use at a time, while limits are on.

        :raise StripeError: 429 while another request holds it
        """
        if not self.per_second:
            yield
            return
        with self._lock:
            if what in self._busy:
                raise too_fast("endpoint-concurrency")
            self._busy.add(what)
        try:
            yield
        finally:
            with self._lock:
                self._busy.discard(what)
