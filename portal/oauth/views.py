"""The endpoints that programs call: tokens, their end and their meaning, keys, metadata."""

from typing import Any

from flask import Response as JsonResponse
from flask import jsonify
from werkzeug.wrappers import Response

from portal.extensions import limiter
from portal.oauth import bp, openid
from portal.oauth.server import server
from portal.services import scopes, signing
from portal.web.access import bearer, bearer_scope, public, scope


@bp.post("/oauth2/token")
@public
@limiter.limit("60 per minute")
def token() -> Response:
    """Issue a token to a client that shows who it is."""
    answer: Response = server().create_token_response()
    return answer


@bp.post("/oauth2/revoke")
@public
@limiter.limit("60 per minute")
def revoke() -> Response:
    """End a token of the client that asks (RFC 7009)."""
    answer: Response = server().create_endpoint_response("revocation")
    return answer


@bp.post("/oauth2/introspect")
@public
@limiter.limit("600 per minute")
def introspect() -> Response:
    """Tell a client whether a token of its own works (RFC 7662)."""
    answer: Response = server().create_endpoint_response("introspection")
    return answer


@bp.get("/oauth2/jwks")
@public
def jwks() -> JsonResponse:
    """Publish the keys with which id tokens are signed."""
    openid.signing_key()
    return jsonify({"keys": list(signing.published())})


@bp.get("/.well-known/openid-configuration")
@bp.get("/.well-known/oauth-authorization-server")
@public
def discovery() -> dict[str, Any]:
    """Publish where everything is (OpenID Connect Discovery, RFC 8414)."""
    return openid.metadata()


@bp.route("/oauth2/userinfo", methods=["GET", "POST"])
@scope(scopes.OPENID)
def userinfo() -> dict[str, Any]:
    """Return what the token lets its client know of the person."""
    return openid.claims_of(bearer(), bearer_scope())
