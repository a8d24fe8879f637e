"""Revenue: what the publisher's APIs brought, and the invoices behind each figure."""

from flask import render_template
from werkzeug.wrappers import Response

from portal import clock
from portal.flows import bookkeeping
from portal.publisher import bp
from portal.services import money_csv, takings
from portal.services.takings import FIGURES, GROUPS
from portal.web import money_pages
from portal.web.access import me, publisher_only
from portal.web.engines import engine_of


@bp.get("/revenue")
@publisher_only
def revenue() -> str:
    """Show what was paid, is open and was given back, by month, API, plan or subscriber."""
    reading = bookkeeping.read(engine_of, me().tenant_id)
    wanted, by, now = money_pages.wanted_by_publisher(me()), money_pages.grouped_by(), clock.now()
    rows = takings.sums(wanted, by, now)
    return render_template(
        "publisher/revenue.html",
        reading=reading,
        wanted=wanted,
        asked=money_pages.asked,
        by=by,
        rows=rows,
        totals=takings.totals(rows),
        years=takings.years(wanted, now),
        this_month=f"{now:%Y-%m}",
        groups=GROUPS,
        figures=FIGURES,
    )


@bp.get("/revenue.csv")
@publisher_only
def revenue_csv() -> Response:
    """Hand out the same table as CSV."""
    by = money_pages.grouped_by()
    rows = takings.sums(money_pages.wanted_by_publisher(me()), by, clock.now())
    return money_pages.as_csv(f"revenue-by-{by}", money_csv.of_rows(GROUPS[by], rows))


@bp.get("/revenue/invoices")
@publisher_only
def revenue_invoices() -> str:
    """List the invoices that a figure of the revenue is made of."""
    wanted = money_pages.wanted_by_publisher(me())
    page = money_pages.invoice_page(wanted)
    return render_template(
        "publisher/revenue_invoices.html",
        **money_pages.context(
            page=page,
            wanted=wanted,
            asked=money_pages.asked(wanted),
            brought=takings.brought([row.id for row in page.items]),
            figures=FIGURES,
        ),
    )


@bp.get("/revenue/invoices.csv")
@publisher_only
def revenue_invoices_csv() -> Response:
    """Hand out the same list as CSV."""
    return money_pages.invoices_csv(money_pages.wanted_by_publisher(me()), with_balance=True)
