"""What differs between the portal and the billing engine, and what ends it."""

from flask import abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from portal.admin import bp
from portal.flows import drifting
from portal.models import DriftState
from portal.services import drift as drifts
from portal.web.access import admin_only, me
from portal.web.engines import engine_of


@bp.get("/drift")
@admin_only
def drift() -> str:
    """List the tenant's differences; ``state`` and ``page`` in the address narrow it."""
    number = min(max(request.args.get("page", 1, type=int), 1), 1_000_000)
    try:
        state = DriftState(request.args.get("state", DriftState.OPEN))
    except ValueError:
        abort(400)
    tenant_id = me().tenant_id
    return render_template(
        "admin/drift.html",
        check=drifts.latest(tenant_id),
        page=drifts.page(tenant_id, state, number),
        state=state,
        states=list(DriftState),
    )


@bp.post("/drift")
@admin_only
def compare() -> Response:
    """Compare with the billing engine in the background."""
    drifting.request(me().tenant_id)
    flash("Comparing has started. Load this page again to see what was found.", "info")
    return redirect(url_for("admin.drift"), 303)


@bp.post("/drift/<int:drift_id>")
@admin_only
def repair(drift_id: int) -> Response:
    """Look for one difference again, and do what it proposes."""
    user = me()
    name, tenant_id = user.qualified_name, user.tenant_id
    state = drifting.repair(engine_of, tenant_id, drift_id, name)
    if state is DriftState.REPAIRED:
        flash("Repaired.", "success")
    elif state is DriftState.GONE:
        flash("It does not differ any more.", "success")
    else:
        flash("It differs still. What kept it from being repaired stands beside it.", "warning")
    return redirect(url_for("admin.drift"), 303)


@bp.post("/drift/<int:drift_id>/settle")
@admin_only
def settle_drift(drift_id: int) -> Response:
    """Note that a difference was put right at the billing engine by a person."""
    user = me()
    seen = (request.form.get("here", ""), request.form.get("there", ""))
    drifting.settle(user.tenant_id, drift_id, *seen, user.qualified_name)
    flash("Marked as settled. It is not found again unless it changes.", "success")
    return redirect(url_for("admin.drift"), 303)
