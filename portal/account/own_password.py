"""Changing one's own password."""

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from portal.account import bp
from portal.account.forms import PasswordForm
from portal.errors import Invalid, TooManyTries
from portal.extensions import db
from portal.models import User
from portal.services import people
from portal.web import form_errors, passwords
from portal.web.access import me, signed_in
from portal.web.authenticated import begin_session
from portal.web.unit_of_work import in_unit_of_work


@bp.route("/account/password", methods=["GET", "POST"])
@signed_in
def own_password() -> tuple[str, int] | Response:
    """Ask for the present password and a new one; every other session ends with the change."""
    user = me()
    if user.password_hash is None or not passwords.may_use_password(user):
        return render_template("account/password.html", form=None), 200
    form = PasswordForm()
    if request.method == "GET":
        return _page(form, 200)
    if not form.validate_on_submit():
        return _page(form, 422)
    try:
        found = passwords.check(user.qualified_name, form.present.data or "", remember=True)
    except TooManyTries as error:
        form.present.errors = [error.message]
        return _page(form, error.status_code)
    if found is None or found.user_id != me().user_id:
        form.present.errors = ["This is not the password that you sign in with now."]
        return _page(form, 422)
    user_id, new = found.user_id, form.new.data or ""
    try:
        in_unit_of_work(lambda: people.change_password(db.session.get_one(User, user_id), new))
    except Invalid as error:
        form_errors.show(form, error)
        return _page(form, 422)
    begin_session(db.session.get_one(User, user_id))
    flash("Changed. Your other sessions and your programs' tokens have ended.", "success")
    return redirect(url_for("account.own_password"), 303)


def _page(form: PasswordForm, status: int) -> tuple[str, int]:
    return render_template("account/password.html", form=form), status
