"""What an API's subscriptions brought, for programs: the figures of the page Revenue."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import or_, select

from portal import clock
from portal.extensions import db
from portal.models import BillingPlan, BookedInvoice, PolicyVersion, Subscription
from portal.money import Money
from portal.services import estimates, takings
from portal.services.takings import Row, Wanted

MOST = 100


@dataclass(frozen=True, kw_only=True)
class Brought:
    """What one subscription brought, in each currency."""

    number: int
    uuid: str
    application: str
    plan: str
    rows: Sequence[Row]
    upcoming: Money | None

    @property
    def words(self) -> str:
        """What was invoiced, with the currency."""
        return ", ".join(row.amount("invoiced") for row in self.rows)


@dataclass(frozen=True, kw_only=True)
class Revenue:
    """What an API brought."""

    items: Sequence[Brought]
    """Of the newest subscriptions, at most ``MOST``."""
    totals: Sequence[Row]
    """Of all of them, for each currency."""


def of_api(tenant_id: int, api_id: int, api_uuid: str) -> Revenue:
    """Return what an API brought; a few queries, however many subscriptions there are."""
    now, wanted = clock.now(), Wanted(tenant_id=tenant_id, api=api_uuid)
    found = (
        db.session.scalars(
            select(Subscription)
            .join(PolicyVersion, Subscription.policy_version_id == PolicyVersion.policy_version_id)
            .where(
                Subscription.api_id == api_id,
                or_(
                    PolicyVersion.billing_plan == BillingPlan.COMMERCIAL,
                    Subscription.subscription_id.in_(select(BookedInvoice.subscription_id)),
                ),
            )
            .order_by(Subscription.subscription_id.desc())
            .limit(MOST)
        )
        .unique()
        .all()
    )
    rows: dict[str, list[Row]] = {}
    if found:
        numbers = tuple(each.subscription_id for each in found)
        of_these = Wanted(tenant_id=tenant_id, api=api_uuid, subscriptions=numbers)
        for row in takings.sums(of_these, "subscription", now):
            rows.setdefault(row.group, []).append(row)
    upcoming = estimates.of_subscriptions(found)
    return Revenue(
        items=[_brought(each, rows.get(each.uuid), upcoming.get(each.uuid)) for each in found],
        totals=takings.totals(takings.sums(wanted, "api", now)),
    )


def _brought(row: Subscription, rows: Sequence[Row] | None, upcoming: Money | None) -> Brought:
    currency = (row.policy_version.currency or "").lower()
    nothing = [Row(group=row.uuid, label="", currency=currency)] if currency else []
    return Brought(
        number=row.subscription_id,
        uuid=row.uuid,
        application=row.application.name,
        plan=row.plan_name,
        rows=rows or nothing,
        upcoming=upcoming,
    )
