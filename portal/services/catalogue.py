"""What developers may choose from: the published APIs of their tenant, and the plans for sale."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import or_, select

from portal.extensions import db
from portal.models import (
    Api,
    Application,
    Lifecycle,
    Offer,
    Policy,
    PolicyVersion,
    QuotaType,
    Subscription,
    User,
)
from portal.money import Money, round_line
from portal.services import markdown
from portal.services.paging import Page, page_of

LONGEST_SEARCH = 100
PER_PAGE = 12
_UNITS = {"min": "minute", "hours": "hour", "days": "day", "months": "month", "years": "year"}
_RATE_UNITS = {"sec": "second", "min": "minute"}
_EXAMPLE_CALLS = 10_000


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A plan as an API offers it: the version that is sold now, and whether it can be bought.

    A commercial plan is sold at the price that was last sent to the billing engine, even if the
    plan has been edited since.
    """

    policy: Policy
    version: PolicyVersion
    is_for_sale: bool

    @property
    def price_words(self) -> str:
        """``9.99 USD per month``, ``0.0025 USD per Request`` or ``Free``."""
        return self.version.price_words

    @property
    def amount(self) -> str:
        """The price without its unit."""
        return self.price_words.partition(" per ")[0]

    @property
    def unit(self) -> str | None:
        """What one price buys: ``per month``, ``per Request``; ``None`` for a free plan."""
        _, per, what = self.price_words.partition(" per ")
        return f"per {what}" if per else None

    @property
    def due_now(self) -> str:
        """What is charged when the subscription is paid for."""
        version = self.version
        if version.is_commercial and version.currency:
            minor = 0 if version.is_dynamic else int(version.unit_minor)
            return str(Money(minor, version.currency.lower()))
        return "Nothing"

    @property
    def facts(self) -> list[tuple[str, str]]:
        """What the plan's card says below the price."""
        facts = [("Billing", billing_words(self.version)), ("Quota", quota_words(self.policy))]
        if self.policy.rate_limit_count:
            facts.append(("Rate limit", rate_words(self.policy)))
        stops = self.policy.stop_on_quota_reach
        facts.append(("Above the quota", "Calls are refused" if stops else "Calls go on"))
        return facts

    @property
    def example(self) -> str | None:
        """What a number of requests costs, for a plan that is charged per request."""
        version = self.version
        if not version.is_dynamic or not version.currency:
            return None
        minor = round_line(_EXAMPLE_CALLS, version.unit_minor)
        return f"{_EXAMPLE_CALLS:,} requests cost {Money(minor, version.currency.lower())}."


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An API in the catalogue."""

    api: Api
    plans: Sequence[Plan]

    @property
    def summary(self) -> str:
        """The first paragraph of the description, as plain text."""
        return markdown.summary(self.api.description)


def published(user: User, search: str = "", number: int = 1) -> Page[Entry]:
    """Return a page of the APIs that this person may subscribe to, by name and version.

    :param search: words that name, context or description must all contain, ignoring case
    """
    query = (
        select(Api)
        .where(Api.tenant_id == user.tenant_id, Api.status == Lifecycle.PUBLISHED)
        .order_by(Api.api_name, Api.api_version, Api.api_id)
    )
    for word in search.replace("\x00", "")[:LONGEST_SEARCH].split():
        columns = (Api.api_name, Api.api_version, Api.context, Api.description)
        query = query.where(or_(*(column.icontains(word, autoescape=True) for column in columns)))
    page: Page[Api] = page_of(query, number, per_page=PER_PAGE)
    offers = _offers({api.api_id for api in page.items if api.is_monetization_enabled})
    return page.map(lambda api: Entry(api=api, plans=_plans(api, user, offers)))


def plans_of(api: Api, user: User) -> list[Plan]:
    """Return the plans of an API that are open to this person, the cheapest kind first."""
    return _plans(api, user, _offers({api.api_id} if api.is_monetization_enabled else set()))


def _offers(api_ids: Collection[int]) -> dict[tuple[int, str], Offer]:
    if not api_ids:
        return {}
    rows = db.session.scalars(select(Offer).where(Offer.api_id.in_(api_ids))).unique()
    return {(offer.api_id, offer.tier_name): offer for offer in rows}


def _plans(api: Api, user: User, offers: dict[tuple[int, str], Offer]) -> list[Plan]:
    plans = []
    for policy in api.policies:
        if policy.deleted_at is not None or not policy.admits(user.roles):
            continue
        offer = offers.get((api.api_id, policy.name))
        version = offer.price.policy_version if offer and policy.is_commercial else policy.current
        plans.append(
            Plan(
                policy=policy,
                version=version,
                is_for_sale=api.takes_subscriptions
                and (offer is not None or not policy.is_commercial),
            )
        )
    return sorted(plans, key=_rank)


def _rank(plan: Plan) -> tuple[bool, bool, Decimal, str]:
    version = plan.version
    price = version.fixed_rate or version.price_per_request or Decimal(0)
    return version.is_commercial, version.is_dynamic, price, plan.policy.name


def subscriptions_to(api: Api, user: User) -> Sequence[Subscription]:
    """Return the person's living subscriptions to an API, by application."""
    return (
        db.session.scalars(
            select(Subscription)
            .join(Application, Subscription.application_id == Application.application_id)
            .where(
                Subscription.api_id == api.api_id,
                Subscription.ended_at.is_(None),
                Application.owner_id == user.user_id,
            )
            .order_by(Application.name)
        )
        .unique()
        .all()
    )


# --- words ----------------------------------------------------------------------------------


def billing_words(version: PolicyVersion) -> str:
    """Say how a plan is charged."""
    if not version.is_commercial:
        return "Free"
    if version.is_dynamic:
        return f"By use, each {version.billing_cycle}"
    return f"In advance, each {version.billing_cycle}"


def quota_words(policy: Policy) -> str:
    """Say how much a plan allows: ``1,000 requests per minute``."""
    what = {QuotaType.BANDWIDTH: policy.quota_unit or "KB", QuotaType.EVENTS: "events"}
    unit = _UNITS.get(policy.time_unit, policy.time_unit)
    counted = what.get(QuotaType(policy.quota_type), "requests")
    if policy.unit_time == 1:
        return f"{policy.quota:,} {counted} per {unit}"
    return f"{policy.quota:,} {counted} in {policy.unit_time} {unit}s"


def rate_words(policy: Policy) -> str:
    """Say how fast a plan may be called: ``10 requests per second``."""
    unit = _RATE_UNITS.get(policy.rate_limit_time_unit or "min", "minute")
    return f"{policy.rate_limit_count:,} requests per {unit}"
