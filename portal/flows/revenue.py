"""What an API brings: its subscriptions' paid invoices and what is pending, by currency."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from portal.billing.engine import BillingEngine
from portal.extensions import db
from portal.flows import invoicing
from portal.models import Api, BillingPlan, PolicyVersion, Subscription
from portal.money import Money, exponent

MOST = 100


@dataclass(frozen=True, kw_only=True)
class Revenue:
    """What one subscription brings; amounts in minor units of the currency."""

    number: int
    uuid: str
    application: str
    plan: str
    currency: str | None
    paid: int
    pending: int
    problem: str | None

    @property
    def paid_words(self) -> str:
        """What was paid, in major units."""
        return _major(self.paid, self.currency)

    @property
    def pending_words(self) -> str:
        """What is pending, in major units."""
        return _major(self.pending, self.currency)

    @property
    def words(self) -> str:
        """Both together, with the currency."""
        return _words(self.paid + self.pending, self.currency) if self.currency else "0"


def of_api(engine: BillingEngine, api: Api) -> list[Revenue]:
    """Ask the engine about the newest commercial subscriptions of an API, ended ones included.

    One that the engine does not answer for says so and holds up no other.
    """
    found = (
        db.session.scalars(
            select(Subscription)
            .join(PolicyVersion, Subscription.policy_version_id == PolicyVersion.policy_version_id)
            .where(
                Subscription.api_id == api.api_id,
                PolicyVersion.billing_plan == BillingPlan.COMMERCIAL,
            )
            .order_by(Subscription.subscription_id.desc())
            .limit(MOST)
        )
        .unique()
        .all()
    )
    numbers = [subscription.subscription_id for subscription in found]
    return [_of(engine, db.session.get_one(Subscription, number)) for number in numbers]


def _of(engine: BillingEngine, subscription: Subscription) -> Revenue:
    number, uuid = subscription.subscription_id, subscription.uuid
    application, plan = subscription.application.name, subscription.plan_name
    currency = subscription.policy_version.currency
    statement = invoicing.current(engine, subscription)
    coming = statement.upcoming.invoice.total if statement.upcoming else 0
    return Revenue(
        number=number,
        uuid=uuid,
        application=application,
        plan=plan,
        currency=currency.upper() if currency else None,
        paid=sum(view.invoice.amount_paid for view in statement.past),
        pending=coming + sum(view.invoice.amount_remaining for view in statement.owed),
        problem=statement.problem,
    )


def totals(brought: Sequence[Revenue]) -> dict[str, str]:
    """Return the sum of each currency in major units."""
    sums: dict[str, int] = defaultdict(int)
    for item in brought:
        if item.currency:
            sums[item.currency] += item.paid + item.pending
    return {currency: _major(minor, currency) for currency, minor in sorted(sums.items())}


def _major(minor: int, currency: str | None) -> str:
    if not currency:
        return "0"
    return f"{Money(minor, currency.lower()).major:.{exponent(currency)}f}"


def _words(minor: int, currency: str) -> str:
    return f"{_major(minor, currency)} {currency}"
