"""Client registration in WSO2's dialect, and the token endpoint."""

import json
from typing import Any

from flask import jsonify, request
from werkzeug.wrappers import Response

from portal.errors import Invalid
from portal.extensions import limiter
from portal.models.user import ADMIN, User
from portal.oauth import bp
from portal.oauth.server import server
from portal.services import accounts, tokens
from portal.web.access import public
from portal.web.unit_of_work import unit_of_work


@bp.post("/oauth2/token")
@public
@limiter.limit("60 per minute")
def token() -> Response:
    """Issue a token to a client that shows its secret."""
    answer: Response = server.create_token_response()
    return answer


@bp.post("/client-registration/v0.17/register")
@public
@limiter.limit("30 per minute")
def register() -> Response | tuple[Response, int]:
    """Register a client for an administrator (WSO2's dynamic client registration)."""
    owner = _administrator()
    if owner is None:
        refusal = jsonify({"error": "Send an administrator's name and password (Basic)."})
        refusal.headers["WWW-Authenticate"] = 'Basic realm="client registration"'
        return refusal, 401
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        raise Invalid("Send a JSON object with clientName and grantType.")
    name, callback = _text(body, "clientName"), _text(body, "callbackUrl")
    grants, saas = _text(body, "grantType"), body.get("saasApp") is True
    with unit_of_work():
        client_id, secret = tokens.register(
            owner, name=name, callback=callback, grants=grants, saas=saas
        )
    details = {"grant_types": grants, "redirect_uris": callback, "client_name": name}
    return jsonify(
        {
            "clientId": client_id,
            "clientName": name,
            "callBackURL": callback,
            "clientSecret": secret,
            "isSaasApplication": saas,
            "appOwner": owner.qualified_name,
            "jsonString": json.dumps(details),
            "jsonAppAttribute": "{}",
            "tokenType": None,
        }
    )


def _administrator() -> User | None:
    given = request.authorization
    if given is None or given.type != "basic" or not given.username:
        return None
    user = accounts.authenticate(given.username, given.password or "")
    return user if user is not None and user.has_role(ADMIN) else None


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name, "")
    if not isinstance(value, str):
        raise Invalid(f"{name} is a text.")
    return value
