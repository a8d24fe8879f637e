"""Set-up and advanced configuration of the tenant."""

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from portal.admin import bp
from portal.admin.forms import configuration_form
from portal.billing.engine import EVENT_TYPES
from portal.errors import Invalid, PortalError
from portal.extensions import db
from portal.flows import examining, setting_up
from portal.models import Tenant
from portal.services import setup
from portal.web import form_errors
from portal.web.access import admin_only, me
from portal.web.addresses import defaults, surroundings_of, webhook_url
from portal.web.confirming import confirmed
from portal.web.engines import engine_of
from portal.web.unit_of_work import in_unit_of_work


@bp.get("/")
@admin_only
def home() -> str:
    """Show what is set up, what is missing, and what to enter at Stripe."""
    tenant = me().tenant
    return render_template(
        "admin/home.html",
        tenant=tenant,
        steps=setup.checklist(tenant),
        links={
            "key": ("Enter the key", url_for("admin.configuration")),
            "plans": ("Plans", url_for("admin.plans")),
            "apis": ("APIs", url_for("publisher.home")),
            "events": ("Events", url_for("admin.events")),
        },
        webhook_url=webhook_url(tenant),
        api_version=setup.API_VERSION,
        event_types=EVENT_TYPES,
    )


@bp.post("/test-key")
@admin_only
def test_key() -> Response:
    """Ask Stripe whose the stored key is."""
    tenant = me().tenant
    try:
        seen = setting_up.try_key(engine_of(tenant), tenant.tenant_id)
    except PortalError as error:
        flash(f"The key does not work: {error.message}", "error")
    else:
        mode = "live mode" if seen.livemode else "test mode"
        flash(f"The key works. It belongs to {seen.account}, in {mode}.", "success")
    return redirect(url_for("admin.home"), 303)


@bp.post("/register-webhook")
@admin_only
@confirmed
def register_webhook() -> Response:
    """Register the tenant's webhook at Stripe and store its secret."""
    tenant = me().tenant
    try:
        made = setting_up.register_webhook(engine_of(tenant), tenant.tenant_id, webhook_url(tenant))
    except PortalError as error:
        flash(f"The webhook is not registered: {error.message} Press again to repeat.", "error")
    else:
        flash(f"The webhook {made} is registered, and its secret is stored.", "success")
    return redirect(url_for("admin.home"), 303)


@bp.route("/configuration", methods=["GET", "POST"])
@admin_only
@confirmed
def configuration() -> tuple[str, int] | Response:
    """Show and store the tenant's advanced configuration."""
    known = defaults()
    form = configuration_form(me().tenant, known)
    if request.method == "GET":
        return _configuration_page(form), 200
    tenant_id = me().tenant_id

    def store() -> None:
        setup.configure(db.session.get_one(Tenant, tenant_id), form.configuration(), known)

    try:
        in_unit_of_work(store)
    except Invalid as error:
        form_errors.show(form, error)
        return _configuration_page(form), 422
    flash("The configuration is saved. It holds from now on.", "success")
    return redirect(url_for("admin.configuration"), 303)


def _configuration_page(form: object) -> str:
    tenant = me().tenant
    return render_template(
        "admin/configuration.html", form=form, tenant=tenant, secrets=setup.masked(tenant)
    )


@bp.get("/check")
@admin_only
def check() -> str:
    """Look for what is wrong with the set-up: asks Stripe, and changes nothing."""
    tenant = me().tenant
    report = examining.look_at(tenant, engine_of, surroundings_of(tenant))
    return render_template("admin/check.html", report=report)
