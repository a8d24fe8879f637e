"""Tiers as people write them."""

from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portal.services import tier_rules

WRITTEN = "1000 = 0 + 5.00\n10000 = 0.004\nmore = 0.002"


def test_lines_become_tiers_in_major_units():
    assert tier_rules.read(WRITTEN, "USD") == [
        {"up_to": 1000, "unit": "0", "flat": "5"},
        {"up_to": 10000, "unit": "0.004", "flat": "0"},
        {"up_to": None, "unit": "0.002", "flat": "0"},
    ]


def test_separators_spaces_and_capitals_are_taken():
    tiers = tier_rules.read("  1,000=0.5 \n\n MORE = 0.25 ", "USD")
    assert [tier["up_to"] for tier in tiers] == [1000, None]


@pytest.mark.parametrize(
    ("text", "currency", "words"),
    [
        ("", "USD", "at least 2 tiers"),
        ("more = 1", "USD", "at least 2 tiers"),
        ("1000 = 1\n2000 = 1", "USD", "begins with more"),
        ("more = 1\n2000 = 1", "USD", "begins with more"),
        ("2000 = 1\n1000 = 1\nmore = 1", "USD", "ends after"),
        ("1000 = 1\n1000 = 1\nmore = 1", "USD", "ends after"),
        ("1000: 1\nmore = 1", "USD", "Line 1 cannot be read"),
        ("1000 = one\nmore = 1", "USD", "Line 1"),
        ("-5 = 1\nmore = 1", "USD", "whole number"),
        ("0 = 1\nmore = 1", "USD", "whole number"),
        ("1000 = -1\nmore = 1", "USD", "Line 1"),
        ("1000 = 1\nmore = 0.00000000000000001", "USD", "Line 2"),
        ("1000 = 1 + 0.005\nmore = 1", "USD", "Line 1"),
        ("1000 = 1 + 0.5\nmore = 1", "JPY", "Line 1"),
        ("1000 = 99999999\nmore = 1", "USD", "more than Stripe bills"),
        ("1000 = 0\nmore = 0", "USD", "Every tier is free"),
        ("\n".join(f"{n} = 1" for n in range(1, 21)) + "\nmore = 1", "USD", "at most 20"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text, currency, words):
    with pytest.raises(ValueError, match=words):
        tier_rules.read(text, currency)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    ends=st.lists(st.integers(1, 10**9), min_size=1, max_size=19, unique=True),
    units=st.lists(
        st.decimals(min_value=Decimal("0.0001"), max_value=100, places=6), min_size=20, max_size=20
    ),
    flats=st.lists(st.decimals(min_value=0, max_value=1000, places=2), min_size=20, max_size=20),
)
def test_what_is_written_out_reads_back_the_same(ends, units, flats):
    rows = [*sorted(ends), "more"]
    text = "\n".join(
        f"{end} = {unit:f} + {flat:f}" for end, unit, flat in zip(rows, units, flats, strict=False)
    )
    tiers = tier_rules.read(text, "USD")
    assert tier_rules.read(tier_rules.written(tiers), "USD") == tiers
