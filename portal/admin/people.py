"""The people of the tenant: who they are, what they may do, and ending their sessions."""

from uuid import UUID

from flask import flash, redirect, render_template, request, session, url_for
from flask_wtf import FlaskForm
from werkzeug.wrappers import Response
from wtforms import (
    BooleanField,
    EmailField,
    SelectChoice,
    SelectMultipleField,
    StringField,
)
from wtforms.widgets import CheckboxInput, ListWidget

from portal.admin import bp
from portal.errors import Conflict, Invalid
from portal.models import User
from portal.models.user import PORTAL_ROLES
from portal.services import people, sign_in_guard
from portal.services.people import Person
from portal.vault import SecretUnreadable, vault
from portal.web import form_errors
from portal.web.access import admin_only, me
from portal.web.confirming import confirmed
from portal.web.unit_of_work import in_unit_of_work

#: Where a new password waits, sealed, for the one page that shows it.
_NEW_PASSWORD = "new_password"  # noqa: S105 - the name of a place


class PersonForm(FlaskForm):
    """Somebody's name, address and roles."""

    username = StringField("User name")
    display_name = StringField("Name")
    email = EmailField("E-mail")
    roles = SelectMultipleField(
        "Roles",
        choices=[SelectChoice(role, role.title()) for role in PORTAL_ROLES],
        option_widget=CheckboxInput(),
        widget=ListWidget(prefix_label=False),
        validate_choice=False,
    )
    disabled = BooleanField("May not sign in")

    def person(self) -> Person:
        """Return what was entered."""
        return Person(
            display_name=self.display_name.data or "",
            email=self.email.data or "",
            roles=frozenset(self.roles.data or ()),
            disabled=bool(self.disabled.data),
        )


@bp.get("/people", endpoint="people")
@admin_only
def list_people() -> str:
    """List the people of the tenant; ``q`` in the address searches."""
    search = request.args.get("q", "").strip()[:100]
    number = min(max(request.args.get("page", 1, type=int), 1), 1_000_000)
    page = people.listed(me().tenant, number, search)
    return render_template("admin/people.html", page=page, search=search)


@bp.route("/people/new", methods=["GET", "POST"])
@admin_only
@confirmed
def new_person() -> tuple[str, int] | Response:
    """Make a person; the password is shown once."""
    form = PersonForm()
    if request.method == "GET":
        return render_template("admin/person.html", form=form, person=None), 200

    def store() -> tuple[str, str]:
        made, password = people.create(me().tenant, form.username.data or "", form.person())
        return made.uuid, password

    try:
        uuid, password = in_unit_of_work(store)
    except Invalid as error:
        form_errors.show(form, error)
    except Conflict as error:
        form.username.errors = [error.message]
    else:
        _remember(uuid, password)
        flash("The person can sign in now.", "success")
        return redirect(url_for("admin.person", uuid=uuid), 303)
    return render_template("admin/person.html", form=form, person=None), 422


@bp.route("/people/<uuid:uuid>", methods=["GET", "POST"])
@admin_only
@confirmed
def person(uuid: UUID) -> tuple[str, int] | Response:
    """Show and change a person."""
    found = people.one(me().tenant, str(uuid))
    form = PersonForm(
        username=found.username,
        display_name=found.display_name,
        email=found.email or "",
        roles=[role for role in PORTAL_ROLES if found.has_role(role)],
        disabled=found.disabled,
    )
    if request.method == "GET":
        return _page(form, found), 200

    def store() -> None:
        people.change(people.one(me().tenant, str(uuid)), form.person(), me())

    try:
        in_unit_of_work(store)
    except Invalid as error:
        form_errors.show(form, error)
    except Conflict as error:
        form.form_errors.append(error.message)
    else:
        flash("Saved. It holds from the person's next request on.", "success")
        return redirect(url_for("admin.person", uuid=uuid), 303)
    return _page(form, people.one(me().tenant, str(uuid))), 422


@bp.post("/people/<uuid:uuid>/password")
@admin_only
@confirmed
def new_password(uuid: UUID) -> Response:
    """Give a person a new password, shown once, and sign them out everywhere."""
    _remember(
        str(uuid),
        in_unit_of_work(lambda: people.give_password(people.one(me().tenant, str(uuid)))),
    )
    flash("The old password works no longer, and the person is signed out everywhere.", "success")
    return redirect(url_for("admin.person", uuid=uuid), 303)


@bp.post("/people/<uuid:uuid>/sign-out")
@admin_only
def sign_person_out(uuid: UUID) -> Response:
    """End every session and every token of a person."""

    def end() -> str:
        found = people.one(me().tenant, str(uuid))
        people.sign_out(found)
        return found.display_name

    name = in_unit_of_work(end)
    flash(f"{name} is signed out everywhere, and their programs' tokens have ended.", "success")
    return redirect(url_for("admin.person", uuid=uuid), 303)


@bp.post("/people/<uuid:uuid>/unlock")
@admin_only
def unlock_person(uuid: UUID) -> Response:
    """Let somebody try their password again at once."""

    def unlock() -> str:
        found = people.one(me().tenant, str(uuid))
        sign_in_guard.unlock(found)
        return found.display_name

    flash(f"{in_unit_of_work(unlock)} can sign in again.", "success")
    return redirect(url_for("admin.person", uuid=uuid), 303)


def _page(form: PersonForm, found: User) -> str:
    return render_template(
        "admin/person.html",
        form=form,
        person=found,
        password=_new_password(found),
        locked_until=sign_in_guard.locked_until(found),
    )


def _remember(uuid: str, password: str) -> None:
    # The session cookie is signed, not encrypted: sealed, it says nothing to who reads it.
    session[_NEW_PASSWORD] = [uuid, vault.seal(f"new_password:{uuid}", password)]


def _new_password(found: User) -> str | None:
    """Return the password that was just made for this person; it is shown once."""
    uuid, sealed = session.get(_NEW_PASSWORD, ("", ""))
    if uuid != found.uuid:
        return None
    session.pop(_NEW_PASSWORD)
    try:
        return vault.open(f"new_password:{uuid}", sealed)
    except SecretUnreadable:
        return None
