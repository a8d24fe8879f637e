"""Registering clients by program, in WSO2's dialect and in RFC 7591's."""

import json
from typing import Any

from flask import Response, jsonify

from portal import clock
from portal.errors import Invalid
from portal.extensions import limiter
from portal.oauth import bp
from portal.services import clients
from portal.services.clients import Wanted
from portal.web import bodies
from portal.web.access import basic_admin, basic_user
from portal.web.unit_of_work import unit_of_work


@bp.post("/client-registration/v0.17/register")
@basic_admin
@limiter.limit("30 per minute")
def register() -> Response:
    """Register a client for an administrator (WSO2's dynamic client registration)."""
    owner = basic_user()
    body = _body()
    name, callback = _text(body, "clientName"), _text(body, "callbackUrl")
    grants, saas = _text(body, "grantType"), body.get("saasApp") is True
    with unit_of_work():
        client, secret = clients.register(
            owner,
            Wanted(
                name=name,
                grants=grants.split(),
                redirect_uris=[callback] if callback else [],
                saas=saas,
            ),
        )
        client_id = client.client_id
    details = {"grant_types": grants, "redirect_uris": callback, "client_name": name}
    return _secret_answer(
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


@bp.post("/oauth2/register")
@bp.post("/api/identity/oauth2/dcr/v1.1/register")
@basic_admin
@limiter.limit("30 per minute")
def register_client() -> tuple[Response, int]:
    """Register a client for an administrator (RFC 7591)."""
    owner = basic_user()
    try:
        wanted = _metadata(_body())
        with unit_of_work():
            client, secret = clients.register(owner, wanted)
            client_id = client.client_id
    except Invalid as error:
        kind = "invalid_redirect_uri" if "redirect" in error.message else "invalid_client_metadata"
        return jsonify({"error": kind, "error_description": error.message}), 400
    answer: dict[str, Any] = {
        "client_id": client_id,
        "client_id_issued_at": clock.epoch(clock.now()),
        "client_name": wanted.name,
        "grant_types": list(wanted.grants),
        "redirect_uris": list(wanted.redirect_uris),
        "response_types": ["code"] if clients.CODE in wanted.grants else [],
        "token_endpoint_auth_method": "none" if wanted.public else "client_secret_basic",
    }
    if secret:
        answer |= {"client_secret": secret, "client_secret_expires_at": 0}
    return _secret_answer(answer), 201


def _metadata(body: dict[str, Any]) -> Wanted:
    method = _text(body, "token_endpoint_auth_method") or "client_secret_basic"
    if method not in ("client_secret_basic", "client_secret_post", "none"):
        raise Invalid("The token_endpoint_auth_method is not supported.")
    return Wanted(
        name=_text(body, "client_name") or "Unnamed client",
        grants=_texts(body, "grant_types") or [clients.CODE],
        redirect_uris=_texts(body, "redirect_uris"),
        public=method == "none",
        saas=body.get("ext_saas_app") is True,
    )


def _secret_answer(body: dict[str, Any]) -> Response:
    response = jsonify(body)
    response.headers["Cache-Control"] = "no-store"
    return response


def _body() -> dict[str, Any]:
    body = bodies.json()
    if not isinstance(body, dict):
        raise Invalid("Send a JSON object that describes the client.")
    return body


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name, "")
    if not isinstance(value, str):
        raise Invalid(f"{name} is a text.")
    return value


def _texts(body: dict[str, Any], name: str) -> list[str]:
    value = body.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Invalid(f"{name} is a list of texts.")
    return value
