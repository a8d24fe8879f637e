"""Billing periods worked out from the one that is known."""

from calendar import monthrange
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.services.periods import find

FIRST, LAST = datetime(2024, 1, 1, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)
MOMENTS = st.timedeltas(min_value=timedelta(0), max_value=LAST - FIRST).map(lambda d: FIRST + d)


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("known", "moment", "start", "end"),
    [
        (("2026-03-31", "2026-04-30"), "2026-03-30", "2026-02-28", "2026-03-31"),
        (("2026-03-31", "2026-04-30"), "2026-02-27", "2026-01-31", "2026-02-28"),
        (("2026-02-28", "2026-03-30"), "2026-01-30", "2026-01-30", "2026-02-28"),
        (("2026-02-28", "2026-03-29"), "2026-01-28", "2025-12-29", "2026-01-29"),
        (("2026-04-30", "2026-05-31"), "2026-07-31", "2026-07-31", "2026-08-31"),
        (("2025-12-15", "2026-01-15"), "2026-01-15", "2026-01-15", "2026-02-15"),
    ],
)
def test_months_keep_the_anchors_day(
    known: tuple[str, str], moment: str, start: str, end: str
) -> None:
    found = find(_at(moment), _at(known[0]), _at(known[1]), "month")

    assert (found.start, found.end) == (_at(start), _at(end))


def _clamped(months: int, day: int) -> datetime:
    year, month = divmod(months, 12)
    return datetime(year, month + 1, min(day, monthrange(year, month + 1)[1]), 7, 30, tzinfo=UTC)


@given(
    moment=MOMENTS,
    months=st.integers(2024 * 12, 2030 * 12),
    day=st.integers(1, 31),
    cycle=st.sampled_from(["week", "month", "year"]),
)
def test_every_moment_lies_in_exactly_one_period(
    moment: datetime, months: int, day: int, cycle: str
) -> None:
    start = _clamped(months, day)
    ends = {
        "week": start + timedelta(weeks=1),
        "month": _clamped(months + 1, day),
        "year": _clamped(months + 12, day),
    }
    found = find(moment, start, ends[cycle], cycle)
    after = find(found.end, start, ends[cycle], cycle)
    before = find(found.start - timedelta(microseconds=1), start, ends[cycle], cycle)

    assert found.start <= moment < found.end
    assert after.start == found.end
    assert before.end == found.start
    if cycle == "month":
        assert found.start == _clamped(found.start.year * 12 + found.start.month - 1, day)
