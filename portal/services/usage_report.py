"""One subscription's usage in one billing period, explained down to what each part of it costs.

The lines of the explanation add up to the invoice's line to the minor unit: they are shares of
the same reckoning (``portal/rating.py``), not reckonings of their own.
"""

import csv
import io
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from portal import clock, rating
from portal.models import PolicyVersion, Subscription, UsageBatch
from portal.money import to_major
from portal.rating import Rating
from portal.services import costs, periods, plan_history, usage_days
from portal.services.csv_cells import inert
from portal.services.periods import Period
from portal.services.plan_history import Sold
from portal.services.usage import Reason
from portal.services.usage_days import DayUse

K = TypeVar("K", bound=Hashable)
LATE = "late, from an earlier period"


@dataclass(frozen=True, kw_only=True)
class Line:
    """Calls of one day and resource, and the part of the invoice's line that they are."""

    day: datetime
    method: str
    resource: str
    application: str
    calls: int
    late: bool
    minor: int
    """Whole minor units; all lines and the base add up to the invoice's line."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Calls that have one thing in common: a day, a resource, a status."""

    name: str
    counted: int
    not_counted: int


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was called in ``period``, as of ``as_of``, and what it costs."""

    subscription: Subscription
    version: PolicyVersion
    """Of the plan that the period was sold under: a plan changed later leaves it as it is."""
    period: Period
    as_of: datetime
    uses: Sequence[DayUse]
    late_batches: Sequence[UsageBatch]
    """Calls of earlier periods that are on this period's invoice."""

    @property
    def is_running(self) -> bool:
        """Whether calls may still be added: neither the period nor the subscription has ended."""
        return (
            self.period.start <= self.as_of < _earlier(self.period.end, self.subscription.ended_at)
        )

    @property
    def is_trial(self) -> bool:
        """Whether the period is the free trial, for which nothing is charged."""
        return self.period == periods.trial_of(self.subscription)

    @property
    def counted(self) -> int:
        """Billable calls that were made in the period."""
        return sum(use.calls for use in self.uses if use.reason is None)

    @property
    def total(self) -> int:
        """All calls that were made in the period."""
        return sum(use.calls for use in self.uses)

    @property
    def billed_later(self) -> int:
        """Billable calls that came when this period's invoice was drawn: the next one has them."""
        return self.counted - self._in_time - self.written_off

    @property
    def written_off(self) -> int:
        """Billable calls that came when the last invoice was drawn: none has them."""
        return sum(use.written_off for use in self.uses if use.reason is None)

    @property
    def _in_time(self) -> int:
        return sum(use.calls for use in self.uses if use.reason is None and not use.late)

    @property
    def _from_before(self) -> int:
        return sum(batch.quantity for batch in self.late_batches)

    @property
    def billed(self) -> int:
        """Calls on this period's invoice: its own that came in time, and late ones of others."""
        return self._in_time + self._from_before

    @property
    def waiting(self) -> int:
        """Billable calls that no batch has yet: the next publish takes them."""
        return self.counted - sum(use.published for use in self.uses if use.reason is None)

    @property
    def not_counted(self) -> list[tuple[str, int]]:
        """How many calls are not billable, for each reason."""
        found = {why: sum(use.calls for use in self.uses if use.reason is why) for why in Reason}
        return [(why.value, calls) for why, calls in found.items() if calls]

    @property
    def rating(self) -> Rating | None:
        """What the invoice's line comes to, step by step; ``None`` for a free plan."""
        if self.is_trial:
            return costs.waived(self.version)
        return costs.rated(self.version, self.billed)

    @property
    def projected(self) -> Rating | None:
        """What the period will cost if it goes on like this; ``None`` if nothing can be said."""
        is_dynamic = self.version.is_dynamic
        if not self.is_running or not is_dynamic or self.is_trial:
            return None
        end = _earlier(self.period.end, self.subscription.cancel_at)
        calls = costs.projected_calls(self._in_time, self.period.start, self.as_of, end)
        # Late calls of before came once, and will not come again.
        return None if calls is None else costs.rated(self.version, calls + self._from_before)

    @property
    def base_minor(self) -> int:
        """What is owed without any call: a flat amount, or the whole of a fixed price."""
        price = self.version.price
        if price is None or self.is_trial:
            return 0
        if price.is_fixed:
            return int(price.unit_minor)
        return rating.share(price, [calls for _, calls in self._parts()]).whole[0]

    @property
    def lines(self) -> list[Line]:
        """The invoice's line, taken apart by day, resource and application, oldest first."""
        parts = self._parts()
        price = self.version.price
        calls = [number for _, number in parts]
        shares: Sequence[int] = [0] * len(parts)
        if price is not None and not price.is_fixed:
            shares = rating.share(price, calls).whole[1:]
        application = self.subscription.application.name
        return [
            Line(
                day=day,
                method=method,
                resource=resource,
                application=application,
                calls=number,
                late=late,
                minor=minor,
            )
            for ((day, method, resource, late), number), minor in zip(parts, shares, strict=True)
        ]

    def _parts(self) -> list[tuple[tuple[datetime, str, str, bool], int]]:
        found: dict[tuple[datetime, str, str, bool], int] = {}
        for batch in self.late_batches:
            day = batch.first_at.replace(hour=0, minute=0, second=0, microsecond=0)
            key = (day, "", LATE, True)
            found[key] = found.get(key, 0) + batch.quantity
        for use in self.uses:
            if use.reason is None and not use.late:
                key = (use.day, use.method, use.resource, False)
                found[key] = found.get(key, 0) + use.calls
        return sorted(found.items())

    @property
    def days(self) -> list[Part]:
        """Each day of the period until now, also those without a call."""
        first = self.period.start.replace(hour=0, minute=0, second=0, microsecond=0)
        until = min(self.period.end, self.as_of)
        found = {part.name: part for part in self._by(lambda use: f"{use.day:%Y-%m-%d}")}
        names = []
        while first < until:
            names.append(f"{first:%Y-%m-%d}")
            first += timedelta(days=1)
        return [found.get(name, Part(name=name, counted=0, not_counted=0)) for name in names]

    @property
    def resources(self) -> list[Part]:
        """Calls by method and resource, most first."""
        return self._most(lambda use: f"{use.method} {use.resource}")

    @property
    def statuses(self) -> list[Part]:
        """Calls by the status that was answered."""
        return self._by(lambda use: str(use.status))

    def _most(self, name: Callable[[DayUse], str]) -> list[Part]:
        return sorted(self._by(name), key=lambda part: -(part.counted + part.not_counted))

    def _by(self, name: Callable[[DayUse], str]) -> list[Part]:
        found: dict[str, list[int]] = {}
        for use in self.uses:
            sums = found.setdefault(name(use), [0, 0])
            sums[0 if use.reason is None else 1] += use.calls
        return [
            Part(name=each, counted=counted, not_counted=rest)
            for each, (counted, rest) in sorted(found.items())
        ]


