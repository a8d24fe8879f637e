"""Billing periods, counted from an anchor so that Jan 31 → Feb 28 → Mar 31."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta

_MONTHS = {"month": 1, "year": 12}


def after(anchor: int, interval: str, count: int, periods: int) -> int:
    """Return the instant `periods` periods of `count` `interval`s after `anchor` (seconds, UTC).

    Months keep the anchor's day where the month has it, else take the month's last day.
    """
    start = datetime.fromtimestamp(anchor, UTC)
    if interval in _MONTHS:
        return _add_months(start, _MONTHS[interval] * count * periods)
    days = (7 if interval == "week" else 1) * count * periods
    return int((start + timedelta(days=days)).timestamp())


def _add_months(start: datetime, months: int) -> int:
    index = start.year * 12 + start.month - 1 + months
    year, month = divmod(index, 12)
    day = min(start.day, calendar.monthrange(year, month + 1)[1])
    return int(start.replace(year=year, month=month + 1, day=day).timestamp())


def next_end(anchor: int, interval: str, count: int, start: int) -> int:
    """Return the end of the period that begins at `start`, on the grid of `anchor`."""
    number = 1
    if interval in _MONTHS:
        begun = datetime.fromtimestamp(start, UTC)
        base = datetime.fromtimestamp(anchor, UTC)
        months = (begun.year - base.year) * 12 + begun.month - base.month
        number = max(1, months // (_MONTHS[interval] * count) - 1)
    else:
        length = (7 if interval == "week" else 1) * count * 86400
        number = max(1, (start - anchor) // length - 1)
    while (end := after(anchor, interval, count, number)) <= start:
        number += 1
    return end
