"""Invoices of all of a developer's subscriptions: the next ones first, then what was drawn."""

from flask import render_template
from werkzeug.wrappers import Response

from portal.devportal import bp
from portal.flows import bookkeeping
from portal.services import estimates, takings
from portal.web import money_pages
from portal.web.access import me, subscriber_only
from portal.web.engines import engine_of


@bp.get("/invoices")
@subscriber_only
def invoices() -> str:
    """List what will be invoiced, and every invoice with what is due and where to pay it."""
    reading = bookkeeping.read(engine_of, me().tenant_id)
    wanted = money_pages.wanted_by_developer(me())
    page = money_pages.invoice_page(wanted)
    return render_template(
        "devportal/invoices.html",
        **money_pages.context(
            reading=reading,
            page=page,
            wanted=wanted,
            asked=money_pages.asked(wanted),
            estimates=estimates.of_developer(me().user_id),
            figures={name: takings.FIGURES[name] for name in takings.OF_INVOICES},
        ),
    )


@bp.get("/invoices.csv")
@subscriber_only
def invoices_csv() -> Response:
    """Hand out the invoices as CSV."""
    return money_pages.invoices_csv(money_pages.wanted_by_developer(me()), with_balance=False)
