"""The four ways to a token, one short class each."""

from typing import Any

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc6749.errors import InvalidGrantError, InvalidRequestError
from authlib.oauth2.rfc7636 import CodeChallenge as AnyCodeChallenge

from portal.errors import TooManyTries
from portal.extensions import db
from portal.models import OAuthCode, OAuthToken, User
from portal.oauth.clients import METHODS, Client, Code, Token
from portal.services import tokens
from portal.web import passwords
from portal.web.authenticated import authenticated_at
from portal.web.unit_of_work import unit_of_work


class CodeChallenge(AnyCodeChallenge):
    """PKCE for every client, with S256 and nothing weaker."""

    DEFAULT_CODE_CHALLENGE_METHOD = "S256"
    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)

    def validate_code_challenge(self, grant: grants.AuthorizationCodeGrant, uri: str) -> None:
        """Refuse a request without a challenge, or with one that shows the verifier."""
        data = grant.request.payload.data
        if not data.get("code_challenge"):
            raise InvalidRequestError("Missing 'code_challenge' (PKCE).")
        if data.get("code_challenge_method") != "S256":
            raise InvalidRequestError("The 'code_challenge_method' must be S256.")
        super().validate_code_challenge(grant, uri)


class CodeGrant(grants.AuthorizationCodeGrant):
    """A code for a person's consent, and tokens for the code."""

    TOKEN_ENDPOINT_AUTH_METHODS = METHODS

    def save_authorization_code(self, code: str, request: Any) -> None:
        """Store its hash with everything that the token request must repeat."""
        data, user_id = request.payload.data, request.user.user_id
        client: Client = request.client
        asked = tokens.Asked(
            redirect_uri=request.payload.redirect_uri,
            scope=tokens.allowed(request.user, client.row, request.scope or ""),
            nonce=data.get("nonce"),
            code_challenge=data["code_challenge"],
            authenticated_at=authenticated_at(),
        )
        with unit_of_work():
            tokens.store_code(client.row, db.session.get_one(User, user_id), code, asked)

    def query_authorization_code(self, code: str, client: Client) -> Code | None:
        """Find a code; one that was used before ends what was made of it."""
        row = tokens.find_code(client.row, code)
        if row is None:
            return None
        if row.used_at is not None:
            end_family(row.family)
            return None
        return Code(row)

    def delete_authorization_code(self, authorization_code: Code) -> None:
        """Do nothing: it was used up together with storing the token."""

    def authenticate_user(self, authorization_code: Code) -> User | None:
        """Return whose it is, if they may still sign in."""
        user = authorization_code.row.user
        return None if user.disabled else user


class Locked(OAuth2Error):
    """Signing in failed too often; no password is looked at for a while."""

    error = "invalid_grant"
    status_code = 429

    def __init__(self, cause: TooManyTries) -> None:
        super().__init__(cause.message)
        self._seconds = cause.seconds

    def get_headers(self) -> list[tuple[str, str]]:
        """Say when to try again, too."""
        return [*super().get_headers(), ("Retry-After", str(self._seconds))]


class PasswordGrant(grants.ResourceOwnerPasswordCredentialsGrant):
    """The password grant, for clients registered for it: the documented publish-usage recipe."""

    TOKEN_ENDPOINT_AUTH_METHODS = METHODS

    def authenticate_user(self, username: str, password: str) -> User:
        """Check the password. Authlib's own answer to a wrong one would be invalid_request."""
        try:
            user = passwords.check(username, password)
        except TooManyTries as error:
            raise Locked(error) from error
        if user is None:
            raise InvalidGrantError("The user name or the password is not right.")
        return user


class ClientCredentialsGrant(grants.ClientCredentialsGrant):
    """A client acting for the person who registered it."""

    TOKEN_ENDPOINT_AUTH_METHODS = METHODS


class RefreshGrant(grants.RefreshTokenGrant):
    """A new pair for an old one, which stops working at once; using it again ends the family."""

    TOKEN_ENDPOINT_AUTH_METHODS = METHODS
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: str) -> Token | None:
        """Find what it renews."""
        row = tokens.find_refresh(refresh_token)
        if row is None or row.oauth_client_id != self.request.client.row.oauth_client_id:
            return None
        if row.refreshed_at is not None:
            end_family(row.family)
            return None
        return Token(row) if tokens.renewable(row) else None

    def authenticate_user(self, refresh_token: Token) -> User:
        """Return whose it is, if they may still sign in."""
        user = refresh_token.get_user()
        if user is None or user.disabled:
            raise InvalidGrantError("The person may not sign in any more.")
        return user

    def revoke_old_credential(self, refresh_token: Token) -> None:
        """Do nothing: it was used up together with storing the new pair."""


def end_family(family: str | None) -> None:
    """End every token that comes from one sign-in, and keep that whatever is answered."""
    with unit_of_work():
        tokens.revoke_family(family)


def use_up(code: OAuthCode | None, old: OAuthToken | None) -> tokens.Kin:
    """Use up what the new token is made of, and return the family it belongs to.

    Must be called in a unit of work.

    :raise UsedTwice: if somebody used it a moment ago
    """
    if code is not None:
        if not tokens.use_code(code):
            raise UsedTwice(code.family)
        return tokens.Kin.new(code.family)
    if old is not None:
        end = old.refresh_expires_at
        if end is None or old.family is None or not tokens.use_refresh(old):
            raise UsedTwice(old.family)
        return tokens.Kin(family=old.family, refresh_expires_at=end)
    return tokens.Kin.new()


class UsedTwice(Exception):
    """A code or refresh token was used a second time, at the same moment as the first."""

    def __init__(self, family: str | None) -> None:
        super().__init__("Used twice.")
        self.family = family
