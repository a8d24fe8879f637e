"""Applications, and the keys with which they call."""

from typing import Any
from uuid import UUID

from flask import flash, redirect, render_template, request, session, url_for
from sqlalchemy import select
from werkzeug.wrappers import Response

from portal import clock
from portal.devportal import bp
from portal.devportal.forms import ApplicationForm, RegenerateForm
from portal.devportal.views import page_number
from portal.errors import Conflict, Invalid, NotFound
from portal.extensions import db, limiter
from portal.models import Application, ApplicationKey, KeyType
from portal.services import applications
from portal.vault import SecretUnreadable, vault
from portal.web.access import local_path, me, subscriber_only
from portal.web.confirming import confirmed
from portal.web.tenancy import own_application, owned_application
from portal.web.unit_of_work import in_unit_of_work

#: Where a new key waits, sealed, for the one page that shows it.
_NEW_KEY = "new_key"


@bp.get("/applications", endpoint="applications")
@subscriber_only
def list_applications() -> str:
    """List the person's applications."""
    page = applications.owned_by(me(), page_number())
    return render_template("devportal/applications.html", page=page)


@bp.route("/applications/new", methods=["GET", "POST"])
@subscriber_only
def create_application() -> tuple[str, int] | Response:
    """Create an application."""
    form = ApplicationForm()
    if request.method == "GET":
        form.next.data = local_path(request.args.get("next"), "")
        return render_template("devportal/application_form.html", form=form, application=None), 200
    if form.validate_on_submit():

        def store() -> str:
            made = applications.create(me(), form.name.data or "", form.description.data or "")
            return made.uuid

        uuid = _store(form, store)
        if uuid is not None:
            flash("Application created. Generate a key to call with.", "success")
            home = url_for("devportal.application", uuid=uuid)
            return redirect(local_path(form.next.data, home), 303)
    return render_template("devportal/application_form.html", form=form, application=None), 422


def _store(form: ApplicationForm, store: Any) -> str | None:
    """Store what the form says; a name that is taken becomes an error of its field."""
    try:
        return str(in_unit_of_work(store))
    except Conflict as error:
        form.name.errors = [error.message]
        return None


@bp.get("/applications/<uuid:uuid>")
@subscriber_only
def application(uuid: UUID) -> str:
    """Show an application with its keys."""
    found = own_application(me(), str(uuid))
    return render_template(
        "devportal/application.html",
        application=found,
        keys=applications.keys_of(found),
        new_key=_new_key(found),
        now=clock.now(),
    )


@bp.route("/applications/<uuid:uuid>/edit", methods=["GET", "POST"])
@subscriber_only
def edit_application(uuid: UUID) -> tuple[str, int] | Response:
    """Change an application's name and description."""
    found = owned_application(me(), str(uuid))
    form = ApplicationForm(obj=found)
    if request.method == "GET":
        return render_template("devportal/application_form.html", form=form, application=found), 200
    if form.validate_on_submit():

        def store() -> str:
            mine = owned_application(me(), str(uuid))
            applications.rename(mine, form.name.data or "", form.description.data or "")
            return mine.uuid

        if _store(form, store) is not None:
            flash("Saved.", "success")
            return redirect(url_for("devportal.application", uuid=uuid), 303)
    found = owned_application(me(), str(uuid))
    return render_template("devportal/application_form.html", form=form, application=found), 422


@bp.get("/applications/<uuid:uuid>/delete")
@subscriber_only
def confirm_delete(uuid: UUID) -> str:
    """Say what deleting an application does."""
    found = owned_application(me(), str(uuid))
    return render_template(
        "devportal/application_delete.html",
        application=found,
        paid=applications.paid_subscriptions(found),
    )


@bp.post("/applications/<uuid:uuid>/delete")
@subscriber_only
def delete_application(uuid: UUID) -> Response:
    """Delete an application, unless it has living paid subscriptions."""

    def store() -> str:
        found = owned_application(me(), str(uuid))
        applications.delete(found, me())
        return found.name

    try:
        name = in_unit_of_work(store)
    except Conflict as error:
        flash(error.message, "error")
        return redirect(url_for("devportal.confirm_delete", uuid=uuid), 303)
    flash(f"{name} is deleted. Its keys no longer work.", "success")
    return redirect(url_for("devportal.applications"), 303)