def _earlier(end: datetime, other: datetime | None) -> datetime:
    return end if other is None else min(end, other)


def report(subscription: Subscription, moment: datetime | None = None) -> Report:
    """Explain the billing period that ``moment`` lies in; two queries.

    :param moment: now by default. A subscription without billing periods has calendar months.
    """
    return reports([subscription], moment)[subscription.subscription_id]


def reports(
    subscriptions: Sequence[Subscription], moment: datetime | None = None
) -> dict[int, Report]:
    """Explain the period of each of these subscriptions; two queries, however many there are."""
    now = clock.now()
    sold = {row.subscription_id: plan_history.sold_at(row, moment or now) for row in subscriptions}
    spans = {
        row.subscription_id: period_of(row, moment or now, sold[row.subscription_id])
        for row in subscriptions
    }
    uses: dict[int, list[DayUse]] = {number: [] for number in spans}
    late: dict[int, list[UsageBatch]] = {number: [] for number in spans}
    for use in usage_days.by_day({key: (span.start, span.end) for key, span in spans.items()}):
        uses[use.subscription_id].append(use)
    for batch in usage_days.late_batches(list(spans)):
        if batch.closes_at == clock.epoch(spans[batch.subscription_id].end):
            late[batch.subscription_id].append(batch)
    return {
        row.subscription_id: Report(
            subscription=row,
            version=sold[row.subscription_id].version,
            period=spans[row.subscription_id],
            as_of=now,
            uses=uses[row.subscription_id],
            late_batches=late[row.subscription_id],
        )
        for row in subscriptions
    }


def period_of(subscription: Subscription, moment: datetime, sold: Sold | None = None) -> Period:
    """Return the billing period, or the calendar month in UTC where there is none.

    :param sold: what the calls of ``moment`` were sold as, where the plan was changed since
    """
    found = periods.containing(moment, subscription)
    if sold is not None and sold.period_start and sold.period_end:
        cycle = sold.version.billing_cycle or "month"
        found = Period(start=sold.period_start, end=sold.period_end)
        if not found.start <= moment < found.end:
            found = periods.find(moment, found.start, found.end, cycle)
    if found is not None:
        return found
    start = moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    end = (start + timedelta(days=32)).replace(day=1)
    since = clock.from_epoch(subscription.plan_since // 3600 * 3600)
    return Period(start=max(start, since) if since <= moment else start, end=end)


def to_csv(found: Report) -> str:
    """Return the explanation as CSV; the column ``amount`` adds up to the invoice's line.

    Cells that a spreadsheet would take for a formula begin with an apostrophe.
    """
    price = found.version.price
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["day", "method", "resource", "application", "calls", "amount", "currency"])

    def amount(minor: int) -> list[str]:
        if price is None:
            return ["0", ""]
        return [f"{to_major(minor, price.currency)}", price.currency.upper()]

    base = found.base_minor
    if base:
        day = f"{found.period.start:%Y-%m-%d}"
        writer.writerow([day, "", "base amount", "", 0, *amount(base)])
    for line in found.lines:
        cells = (line.method, line.resource, line.application)
        writer.writerow(
            [f"{line.day:%Y-%m-%d}", *map(inert, cells), line.calls, *amount(line.minor)]
        )
    return text.getvalue()
