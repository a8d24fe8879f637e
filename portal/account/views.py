"""The front page, signing in and out, the pages that explain refusals, and operations."""

from flask import flash, redirect, render_template, request, session, url_for
from flask_login import current_user, logout_user
from werkzeug.wrappers import Response

from portal.account import bp
from portal.account.forms import SignInForm
from portal.errors import NotFound
from portal.extensions import limiter, login_manager
from portal.models.user import User
from portal.services import accounts
from portal.services.decisions import Refusal
from portal.web.access import local_path, public
from portal.web.authenticated import begin_session
from portal.web.navigation import portals_for_user

login_manager.session_protection = "basic"


@login_manager.user_loader
def load_user(session_id: str) -> User | None:
    """Find whose session it is, at every request: a disabled person is out at once."""
    return accounts.by_session(session_id)


@bp.get("/")
@public
def front() -> Response | str:
    """Show the three portals to a visitor; send a person to theirs."""
    if current_user.is_authenticated:
        return redirect(_home(), 303)
    return render_template("account/front.html")


def _home() -> str:
    portals = {portal.name: portal.url for portal in portals_for_user()}
    for name in ("admin", "publisher", "devportal"):
        if name in portals:
            return portals[name]
    return url_for("account.nowhere")


@bp.get("/account/nowhere")
@public
def nowhere() -> str:
    """Tell a person without any role what to do."""
    return render_template("account/nowhere.html")


@bp.route("/account/sign-in", methods=["GET", "POST"])
@public
@limiter.limit("30 per minute", methods=["POST"])
def sign_in() -> tuple[str, int] | Response:
    """Ask who it is. One sentence for every failure, so that nobody learns which names exist."""
    form = SignInForm()
    if request.method == "GET":
        if current_user.is_authenticated and not request.args.get("again"):
            return redirect(local_path(request.args.get("next"), _home()), 303)
        form.next.data = local_path(request.args.get("next"), "")
        return render_template("account/sign_in.html", form=form, failed=False), 200
    if form.validate_on_submit():
        user = accounts.authenticate(form.username.data or "", form.password.data or "")
        if user is not None:
            begin_session(user)
            return redirect(local_path(form.next.data, _home()), 303)
        return render_template("account/sign_in.html", form=form, failed=True), 401
    return render_template("account/sign_in.html", form=form, failed=False), 422


@bp.post("/account/sign-out")
@public
def sign_out() -> Response:
    """End the session."""
    logout_user()
    session.clear()
    flash("You have signed out.", "success")
    return redirect(url_for("account.front"), 303)


@bp.get("/problems/")
@public
def problems() -> str:
    """List every cause for which a call is refused."""
    return render_template("account/problems.html", refusals=list(Refusal))


@bp.get("/problems/<slug>")
@public
def problem(slug: str) -> str:
    """Explain one cause for which a call is refused."""
    refusal = Refusal.by_slug(slug)
    if refusal is None:
        raise NotFound("There is no such problem type.")
    return render_template("account/problem.html", refusal=refusal)
