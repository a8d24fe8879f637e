"""What the next invoices will be, as far as that is known: reckoned here, no provider is asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from portal.extensions import db
from portal.models import Application, Billing, BillingPlan, PolicyVersion, Subscription
from portal.money import Money
from portal.services import costs, usage_report
from portal.services.usage_report import Report
from portal.services.within_tenant import without_tenants

MOST = 50
_RUNNING = (Billing.PAID, Billing.GRACE, Billing.OVERDUE)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The next invoice of one subscription, before tax and discounts."""

    subscription: Subscription
    period: str
    reckoned_from: str
    amount: str
    drawn_at: datetime | None


def of_developer(user_id: int) -> list[Estimate]:
    """Return the next invoices of a developer's paid subscriptions, the newest fifty of them.

    The number of queries does not depend on how many there are.
    """
    rows = (
        db.session.scalars(
            select(Subscription)
            .join(Application, Application.application_id == Subscription.application_id)
            .join(PolicyVersion, PolicyVersion.policy_version_id == Subscription.policy_version_id)
            .where(
                Application.owner_id == user_id,
                PolicyVersion.billing_plan == BillingPlan.COMMERCIAL,
                Subscription.ended_at.is_(None),
                Subscription.billing.in_(_RUNNING),
            )
            .order_by(Subscription.subscription_id.desc())
            .limit(MOST)
            .options(*without_tenants())
        )
        .unique()
        .all()
    )
    return _all(rows)


def of_subscriptions(rows: Sequence[Subscription]) -> dict[str, Money]:
    """Return what the next invoice of each running one comes to so far, by UUID."""
    paid = [row for row in rows if row.facts.billing in _RUNNING and row.is_commercial]
    found = usage_report.reports(paid)
    return {row.uuid: money for row in paid if (money := _next(row, found[row.subscription_id]))}


def _next(row: Subscription, report: Report) -> Money | None:
    """Return the next invoice before tax and discounts; ``None`` where no more is drawn."""
    version = row.policy_version
    if row.cancel_at is not None and not version.is_dynamic:
        # Paid in advance and cancelled: nothing more is drawn.
        return None
    # What the page of the usage says, with late calls of before and nothing for a trial.
    rating = report.rating if version.is_dynamic else costs.rated(version, 0)
    return rating.amount if rating else None


def _all(rows: Sequence[Subscription]) -> list[Estimate]:
    found = usage_report.reports(rows) if rows else {}
    made = []
    for row in rows:
        report = found[row.subscription_id]
        money = _next(row, report)
        if money is None:
            continue
        made.append(
            Estimate(
                subscription=row,
                period=f"{report.period.start:%Y-%m-%d} to {report.period.end:%Y-%m-%d}",
                reckoned_from=_reckoned_from(report),
                amount=str(money),
                drawn_at=row.period_end,
            )
        )
    return made


def _reckoned_from(report: Report) -> str:
    if not report.version.is_dynamic:
        return "The next period's price"
    return "The free trial" if report.is_trial else f"{report.billed:,} calls so far"
