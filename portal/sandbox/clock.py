"""The sandbox's own clock: whole seconds since 1970, as Stripe counts time.

Nothing else here asks the operating system for the time, so that a test moves all of it at once.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where the sandbox learns the time."""

    def now(self) -> int:
        """Return the present second (UTC)."""
        ...  # pragma: no cover

    def precise(self) -> float:
        """Return the present time with fractions, for delivery delays shorter than a second."""
        ...  # pragma: no cover


class RealClock:
    """The operating system's time."""

    def now(self) -> int:
        """Return the present second (UTC)."""
        return int(time.time())

    def precise(self) -> float:
        """Return the present time with fractions of a second."""
        return time.time()


class ManualClock:
    """A clock that stands still until it is moved; for tests."""

    def __init__(self, start: int) -> None:
        self._now = float(start)

    def now(self) -> int:
        """Return the second that the clock stands at."""
        return int(self._now)

    def precise(self) -> float:
        """Return the instant that the clock stands at."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the clock forward by `seconds`."""
        self._now += seconds
