"""Publishing usage to the billing engine, and what became of it."""

from flask import flash, redirect, render_template, url_for
from werkzeug.wrappers import Response

from portal import clock
from portal.admin import bp
from portal.errors import Conflict
from portal.flows import publishing as publishing_flow
from portal.services import publishing
from portal.web.access import admin_only, me


@bp.get("/usage")
@admin_only
def usage() -> str:
    """Show the publish job's status and its last runs."""
    tenant = me().tenant
    status = publishing.status(tenant)
    millis = status["lastPublishedTime"]
    return render_template(
        "admin/usage.html",
        status=status,
        published=clock.from_epoch(int(millis) // 1000) if millis else None,
        runs=publishing.history(tenant),
    )


@bp.post("/usage")
@admin_only
def publish_usage() -> Response:
    """Start a run in the background."""
    try:
        publishing_flow.request(me().tenant, me().qualified_name)
    except Conflict as error:
        flash(f"{error.message}. Wait until it has finished.", "warning")
    else:
        flash("Publishing has started. This page shows how it goes.", "info")
    return redirect(url_for("admin.usage"), 303)
