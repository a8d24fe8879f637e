"""The tenant's own identity provider."""

from flask import flash, redirect, render_template, request, url_for
from flask_wtf import FlaskForm
from werkzeug.wrappers import Response
from wtforms import (
    BooleanField,
    PasswordField,
    SelectChoice,
    SelectMultipleField,
    StringField,
    TextAreaField,
)
from wtforms.widgets import CheckboxInput, ListWidget

from portal import clock
from portal.admin import bp
from portal.errors import Invalid, PortalError
from portal.extensions import db
from portal.models import IdentityProvider, Tenant
from portal.models.user import PORTAL_ROLES
from portal.services import identity_providers
from portal.services.identity_providers import Draft
from portal.web import form_errors, outside_sign_in
from portal.web.access import admin_only, me
from portal.web.confirming import confirmed
from portal.web.engines import settings
from portal.web.unit_of_work import in_unit_of_work


class ProviderForm(FlaskForm):
    """An OpenID provider, and whom it lets in as what."""

    issuer = StringField("Issuer")
    client_id = StringField("Client ID")
    client_secret = PasswordField("Client secret")
    forget_secret = BooleanField("Forget the stored secret")
    subject_claim = StringField("Subject claim", default="sub")
    roles_claim = StringField("Roles claim")
    role_mapping = TextAreaField("Role mapping")
    default_roles = SelectMultipleField(
        "Roles of everybody",
        choices=[SelectChoice(role, role.title()) for role in PORTAL_ROLES],
        option_widget=CheckboxInput(),
        widget=ListWidget(prefix_label=False),
        validate_choice=False,
    )
    link_accounts = BooleanField("Link accounts of the same name")
    enabled = BooleanField("People sign in there")

    def draft(self) -> Draft:
        """Return what was entered."""
        return Draft(
            issuer=(self.issuer.data or "").strip(),
            client_id=(self.client_id.data or "").strip(),
            client_secret=self.client_secret.data or "",
            forget_secret=bool(self.forget_secret.data),
            subject_claim=(self.subject_claim.data or "sub").strip(),
            roles_claim=(self.roles_claim.data or "").strip(),
            role_mapping=self.role_mapping.data or "",
            default_roles=tuple(self.default_roles.data or ()),
            link_accounts=bool(self.link_accounts.data),
            enabled=bool(self.enabled.data),
        )


def _stored() -> IdentityProvider | None:
    return identity_providers.of(me().tenant)


def _form(row: IdentityProvider | None) -> ProviderForm:
    if row is None:
        return ProviderForm()
    return ProviderForm(
        issuer=row.issuer,
        client_id=row.client_id,
        subject_claim=row.subject_claim,
        roles_claim=row.roles_claim,
        role_mapping=identity_providers.mapping_text(row),
        default_roles=row.default_roles,
        link_accounts=row.link_accounts,
        enabled=row.enabled,
    )


@bp.route("/identity-provider", methods=["GET", "POST"])
@admin_only
@confirmed
def identity_provider() -> tuple[str, int] | Response:
    """Show and store where the people of the tenant sign in."""
    form = _form(_stored())
    if request.method == "GET":
        return _page(form), 200
    draft, tenant_id = form.draft(), me().tenant_id
    try:
        mapping = identity_providers.check(draft, settings().backend_allowlist)
        db.session.rollback()
        if draft.enabled:
            # Whoever switches it on must not lock everybody out.
            outside_sign_in.providers().check(draft.issuer)
    except Invalid as error:
        form_errors.show(form, error)
        return _page(form), 422
    except PortalError as error:
        form.issuer.errors = [f"Nothing was saved. {error.message}"]
        return _page(form), 422
    tested = clock.now() if draft.enabled else None
    in_unit_of_work(
        lambda: identity_providers.store(
            db.session.get_one(Tenant, tenant_id), draft, mapping, tested
        )
    )
    where = "sign in there from now on" if draft.enabled else "still sign in with a password"
    flash(f"Saved. The people of your tenant {where}.", "success")
    return redirect(url_for("admin.identity_provider"), 303)


def _page(form: ProviderForm) -> str:
    tenant = me().tenant
    return render_template(
        "admin/identity_provider.html",
        form=form,
        provider=_stored(),
        callback=outside_sign_in.callback_url(tenant.tenant_domain),
    )


@bp.post("/identity-provider/check")
@admin_only
def check_identity_provider() -> Response:
    """Ask the stored provider for everything that signing in needs."""
    row = _stored()
    if row is None:
        flash("Enter a provider first, and press Save.", "warning")
        return redirect(url_for("admin.identity_provider"), 303)
    issuer, tenant_id = row.issuer, row.tenant_id
    db.session.rollback()
    try:
        found = outside_sign_in.providers().check(issuer)
    except PortalError as error:
        flash(f"It does not work: {error.message}", "error")
    else:

        def keep() -> None:
            stored = db.session.get(IdentityProvider, tenant_id)
            if stored is not None and stored.issuer == issuer:
                stored.tested_at = clock.now()

        in_unit_of_work(keep)
        end = "and signing out there" if found.end_session_endpoint else "but not signing out there"
        flash(f"It works. {issuer} offers signing in, {end}.", "success")
    return redirect(url_for("admin.identity_provider"), 303)
