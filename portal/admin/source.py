"""Where usage is read from: the tenant's choice, its settings, and a test of it."""

from datetime import datetime

from flask import flash, redirect, render_template, url_for
from flask_wtf import FlaskForm
from sqlalchemy import inspect
from werkzeug.wrappers import Response
from wtforms import BooleanField, PasswordField, RadioField, StringField
from wtforms.fields.choices import SelectChoice

from portal import clock
from portal.admin import bp
from portal.analytics.source import SourceUnavailable
from portal.errors import Invalid
from portal.extensions import db
from portal.flows import gathering
from portal.models import Tenant
from portal.models.source import SourceKind
from portal.services import source_settings
from portal.services.source_settings import Wanted
from portal.web import form_errors
from portal.web.access import admin_only, me
from portal.web.engines import settings
from portal.web.unit_of_work import in_unit_of_work

KINDS = [
    SelectChoice(SourceKind.PORTAL.value, "The portal's own gateway"),
    SelectChoice(SourceKind.ELASTICSEARCH.value, "Elasticsearch"),
    SelectChoice(SourceKind.CHOREO.value, "Choreo Insights"),
]


class SourceForm(FlaskForm):
    """The settings, by the names of WSO2's deployment.toml. Secrets are written, never shown."""

    kind = RadioField("Usage comes from", choices=KINDS)
    analytics_host = StringField("analytics_host")
    analytics_port = StringField("analytics_port")
    analytics_username = StringField("analytics_username")
    analytics_password = PasswordField("analytics_password")
    analytics_index = StringField("Index")
    analytics_query_api_endpoint = StringField("analytics_query_api_endpoint")
    analytics_access_token = PasswordField("analytics_access_token")
    choreo_token_endpoint = StringField("choreo_token_endpoint")
    choreo_insight_app_consumer_key = StringField("choreo_insight_app_consumer_key")
    choreo_insight_app_consumer_secret = PasswordField("choreo_insight_app_consumer_secret")
    give_up_rest = BooleanField("Change even if the former source cannot be read")

    def wanted(self) -> Wanted:
        """Return what was entered."""
        values = {
            name: field.data or ""
            for name, field in self._fields.items()
            if name not in ("kind", "give_up_rest", "csrf_token")
        }
        return Wanted(kind=self.kind.data or "", values=values)


@bp.route("/usage/source", methods=["GET", "POST"])
@admin_only
def usage_source() -> tuple[str, int] | Response:
    """Show and store where usage is read from."""
    form = SourceForm(obj=source_settings.stored(me().tenant_id))
    if not form.is_submitted():
        return _page(form), 200
    try:
        _store(form)
    except Invalid as error:
        form_errors.show(form, error)
        return _page(form), 422
    flash("The source is saved. Test it, so that you know that it works.", "success")
    return redirect(url_for("admin.usage_source"), 303)


def _store(form: SourceForm) -> None:
    tenant_id, wanted = me().tenant_id, form.wanted()
    # One moment for both: the former source tells the calls before it, the new one those after.
    since = clock.now() if source_settings.changes_source(tenant_id, wanted) else None
    if since is not None and not form.give_up_rest.data:
        _read_out(tenant_id, since)

    def store() -> None:
        tenant = db.session.get_one(Tenant, tenant_id)
        source_settings.choose(tenant, wanted, settings().backend_allowlist, since=since)

    in_unit_of_work(store)


def _read_out(tenant_id: int, until: datetime) -> None:
    """Bring what the former source knows into the ledger, before it is left."""
    try:
        gathering.gather(tenant_id, until)
    except SourceUnavailable as error:
        raise Invalid(
            "Nothing was saved: the calls that the former source still has would not be billed. "
            f"{error.message} Mend it first, or tick the last box.",
        ) from error


@bp.post("/usage/source/test")
@admin_only
def test_source() -> Response:
    """Ask the stored source whether it works."""
    # Held by a name: of a row that is let go, nobody can say any more whether it is stored.
    row = source_settings.stored(me().tenant_id)
    if not inspect(row).persistent:
        flash("There is no other source yet: the gateway counts. Save one first.", "warning")
        return redirect(url_for("admin.usage_source"), 303)
    try:
        seen = gathering.examine(me().tenant_id)
    except SourceUnavailable as error:
        flash(f"The source does not work: {error.message}", "error")
    else:
        flash(f"The source works. {seen}", "success")
    return redirect(url_for("admin.usage_source"), 303)


def _page(form: SourceForm) -> str:
    row = source_settings.stored(me().tenant_id)
    return render_template("admin/usage_source.html", form=form, source=row)
