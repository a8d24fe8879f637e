"""Who and what is in the example data. Nothing here does anything."""

from dataclasses import dataclass

from portal.models.policy import BillingPlan, MonetizationPlan
from portal.models.user import ADMIN, PUBLISHER, SUBSCRIBER
from portal.services.plan_rules import PlanDraft


@dataclass(frozen=True, kw_only=True)
class Person:
    """A user; a publisher has a connected account in a country and its currency."""

    username: str
    display_name: str
    role: str
    country: str = "US"
    currency: str = "usd"


@dataclass(frozen=True, kw_only=True)
class Offering:
    """An API of the demo's back end, by its name there, and who offers it under which plans."""

    backend: str
    provider: str
    plans: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Company:
    """A tenant with everything that belongs to it."""

    domain: str
    platform: str
    people: tuple[Person, ...]
    plans: tuple[PlanDraft, ...]
    offerings: tuple[Offering, ...]
    application: str


FREE = PlanDraft(
    name="Free",
    description="For trying out. No card needed.",
    quota="60",
    time_unit="min",
)
BRONZE = PlanDraft(
    name="Bronze",
    description="A fixed price each month, for steady use.",
    quota="1000",
    time_unit="min",
    rate_limit_count="50",
    rate_limit_time_unit="sec",
    billing_plan=BillingPlan.COMMERCIAL,
    monetization_plan=MonetizationPlan.FIXED,
    fixed_price="9.99",
    currency="USD",
    billing_cycle="month",
)
PAY_AS_YOU_GO = PlanDraft(
    name="Pay-as-you-go",
    description="Only what you call is charged, at the end of each month.",
    quota="5000",
    time_unit="min",
    stop_on_quota_reach=False,
    billing_plan=BillingPlan.COMMERCIAL,
    monetization_plan=MonetizationPlan.DYNAMIC,
    price_per_request="0.0025",
    currency="USD",
    billing_cycle="month",
)
TOKYO = PlanDraft(
    name="Tokyo",
    description="A fixed price each month in yen, a currency without minor units.",
    quota="1000",
    time_unit="min",
    billing_plan=BillingPlan.COMMERCIAL,
    monetization_plan=MonetizationPlan.FIXED,
    fixed_price="500",
    currency="JPY",
    billing_cycle="month",
)
PLANS = (FREE, BRONZE, PAY_AS_YOU_GO, TOKYO)

SUPER = Company(
    domain="carbon.super",
    platform="Carbon APIs",
    people=(
        Person(username="admin", display_name="Ada Admin", role=ADMIN),
        Person(username="publisher", display_name="Paul Publisher", role=PUBLISHER),
        Person(
            username="publisher2",
            display_name="Petra Publisher",
            role=PUBLISHER,
            country="DE",
            currency="eur",
        ),
        Person(username="developer", display_name="Dana Developer", role=SUBSCRIBER),
    ),
    plans=PLANS,
    offerings=(
        Offering(
            backend="currency",
            provider="publisher",
            plans=("Free", "Bronze", "Pay-as-you-go"),
        ),
        Offering(
            backend="numbers",
            provider="publisher",
            plans=("Free", "Pay-as-you-go", "Tokyo"),
        ),
        Offering(
            backend="calendar",
            provider="publisher2",
            plans=("Free", "Bronze", "Pay-as-you-go"),
        ),
    ),
    application="Travel Planner",
)
BLUEWATER = Company(
    domain="bluewater.example",
    platform="Bluewater",
    people=(
        Person(username="admin", display_name="Boris Admin", role=ADMIN),
        Person(username="publisher", display_name="Bea Publisher", role=PUBLISHER),
        Person(username="developer", display_name="Dirk Developer", role=SUBSCRIBER),
    ),
    plans=PLANS,
    offerings=(
        Offering(
            backend="calendar",
            provider="publisher",
            plans=("Free", "Bronze", "Pay-as-you-go"),
        ),
    ),
    application="Harbour Board",
)
COMPANIES = (SUPER, BLUEWATER)


def qualified(person: Person, company: Company) -> str:
    """Return the name that a person signs in with."""
    if company is SUPER:
        return person.username
    return f"{person.username}@{company.domain}"
