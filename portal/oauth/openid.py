"""What makes the authorization server an OpenID provider: id tokens, claims, metadata."""

from typing import Any

from authlib.oidc.core import OpenIDCode
from flask import url_for
from joserfc.jwk import RSAKey

from portal.models import SigningKey, User
from portal.oauth.clients import Client
from portal.services import clients, scopes, signing
from portal.web.engines import absolute, settings
from portal.web.unit_of_work import unit_of_work


def issuer() -> str:
    """Return the name of this authorization server."""
    return settings().portal_base_url


def subject(user: User) -> str:
    """Return who somebody is to clients: the name with its tenant, also for the super tenant.

    As with WSO2's "Use tenant domain in local subject identifier": the same name in two tenants
    is never the same subject.
    """
    return f"{user.username}@{user.tenant_domain}"


def claims_of(user: User, scope: str) -> dict[str, Any]:
    """Return what the scopes let a client know of a person."""
    wanted = scope.split()
    claims: dict[str, Any] = {"sub": subject(user)}
    if scopes.PROFILE in wanted:
        claims["name"] = user.display_name
        claims["preferred_username"] = user.qualified_name
        claims["roles"] = sorted(user.roles)
        claims["tenant_domain"] = user.tenant_domain
    if scopes.EMAIL in wanted and user.email:
        claims["email"] = user.email
    return claims


def signing_key() -> SigningKey:
    """Return the key that signs now; the first call ever makes it."""
    key = signing.newest()
    if key is not None:
        return key
    with unit_of_work():
        return signing.newest() or signing.make()


class IdToken(OpenIDCode):
    """Adds an id token to the answer when the scope ``openid`` was agreed to."""

    def exists_nonce(self, nonce: str, request: Any) -> bool:
        """Let clients repeat a nonce: it is their protection, and PKCE binds the code anyway."""
        return False

    def get_encode_header(self, client: Client) -> dict[str, str]:
        """Name the key, so that it can be rotated."""
        return {"alg": signing.ALGORITHM, "kid": signing_key().kid}

    def resolve_client_private_key(self, client: Client) -> RSAKey:
        """Return the newest key."""
        key = signing_key()
        return RSAKey.import_key(key.private_key, {"kid": key.kid})

    def get_client_claims(self, client: Client) -> dict[str, Any]:
        """Return who signs, and for whom."""
        return {"iss": issuer(), "aud": [client.get_client_id()]}

    def generate_user_info(self, user: User, scope: str) -> dict[str, Any]:
        """Return what the scopes let the client know."""
        return claims_of(user, scope)


def metadata() -> dict[str, Any]:
    """Return the discovery document (OpenID Connect Discovery 1.0, RFC 8414)."""
    methods = ["client_secret_basic", "client_secret_post"]
    return {
        "issuer": issuer(),
        "authorization_endpoint": absolute(url_for("oauth.authorize")),
        "token_endpoint": absolute(url_for("oauth.token")),
        "userinfo_endpoint": absolute(url_for("oauth.userinfo")),
        "jwks_uri": absolute(url_for("oauth.jwks")),
        "registration_endpoint": absolute(url_for("oauth.register_client")),
        "revocation_endpoint": absolute(url_for("oauth.revoke")),
        "introspection_endpoint": absolute(url_for("oauth.introspect")),
        "scopes_supported": list(scopes.SCOPES),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": list(clients.GRANTS),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [signing.ALGORITHM],
        "token_endpoint_auth_methods_supported": [*methods, "none"],
        "revocation_endpoint_auth_methods_supported": [*methods, "none"],
        "introspection_endpoint_auth_methods_supported": methods,
        "code_challenge_methods_supported": ["S256"],
        "claims_supported": [
            *("iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "name"),
            *("preferred_username", "roles", "tenant_domain", "email"),
        ],
        "authorization_response_iss_parameter_supported": True,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }
