"""Invoices in words, for the page, the portal's list and the PDF."""

from __future__ import annotations

from typing import Any

from flask import url_for

from portal.sandbox import money
from portal.sandbox.engine import lines
from portal.sandbox.pages.web import date
from portal.sandbox.store import Db, Record

STATES = {
    "open": ("warn", "Open"),
    "paid": ("good", "Paid"),
    "uncollectible": ("bad", "Uncollectible"),
    "void": ("neutral", "Void"),
    "draft": ("neutral", "Draft"),
}


def summary(invoice: Record) -> dict[str, Any]:
    """Return one row of a list of invoices."""
    tone, state = STATES[invoice["status"]]
    place = {"account": invoice["_account"], "token": invoice["_lookup"]}
    return {
        "id": invoice["id"],
        "number": invoice.get("number") or "Draft",
        "date": date(invoice.get("effective_at") or invoice["created"]),
        "total": money.display(invoice["total"], invoice["currency"]),
        "due": money.display(invoice["amount_remaining"], invoice["currency"]),
        "open": invoice["status"] == "open",
        "tone": tone,
        "state": state,
        "page": url_for("hosted.invoice_page", **place),
        "pdf": url_for("hosted.invoice_pdf", **place),
    }


def rows(db: Db, invoice: Record) -> list[dict[str, str]]:
    """Return the lines: name, quantity, unit price, period and amount as text."""
    return [_row(db, invoice, line) for line in invoice["lines"]]


def _row(db: Db, invoice: Record, line: dict[str, Any]) -> dict[str, str]:
    product = db.get("product", invoice["_account"], line["product"])
    unit = line["unit_amount_decimal"]
    period = line["period"]
    return {
        "name": line["description"] if line.get("proration") or not product else product["name"],
        "quantity": f"{line['quantity']:,}",
        "unit": lines.unit_display(unit, invoice["currency"]) if unit else "by tier",
        "period": f"{date(period['start'])} – {date(period['end'])}",
        "amount": money.display(line["amount"], invoice["currency"]),
    }


def totals(invoice: Record) -> list[tuple[str, str]]:
    """Return the sums under the lines, the last one being what is (or was) to be paid.

    An amount below the smallest charge isn't collected but carried to the next invoice.
    """
    currency = invoice["currency"]
    result = [("Total", money.display(invoice["total"], currency))]
    if invoice["subtotal"] != invoice["total"]:
        taken = money.display(invoice["total"] - invoice["subtotal"], currency)
        subtotal = money.display(invoice["subtotal"], currency)
        result = [("Subtotal", subtotal), ("Discount", taken), *result]
    balance = invoice.get("starting_balance") or 0
    if balance:
        result.append(("Carried from earlier invoices", money.display(balance, currency)))
    carried = invoice["total"] + balance - invoice["amount_due"]
    if carried:
        result.append(("Carried to the next invoice", money.display(-carried, currency)))
    result.append(("Amount due", money.display(invoice["amount_due"], currency)))
    if invoice["amount_paid"]:
        result.append(("Amount paid", money.display(invoice["amount_paid"], currency)))
    return result
