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
