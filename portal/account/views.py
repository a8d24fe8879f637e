"""The front page, signing in and out, the pages that explain refusals, and operations."""

from flask import flash, make_response, redirect, render_template, request, url_for
from flask_login import current_user
from werkzeug.wrappers import Response

from portal.account import bp
from portal.account.forms import SignInForm
from portal.errors import NotFound, TooManyTries
from portal.extensions import limiter, login_manager
from portal.models.tenant import SUPER_TENANT
from portal.models.user import User
from portal.services import accounts, identity_providers
from portal.services.decisions import Refusal
from portal.web import authenticated, outside_sign_in, passwords
from portal.web.access import local_path, me, public
from portal.web.authenticated import begin_session
from portal.web.navigation import portals_for_user

login_manager.session_protection = "basic"

_WRONG = "The user name or the password is not right. Check both and try again."
_OVER = {
    "idle": "You were signed out because nothing was done for a while. Sign in to go on.",
    "old": "You were signed out because you signed in long ago. Sign in to go on.",
}


@login_manager.user_loader
def load_user(session_id: str) -> User | None:
    """Find whose session it is, at every request: a disabled person is out at once."""
    return authenticated.person(session_id)


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
        return _sign_in_page(form, request.args.get("tenant", SUPER_TENANT)), 200
    if form.validate_on_submit():
        name = form.username.data or ""
        domain = accounts.split_name(name)[1]
        try:
            user = passwords.check(name, form.password.data or "", remember=True)
        except TooManyTries as error:
            page = make_response(_sign_in_page(form, domain, problem=error.message), 429)
            page.headers["Retry-After"] = str(error.seconds)
            return page
        if user is not None:
            begin_session(user)
            return redirect(local_path(form.next.data, _home()), 303)
        return _sign_in_page(form, domain, problem=_WRONG), 401
    return _sign_in_page(form, SUPER_TENANT), 422


def _sign_in_page(form: SignInForm, domain: str, *, problem: str = "") -> str:
    domain = domain.strip().lower()
    provider = identity_providers.enabled_for(domain)
    target = local_path(form.next.data, "") or None
    elsewhere = (
        {
            "host": identity_providers.host(provider),
            "domain": domain,
            "url": url_for("account.outside", domain=domain, next=target),
        }
        if provider
        else None
    )
    return render_template(
        "account/sign_in.html",
        form=form,
        problem=problem,
        over=_OVER.get(authenticated.over() or ""),
        elsewhere=elsewhere,
        asked=domain if domain != SUPER_TENANT else "",
    )


@bp.post("/account/sign-out")
@public
def sign_out() -> Response:
    """End the session, and the one at the identity provider if there is one."""
    end = outside_sign_in.end_address(me()) if current_user.is_authenticated else None
    authenticated.end_session()
    if end is not None:
        # No redirect: form-action would keep the browser from following it to another origin.
        page = make_response(render_template("account/signed_out.html", end=end))
        page.headers["Refresh"] = f"0;url={end}"
        return page
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
