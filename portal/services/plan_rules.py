"""What a business plan may hold. One place for the form, the REST API and the example data.

Every value comes as text, as somebody typed it; what is right comes back typed. All fields are
checked, so that one answer names everything that is wrong.
"""

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, TypeVar

from portal import money
from portal.errors import Invalid
from portal.models.policy import BillingPlan, MonetizationPlan, Permission, PricingModel, QuotaType
from portal.services import tier_rules

T = TypeVar("T")

LONGEST_NAME = 60
LARGEST_COUNT = 2_147_483_647
MOST_ATTRIBUTES = 20
#: Stripe: a trial lasts at most 730 days.
LONGEST_TRIAL = 730
#: Decimal's own arithmetic is exact up to 28 digits; longer input would be rounded.
MOST_DIGITS = 24
TIME_UNITS = ("min", "hours", "days", "months", "years")
RATE_UNITS = ("sec", "min")
DATA_UNITS = ("KB", "MB")
CYCLES = ("week", "month", "year")
#: WSO2's own rule for names of policies.
_ILLEGAL = re.compile(r"[~!@#;:%^*()+={}|\\<>\"',&$]")


@dataclass(frozen=True, kw_only=True)
class PlanDraft:
    """A plan as somebody entered it."""

    name: str
    display_name: str = ""
    description: str = ""
    quota_type: str = QuotaType.REQUESTS
    quota: str = ""
    quota_unit: str = "KB"
    unit_time: str = "1"
    time_unit: str = "min"
    rate_limit_count: str = ""
    rate_limit_time_unit: str = "sec"
    stop_on_quota_reach: bool = True
    billing_plan: str = BillingPlan.FREE
    monetization_plan: str = MonetizationPlan.FIXED
    fixed_price: str = ""
    pricing_model: str = PricingModel.PER_REQUEST
    price_per_request: str = ""
    tiers: str = ""
    """One on each line, see ``services/tier_rules.py``."""
    trial_days: str = ""
    takes_coupons: bool = False
    currency: str = ""
    billing_cycle: str = ""
    permission_type: str = Permission.NONE
    permission_roles: tuple[str, ...] = ()
    custom_attributes: tuple[tuple[str, str], ...] = ()

    def named(self, name: str) -> "PlanDraft":
        """Return the same draft under another name."""
        return replace(self, name=name)


@dataclass(frozen=True, kw_only=True)
class Price:
    """What a version of a plan costs; the amounts are in major units of the currency."""

    billing_plan: str = BillingPlan.FREE
    monetization_plan: str | None = None
    fixed_rate: Decimal | None = None
    price_per_request: Decimal | None = None
    pricing_model: str | None = None
    tiers: tuple[dict[str, Any], ...] = ()
    trial_days: int = 0
    takes_coupons: bool = False
    currency: str | None = None
    billing_cycle: str | None = None


@dataclass(frozen=True, kw_only=True)
class CleanPlan:
    """A plan whose every value has been checked."""

    name: str
    display_name: str
    description: str
    quota_type: str
    quota: int
    quota_unit: str | None
    unit_time: int
    time_unit: str
    rate_limit_count: int | None
    rate_limit_time_unit: str | None
    stop_on_quota_reach: bool
    custom_attributes: list[dict[str, Any]]
    permission_type: str
    permission_roles: list[str]
    price: Price


class _Findings:
    """Collects what is wrong, by field, while the checks go on."""

    def __init__(self) -> None:
        self.fields: dict[str, str] = {}

    def take(self, field: str, read: Callable[[], T], otherwise: T) -> T:
        try:
            return read()
        except ValueError as error:
            self.fields[field] = str(error)
            return otherwise


def check(draft: PlanDraft, known_roles: Collection[str]) -> CleanPlan:
    """Return the plan with typed values.

    :param known_roles: the roles that permissions may name
    :raise portal.errors.Invalid: with a sentence for every field that is wrong
    """
    found = _Findings()
    take = found.take
    clean = CleanPlan(
        name=take("name", lambda: _name(draft.name), ""),
        display_name=take("display_name", lambda: _text(draft.display_name or draft.name, 512), ""),
        description=take("description", lambda: _text(draft.description, 1024), ""),
        stop_on_quota_reach=draft.stop_on_quota_reach,
        custom_attributes=take(
            "custom_attributes", lambda: _attributes(draft.custom_attributes), []
        ),
        price=_price(draft, found),
        **_quota(draft, found),
        **_burst(draft, found),
        **_permission(draft, known_roles, found),
    )
    if found.fields:
        raise Invalid("The plan was not saved. " + " ".join(found.fields.values()), found.fields)
    return clean


