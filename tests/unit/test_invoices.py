"""Invoices in words: exact in every currency, with WSO2's labels in WSO2's order."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from portal.billing.engine import Invoice, InvoiceLine
from portal.services import invoices

MAY = datetime(2026, 5, 1, tzinfo=UTC)
JUNE = datetime(2026, 6, 1, tzinfo=UTC)


def invoice(**more: object) -> Invoice:
    drawn = Invoice(
        invoice_id="in_1", number="A-1", status="open", is_preview=False, currency="usd",
        subtotal=2099, tax=0, total=2099, amount_due=2099, amount_paid=0, amount_remaining=2099,
        period_start=MAY, period_end=JUNE, due_date=None, next_payment_attempt=JUNE, created=MAY,
        description=None, account_name="Northwind", account_country="US",
        customer_email="dana@example.com", hosted_url=None, pdf_url=None, billing_reason=None,
        subscription_id="sub_1", lines=(),
    )  # fmt: skip
    return replace(drawn, **more)


def test_the_labels_are_wso2s_in_its_order_with_amounts_that_keep_their_cents():
    assert list(invoices.view(invoice()).properties.items()) == list(
        {
            "Description": None,
            "Paid": "false",
            "Tax": None,
            "Invoice ID": "in_1",
            "Account Name": "Northwind",
            "Next Payment Attempt": "2026-06-01 00:00:00 UTC",
            "Customer Email": "dana@example.com",
            "Currency": "usd",
            "Account Country": "US",
            "Amount Remaining": "20.99",
            "Period End": "2026-06-01 00:00:00 UTC",
            "Due Date": None,
            "Amount Due": "20.99",
            "Total Tax Amounts": "[]",
            "Amount Paid": "0.00",
            "Subtotal": "20.99",
            "Total": "20.99",
            "Period Start": "2026-05-01 00:00:00 UTC",
        }.items()
    )


@pytest.mark.parametrize(
    ("currency", "minor", "plain", "words"),
    [
        ("usd", 6, "0.06", "0.06 USD"),
        ("jpy", 500, "500", "500 JPY"),
        ("kwd", 1230, "1.230", "1.230 KWD"),
        ("usd", 123_456_789, "1234567.89", "1,234,567.89 USD"),
    ],
)
def test_amounts_have_the_decimals_of_their_currency(currency, minor, plain, words):
    view = invoices.view(invoice(currency=currency, total=minor))
    assert view.properties["Total"] == plain
    assert view.total == words


def test_tax_is_shown_where_there_is_some():
    view = invoices.view(invoice(tax=199, total=2298))
    assert view.properties["Tax"] == "1.99"
    assert view.properties["Total Tax Amounts"] == '[{"amount": "1.99"}]'
    assert ("Tax", "1.99 USD") in view.totals
    assert "Tax" not in dict(invoices.view(invoice()).totals)


def test_a_due_date_is_the_day_it_is_and_not_1970():
    assert invoices.view(invoice(due_date=JUNE)).properties["Due Date"].startswith("2026-06-01")


@pytest.mark.parametrize(
    ("currency", "unit", "quantity", "reckoning"),
    [
        ("usd", "0.25", 25, "25 × 0.0025 USD"),
        ("usd", "999", 1, "1 × 9.99 USD"),
        ("usd", "1000", 1, "1 × 10.00 USD"),
        ("usd", "0.000000000001", 12_000, "12,000 × 0.00000000000001 USD"),
        ("jpy", "500", 1, "1 × 500 JPY"),
        ("jpy", "0.5", 3, "3 × 0.5 JPY"),
    ],
)
def test_a_line_shows_how_its_amount_comes_about(currency, unit, quantity, reckoning):
    line = InvoiceLine(
        description="Calls", quantity=quantity, unit_minor=Decimal(unit), amount_minor=6,
        period_start=MAY, period_end=JUNE,
    )  # fmt: skip
    [shown] = invoices.view(invoice(currency=currency, lines=(line,))).lines
    assert shown.reckoning == reckoning
    assert shown.period == "2026-05-01 to 2026-06-01"


@pytest.mark.parametrize(
    ("status", "remaining", "owed", "word"),
    [
        ("open", 2099, True, "Open"),
        ("open", 0, False, "Open"),
        ("paid", 0, False, "Paid"),
        ("void", 2099, False, "Void"),
        ("uncollectible", 2099, False, "Given up"),
        ("new_at_stripe", 1, False, "new_at_stripe"),
    ],
)
def test_only_an_open_invoice_is_owed(status, remaining, owed, word):
    view = invoices.view(invoice(status=status, amount_remaining=remaining))
    assert view.is_owed is owed
    assert view.state[0] == word


def test_a_preview_is_called_an_estimate_until_it_is_final():
    view = invoices.view(invoice(is_preview=True, status="draft"))
    assert view.is_estimate
    assert view.state[0] == "Estimate"
    assert "To be paid" not in dict(view.totals)
