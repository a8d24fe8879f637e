"""What calls cost a subscriber: before buying, so far in a period, and by its end if it goes on.

Only words and choices; the money is reckoned by ``portal/rating.py``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from portal import rating
from portal.models import PolicyVersion
from portal.rating import Rating
from portal.services.catalogue import Plan

#: What a form may ask about: more than anybody calls, and nothing that takes long to reckon.
MOST_CALLS = 1_000_000_000_000
_EVERY = {"week": "a week", "month": "a month", "year": "a year"}


@dataclass(frozen=True, kw_only=True)
class Quote:
    """What a plan would cost for a number of calls in one billing cycle."""

    plan: Plan
    rating: Rating | None
    """``None`` for a free plan."""

    @property
    def amount(self) -> str:
        """The amount with its currency, before tax."""
        return str(self.rating.amount) if self.rating else "Free"

    @property
    def every(self) -> str:
        """How often it is paid: ``a month``; empty for a free plan."""
        return _EVERY.get(self.plan.version.billing_cycle or "", "") if self.rating else ""


def quotes(plans: Sequence[Plan], calls: int) -> list[Quote]:
    """Say what each plan costs for ``calls`` counted calls in its billing cycle."""
    return [Quote(plan=plan, rating=rated(plan.version, calls)) for plan in plans]


def rated(version: PolicyVersion, calls: int) -> Rating | None:
    """Return what ``calls`` counted calls of one period cost; ``None`` for a free plan."""
    price = version.price
    return rating.rate(price, calls) if price else None


def waived(version: PolicyVersion) -> Rating | None:
    """Return the cost of a free trial: nothing, without any reckoning; ``None`` for a free plan."""
    price = version.price
    return Rating(price=price, calls=0, steps=()) if price else None


def projected_calls(calls: int, start: datetime, now: datetime, end: datetime) -> int | None:
    """Return how many calls a period will have if it goes on as until ``now``, rounded up.

    ``None`` where that would be guessing: before an hour of the period has passed.
    """
    passed = min(now, end) - start
    if passed < timedelta(hours=1):
        return None
    return -(-calls * ((end - start) // timedelta(seconds=1)) // (passed // timedelta(seconds=1)))
