"""Signing in at a tenant's own identity provider."""

from flask import redirect, request, url_for
from werkzeug.wrappers import Response

from portal.account import bp
from portal.errors import NotFound, PortalError
from portal.extensions import limiter
from portal.services import identity_providers
from portal.web import outside_sign_in
from portal.web.access import local_path, public
from portal.web.problems import answer


@bp.get("/account/sign-in/<domain>")
@public
@limiter.limit("60 per minute")
def outside(domain: str) -> Response:
    """Send a visitor to their tenant's identity provider."""
    provider = identity_providers.enabled_for(domain)
    if provider is None:
        raise NotFound("The people of this tenant sign in with a password.")
    target = local_path(request.args.get("next"), "")
    try:
        again = "again" in request.args
        return redirect(outside_sign_in.begin(provider, target, again=again), 303)
    except PortalError as error:
        return _refused(error)


@bp.get("/account/sign-in/<domain>/callback")
@public
@limiter.limit("60 per minute")
def outside_callback(domain: str) -> Response:
    """Sign in whom the provider names, if everything that came back is right."""
    arguments = {name: values[0] for name, values in request.args.lists() if len(values) == 1}
    try:
        target = outside_sign_in.finish(domain, arguments)
    except PortalError as error:
        return _refused(error)
    return redirect(local_path(target, url_for("account.front")), 303)


def _refused(error: PortalError) -> Response:
    again = "Nobody was signed in. Go to the start page and press Sign in to begin again."
    return answer(error.status_code, "Signing in did not work", f"{error.message} {again}")