def _quota(draft: PlanDraft, found: _Findings) -> dict[str, Any]:
    take = found.take
    kind = take("quota_type", lambda: choice(draft.quota_type, QuotaType, "quota"), "")
    fields: dict[str, Any] = {
        "quota_type": kind,
        "quota": take("quota", lambda: _count(draft.quota, _QUOTA_WORDS.get(kind)), 0),
        "quota_unit": None,
        "unit_time": take("unit_time", lambda: _count(draft.unit_time, "unit time"), 0),
        "time_unit": take("time_unit", lambda: choice(draft.time_unit, TIME_UNITS, "unit"), ""),
    }
    if kind == QuotaType.BANDWIDTH:
        fields["quota_unit"] = take(
            "quota_unit", lambda: choice(draft.quota_unit, DATA_UNITS, "unit"), ""
        )
    return fields


def _burst(draft: PlanDraft, found: _Findings) -> dict[str, Any]:
    given = draft.rate_limit_count.strip()
    if not given:
        return {"rate_limit_count": None, "rate_limit_time_unit": None}
    unit = draft.rate_limit_time_unit
    return {
        "rate_limit_count": found.take("rate_limit_count", lambda: _count(given, "rate"), 0),
        "rate_limit_time_unit": found.take(
            "rate_limit_time_unit", lambda: choice(unit, RATE_UNITS, "unit"), ""
        ),
    }


def _permission(draft: PlanDraft, known_roles: Collection[str], found: _Findings) -> dict[str, Any]:
    kind = found.take(
        "permission_type", lambda: choice(draft.permission_type, Permission, "permission"), ""
    )
    nobody: list[str] = []
    roles = found.take(
        "permission_roles", lambda: _roles(kind, draft.permission_roles, known_roles), nobody
    )
    return {"permission_type": kind, "permission_roles": roles}


_QUOTA_WORDS: dict[str, str] = {
    QuotaType.REQUESTS: "number of requests",
    QuotaType.BANDWIDTH: "amount of data",
    QuotaType.EVENTS: "number of events",
}


def choice(given: str, allowed: Iterable[str], what: str) -> str:
    """Return the allowed value that was meant, in any case.

    :raise ValueError: if it is none of them; the message lists them
    """
    for value in allowed:
        if str(value).lower() == given.strip().lower():
            return str(value)
    names = ", ".join(str(value) for value in allowed)
    raise ValueError(f"Choose the {what}: {names}.")


def _name(given: str) -> str:
    name = given.strip()
    if not name:
        raise ValueError("Enter a name.")
    if any(char.isspace() for char in name):
        raise ValueError("The name contains spaces. Write it in one word, such as Gold-Monthly.")
    if len(name) > LONGEST_NAME:
        raise ValueError(f"The name is longer than {LONGEST_NAME} characters.")
    if _ILLEGAL.search(name) or not name.isprintable():
        raise ValueError(
            "The name contains a character that names must not have. Use letters, digits, "
            "hyphens and underscores."
        )
    return name


def _text(given: str, longest: int) -> str:
    text = given.strip().replace("\r\n", "\n")
    if len(text) > longest:
        raise ValueError(f"This is longer than {longest} characters.")
    if "\x00" in text:
        raise ValueError("This contains a character that cannot be stored.")
    return text


def _count(given: str, what: str | None) -> int:
    text = given.strip()
    if not text:
        raise ValueError(f"Enter the {what or 'quota'}.")
    if not (text.isascii() and text.isdigit()) or len(text) > 12:
        raise ValueError("Enter a whole number, without signs or separators.")
    if not 0 < int(text) <= LARGEST_COUNT:
        raise ValueError(f"Enter a number from 1 to {LARGEST_COUNT:,}.")
    return int(text)


def _attributes(given: tuple[tuple[str, str], ...]) -> list[dict[str, Any]]:
    if len(given) > MOST_ATTRIBUTES:
        raise ValueError(f"Enter at most {MOST_ATTRIBUTES} custom attributes.")
    pairs = [(name.strip(), value.strip()) for name, value in given]
    for name, value in pairs:
        if not name or not value:
            raise ValueError("Each custom attribute needs a name and a value: colour = red.")
        if len(name) > 100 or len(value) > 500:
            raise ValueError("A custom attribute's name has up to 100 characters, its value 500.")
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError("Two custom attributes have the same name.")
    return [{"name": name, "value": value} for name, value in pairs]


