"""Who shares an application."""

from uuid import UUID

from flask import flash, redirect, render_template, url_for
from werkzeug.wrappers import Response

from portal.devportal import bp
from portal.devportal.forms import MemberForm
from portal.errors import Conflict, Invalid
from portal.extensions import limiter
from portal.services import members
from portal.web import form_errors
from portal.web.access import me, subscriber_only
from portal.web.tenancy import own_application, owned_application
from portal.web.unit_of_work import in_unit_of_work


@bp.get("/applications/<uuid:uuid>/members", endpoint="members")
@subscriber_only
def list_members(uuid: UUID) -> str:
    """Show who shares an application; its owner can add people here."""
    return _page(uuid, MemberForm())


def _page(uuid: UUID, form: MemberForm) -> str:
    found = own_application(me(), str(uuid))
    return render_template(
        "devportal/members.html",
        application=found,
        members=members.of(found),
        mine=found.owner_id == me().user_id,
        form=form,
    )


@bp.post("/applications/<uuid:uuid>/members")
@subscriber_only
@limiter.limit("20 per minute")
def add_member(uuid: UUID) -> tuple[str, int] | Response:
    """Share an application with a person of the tenant."""
    form = MemberForm()
    owned_application(me(), str(uuid))

    def store() -> str:
        found = owned_application(me(), str(uuid))
        return members.add(found, form.name.data or "", me()).display_name

    if form.validate_on_submit():
        try:
            name = in_unit_of_work(store)
        except Invalid as error:
            form_errors.show(form, error)
        except Conflict as error:
            form.name.errors = [error.message]
        else:
            flash(f"{name} can use this application now.", "success")
            return redirect(url_for("devportal.members", uuid=uuid), 303)
    return _page(uuid, form), 422


@bp.post("/applications/<uuid:uuid>/members/<uuid:member>/remove")
@subscriber_only
def remove_member(uuid: UUID, member: UUID) -> Response:
    """End the sharing with one person; a member can leave."""

    def store() -> tuple[str, str]:
        found = own_application(me(), str(uuid))
        return found.name, members.remove(found, str(member), me()).display_name

    application, person = in_unit_of_work(store)
    if str(member) == me().uuid:
        flash(f"You have left {application}.", "success")
        return redirect(url_for("devportal.applications"), 303)
    flash(f"{person} can no longer use {application}. Revoke the keys that they know.", "success")
    return redirect(url_for("devportal.members", uuid=uuid), 303)
