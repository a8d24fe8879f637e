"""Usage that was acknowledged here against what the engine's meters counted."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from portal.errors import BillingEngineError, EngineAccessDenied, EngineUnavailable
from portal.flows.reconciling.difference import Difference, Side, paged, read
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
    after = 0
    while rows := read(
        lambda at=after: reconciling.metered(side.tenant_id, side.account, at, side.now)  # type: ignore[misc]
    ):
        after = rows[-1].record_id
        stretches = [each for row in rows for each in _stretches(row, side.now)]
        yield from _compared(side, stretches, _of_period)


def compare_due(side: Side) -> Iterator[Difference]:
    """Compare the days of what was acknowledged lately, each twice a day.

    And in each hour about the end of its billing period, while the invoice can still be put right;
    and what differed when it was compared last.
    """
    until = _minute(side.now - HOUR)
    days = read(lambda: reconciling.due(side.tenant_id, side.account, side.now, until))
    for some in paged(days):
        yield from _compared(side, some, reconciling.subject_of)


def _stretches(row: Metered, now: datetime) -> Iterator[Stretch]:
    until, start = _minute(now - HOUR), _minute(row.period_start)
    if row.earlier is not None:
        yield Stretch(of=row, start=_minute(row.earlier), end=min(start, until))
    if start < until:
        yield Stretch(of=row, start=start, end=until)


def _is_under_way(here: Counted, now: datetime) -> bool:
    """Whether the engine may not have counted yet what it has just acknowledged."""
    return here.last is not None and now - here.last < COUNTING


def _compared(
    side: Side, stretches: list[Stretch], subject_of: Callable[[Stretch], str]
) -> Iterator[Difference]:
    counted = read(lambda: reconciling.acknowledged(stretches))
    for stretch, here in zip(stretches, counted, strict=True):
        if _is_under_way(here, side.now):
            continue
        try:
            yield from _asked(side, stretch, here, subject_of(stretch))
        except (EngineUnavailable, EngineAccessDenied):
            raise
        except BillingEngineError as error:
            # What is wrong with one meter or customer hides no other one.
            yield side.difference(
                "not_compared",
                subject_of(stretch),
                here=str(here.total),
                there=error.message,
                proposal="Look at Stripe whether this customer and its meter are still there.",
            )


def _asked(side: Side, stretch: Stretch, here: Counted, subject: str) -> Iterator[Difference]:
    there = side.engine.usage_total(
        side.account,
        meter_id=stretch.of.meter_id,
        customer_id=stretch.of.customer_id,
        start=stretch.start,
        end=stretch.end,
    )
    if here.total == there:
        side.agreed(subject)
    elif read(lambda: reconciling.acknowledged([stretch])) == [here]:
        # Otherwise some was acknowledged meanwhile, and the next comparison has it.
        yield side.difference(
            "usage",
            subject,
            here=str(here.total),
            there=str(there),
            since=stretch.start,
            proposal=f"Compare subscription {stretch.of.uuid} under Admin > Publish usage; it is "
            "never sent blindly. When the invoice is right at Stripe, mark this as settled.",
        )


def _of_period(stretch: Stretch) -> str:
    return f"{stretch.of.uuid} {stretch.start:%Y-%m-%dT%H:%MZ}"


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)
