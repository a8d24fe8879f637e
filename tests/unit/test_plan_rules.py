"""What a business plan may hold: the weaknesses W01 to W04 of the original, and ADM-06."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.errors import Invalid
from portal.money import to_minor
from portal.services.plan_rules import PlanDraft, Price, check

ROLES = {"subscriber", "gold-customers"}


def draft(**changes):
    return PlanDraft(**{"name": "Bronze", "quota": "1000", **changes})


def fixed(price, currency="USD", cycle="month", **more):
    return draft(
        billing_plan="COMMERCIAL",
        monetization_plan="FIXEDRATE",
        fixed_price=price,
        currency=currency,
        billing_cycle=cycle,
        **more,
    )


def dynamic(price, currency="USD", **more):
    return draft(
        billing_plan="COMMERCIAL",
        monetization_plan="DYNAMICRATE",
        price_per_request=price,
        currency=currency,
        billing_cycle="month",
        **more,
    )


def refusals(plan):
    with pytest.raises(Invalid) as refused:
        check(plan, ROLES)
    return refused.value.fields


def test_a_free_plan_ignores_an_empty_or_senseless_price():
    plan = check(draft(fixed_price="abc", currency="nope", billing_cycle="x"), ROLES)
    assert plan.price == Price()


@pytest.mark.parametrize(
    ("typed", "currency", "minor"),
    [
        ("1.05", "USD", 105),
        ("0.53", "usd", 53),
        ("2.09", "USD", 209),
        ("9.99", "USD", 999),
        ("9.9", "USD", 990),
        ("500", "JPY", 500),
        ("1.230", "KWD", 1230),
        ("999999.99", "USD", 99_999_999),
        (" 10 ", "EUR", 1000),
    ],
)
def test_a_fixed_price_becomes_exactly_its_minor_units(typed, currency, minor):
    price = check(fixed(typed, currency), ROLES).price
    assert to_minor(price.fixed_rate, price.currency) == minor
    assert price.currency == currency.upper()


@given(st.integers(min_value=1, max_value=99_999_999))
def test_no_fixed_price_in_cents_is_ever_a_cent_off(cents):
    typed = f"{cents // 100}.{cents % 100:02d}"
    assert to_minor(check(fixed(typed), ROLES).price.fixed_rate, "USD") == cents


@pytest.mark.parametrize(
    ("typed", "currency", "words"),
    [
        ("1.005", "USD", "USD has 2 decimals"),
        ("500.5", "JPY", "JPY has no decimals"),
        ("1.2345", "KWD", "KWD has 3 decimals"),
        ("1.234", "KWD", "end at two decimals"),
        ("1.50", "ISK", "no decimals"),
        ("0", "USD", "above 0"),
        ("-5", "USD", "above 0"),
        ("", "USD", "Enter the fixed rate"),
        ("ten", "USD", "plain number"),
        ("1e3", "USD", "plain number"),
        ("1,000.00", "USD", "plain number"),
        ("NaN", "USD", "plain number"),
        ("٩.٩٩", "USD", "plain number"),
        ("1000000.00", "USD", "at most 999,999.99 USD"),
        ("1.0000000000000000000000000000001", "USD", "more digits"),
        ("99999999999999999999", "USD", "too large"),
    ],
)
def test_a_fixed_price_that_could_only_be_rounded_or_refused_is_named(typed, currency, words):
    fields = refusals(fixed(typed, currency))
    assert list(fields) == ["fixed_price"]
    assert words in fields["fixed_price"]


@pytest.mark.parametrize(
    ("typed", "currency"),
    [("0.001", "USD"), ("0.0025", "USD"), ("0.00000000000001", "USD"), ("0.000000000001", "JPY")],
)
def test_a_price_per_request_far_below_a_cent_is_kept(typed, currency):
    assert check(dynamic(typed, currency), ROLES).price.price_per_request == Decimal(typed)


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("0", "above 0"),
        ("-0.1", "above 0"),
        ("", "Enter the price per request"),
        ("0.000000000000001", "more decimals"),
        ("1000000", "at most"),
        ("2147483646.99999999999999", "at most"),
        ("9" * 25, "digits"),
    ],
)
def test_a_price_per_request_that_cannot_be_billed_is_refused(typed, words):
    assert words in refusals(dynamic(typed))["price_per_request"]


@pytest.mark.parametrize(
    ("typed", "kept"), [("MONTH", "month"), ("Week", "week"), (" year ", "year")]
)
def test_a_billing_cycle_is_understood_in_any_case(typed, kept):
    assert check(fixed("1", cycle=typed), ROLES).price.billing_cycle == kept


@pytest.mark.parametrize("cycle", ["", "day", "fortnight"])
def test_another_billing_cycle_is_refused(cycle):
    assert "week, month, year" in refusals(fixed("1", cycle=cycle))["billing_cycle"]


@pytest.mark.parametrize("currency", ["", "XXX", "US", "dollars", "€", "BTC"])
def test_a_currency_that_stripe_does_not_take_is_refused(currency):
    assert "USD" in refusals(fixed("1", currency))["currency"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "Enter a name"),
        ("Gold Plan", "spaces"),
        ("a" * 61, "60 characters"),
        ("Gold&Silver", "character"),
        ("Gold$", "character"),
        ("<b>", "character"),
        ("Gold\x07", "character"),
    ],
)
def test_a_name_that_breaks_the_rules_is_refused(name, words):
    assert words in refusals(draft(name=name))["name"]


def test_hyphens_dots_and_other_alphabets_are_fine_in_names():
    for name in ("Pay-as-you-go", "v1.0_beta", "Größe", "a" * 60):
        assert check(draft(name=name), ROLES).name == name


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"quota": ""}, "quota"),
        ({"quota": "0"}, "quota"),
        ({"quota": "-1"}, "quota"),
        ({"quota": "1.5"}, "quota"),
        ({"quota": "99999999999"}, "quota"),
        ({"unit_time": "0"}, "unit_time"),
        ({"unit_time": ""}, "unit_time"),
        ({"time_unit": "fortnights"}, "time_unit"),
        ({"rate_limit_count": "x"}, "rate_limit_count"),
        ({"rate_limit_count": "5", "rate_limit_time_unit": "hours"}, "rate_limit_time_unit"),
        ({"quota_type": "AIAPIQUOTALIMIT"}, "quota_type"),
        ({"quota_type": "BANDWIDTHLIMIT", "quota_unit": "GB"}, "quota_unit"),
        ({"description": "d" * 1025}, "description"),
        ({"billing_plan": "OTHER"}, "billing_plan"),
        ({"permission_type": "MAYBE"}, "permission_type"),
        ({"permission_type": "ALLOW"}, "permission_roles"),
        ({"permission_type": "DENY", "permission_roles": ("subscribr",)}, "permission_roles"),
        ({"custom_attributes": (("colour", ""),)}, "custom_attributes"),
        ({"custom_attributes": (("a", "1"), ("a", "2"))}, "custom_attributes"),
    ],
)
def test_each_wrong_value_is_named_at_its_field(changes, field):
    assert list(refusals(draft(**changes))) == [field]


def test_everything_that_is_wrong_is_named_at_once():
    fields = refusals(fixed("abc", "XXX", "never", name="two words", quota=""))
    assert set(fields) == {"name", "quota", "fixed_price", "currency", "billing_cycle"}


def test_a_whole_plan_is_read():
    plan = check(
        draft(
            quota_type="bandwidthlimit",
            quota="500",
            quota_unit="mb",
            unit_time="2",
            time_unit="hours",
            rate_limit_count="10",
            rate_limit_time_unit="min",
            permission_type="ALLOW",
            permission_roles=("gold-customers", "gold-customers"),
            custom_attributes=((" colour ", " red "),),
            stop_on_quota_reach=False,
        ),
        ROLES,
    )
    assert (plan.quota, plan.quota_unit, plan.unit_time, plan.time_unit) == (500, "MB", 2, "hours")
    assert (plan.rate_limit_count, plan.rate_limit_time_unit) == (10, "min")
    assert plan.permission_roles == ["gold-customers"]
    assert plan.custom_attributes == [{"name": "colour", "value": "red"}]
    assert plan.stop_on_quota_reach is False
