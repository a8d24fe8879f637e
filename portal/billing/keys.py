"""Which secret keys may be used with which provider address. Needs no SDK."""

import re
from urllib.parse import urlsplit

from portal.errors import Invalid

STRIPE_HOST = "api.stripe.com"
STRIPE_API = f"https://{STRIPE_HOST}"
SANDBOX_PREFIX = "sk_test_sandbox_"
#: Secret, restricted and organization keys that move real money.
_LIVE = re.compile(r"[a-z]+_(org_)?live_", re.IGNORECASE)


def is_live(secret_key: str) -> bool:
    """Return whether the key moves real money."""
    return _LIVE.match(secret_key.strip()) is not None


def is_restricted(secret_key: str) -> bool:
    """Return whether the key may do only what somebody ticked for it."""
    return secret_key.strip().startswith("rk_")


def refuse_mismatched_key(secret_key: str, api_base: str) -> None:
    """Refuse a live key for any address but Stripe's, and a sandbox key for Stripe's.

    Called when a key is saved and when an engine is built from it. Calling again has no effect.

    :raise portal.errors.Invalid: with a sentence that never repeats the key
    """
    key = secret_key.strip()
    if not key:
        raise Invalid("The platform key is missing. Enter the secret key of the Stripe account.")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise Invalid("This key contains characters that no key has. Copy it again and save.")
    if is_live(key) and not _is_exactly_stripe(api_base):
        raise Invalid(
            "This is a live key, but payments do not go to Stripe itself here. "
            "Enter a test key, or set STRIPE_API_BASE to https://api.stripe.com."
        )
    if key.lower().startswith(SANDBOX_PREFIX) and _names_stripe(api_base):
        raise Invalid(
            "This key belongs to the sandbox, but payments go to Stripe itself here. "
            "Enter a key of the Stripe account, or set STRIPE_API_BASE to the sandbox."
        )


def _is_exactly_stripe(api_base: str) -> bool:
    try:
        parts = urlsplit(api_base.strip())
        port = parts.port
    except ValueError:
        return False
    plain = not (parts.query or parts.fragment or parts.username or parts.path.strip("/"))
    named = parts.scheme == "https" and parts.hostname == STRIPE_HOST
    return plain and named and port in (None, 443)


def _names_stripe(api_base: str) -> bool:
    try:
        host = urlsplit(api_base.strip()).hostname or ""
    except ValueError:
        return False
    return host.rstrip(".") == STRIPE_HOST
