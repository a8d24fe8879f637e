"""Money as CSV: plain decimals with the currency beside them, so that nobody adds two of them."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

from portal.models import BookedInvoice
from portal.money import Money, exponent
from portal.services.csv_cells import inert
from portal.services.takings import FIGURES, OF_BALANCE, Row


def major(minor: int, currency: str) -> str:
    """Write an amount in major units with its currency's decimals, and without the currency."""
    return f"{Money(minor, currency.lower()).major:.{exponent(currency)}f}"


def of_rows(title: str, rows: Sequence[Row]) -> str:
    """Return a table of revenue."""
    lines = [
        [
            inert(row.label),
            row.currency.upper(),
            *(major(row.figures.get(name, 0), row.currency) for name in FIGURES),
        ]
        for row in rows
    ]
    return _text([title, "Currency", *FIGURES.values()], lines)


INVOICE_HEADINGS = (
    "Number",
    "API",
    "Application",
    "Made",
    "Period start",
    "Period end",
    "State",
    "Currency",
    "Total",
    "Paid",
    "Due",
    "Due date",
)


def of_invoices(
    found: Iterable[BookedInvoice], brought: Mapping[int, Mapping[str, int]] | None = None
) -> str:
    """Return a list of invoices; ``brought`` adds what the balance says of each."""
    headings: list[str] = list(INVOICE_HEADINGS)
    if brought is not None:
        headings += [FIGURES.get(name, "Gross") for name in OF_BALANCE]
    lines = []
    for row in found:
        cells = _invoice(row)
        if brought is not None:
            sums = brought.get(row.id, {})
            cells += [major(sums.get(name, 0), row.currency) for name in OF_BALANCE]
        lines.append(cells)
    return _text(headings, lines)


def _invoice(row: BookedInvoice) -> list[str]:
    amounts = (row.total, row.amount_paid, row.amount_remaining)
    return [
        row.number or row.invoice_id,
        inert(f"{row.subscription.api.api_name} {row.subscription.api.api_version}"),
        inert(row.subscription.application.name),
        f"{row.created:%Y-%m-%d}",
        f"{row.period_start:%Y-%m-%d}",
        f"{row.period_end:%Y-%m-%d}",
        row.status,
        row.currency.upper(),
        *(major(minor, row.currency) for minor in amounts),
        f"{row.due_date:%Y-%m-%d}" if row.due_date else "",
    ]


def _text(headings: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(headings)
    writer.writerows(lines)
    return text.getvalue()
