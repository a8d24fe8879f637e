"""Invoices in words: for the pages of both portals, and with WSO2's labels for programs."""

import json
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from portal.billing.engine import Invoice, InvoiceLine
from portal.money import Money, exponent, plain
from portal.rating import Price, rate

#: Shown as they are; they are WSO2's.
AMOUNTS = ("Tax", "Amount Remaining", "Amount Due", "Amount Paid", "Subtotal", "Total")

#: The engine's word -> the word on the page, its tone
_STATES = {
    "draft": ("Draft", "mute"),
    "open": ("Open", "wait"),
    "paid": ("Paid", "ok"),
    "uncollectible": ("Given up", "bad"),
    "void": ("Void", "mute"),
}


@dataclass(frozen=True, kw_only=True)
class LineView:
    """One line of an invoice, ready to read."""

    description: str
    reckoning: str
    """``25 × 0.0025 USD``; empty where the engine states no unit price."""
    amount: str
    period: str


@dataclass(frozen=True, kw_only=True)
class InvoiceView:
    """An invoice or the estimate of the next one, ready to read."""

    invoice: Invoice
    lines: tuple[LineView, ...]
    properties: dict[str, str | None]
    """WSO2's eighteen labels in its order (INV-02); amounts are plain decimals."""

    @property
    def is_estimate(self) -> bool:
        """Whether the amounts may still change."""
        return self.invoice.is_preview or self.invoice.status == "draft"

    @property
    def state(self) -> tuple[str, str]:
        """The word for where it stands, and its tone."""
        if self.invoice.is_preview:
            return "Estimate", "info"
        return _STATES.get(self.invoice.status, (self.invoice.status, "mute"))

    @property
    def is_owed(self) -> bool:
        """Whether somebody has to pay it now."""
        return self.invoice.status == "open" and self.invoice.amount_remaining > 0

    @property
    def total(self) -> str:
        """The total with its currency."""
        return amount(self.invoice.total, self.invoice.currency)

    @property
    def owed(self) -> str:
        """What remains to be paid, with its currency."""
        return amount(self.invoice.amount_remaining, self.invoice.currency)

    @property
    def period(self) -> str:
        """What the invoice is about: the span of its lines, or its own period without any."""
        spans = [(line.period_start, line.period_end) for line in self.invoice.lines]
        spans = spans or [(self.invoice.period_start, self.invoice.period_end)]
        return span(min(start for start, _ in spans), max(end for _, end in spans))

    @property
    def totals(self) -> list[tuple[str, str]]:
        """The sums below the lines; tax only where there is some."""
        invoice, currency = self.invoice, self.invoice.currency
        rows = [("Subtotal", invoice.subtotal), ("Tax", invoice.tax), ("Total", invoice.total)]
        if not invoice.is_preview:
            rows += [("Paid", invoice.amount_paid), ("To be paid", invoice.amount_remaining)]
        return [
            (label, amount(minor, currency)) for label, minor in rows if minor or label != "Tax"
        ]

    @property
    def rows(self) -> list[tuple[str, str]]:
        """The properties as a table for people: amounts with their currency, gaps as a dash."""
        currency = self.invoice.currency.upper()
        return [
            (label, _for_people(label, value, currency)) for label, value in self.properties.items()
        ]


def _for_people(label: str, value: str | None, currency: str) -> str:
    if value is None or value == "[]":
        return "–"
    return f"{value} {currency}" if label in AMOUNTS else value


def amount(minor: int, currency: str) -> str:
    """Write an amount with its currency's decimals: ``0.06 USD``, ``500 JPY``."""
    return str(Money(minor, currency.lower()))


def at(moment: datetime | None) -> str | None:
    """Write a moment as WSO2 does: ``2026-05-01 00:00:00 UTC``."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else None


def span(start: datetime, end: datetime) -> str:
    """Write a period by its days, in UTC."""
    return f"{start:%Y-%m-%d} to {end:%Y-%m-%d}"


def with_calls(invoice: Invoice, price_id: str | None, price: Price, calls: int) -> Invoice:
    """Add to a preview the calls that the engine has not heard of yet.

    :param price_id: what calls are sold at: other lines are not about calls
    :param calls: how many calls of the period will be billed in all
    :return: the invoice with one more line, so that the usage on it is what all calls cost;
        tax and discounts are the engine's and are not reckoned here
    """
    reported = [line for line in invoice.lines if line.price_id == price_id]
    heard = sum(line.quantity or 0 for line in reported)
    if calls <= heard:
        return invoice
    minor = rate(price, calls).minor - rate(price, heard).minor
    line = InvoiceLine(
        description=f"{calls - heard:,} calls that are reported next",
        quantity=None,
        unit_minor=None,
        amount_minor=minor,
        period_start=min((each.period_start for each in reported), default=invoice.period_start),
        period_end=max((each.period_end for each in reported), default=invoice.period_end),
    )
    total = invoice.total + minor
    due = max(total + min(invoice.balance_before, 0), 0)
    return replace(
        invoice,
        lines=[*invoice.lines, line],
        subtotal=invoice.subtotal + minor,
        total=total,
        amount_due=due,
        amount_remaining=due,
    )


def view(invoice: Invoice) -> InvoiceView:
    """Put an invoice of the billing engine into words."""
    return InvoiceView(
        invoice=invoice,
        lines=tuple(_line(line, invoice.currency) for line in invoice.lines),
        properties=_properties(invoice),
    )


def _line(line: InvoiceLine, currency: str) -> LineView:
    reckoning = ""
    if line.quantity is not None and line.unit_minor is not None:
        unit = plain(line.unit_minor.scaleb(-exponent(currency)))
        reckoning = f"{line.quantity:,} × {_at_least(unit, currency)} {currency.upper()}"
    return LineView(
        description=line.description,
        reckoning=reckoning,
        amount=amount(line.amount_minor, currency),
        period=span(line.period_start, line.period_end),
    )


def _at_least(unit: str, currency: str) -> str:
    """Give a unit price no fewer decimals than its currency has: ``9.90``, but ``0.0025``."""
    places = exponent(currency)
    value = Decimal(unit)
    return f"{value:.{places}f}" if value == round(value, places) else unit


def _properties(invoice: Invoice) -> dict[str, str | None]:
    def money(minor: int) -> str:
        places = exponent(invoice.currency)
        return f"{Money(minor, invoice.currency.lower()).major:.{places}f}"

    taxes = [{"amount": money(invoice.tax)}] if invoice.tax else []
    return {
        "Description": invoice.description,
        "Paid": "true" if invoice.status == "paid" else "false",
        "Tax": money(invoice.tax) if invoice.tax else None,
        "Invoice ID": invoice.invoice_id,
        "Account Name": invoice.account_name,
        "Next Payment Attempt": at(invoice.next_payment_attempt),
        "Customer Email": invoice.customer_email,
        "Currency": invoice.currency.lower(),
        "Account Country": invoice.account_country,
        "Amount Remaining": money(invoice.amount_remaining),
        "Period End": at(invoice.period_end),
        "Due Date": at(invoice.due_date),
        "Amount Due": money(invoice.amount_due),
        "Total Tax Amounts": json.dumps(taxes),
        "Amount Paid": money(invoice.amount_paid),
        "Subtotal": money(invoice.subtotal),
        "Total": money(invoice.total),
        "Period Start": at(invoice.period_start),
    }
