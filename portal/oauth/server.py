"""Authlib's authorization server on our tables."""

from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749.errors import InvalidGrantError
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from authlib.oauth2.rfc9207 import IssuerParameter
from flask import Flask, current_app

from portal import clock
from portal.extensions import db
from portal.models import OAuthClient, OAuthCode, OAuthToken, User
from portal.oauth import grants
from portal.oauth.clients import METHODS, Client, Token
from portal.oauth.openid import IdToken, issuer, subject
from portal.services import clients, tokens
from portal.web.unit_of_work import unit_of_work


class Issuer(IssuerParameter):
    """Names this server in every answer to a client, so that it cannot be mixed up (RFC 9207)."""

    def get_issuer(self) -> str:
        """Return the name."""
        return issuer()


class Revocation(RevocationEndpoint):
    """Ends a token; a refresh token takes its whole family with it (RFC 7009)."""

    CLIENT_AUTH_METHODS = METHODS

    def authenticate_token(self, request: Any, client: Client) -> Token | None:
        """Find the client's own token; another client's is not there, and nothing is said of it."""
        self.check_params(request, client)
        row = tokens.find_any(request.form["token"])
        if row is None or row.oauth_client_id != client.row.oauth_client_id:
            return None
        return Token(row, request.form["token"])

    def revoke_token(self, token: Token, request: Any) -> None:
        """End it."""
        token_id, refreshes = token.row.token_id, token.is_refresh
        with unit_of_work():
            row = db.session.get_one(OAuthToken, token_id)
            row.revoked_at = row.revoked_at or clock.now()
            if refreshes:
                tokens.revoke_family(row.family)


class Introspection(IntrospectionEndpoint):
    """Tells a client whether a token works, and what for (RFC 7662)."""

    CLIENT_AUTH_METHODS = METHODS[:2]

    def check_permission(self, token: Token, client: Client, request: Any) -> bool:
        """Let a client ask about its own tokens only."""
        return token.check_client(client)

    def query_token(self, token_string: str, token_type_hint: str | None) -> Token | None:
        """Find an access or a refresh token."""
        row = tokens.find_any(token_string)
        return Token(row, token_string) if row else None

    def introspect_token(self, token: Token) -> dict[str, Any]:
        """Return what is known of it."""
        row, user = token.row, token.row.user
        end = row.refresh_expires_at if token.is_refresh else row.expires_at
        return {
            "active": True,
            "client_id": row.client.client_id,
            "token_type": "refresh_token" if token.is_refresh else "Bearer",
            "scope": row.scope,
            "username": user.qualified_name if user else None,
            "sub": subject(user) if user else None,
            "aud": row.client.client_id,
            "iss": issuer(),
            "iat": clock.epoch(row.issued_at),
            "exp": clock.epoch(end) if end else None,
        }


def _query_client(client_id: str) -> Client | None:
    row = clients.find(client_id)
    return Client(row) if row else None


def _save_token(issued: dict[str, Any], request: Any) -> None:
    client: OAuthClient = request.client.row
    user = request.user or db.session.get_one(User, client.owner_id)
    if user.disabled:
        raise InvalidGrantError("The person may not sign in any more.")
    issued["scope"] = tokens.allowed(user, client, str(issued.get("scope") or ""))
    ids = (client.oauth_client_id, user.user_id)
    code_id = request.authorization_code.row.code_id if request.authorization_code else None
    old_id = request.refresh_token.row.token_id if request.refresh_token else None
    try:
        with unit_of_work():
            kin = grants.use_up(
                db.session.get_one(OAuthCode, code_id) if code_id else None,
                db.session.get_one(OAuthToken, old_id) if old_id else None,
            )
            client, user = db.session.get_one(OAuthClient, ids[0]), db.session.get_one(User, ids[1])
            tokens.store(client, user, issued, kin)
    except grants.UsedTwice as error:
        grants.end_family(error.family)
        raise InvalidGrantError("It was used before.") from error


def init_app(app: Flask) -> None:
    """Give the app its server. Authlib's default would let a password token live ten days."""
    seconds = int(tokens.LIFETIME.total_seconds())
    app.config["OAUTH2_TOKEN_EXPIRES_IN"] = dict.fromkeys(clients.GRANTS, seconds)
    app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
    made = AuthorizationServer()
    made.init_app(app, query_client=_query_client, save_token=_save_token)
    made.register_grant(grants.CodeGrant, [grants.CodeChallenge(), IdToken()])
    for grant in (grants.PasswordGrant, grants.ClientCredentialsGrant, grants.RefreshGrant):
        made.register_grant(grant)
    made.register_endpoint(Revocation)
    made.register_endpoint(Introspection)
    made.register_extension(Issuer())
    app.extensions["portal_oauth"] = made


def server() -> AuthorizationServer:
    """Return the running app's authorization server."""
    return current_app.extensions["portal_oauth"]
