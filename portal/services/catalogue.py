"""What developers may choose from: the published APIs of their tenant, and the plans for sale."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import joinedload
from sqlalchemy.orm.attributes import set_committed_value

from portal import rating
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
from portal.models.api import ApiPolicy
from portal.money import Money
from portal.services import apis, markdown, members
from portal.services.paging import Page, Slice, page_of
from portal.services.within_tenant import without_tenants

LONGEST_SEARCH = apis.LONGEST_SEARCH
PER_PAGE = 12
_UNITS = {"min": "minute", "hours": "hour", "days": "day", "months": "month", "years": "year"}
_CYCLES = {"week": "Weekly", "month": "Monthly", "year": "Yearly"}
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
            is_later = version.is_dynamic or version.trial_days > 0
            minor = 0 if is_later else int(version.unit_minor)
            return str(Money(minor, version.currency.lower()))
        return "Nothing"

    @property
    def facts(self) -> list[tuple[str, str]]:
        """What the plan's card says below the price."""
        facts = [("Billing", billing_words(self.version)), quota_fact(self.policy)]
        if self.policy.rate_limit_count:
            facts.append(("Rate limit", rate_words(self.policy)))
        version = self.version
        if version.is_dynamic and version.price:
            example = rating.rate(version.price, _EXAMPLE_CALLS).amount
            facts.append((f"{_EXAMPLE_CALLS:,} cost", str(example)))
        stops = self.policy.stop_on_quota_reach
        facts.append(("At the limit", "Calls are refused" if stops else "Calls go on"))
        return facts

    @property
    def in_a_line(self) -> str:
        """Price and quota, to choose by."""
        return f"{self.price_words}, {quota_words(self.policy)}"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An API in the catalogue."""

    api: Api
    plans: Sequence[Plan]

    @property
    def summary(self) -> str:
        """The first paragraph of the description, as plain text."""
        return markdown.summary(self.api.description)


def published(user: User, search: str = "", number: int | Slice = 1) -> Page[Entry]:
    """Return a page of the APIs that this person may subscribe to, by name and version.

    :param search: words that name, context or description must all contain, ignoring case
    """
    query = (
        select(Api)
        .where(Api.tenant_id == user.tenant_id, Api.status == Lifecycle.PUBLISHED)
        .order_by(Api.api_name, Api.api_version, Api.api_id)
    )
    page: Page[Api] = page_of(apis.found_by(query, search), number, per_page=PER_PAGE)
    offers = _attach_plans(page.items)
    return page.map(lambda api: Entry(api=api, plans=_plans(api, user, offers)))


def _attach_plans(found: Sequence[Api]) -> dict[tuple[int, str], Offer]:
    """Load the plans of APIs with their versions, and return what they are sold at: one query."""
    kept = {api.api_id: api for api in found}
    plans: dict[int, list[Policy]] = {api_id: [] for api_id in kept}
    offers = {}
    rows = db.session.execute(
        select(ApiPolicy.api_id, Policy, Offer)
        .join(Policy, Policy.policy_id == ApiPolicy.policy_id)
        .outerjoin(Offer, (Offer.api_id == ApiPolicy.api_id) & (Offer.tier_name == Policy.name))
        .where(ApiPolicy.api_id.in_(kept))
        .order_by(Policy.policy_id)
        # Not every plan is sold: an inner join to the price would leave the others out.
        .options(joinedload(Policy.versions), joinedload(Offer.price, innerjoin=False))
    ).unique()
    for api_id, policy, offer in rows:
        plans[api_id].append(policy)
        if offer is not None and kept[api_id].is_monetization_enabled:
            offers[api_id, offer.tier_name] = offer
    for api_id, api in kept.items():
        set_committed_value(api, "policies", plans[api_id])
    return offers


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


def rank(
    is_commercial: bool, is_dynamic: bool, price: Decimal | None, name: str
) -> tuple[bool, bool, Decimal, str]:
    """Return what plans are sorted by: the cheapest kind first."""
    return is_commercial, is_dynamic, price or Decimal(0), name


def _rank(plan: Plan) -> tuple[bool, bool, Decimal, str]:
    version = plan.version
    price = version.fixed_rate or version.price_per_request
    return rank(version.is_commercial, version.is_dynamic, price, plan.policy.name)


def subscriptions_to(api: Api, user: User) -> Sequence[Subscription]:
    """Return the person's living subscriptions to an API, by application."""
    return (
        db.session.scalars(
            select(Subscription)
            .join(Application, Subscription.application_id == Application.application_id)
            .where(
                Subscription.api_id == api.api_id,
                Subscription.ended_at.is_(None),
                members.shares(user),
            )
            .order_by(Application.name)
            .options(*without_tenants())
        )
        .unique()
        .all()
    )


# --- words ----------------------------------------------------------------------------------


def billing_words(version: PolicyVersion) -> str:
    """Say how a plan is charged."""
    if not version.is_commercial:
        return "Free"
    how = "by use" if version.is_dynamic else "in advance"
    return f"{_CYCLES.get(version.billing_cycle or '', version.billing_cycle)}, {how}"


def quota_fact(policy: Policy) -> tuple[str, str]:
    """Say what a plan counts, and how much of it: ``("Requests", "1,000 per minute")``."""
    kinds = {QuotaType.BANDWIDTH: ("Data", f" {policy.quota_unit or 'KB'}")}
    kinds[QuotaType.EVENTS] = ("Events", "")
    label, unit = kinds.get(QuotaType(policy.quota_type), ("Requests", ""))
    span = _UNITS.get(policy.time_unit, policy.time_unit)
    each = f"per {span}" if policy.unit_time == 1 else f"in {policy.unit_time} {span}s"
    return label, f"{policy.quota:,}{unit} {each}"


def quota_words(policy: Policy) -> str:
    """Say in a sentence how much a plan allows: ``1,000 requests per minute``."""
    label, amount = quota_fact(policy)
    number, _, each = amount.partition(" ")
    return amount if label == "Data" else f"{number} {label.lower()} {each}"


def rate_words(policy: Policy) -> str:
    """Say how fast a plan may be called: ``10 per second``."""
    unit = _RATE_UNITS.get(policy.rate_limit_time_unit or "min", "minute")
    return f"{policy.rate_limit_count:,} per {unit}"
