"""The Stripe service as a client of the authorization server: set-up, and coming back."""

from flask import jsonify, redirect, request
from werkzeug.wrappers import Response

from portal.extensions import csrf, limiter
from portal.models import SUPER_TENANT
from portal.services import system_apps
from portal.services.system_apps import STRIPE_SERVICE
from portal.stripe import bp
from portal.web import own_sign_in
from portal.web.access import admin_session_or_basic, basic_user, local_path, public, wants_html
from portal.web.problems import answer

_DONE = {"status": "APIM Stripe Service Setup successfully"}
_FAILED = {"error": "APIM Stripe Service Setup failed"}


@bp.get("/configure")
@admin_session_or_basic
@limiter.limit("60 per minute")
def configure() -> Response | tuple[Response, int]:
    """Say whether the service is registered; changes nothing."""
    if system_apps.find(STRIPE_SERVICE) is None:
        return jsonify({**_FAILED, "moreInfo": "Send POST to this address to register it."}), 500
    return jsonify(_DONE)


@bp.post("/configure")
@csrf.exempt
@admin_session_or_basic
@limiter.limit("10 per minute")
def configure_again() -> Response | tuple[Response, int]:
    """Register the service again, with a new secret and the present address.

    It serves all tenants, so that only an administrator of the super tenant may do it.
    """
    if basic_user().tenant_domain != SUPER_TENANT:
        return jsonify({"error": f"Only an administrator of {SUPER_TENANT} may do this."}), 403
    if own_sign_in.register() is None:
        return jsonify(_FAILED), 500
    return jsonify(_DONE)


@bp.get("/callback")
@public
@limiter.limit("60 per minute")
def callback() -> Response:
    """Sign in whom the authorization server names, if everything that came back is right."""
    arguments = {name: values[0] for name, values in request.args.lists() if len(values) == 1}
    try:
        target = own_sign_in.finish(arguments)
    except own_sign_in.SignInRefused as error:
        if wants_html():
            sentence = "Nobody was signed in. Go back to where you came from and try again."
            return answer(error.status, "Signing in did not work", sentence)
        response = jsonify({"error": error.message})
        response.status_code = error.status
        return response
    return redirect(local_path(target, "/devportal/"), 303)
