"""Usage that was acknowledged here against what the engine's meters counted."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from portal.flows.reconciling.difference import Difference, Side, read
from portal.services import reconciling
from portal.services.batches import COUNTING
from portal.services.reconciling import Counted, Metered, Stretch

#: What was sent with a later time stamp is left out: more of it may be under way.
HOUR = timedelta(hours=1)


def compare(side: Side) -> Iterator[Difference]:
    """Compare the totals of each metered subscription, in stretches: one call for each.

    The present period up to an hour ago. For some hours also the one before, which has just been
    billed, and for as long those that have ended.
    """
    yield from _compare(side, reconciling.metered)


def compare_due(side: Side) -> Iterator[Difference]:
    """Compare the totals of those whose turn it is in this hour.

    Each has its turn once a day, and in each hour about the end of its billing period, while the
    invoice can still be put right. Who sent nothing in the last days has none.
    """
    yield from _compare(side, reconciling.metered_due)


def _compare(
    side: Side, some: Callable[[int, str, int, datetime], list[Metered]]
) -> Iterator[Difference]:
    after = 0
    while rows := read(lambda at=after: some(side.tenant_id, side.account, at, side.now)):  # type: ignore[misc]
        after = rows[-1].record_id
        stretches = [each for row in rows for each in _stretches(row, side.now)]
        counted = read(lambda some=stretches: reconciling.acknowledged(some))  # type: ignore[misc]
        for stretch, here in zip(stretches, counted, strict=True):
            if not _is_under_way(here, side.now):
                yield from _compared(side, stretch, here)


def _stretches(row: Metered, now: datetime) -> Iterator[Stretch]:
    until, start = _minute(now - HOUR), _minute(row.period_start)
    if row.earlier is not None:
        yield Stretch(of=row, start=_minute(row.earlier), end=min(start, until))
    if start < until:
        yield Stretch(of=row, start=start, end=until)


def _is_under_way(here: Counted, now: datetime) -> bool:
    """Whether the engine may not have counted yet what it has just acknowledged."""
    return here.last is not None and now - here.last < COUNTING


def _compared(side: Side, stretch: Stretch, here: Counted) -> Iterator[Difference]:
    there = side.engine.usage_total(
        side.account,
        meter_id=stretch.of.meter_id,
        customer_id=stretch.of.customer_id,
        start=stretch.start,
        end=stretch.end,
    )
    subject = f"{stretch.of.uuid} {stretch.start:%Y-%m-%dT%H:%MZ}"
    if here.total == there:
        side.agreed(subject)
        return
    yield side.difference(
        "usage",
        subject,
        here=str(here.total),
        there=str(there),
        since=stretch.start,
        proposal="Compare under Admin > Publish usage; it is never sent blindly. When you have "
        "put the invoice right at Stripe, mark it as settled.",
    )


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)
