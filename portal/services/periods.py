"""Billing periods, past and to come, worked out from the one that the engine last named.

An engine renews weekly, monthly or yearly from an anchor. A month that is too short for the
anchor's day ends on its last day, and the next one returns to the anchor's day.
"""

import calendar
from dataclasses import dataclass
from datetime import datetime, timedelta

from portal.models.subscription import Subscription

_MONTHS = {"month": 1, "year": 12}


@dataclass(frozen=True, kw_only=True)
class Period:
    """A billing period; ``end`` belongs to the next one."""

    start: datetime
    end: datetime


def containing(moment: datetime, subscription: Subscription) -> Period | None:
    """Return the billing period that a moment lies in; ``None`` before the first is known.

    A free trial is a period of its own.
    """
    trial = trial_of(subscription)
    if trial is not None and trial.start <= moment < trial.end:
        return trial
    start, end = subscription.period_start, subscription.period_end
    if start is None or end is None or start >= end:
        return None
    cycle = subscription.policy_version.billing_cycle or "month"
    return find(moment, start, end, cycle)


def trial_of(subscription: Subscription) -> Period | None:
    """Return the free trial, past or present; ``None`` if there is none."""
    start, end = subscription.trial_start, subscription.trial_end
    return Period(start=start, end=end) if start and end and start < end else None


def find(moment: datetime, start: datetime, end: datetime, cycle: str) -> Period:
    """Return the period that contains ``moment``, counted from a known one.

    :param cycle: week, month or year
    """
    if start <= moment < end:
        return Period(start=start, end=end)
    if cycle == "week":
        length = timedelta(weeks=1)
        first = start + (moment - start) // length * length
        return Period(start=first, end=first + length)
    # Two months in a row are never both too short, so one of both ends shows the anchor's day.
    anchor = max(start.day, end.day)
    months = _MONTHS[cycle]
    steps = ((moment.year * 12 + moment.month) - (start.year * 12 + start.month)) // months
    return next(
        period
        for step in (steps, steps - 1, steps + 1)
        if (period := _period(start, step, months, anchor)).start <= moment < period.end
    )


def _period(start: datetime, step: int, months: int, anchor: int) -> Period:
    return Period(
        start=_shifted(start, step * months, anchor),
        end=_shifted(start, (step + 1) * months, anchor),
    )


def _shifted(start: datetime, months: int, anchor: int) -> datetime:
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    day = min(anchor, calendar.monthrange(year, month + 1)[1])
    return start.replace(year=year, month=month + 1, day=day)
