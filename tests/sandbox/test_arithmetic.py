"""Money and periods, by examples and over random values."""

from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.sandbox import money, periods
from portal.sandbox.engine.lines import unit_display


def per_unit(unit: str, **more: Any) -> dict[str, Any]:
    price = {"billing_scheme": "per_unit", "unit_amount_decimal": unit, "currency": "usd"}
    return {**price, **more}


@pytest.mark.parametrize(
    ("unit", "quantity", "amount"),
    [
        ("0.25", 25, 6),
        ("0.25", 26, 7),
        ("0.5", 1, 1),
        ("0.000000000001", 499_999_999_999, 0),
        ("0.000000000001", 500_000_000_000, 1),
        ("1500", 3, 4500),
        ("0.25", -5, 0),
    ],
)
def test_a_line_is_rounded_half_up_once(unit: str, quantity: int, amount: int) -> None:
    assert money.line_amount(per_unit(unit), quantity) == amount


@pytest.mark.parametrize(
    ("round_", "quantity", "amount"), [("up", 1001, 200), ("down", 1999, 100), ("up", 0, 0)]
)
def test_packages_are_counted_as_the_price_says(round_: str, quantity: int, amount: int) -> None:
    price = per_unit("100", transform_quantity={"divide_by": 1000, "round": round_})
    assert money.line_amount(price, quantity) == amount


def tier(up_to: int | None, unit: str | None, flat: str | None = None) -> dict[str, Any]:
    return {"up_to": up_to, "unit_amount_decimal": unit, "flat_amount_decimal": flat}


@pytest.mark.parametrize(
    ("mode", "quantity", "amount"),
    [
        ("graduated", 0, 0),
        ("graduated", 1000, 0),
        ("graduated", 1010, 100 + 10 * 10),
        ("graduated", 3000, 100 + 10_000 + 5_000),
        ("volume", 1000, 0),
        ("volume", 1001, 10_010 + 100),
        ("volume", 3000, 15_000),
    ],
)
def test_tiers_are_graduated_or_by_volume(mode: str, quantity: int, amount: int) -> None:
    tiers = [tier(1000, "0"), tier(2000, "10", "100"), tier(None, "5")]
    price = {"billing_scheme": "tiered", "tiers_mode": mode, "tiers": tiers, "currency": "usd"}
    assert money.line_amount(price, quantity) == amount


@given(
    unit=st.decimals(min_value=0, max_value=99_999_999, places=12),
    quantity=st.integers(min_value=0, max_value=10**9),
    currency=st.sampled_from([("usd", 1), ("jpy", 1), ("kwd", 10), ("isk", 100)]),
)
def test_a_line_is_quantity_times_unit_price(
    unit: Decimal, quantity: int, currency: tuple[str, int]
) -> None:
    code, step = currency
    exact = (unit * quantity / step).quantize(Decimal(1), rounding=ROUND_HALF_UP) * step
    price = per_unit(format(unit, "f"), currency=code)
    assert money.line_amount(price, quantity) == int(exact)


@pytest.mark.parametrize(
    ("unit", "currency", "text"),
    [
        ("0.25", "usd", "$0.0025"),
        ("1500", "usd", "$15.00"),
        ("500", "jpy", "¥500"),
        ("1050", "kwd", "1.050 KWD"),
    ],
)
def test_a_unit_price_is_shown_with_all_its_decimals(unit: str, currency: str, text: str) -> None:
    assert unit_display(unit, currency) == text


def day(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def test_months_keep_the_anchors_day_where_they_have_it() -> None:
    anchor = day("2027-01-31T10:00:00")
    ends = [anchor]
    for _ in range(4):
        ends.append(periods.next_end(anchor, "month", 1, ends[-1]))
    assert ends[1:] == [
        day("2027-02-28T10:00:00"),
        day("2027-03-31T10:00:00"),
        day("2027-04-30T10:00:00"),
        day("2027-05-31T10:00:00"),
    ]


def test_a_leap_day_comes_back_every_four_years() -> None:
    anchor = day("2028-02-29T00:00:00")
    assert periods.after(anchor, "year", 1, 1) == day("2029-02-28T00:00:00")
    assert periods.after(anchor, "year", 1, 4) == day("2032-02-29T00:00:00")


@given(
    anchor=st.integers(min_value=0, max_value=4_000_000_000),
    interval=st.sampled_from(["day", "week", "month", "year"]),
    count=st.integers(min_value=1, max_value=3),
    number=st.integers(min_value=0, max_value=40),
)
def test_the_end_of_each_period_is_the_next_point_of_the_grid(
    anchor: int, interval: str, count: int, number: int
) -> None:
    start = periods.after(anchor, interval, count, number)
    expected = periods.after(anchor, interval, count, number + 1)
    assert periods.next_end(anchor, interval, count, start) == expected
