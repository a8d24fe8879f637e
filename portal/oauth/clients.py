"""Our clients and tokens in the words that Authlib asks in."""

from typing import Any

from authlib.oauth2.rfc6749 import ClientMixin, TokenMixin

from portal import clock
from portal.models import OAuthClient, OAuthCode, OAuthToken, User
from portal.services import clients, scopes
from portal.services.tokens import digest

METHODS = ("client_secret_basic", "client_secret_post", "none")


class Client(ClientMixin):
    """A registered client."""

    def __init__(self, row: OAuthClient) -> None:
        self.row = row

    def get_client_id(self) -> str:
        """Return the public id."""
        return self.row.client_id

    def get_default_redirect_uri(self) -> str | None:
        """Return none: every request names its address, so that nothing is guessed."""
        return None

    def get_allowed_scope(self, scope: str | None) -> str:
        """Return the scopes that exist; a person's roles narrow them when the token is made."""
        return scopes.joined(scopes.known(scope or ""))

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Compare exactly."""
        return redirect_uri in self.row.redirect_uris

    def check_client_secret(self, client_secret: str) -> bool:
        """Compare with the hash."""
        return clients.secret_fits(self.row, client_secret)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """A client that has a secret shows it, one that has none cannot."""
        return (method == "none") == self.row.is_public

    def check_response_type(self, response_type: str) -> bool:
        """Only codes, and only for clients registered for them."""
        return response_type == "code" and clients.CODE in self.row.grant_types

    def check_grant_type(self, grant_type: str) -> bool:
        """Only what the client was registered for."""
        return grant_type in self.row.grant_types


class Code:
    """A stored authorization code."""

    code_challenge_method = "S256"

    def __init__(self, row: OAuthCode) -> None:
        self.row = row
        self.code_challenge = row.code_challenge

    def get_redirect_uri(self) -> str:
        """Return where it was sent."""
        return self.row.redirect_uri

    def get_scope(self) -> str:
        """Return what the person agreed to."""
        return self.row.scope

    def get_nonce(self) -> str | None:
        """Return what binds the id token to the client's request."""
        return self.row.nonce

    def get_auth_time(self) -> int:
        """Return when the person proved who they are."""
        return clock.epoch(self.row.authenticated_at)

    def get_acr(self) -> None:
        """Return no class of authentication."""

    def get_amr(self) -> None:
        """Return no method of authentication."""


class Token(TokenMixin):
    """A stored token."""

    def __init__(self, row: OAuthToken, text: str = "") -> None:
        self.row = row
        self.text = text

    def check_client(self, client: Client) -> bool:
        """Whether it was given to this client."""
        return self.row.oauth_client_id == client.row.oauth_client_id

    def get_scope(self) -> str:
        """Return its scopes."""
        return self.row.scope

    def get_user(self) -> User | None:
        """Return whose it is."""
        return self.row.user

    def is_expired(self) -> bool:
        """Whether its time is over."""
        end: Any = self.row.refresh_expires_at if self.is_refresh else self.row.expires_at
        return end is None or bool(end <= clock.now())

    def is_revoked(self) -> bool:
        """Whether it was ended, or whose it is was disabled."""
        user = self.row.user
        return self.row.revoked_at is not None or user is None or user.disabled

    @property
    def is_refresh(self) -> bool:
        """Whether the text that was shown is the refresh token of the pair."""
        return self.row.refresh_token_hash == digest(self.text)
