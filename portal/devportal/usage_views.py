"""What a subscription has used, and what that costs, line by line."""

from uuid import UUID

from flask import render_template
from werkzeug.wrappers import Response

from portal.devportal import bp
from portal.devportal.views import curl
from portal.services import operations
from portal.web import usage_pages
from portal.web.access import me, subscriber_only
from portal.web.engines import absolute
from portal.web.tenancy import own_subscription


@bp.get("/subscriptions/<uuid:uuid>/usage")
@subscriber_only
def usage(uuid: UUID) -> str:
    """Show the calls of a period, counted and not, with what they cost."""
    found = own_subscription(me(), str(uuid))
    example = operations.example(operations.of(found.api.definition))
    call = curl(absolute(found.api.gateway_path) + (example.example if example else "/"))
    return render_template("devportal/usage.html", **usage_pages.context(found), call=call)


@bp.get("/subscriptions/<uuid:uuid>/usage.csv")
@subscriber_only
def usage_csv(uuid: UUID) -> Response:
    """Hand out the period's lines as CSV; its amounts add up to the invoice's line."""
    return usage_pages.as_csv(own_subscription(me(), str(uuid)))
