"""Is this id token genuine: signature, issuer, audience, time, nonce (OpenID Connect Core 3.1.3.7).

Only asymmetric algorithms: a client secret is no key, and "none" is no signature.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from authlib.oidc.core import CodeIDToken
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from portal import clock

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384")
_CLOCKS_DIFFER = 60


class NotGenuine(Exception):
    """The token is not what it should be."""


class UnknownKey(NotGenuine):
    """It is signed with a key that is not among those that are known."""


def key_of(token: str) -> str | None:
    """Return the name of the key with which a token says that it is signed.

    :raise NotGenuine: if it is no token
    """
    try:
        kid = jws.extract_compact(token.encode("ascii", "replace")).headers().get("kid")
    except (JoseError, ValueError) as error:
        raise NotGenuine("no token") from error
    return kid if isinstance(kid, str) else None


def verify(
    token: str,
    keys: Sequence[Mapping[str, Any]],
    *,
    issuer: str,
    client_id: str,
    nonce: str,
    access_token: str | None,
) -> dict[str, Any]:
    """Return the claims of a token that is genuine, for this client and this attempt.

    :raise UnknownKey: if the keys may have been renewed
    :raise NotGenuine: if anything else is wrong
    """
    fitting = _fitting(keys, key_of(token))
    if len(fitting) != 1:
        raise UnknownKey("the key is not known")
    try:
        read = jwt.decode(
            token, KeySet.import_key_set({"keys": fitting}), algorithms=list(ALGORITHMS)
        )
        claims = CodeIDToken(
            read.claims,
            read.header,
            {
                "iss": {"essential": True, "value": issuer},
                "aud": {"essential": True, "value": client_id},
                "nonce": {"essential": True},
            },
            {"nonce": nonce, "client_id": client_id, "access_token": access_token},
        )
        claims.validate(now=clock.epoch(clock.now()), leeway=_CLOCKS_DIFFER)
    except (JoseError, ValueError, TypeError) as error:
        raise NotGenuine(type(error).__name__) from error
    return dict(claims)


def _fitting(keys: Sequence[Mapping[str, Any]], kid: str | None) -> list[dict[str, Any]]:
    """Return the published signing keys of this name, or all where the token names none."""
    return [
        dict(key)
        for key in keys
        if key.get("kty") in ("RSA", "EC")
        and key.get("use", "sig") == "sig"
        and (kid is None or key.get("kid") == kid)
    ]
