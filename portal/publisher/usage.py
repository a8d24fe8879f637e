"""What subscribers have used: of an API by plan and subscriber, and of one subscription."""

from uuid import UUID

from flask import render_template
from werkzeug.wrappers import Response

from portal.publisher import bp
from portal.publisher.views import page_number
from portal.services import usage_overview
from portal.web import usage_pages
from portal.web.access import me, publisher_only
from portal.web.tenancy import provided_api, provided_subscription


@bp.get("/apis/<uuid:uuid>/usage")
@publisher_only
def api_usage(uuid: UUID) -> str:
    """Show what an API was used for in the running periods, by plan and subscriber."""
    found = provided_api(me(), str(uuid))
    return render_template(
        "publisher/api_usage.html", api=found, page=usage_overview.of_api(found, page_number())
    )


@bp.get("/subscriptions/<uuid:uuid>/usage")
@publisher_only
def usage(uuid: UUID) -> str:
    """Show the calls of a period, counted and not, with what they cost."""
    found = provided_subscription(me(), str(uuid))
    return render_template("publisher/usage.html", **usage_pages.context(found))


@bp.get("/subscriptions/<uuid:uuid>/usage.csv")
@publisher_only
def usage_csv(uuid: UUID) -> Response:
    """Hand out the period's lines as CSV; its amounts add up to the invoice's line."""
    return usage_pages.as_csv(provided_subscription(me(), str(uuid)))