def _roles(kind: str, given: tuple[str, ...], known: Collection[str]) -> list[str]:
    if kind not in (Permission.ALLOW, Permission.DENY):
        return []
    roles = list(dict.fromkeys(role.strip() for role in given if role.strip()))
    if not roles:
        raise ValueError("Name at least one role, or choose None.")
    unknown = [role for role in roles if role not in known]
    if unknown:
        raise ValueError(
            f"Nobody here has the role {unknown[0][:60]}. Roles: {', '.join(sorted(known))}."
        )
    return roles


def _price(draft: PlanDraft, found: _Findings) -> Price:
    billing = found.take(
        "billing_plan", lambda: choice(draft.billing_plan, BillingPlan, "billing plan"), ""
    )
    if billing != BillingPlan.COMMERCIAL:
        return Price()
    kind = found.take(
        "monetization_plan",
        lambda: choice(draft.monetization_plan, MonetizationPlan, "monetization plan"),
        "",
    )
    currency = found.take("currency", lambda: _currency(draft.currency), "")
    cycle = found.take(
        "billing_cycle", lambda: choice(draft.billing_cycle, CYCLES, "billing cycle"), ""
    )
    fields: dict[str, Any] = {}
    if kind == MonetizationPlan.FIXED:
        fields["fixed_rate"] = found.take(
            "fixed_price", lambda: fixed_price(draft.fixed_price, currency), None
        )
    elif kind == MonetizationPlan.DYNAMIC:
        fields = _by_use(draft, currency, found)
    return Price(
        billing_plan=billing,
        monetization_plan=kind,
        currency=currency,
        billing_cycle=cycle,
        trial_days=found.take("trial_days", lambda: _trial(draft.trial_days), 0),
        takes_coupons=draft.takes_coupons,
        **fields,
    )


def _by_use(draft: PlanDraft, currency: str, found: _Findings) -> dict[str, Any]:
    model = found.take(
        "pricing_model", lambda: choice(draft.pricing_model, PricingModel, "price model"), ""
    )
    if model in (PricingModel.GRADUATED, PricingModel.VOLUME):
        tiers: tuple[dict[str, Any], ...] = ()
        return {
            "pricing_model": model,
            "tiers": found.take(
                "tiers", lambda: tuple(tier_rules.read(draft.tiers, currency)), tiers
            ),
        }
    return {
        "price_per_request": found.take(
            "price_per_request", lambda: request_price(draft.price_per_request, currency), None
        )
    }


def _trial(given: str) -> int:
    text = given.strip()
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()) or int(text) > LONGEST_TRIAL:
        raise ValueError(f"Enter the days of the free trial, up to {LONGEST_TRIAL}, or nothing.")
    return int(text)


def _currency(given: str) -> str:
    code = given.strip().upper()
    if not code:
        raise ValueError("Enter the currency, for example USD.")
    if code.lower() not in money.SUPPORTED:
        raise ValueError(
            f"{code[:12]} is not a currency that Stripe supports. Enter its three letters, "
            "for example USD."
        )
    return code


def _amount(given: str) -> Decimal:
    amount = money.parse(given)
    if len(amount.as_tuple().digits) > MOST_DIGITS:
        raise ValueError("This price has more digits than can be billed.")
    if amount <= 0:
        raise ValueError("Enter a price above 0. A plan without a price is a free plan.")
    if amount >= LARGEST_COUNT:
        raise ValueError("This price is too large to be billed.")
    return amount


def fixed_price(given: str, currency: str) -> Decimal:
    """Return a price for each billing cycle in major units, exact in the currency.

    :param currency: its code, or empty where it is not known: then only the number is checked
    :raise ValueError: with the sentence that stands beside the field
    """
    if not given.strip():
        raise ValueError("Enter the fixed rate for each billing cycle.")
    amount = _amount(given)
    if currency and money.to_minor(amount, currency) > money.LARGEST_MINOR:
        raise ValueError(_too_large(currency))
    return amount


def request_price(given: str, currency: str) -> Decimal:
    """Return a price for one request in major units, with at most 12 decimals in minor units.

    :raise ValueError: with the sentence that stands beside the field
    """
    if not given.strip():
        raise ValueError("Enter the price per request.")
    amount = _amount(given)
    if currency and money.unit_in_minor(amount, currency) > money.LARGEST_MINOR:
        raise ValueError(_too_large(currency))
    return amount


def _too_large(currency: str) -> str:
    most = money.Money(money.LARGEST_MINOR, currency.lower())
    return f"Stripe bills at most {most} at a time. Enter a smaller price."
