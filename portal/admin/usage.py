"""Publishing usage to the billing engine, and what became of it."""

from uuid import UUID

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from portal import clock
from portal.admin import bp
from portal.errors import Conflict, PortalError
from portal.flows import metering
from portal.flows import publishing as publishing_flow
from portal.flows.metering import Seen
from portal.models import BatchState
from portal.services import parked, publishing, source_settings, usage_account
from portal.services.freezing import TOO_LATE
from portal.web.access import admin_only, me
from portal.web.engines import engine_of
from portal.web.unit_of_work import unit_of_work

_DECIDED = {
    BatchState.ACKNOWLEDGED: "It counts as arrived.",
    BatchState.WRITTEN_OFF: "The calls are written off: no invoice has them.",
}


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
        too_late=TOO_LATE,
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
    """Bring a parked batch on: send it again, confirm that it arrived, or write it off."""
    has_arrived = request.form.get("decision") == "arrived"
    actor = me().qualified_name
    with unit_of_work():
        state = parked.decide(me().tenant, number, has_arrived=has_arrived, actor=actor)
    flash(_DECIDED.get(state, "The next run sends it again."), "success")
    return redirect(url_for("admin.usage"), 303)


@bp.get("/usage/subscriptions")
@admin_only
def usage_account_page() -> str:
    """Show counted, sent and acknowledged calls of each subscription; ``compare`` asks Stripe."""
    tenant = me().tenant
    number = min(max(request.args.get("page", 1, type=int), 1), 1_000_000)
    page = usage_account.of_tenant(tenant.tenant_id, number)
    seen: dict[int, Seen] = {}
    problem = ""
    if request.args.get("compare"):
        ids = [row.subscription.subscription_id for row in page.items]
        try:
            seen = metering.compare(engine_of(tenant), ids)
        except PortalError as error:
            problem = error.message
        page = usage_account.of_tenant(me().tenant_id, number)
    return render_template("admin/usage_account.html", page=page, seen=seen, problem=problem)


@bp.get("/usage/subscriptions/<uuid:uuid>")
@admin_only
def usage_receipts(uuid: UUID) -> str:
    """Show the batches of a subscription with their receipts."""
    subscription, batches = usage_account.receipts(me().tenant_id, str(uuid))
    return render_template("admin/usage_receipts.html", subscription=subscription, batches=batches)


@bp.post("/usage/failed")
@admin_only
def retry_failed() -> Response:
    """Let the next run send every refused batch again, and nothing else anew."""
    with unit_of_work():
        count = parked.reopen_refused(me().tenant_id)
    flash(f"The next run sends {count} refused batches again.", "success")
    return redirect(url_for("admin.usage"), 303)
