"""The authorization endpoint: who is asking, for what, and does the person agree."""

from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from authlib.oauth2 import OAuth2Error
from flask import g, redirect, render_template, request, url_for
from flask_login import current_user
from werkzeug.wrappers import Response

from portal.clock import now
from portal.extensions import csrf, limiter
from portal.models import User
from portal.oauth import bp
from portal.oauth.server import server
from portal.services import scopes, tokens
from portal.web.access import me, public
from portal.web.authenticated import authenticated_at
from portal.web.problems import answer


@bp.route("/oauth2/authorize", methods=["GET", "POST"])
@public
@limiter.limit("60 per minute")
def authorize() -> Response | str:
    """Ask the person, and send the client a code or a refusal.

    Nothing is ever sent to an address that the client did not register.
    """
    person = me() if current_user.is_authenticated else None
    try:
        grant = server().get_consent_grant(end_user=person)
    except OAuth2Error as error:
        return _refuse(error)
    if person is None or _must_sign_in_again():
        return _to_sign_in(grant)
    if not tokens.may_use(person, grant.client.row):
        return _refuse_to_client(grant, "access_denied")
    if request.method == "POST":
        csrf.protect()
        agreed = request.form.get("answer") == "allow"
        return _respond(grant, person if agreed else None)
    if grant.client.row.trusted:
        return _respond(grant, person)
    if request.args.get("prompt") == "none":
        return _refuse_to_client(grant, "consent_required")
    return _ask(grant, person)


def _ask(grant: Any, person: User) -> str:
    asked = tokens.allowed(person, grant.client.row, grant.request.scope or "")
    parts = urlsplit(grant.redirect_uri)
    # Chromium applies form-action to the redirect that answers the form.
    g.form_action_also = f"{parts.scheme}://{parts.netloc}"
    return render_template(
        "oauth/consent.html",
        client=grant.client.row,
        scopes=[scope for scope in scopes.known(asked) if scope.name != scopes.OPENID],
        refused=[s for s in scopes.known(grant.request.scope or "") if s.name not in asked.split()],
        host=parts.netloc,
        person=person,
    )


def _respond(grant: Any, person: User | None) -> Response:
    response: Response = server().create_authorization_response(grant=grant, grant_user=person)
    response.headers["Cache-Control"] = "no-store"
    return response


def _refuse(error: OAuth2Error) -> Response:
    if error.redirect_uri is None:
        # Whoever sent the browser here is not known to be a client: tell the person instead.
        return answer(400, "The request of this program is not right", f"{error.description}")
    return _redirect(error.redirect_uri, error.error, error.description, error.state)


def _refuse_to_client(grant: Any, error: str) -> Response:
    return _redirect(grant.redirect_uri, error, "", grant.request.payload.state)


def _redirect(uri: str, error: str, description: str, state: str | None) -> Response:
    from portal.oauth.openid import issuer

    parts = {"error": error, "error_description": description, "state": state, "iss": issuer()}
    query = urlencode({name: value for name, value in parts.items() if value})
    return redirect(f"{uri}{'&' if '?' in uri else '?'}{query}", 303)


def _must_sign_in_again() -> bool:
    if request.method == "POST":
        return False
    age = request.args.get("max_age", "")
    if age.isascii() and age.isdigit() and len(age) < 10:
        return (now() - authenticated_at()).total_seconds() > int(age)
    return "login" in request.args.get("prompt", "").split()


def _to_sign_in(grant: Any) -> Response:
    if request.args.get("prompt") == "none":
        return _refuse_to_client(grant, "login_required")
    # ``prompt`` and ``max_age`` are met by signing in; asking again would go on for ever.
    kept = [(n, v) for n, v in request.args.items(multi=True) if n not in ("prompt", "max_age")]
    target = f"{request.path}?{urlencode(kept)}"
    sign_in = url_for("account.sign_in")
    return redirect(f"{sign_in}?again=1&next={quote(target, safe='')}", 303)
