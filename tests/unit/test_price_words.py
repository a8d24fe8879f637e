"""A price is written as the invoices write it, whatever currency it is in."""

from decimal import Decimal

import pytest

from portal import rating
from portal.models import PolicyVersion
from portal.money import Money


def version(**price: object) -> PolicyVersion:
    return PolicyVersion(billing_plan="COMMERCIAL", billing_cycle="month", **price)


@pytest.mark.parametrize(
    ("amount", "currency", "words"),
    [
        ("9.99", "USD", "9.99 USD per month"),
        ("10000", "USD", "10,000.00 USD per month"),
        ("1500", "JPY", "1,500 JPY per month"),
        ("1.23", "KWD", "1.230 KWD per month"),
    ],
)
def test_a_fixed_price(amount, currency, words):
    found = version(fixed_rate=Decimal(amount), currency=currency, monetization_plan="FIXEDRATE")
    assert found.price_words == words
    assert found.price_words == f"{Money(int(found.unit_minor), currency.lower())} per month"


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ("0.0025", "0.0025 USD per Request"),
        ("0.5", "0.50 USD per Request"),
        ("1", "1.00 USD per Request"),
    ],
)
def test_a_price_for_each_request(amount, words):
    found = version(
        price_per_request=Decimal(amount), currency="USD", monetization_plan="DYNAMICRATE"
    )
    assert found.price_words == words
    assert found.price_words.startswith(rating.price_words(found.unit_minor, "usd"))
