"""The usage of many subscriptions beside one another, each in its own running period."""

from dataclasses import dataclass

from sqlalchemy import select

from portal.models import Api, Subscription
from portal.services import usage_report
from portal.services.paging import Page, page_of
from portal.services.periods import Period
from portal.services.usage_report import Report


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
    """Of the line that the next invoice has so far, before tax; empty for a free plan."""


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
    found = usage_report.reports(page.items)
    return page.map(lambda row: _row(found[row.subscription_id]))


def _row(found: Report) -> Row:
    rated = found.rating
    is_dynamic = found.subscription.policy_version.is_dynamic
    return Row(
        subscription=found.subscription,
        period=found.period,
        counted=found.counted,
        not_counted=found.total - found.counted,
        waiting=found.waiting if is_dynamic else 0,
        amount=str(rated.amount) if rated else "",
    )
