"""What the pages about money share: what is asked for in the address, and CSV."""

import re
from datetime import datetime
from typing import Any
from uuid import UUID

from flask import request
from werkzeug.wrappers import Response

from portal import clock
from portal.extensions import db
from portal.models import BookedInvoice
from portal.models.user import ADMIN, User
from portal.services import money_csv, takings
from portal.services.paging import Page, page_of
from portal.services.takings import GROUPS, Wanted

MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
YEAR = re.compile(r"\d{4}")
CURRENCY = re.compile(r"[a-z]{3}")
#: Names in the address, beside the page's number.
NAMES = ("year", "month", "api", "plan", "subscriber", "currency", "figure")
#: More rows than a person reads; a CSV has at most so many invoices.
MOST = 50_000


def wanted_by_publisher(user: User) -> Wanted:
    """Return what the address asks for, of the person's APIs; an administrator sees all."""
    provider = None if user.has_role(ADMIN) else user.user_id
    return Wanted(tenant_id=user.tenant_id, provider_id=provider, **_asked())


def wanted_by_developer(user: User) -> Wanted:
    """Return what the address asks for, of the person's own applications."""
    return Wanted(tenant_id=user.tenant_id, owner_id=user.user_id, **_asked())


def _asked() -> dict[str, Any]:
    """Read the address; what cannot be is passed over."""
    found = {name: request.args.get(name, "") for name in NAMES}
    for name, pattern in (("month", MONTH), ("year", YEAR), ("currency", CURRENCY)):
        if not pattern.fullmatch(found[name]):
            found[name] = ""
    for name in ("api", "plan", "subscriber"):
        found[name] = _uuid(found[name])
    if found["figure"] not in takings.FIGURES:
        found["figure"] = ""
    return found


def _uuid(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        return ""


def grouped_by() -> str:
    """Return by what the address groups; by month unless it says otherwise."""
    by = request.args.get("by", "")
    return by if by in GROUPS else "month"


def asked(wanted: Wanted, **more: str) -> dict[str, str]:
    """Return an address's words for what is asked for, changed by ``more``."""
    words = {name: getattr(wanted, name) for name in NAMES} | more
    return {name: value for name, value in words.items() if value}


def invoice_page(wanted: Wanted) -> Page[BookedInvoice]:
    """Return a page of invoices, by the number in the address."""
    number = min(max(request.args.get("page", 1, type=int), 1), 1_000_000)
    return page_of(takings.invoices(wanted, clock.now()), number)


def invoices_csv(wanted: Wanted, *, with_balance: bool) -> Response:
    """Hand out the invoices that are asked for as CSV."""
    found = db.session.scalars(takings.invoices(wanted, clock.now()).limit(MOST)).unique().all()
    sums = takings.brought([row.id for row in found]) if with_balance else None
    return as_csv("invoices", money_csv.of_invoices(found, sums))


def as_csv(name: str, text: str) -> Response:
    """Hand out CSV as a file to keep."""
    response = Response(text, mimetype="text/csv")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return response


def state_of(row: BookedInvoice, now: datetime) -> tuple[str, str]:
    """Return the word for where an invoice stands, and its tone."""
    late = row.attempted or (row.due_date is not None and row.due_date < now)
    if row.status == "open" and late:
        return "Overdue", "bad"
    words: dict[str, tuple[str, str]] = {
        "open": ("Open", "wait"),
        "paid": ("Paid", "ok"),
        "uncollectible": ("Given up", "bad"),
        "void": ("Void", "mute"),
    }
    return words.get(row.status, (row.status, "mute"))


def amount(minor: int, currency: str) -> str:
    """Write an amount with its currency's decimals."""
    return f"{money_csv.major(minor, currency)} {currency.upper()}"


def context(**more: Any) -> dict[str, Any]:
    """Return what the templates of invoices use."""
    now = clock.now()
    return {"state_of": lambda row: state_of(row, now), "amount": amount, **more}
