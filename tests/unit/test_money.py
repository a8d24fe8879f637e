"""Money, exactly."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal import money

cents = st.integers(min_value=1, max_value=1_000_000)


@given(cents)
def test_every_price_from_a_cent_to_ten_thousand_arrives_exactly(amount):
    text = f"{amount // 100}.{amount % 100:02d}"
    assert money.to_minor(money.parse(text), "usd") == amount
    assert money.to_major(amount, "usd") == Decimal(text)


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("1.05", "USD", 105),
        ("0.53", "usd", 53),
        ("2.09", "EUR", 209),
        ("500", "JPY", 500),
        ("1.50", "KWD", 1500),
        ("100", "ISK", 10000),
    ],
)
def test_each_currency_has_its_own_minor_unit(text, currency, minor):
    assert money.to_minor(money.parse(text), currency) == minor


@pytest.mark.parametrize(
    ("text", "currency"), [("1.005", "usd"), ("0.5", "jpy"), ("1.2345", "kwd"), ("1.5", "isk")]
)
def test_what_would_have_to_be_rounded_is_refused(text, currency):
    with pytest.raises(ValueError, match="decimals"):
        money.to_minor(money.parse(text), currency)


@pytest.mark.parametrize("text", ["", "NaN", "1e309", "1,00", "٣", "1 000", "--1", "0x10", "+1"])
def test_only_plain_numbers_are_read(text):
    with pytest.raises(ValueError, match="plain number"):
        money.parse(text)


def test_a_price_below_a_cent_keeps_its_decimals():
    assert money.unit_in_minor(Decimal("0.0025"), "usd") == Decimal("0.25")
    assert money.plain(money.unit_in_minor(Decimal("0.001"), "usd")) == "0.1"


def test_a_line_is_rounded_half_up_once():
    assert money.round_line(25, Decimal("0.25"), "usd") == 6
    assert money.round_line(2, Decimal("0.25"), "USD") == 1


@pytest.mark.parametrize(
    ("currency", "quantity", "amount"),
    [("kwd", 4, 0), ("kwd", 5, 10), ("KWD", 24, 20), ("isk", 149, 100), ("isk", 150, 200)],
)
def test_a_line_ends_where_the_currency_ends_at_stripe(currency, quantity, amount):
    assert money.round_line(quantity, Decimal(1), currency) == amount


def test_an_amount_is_written_with_its_currencys_decimals():
    assert str(money.Money(999, "usd")) == "9.99 USD"
    assert str(money.Money(500, "jpy")) == "500 JPY"
    assert str(money.Money(1234567, "usd")) == "12,345.67 USD"


def test_currencies_are_never_added_together():
    with pytest.raises(ValueError, match="different currencies"):
        money.Money(1, "usd") + money.Money(1, "eur")


@pytest.mark.parametrize("text", ["0." + "0" * 29 + "1", "1" + "0" * 30 + ".001"])
def test_nothing_is_rounded_silently_however_long_it_is(text):
    with pytest.raises(ValueError, match="decimals"):
        money.to_minor(money.parse(text), "usd")
    with pytest.raises(ValueError, match="decimals"):
        money.unit_in_minor(money.parse("0." + "0" * 29 + "1"), "usd")


@given(
    st.integers(min_value=0, max_value=10**9),
    st.decimals(min_value="0.000000000001", max_value=10**6, places=12),
    st.sampled_from(["usd", "jpy", "kwd", "ugx"]),
)
def test_a_line_never_differs_by_more_than_half_a_step(quantity, unit, currency):
    from fractions import Fraction

    exact = Fraction(quantity) * Fraction(unit)
    line, step = money.round_line(quantity, unit, currency), money.step(currency)
    assert line % step == 0
    assert abs(line - exact) <= Fraction(step, 2)
