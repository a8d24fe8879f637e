"""Authlib's authorization server on our tables: password, client credentials, refresh."""

from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, TokenMixin, grants
from authlib.oauth2.rfc6749.errors import InvalidGrantError
from flask import Flask

from portal.extensions import db
from portal.models import OAuthClient, OAuthToken, User
from portal.services import accounts, scopes, tokens
from portal.web.unit_of_work import unit_of_work

METHODS = ("client_secret_basic", "client_secret_post")


class Client(ClientMixin):
    """A registered client in the words that Authlib asks in."""

    def __init__(self, row: OAuthClient) -> None:
        self.row = row

    def get_client_id(self) -> str:
        """Return the public id."""
        return self.row.client_id

    def get_default_redirect_uri(self) -> str | None:
        """Return the only redirect address, if there is just one."""
        return self.row.redirect_uris[0] if len(self.row.redirect_uris) == 1 else None

    def get_allowed_scope(self, scope: str | None) -> str:
        """Return the scopes that exist; a person's roles narrow them when the token is made."""
        return scopes.joined(scopes.known(scope or ""))

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Compare exactly."""
        return redirect_uri in self.row.redirect_uris

    def check_client_secret(self, client_secret: str) -> bool:
        """Compare with the hash."""
        return tokens.secret_fits(self.row, client_secret)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Every client has a secret and shows it."""
        return method in METHODS

    def check_response_type(self, response_type: str) -> bool:
        """There is no authorization endpoint yet."""
        return False

    def check_grant_type(self, grant_type: str) -> bool:
        """Only what the client was registered for."""
        return grant_type in self.row.grant_types


class Token(TokenMixin):
    """A stored token in the words that Authlib asks in."""

    def __init__(self, row: OAuthToken) -> None:
        self.row = row

    def check_client(self, client: Client) -> bool:
        """Whether it was given to this client."""
        return self.row.oauth_client_id == client.row.oauth_client_id

    def get_scope(self) -> str:
        """Return its scopes."""
        return self.row.scope

    def get_user(self) -> User | None:
        """Return whose it is."""
        return self.row.user


class PasswordGrant(grants.ResourceOwnerPasswordCredentialsGrant):
    """The password grant, for clients registered for it: the documented publish-usage recipe."""

    TOKEN_ENDPOINT_AUTH_METHODS = METHODS

    def authenticate_user(self, username: str, password: str) -> User:
        """Check the password. Authlib's own answer to a wrong one would be invalid_request."""
        user = accounts.authenticate(username, password)
        if user is None:
            raise InvalidGrantError("The user name or the password is not right.")
        return user


class ClientCredentialsGrant(grants.ClientCredentialsGrant):
    """A client acting for the person who registered it."""

    TOKEN_ENDPOINT_AUTH_METHODS = METHODS


class RefreshGrant(grants.RefreshTokenGrant):
    """A new token for an old one, which stops working at once."""

    TOKEN_ENDPOINT_AUTH_METHODS = METHODS
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: str) -> Token | None:
        """Find what it renews."""
        row = tokens.find_refresh(refresh_token)
        return Token(row) if row else None

    def authenticate_user(self, refresh_token: Token) -> User | None:
        """Return whose it is, if they may still sign in."""
        user = refresh_token.get_user()
        return None if user is None or user.disabled else user

    def revoke_old_credential(self, refresh_token: Token) -> None:
        """End the old pair."""
        from portal import clock

        token_id = refresh_token.row.token_id
        with unit_of_work():
            db.session.get_one(OAuthToken, token_id).revoked_at = clock.now()


server = AuthorizationServer()


def _query_client(client_id: str) -> Client | None:
    row = tokens.find_client(client_id)
    return Client(row) if row else None


def _save_token(issued: dict[str, Any], request: Any) -> None:
    client: OAuthClient = request.client.row
    user = request.user or db.session.get_one(User, client.owner_id)
    issued["scope"] = tokens.allowed(user, client, str(issued.get("scope") or ""))
    user_id, client_id = user.user_id, client.oauth_client_id
    with unit_of_work():
        tokens.store(
            db.session.get_one(OAuthClient, client_id), db.session.get_one(User, user_id), issued
        )


def init_app(app: Flask) -> None:
    """Bind the server. Authlib's default would let a password token live ten days."""
    seconds = int(tokens.LIFETIME.total_seconds())
    app.config["OAUTH2_TOKEN_EXPIRES_IN"] = dict.fromkeys(tokens.GRANTS, seconds)
    app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
    server.init_app(app, query_client=_query_client, save_token=_save_token)
    if not server._token_grants:  # noqa: SLF001 - the server outlives an app in tests
        for grant in (PasswordGrant, ClientCredentialsGrant, RefreshGrant):
            server.register_grant(grant)
