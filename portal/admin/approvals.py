"""Subscriptions that wait for an approval, and payments that could not be paid back."""

from uuid import UUID

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from portal.admin import bp
from portal.admin.forms import RejectionForm
from portal.errors import Conflict
from portal.flows import approving, refunding
from portal.models import Need, Subscription
from portal.services import refunds, situations, waiting
from portal.web.access import admin_only, me, only_reads
from portal.web.engines import engine_of
from portal.web.tenancy import provided_subscription
from portal.web.unit_of_work import in_unit_of_work


@bp.get("/approvals", endpoint="approvals")
@admin_only
@only_reads
def show_approvals() -> str:
    """List what waits for a decision, the oldest first."""
    tenant = me().tenant
    number = min(max(request.args.get("page", 1, type=int), 1), 1_000_000)
    return render_template(
        "admin/approvals.html",
        waiting=waiting.of_tenant(tenant.tenant_id, number),
        asks_approval=Need(tenant.subscriptions_need).asks_approval,
    )


@bp.post("/approvals/<uuid:uuid>/approve")
@admin_only
def approve(uuid: UUID) -> Response:
    """Let a subscription in."""
    found = _wanted(uuid)
    name = f"{found.application.name} to {found.api.api_name}"
    try:
        approving.approve(found.subscription_id, me().user_id)
    except Conflict as error:
        flash(error.message, "warning")
    else:
        flash(f"Approved: {name}.", "success")
    return redirect(url_for("admin.approvals"), 303)


@bp.route("/approvals/<uuid:uuid>/reject", methods=["GET", "POST"])
@admin_only
def reject(uuid: UUID) -> tuple[str, int] | Response:
    """Ask why, and refuse a subscription."""
    found = _wanted(uuid)
    form = RejectionForm()
    if not form.validate_on_submit():
        page = render_template(
            "admin/reject.html", form=form, subscription=found, situation=situations.of(found)
        )
        return page, 422 if request.method == "POST" else 200
    reason = str(form.reason.data)
    try:
        approving.reject(engine_of, found.subscription_id, me().user_id, reason)
    except Conflict as error:
        flash(error.message, "warning")
    else:
        flash("Not approved. What was paid goes back by itself.", "success")
    return redirect(url_for("admin.approvals"), 303)


@bp.post("/approvals/refunds/<int:number>")
@admin_only
def decide_refund(number: int) -> Response:
    """Bring a refund on that the payment provider refused."""
    is_paid_back = request.form.get("decision") == "paid"
    tenant, actor = me().tenant, me().qualified_name
    subscription_id = in_unit_of_work(
        lambda: refunds.decide(tenant, number, is_paid_back=is_paid_back, actor=actor)
    )
    if is_paid_back:
        flash("It counts as paid back.", "success")
    else:
        refunding.pay_back_all(engine_of, subscription_id)
        flash("The payment provider has been asked again.", "info")
    return redirect(url_for("admin.approvals"), 303)


def _wanted(uuid: UUID) -> Subscription:
    return provided_subscription(me(), str(uuid))
