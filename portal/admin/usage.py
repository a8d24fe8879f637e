"""Publishing usage to the billing engine, and what became of it."""

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from portal import clock
from portal.admin import bp
from portal.errors import Conflict
from portal.flows import publishing as publishing_flow
from portal.services import parked, publishing, source_settings
from portal.web.access import admin_only, me
from portal.web.unit_of_work import unit_of_work


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
        parked=parked.waiting(tenant.tenant_id),
        source=source_settings.stored(tenant.tenant_id),
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


@bp.post("/usage/batches/<int:number>")
@admin_only
def decide_batch(number: int) -> Response:
    """Bring a parked batch on: send it again with the next run, or confirm that it arrived."""
    has_arrived = request.form.get("decision") == "arrived"
    actor = me().qualified_name
    with unit_of_work():
        parked.decide(me().tenant, number, has_arrived=has_arrived, actor=actor)
    done = "It counts as arrived." if has_arrived else "The next run sends it again."
    flash(done, "success")
    return redirect(url_for("admin.usage"), 303)
