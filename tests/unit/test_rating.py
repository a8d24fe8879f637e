"""What calls cost: every price model, to the minor unit, with the arithmetic that leads there."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal import rating
from portal.money import step
from portal.rating import Package, Price, Scheme, Tier
from portal.sandbox import money as sandbox_money

CURRENCIES = st.sampled_from(["jpy", "usd", "isk", "kwd"])
CALLS = st.integers(0, 10**9)
#: Up to 99,999,999 minor units with twelve decimals.
UNITS = st.decimals(0, 99_999, places=12) | st.integers(0, 99_999_999).map(Decimal)
FLATS = st.integers(0, 100_000).map(Decimal)


@st.composite
def tiers(draw: Any) -> tuple[Tier, ...]:
    ends = sorted(draw(st.sets(st.integers(1, 10**6), max_size=4)))
    return tuple(
        Tier(up_to=end, unit_minor=draw(UNITS), flat_minor=draw(FLATS)) for end in [*ends, None]
    )


@st.composite
def prices(draw: Any) -> Price:
    currency = draw(CURRENCIES)
    scheme = draw(st.sampled_from(Scheme))
    if scheme in (Scheme.GRADUATED, Scheme.VOLUME):
        return Price(currency=currency, scheme=scheme, tiers=draw(tiers()))
    package = None
    if scheme is Scheme.PER_UNIT and draw(st.booleans()):
        package = Package(size=draw(st.integers(1, 5000)), rounds_up=draw(st.booleans()))
    unit = draw(FLATS if scheme is Scheme.FIXED else UNITS)
    return Price(currency=currency, scheme=scheme, unit_minor=unit, package=package)


def as_stripe(price: Price) -> dict[str, Any]:
    """The price as the sandbox keeps it."""
    package = price.package
    transform = package and {
        "divide_by": package.size,
        "round": "up" if package.rounds_up else "down",
    }
    return {
        "currency": price.currency,
        "billing_scheme": "tiered" if price.tiers else "per_unit",
        "tiers_mode": price.scheme.value if price.tiers else None,
        "unit_amount_decimal": str(price.unit_minor),
        "transform_quantity": transform,
        "tiers": [
            {
                "up_to": tier.up_to,
                "unit_amount_decimal": str(tier.unit_minor),
                "flat_amount_decimal": str(tier.flat_minor),
            }
            for tier in price.tiers
        ],
    }


@given(prices(), CALLS)
def test_every_price_comes_to_what_the_sandbox_bills(price, calls):
    quantity = 1 if price.is_fixed else calls
    assert rating.rate(price, calls).minor == sandbox_money.line_amount(as_stripe(price), quantity)


@given(prices(), CALLS)
def test_the_steps_account_for_every_call_and_for_the_whole_sum(price, calls):
    found = rating.rate(price, calls)
    assert sum(row.calls for row in found.steps) == calls
    assert sum(row.units * row.unit_minor + row.flat_minor for row in found.steps) == (
        pytest.approx(found.exact, rel=Decimal("1e-20"))
    )
    unit = step(price.currency)
    assert found.minor % unit == 0
    assert abs(found.exact - found.minor) <= Decimal(unit) / 2


@given(prices(), st.lists(st.integers(0, 10**6), max_size=30))
def test_shares_add_up_to_the_line_exactly_and_in_whole_minor_units(price, parts):
    line = rating.rate(price, sum(parts))
    shared = rating.share(price, parts)
    assert len(shared.parts) == len(parts)
    assert sum(shared.whole) == line.minor
    assert abs(sum((shared.base, *shared.parts)) - line.exact) < Decimal("1e-12")


@pytest.mark.parametrize(
    ("price", "calls", "amount", "words"),
    [
        (rating.fixed(999, "usd"), 7, "9.99 USD", ["1 × 9.99 USD"]),
        (rating.per_call(Decimal("0.25"), "usd"), 25, "0.06 USD", ["25 × 0.0025 USD"]),
        (rating.per_call(Decimal("0.25"), "usd"), 0, "0.00 USD", ["0 × 0.0025 USD"]),
        (rating.per_call(Decimal("0.5"), "jpy"), 1, "1 JPY", ["1 × 0.5 JPY"]),
        (rating.per_call(Decimal("1.5"), "kwd"), 3, "0.000 KWD", ["3 × 0.0015 KWD"]),
        (
            rating.per_call(Decimal(100), "usd", package=Package(size=1000)),
            1001,
            "2.00 USD",
            ["2 × 1.00 USD"],
        ),
        (
            rating.with_included(1000, Decimal("0.25"), "usd", base_minor=500),
            3001,
            "10.00 USD",
            ["5.00 USD + 1,000 included", "2,001 × 0.0025 USD"],
        ),
        (
            rating.with_included(1000, Decimal("0.25"), "usd", base_minor=500),
            0,
            "5.00 USD",
            ["5.00 USD"],
        ),
        (
            rating.volume(
                "usd",
                Tier(up_to=100, unit_minor=Decimal(3)),
                Tier(up_to=None, unit_minor=Decimal(1), flat_minor=Decimal(50)),
            ),
            101,
            "1.51 USD",
            ["0.50 USD + 101 × 0.01 USD"],
        ),
    ],
)
def test_the_arithmetic_is_written_out(price, calls, amount, words):
    found = rating.rate(price, calls)
    assert str(found.amount) == amount
    assert [step.words for step in found.steps] == words


@pytest.mark.parametrize(
    ("currency", "calls", "minor"),
    [("kwd", 4, 0), ("kwd", 5, 10), ("kwd", 24, 20), ("isk", 149, 100), ("isk", 150, 200)],
)
def test_a_line_ends_where_the_currency_ends_at_stripe(currency, calls, minor):
    assert rating.rate(rating.per_call(Decimal(1), currency), calls).minor == minor


def test_a_graduated_share_pays_for_the_tier_that_its_own_calls_reach():
    price = rating.with_included(1000, Decimal("0.25"), "usd", base_minor=500)
    shared = rating.share(price, [600, 600, 400])
    assert (shared.base, shared.parts) == (Decimal(500), (Decimal(0), Decimal(50), Decimal(100)))


def test_what_is_owed_without_a_call_is_shared_with_nobody():
    price = rating.with_included(1000, Decimal("0.25"), "usd", base_minor=500)
    assert rating.share(price, []).whole == (500,)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: rating.per_call(Decimal("0.0000000000001"), "usd"), "twelve decimals"),
        (lambda: rating.per_call(Decimal(-1), "usd"), "not negative"),
        (lambda: rating.per_call(Decimal("NaN"), "usd"), "not negative"),
        (lambda: rating.fixed(1, "xxx"), "not a currency"),
        (lambda: rating.graduated("usd"), "has tiers"),
        (lambda: rating.volume("usd", Tier(up_to=5)), "without an end"),
        (
            lambda: rating.graduated("usd", Tier(up_to=5), Tier(up_to=5), Tier(up_to=None)),
            "after the one before",
        ),
        (
            lambda: rating.per_call(Decimal(1), "usd", package=Package(size=0)),
            "packages of one or more",
        ),
        (lambda: rating.rate(rating.fixed(1, "usd"), -1), "from zero"),
    ],
)
def test_a_price_that_could_not_be_billed_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