# --- keys -----------------------------------------------------------------------------------


@bp.post("/applications/<uuid:uuid>/keys")
@subscriber_only
@limiter.limit("20 per minute")
@confirmed
def generate_key(uuid: UUID) -> Response:
    """Make a key and show it once."""
    wanted = request.form.get("key_type", "")
    if wanted not in set(KeyType):
        raise Invalid("Choose a production or a sandbox key.")

    def store() -> tuple[str, str]:
        key, text = applications.generate_key(own_application(me(), str(uuid)), KeyType(wanted))
        return key.uuid, text

    try:
        _remember(*in_unit_of_work(store))
    except Conflict as error:
        flash(error.message, "error")
    return redirect(url_for("devportal.application", uuid=uuid), 303)


@bp.get("/applications/<uuid:uuid>/keys/<uuid:key_uuid>/revoke")
@subscriber_only
def confirm_revoke(uuid: UUID, key_uuid: UUID) -> str:
    """Say what revoking a key does."""
    found = own_application(me(), str(uuid))
    return render_template(
        "devportal/key_revoke.html", application=found, key=_key_of(found, key_uuid)
    )


@bp.post("/applications/<uuid:uuid>/keys/<uuid:key_uuid>/revoke")
@subscriber_only
def revoke_key(uuid: UUID, key_uuid: UUID) -> Response:
    """Let a key stop working at once."""
    in_unit_of_work(
        lambda: applications.revoke(_key_of(own_application(me(), str(uuid)), key_uuid))
    )
    flash("The key is revoked. Calls with it are refused from now on.", "success")
    return redirect(url_for("devportal.application", uuid=uuid), 303)


@bp.route("/applications/<uuid:uuid>/keys/<uuid:key_uuid>/regenerate", methods=["GET", "POST"])
@subscriber_only
@limiter.limit("20 per minute", methods=["POST"])
@confirmed
def regenerate_key(uuid: UUID, key_uuid: UUID) -> tuple[str, int] | Response:
    """Replace a key; the present one may go on working for a while."""
    form = RegenerateForm()
    if form.validate_on_submit():
        grace = applications.GRACE[form.grace.data]

        def store() -> tuple[str, str]:
            key = _key_of(own_application(me(), str(uuid)), key_uuid)
            made, text = applications.regenerate(key, grace=grace)
            return made.uuid, text

        try:
            _remember(*in_unit_of_work(store))
        except Conflict as error:
            flash(error.message, "error")
        return redirect(url_for("devportal.application", uuid=uuid), 303)
    found = own_application(me(), str(uuid))
    page = render_template(
        "devportal/key_regenerate.html",
        application=found,
        key=_key_of(found, key_uuid),
        form=form,
    )
    return page, 422 if form.errors else 200


def _key_of(found: Application, key_uuid: UUID) -> ApplicationKey:
    key = db.session.scalars(
        select(ApplicationKey).where(
            ApplicationKey.uuid == str(key_uuid),
            ApplicationKey.application_id == found.application_id,
        )
    ).one_or_none()
    if key is None:
        raise NotFound("There is no such key.")
    return key


def _remember(key_uuid: str, text: str) -> None:
    # The session cookie is signed, not encrypted: sealed, it says nothing to who reads it.
    session[_NEW_KEY] = [key_uuid, vault.seal(f"new_key:{key_uuid}", text)]


def _new_key(found: Application) -> tuple[ApplicationKey, str] | None:
    """Return the key that was just made for this application, for the only time."""
    waiting = session.pop(_NEW_KEY, None)
    if waiting is None:
        return None
    try:
        key = _key_of(found, UUID(waiting[0]))
        return key, vault.open(f"new_key:{key.uuid}", waiting[1])
    except (NotFound, SecretUnreadable):
        return None
