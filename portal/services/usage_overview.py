"""The usage of many subscriptions beside one another, each in its own running period."""

from dataclasses import dataclass

from sqlalchemy import select

from portal import clock
from portal.models import Api, Subscription
from portal.services import costs, usage, usage_report
from portal.services.paging import Page, page_of
from portal.services.periods import Period


@dataclass(frozen=True, kw_only=True)
class Row:
    """One subscriber's calls in the period that runs, and what they cost so far."""

    subscription: Subscription
    period: Period
    counted: int
    not_counted: int
    waiting: int
    """Counted, and in no batch yet."""
    amount: str
    """Before tax; empty for a free plan."""


def of_api(api: Api, number: int = 1) -> Page[Row]:
    """Return a page of an API's living subscriptions, by plan and newest first.

    The number of queries does not depend on how many there are.
    """
    page: Page[Subscription] = page_of(
        select(Subscription)
        .where(Subscription.api_id == api.api_id, Subscription.ended_at.is_(None))
        .order_by(Subscription.policy_version_id, Subscription.subscription_id.desc()),
        number,
    )
    now = clock.now()
    spans = {row.subscription_id: usage_report.period_of(row, now) for row in page.items}
    sums = {key: [0, 0, 0] for key in spans}
    if spans:
        first = min(span.start for span in spans.values())
        for use in usage.by_day(list(spans), first.replace(minute=0, second=0), now):
            _add(sums[use.subscription_id], use, spans[use.subscription_id])
    return page.map(lambda row: _row(row, spans[row.subscription_id], sums[row.subscription_id]))


def _add(sums: list[int], use: usage.DayUse, span: Period) -> None:
    if use.day < span.start.replace(hour=0, minute=0, second=0, microsecond=0):
        return
    sums[0 if use.reason is None else 1] += use.calls
    sums[2] += use.calls - use.published if use.reason is None else 0


def _row(row: Subscription, span: Period, sums: list[int]) -> Row:
    counted, not_counted, waiting = sums
    rated = costs.rated(row.policy_version, counted)
    return Row(
        subscription=row,
        period=span,
        counted=counted,
        not_counted=not_counted,
        waiting=waiting if row.policy_version.is_dynamic else 0,
        amount=str(rated.amount) if rated else "",
    )
