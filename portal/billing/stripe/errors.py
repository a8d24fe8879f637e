"""Stripe's errors as the portal's, in sentences that never contain a key."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import stripe

from portal.errors import (
    BillingEngineError,
    EngineAccessDenied,
    EngineBusy,
    EngineObjectMissing,
    EngineUnavailable,
    PaymentDeclined,
)

PAYMENT_REQUIRED = 402
_KEY = re.compile(r"\b(?:[a-z]{2}_(?:org_)?(?:live|test)|whsec)_[\w*.…]+")
_REFUSED_KEY = (
    "Stripe does not accept the platform key. Check it under Admin > Advanced configuration."
)
_NO_ACCESS = (
    "The platform key has no access to this Stripe account. Check that the account is connected "
    "to the platform and that its Connect ID is entered correctly."
)
_NO_ANSWER = "Stripe does not answer at the moment. Nothing is lost: wait a moment and press again."
_BUSY = "Stripe is receiving too many requests just now. Wait a moment and press again."
_OTHER_VALUES = "This attempt was already sent to Stripe with other values. Start a new one."
_STRANGE = (
    "Stripe's answer cannot be read, so it is not certain what happened there. Wait a moment and "
    "press again; if it stays like this, tell the operator of this portal."
)


class Malformed(ValueError):
    """An object of Stripe's lacks what the portal needs, or has it in another shape."""


class FrozenFailure(EngineUnavailable):
    """Stripe repeats a stored 500 for this idempotency key, and will for about a day.

    Stripe stores the first answer of a key, also a 500 (docs: idempotent requests), so the same
    key no longer finds out anything: the object must be looked for, or made with another key.
    """


@contextmanager
def portal_errors() -> Iterator[None]:
    """Turn whatever the SDK raises inside into the portal's errors.

    :raise portal.errors.BillingEngineError: or one of its kinds
    """
    try:
        yield
    except stripe.StripeError as error:
        raise translated(error) from error
    except (Malformed, AttributeError) as error:
        # The SDK raises AttributeError for a field that is not there, and for an error that is
        # not Stripe's, such as a proxy's {"error": "text"}: what happened at Stripe is unknown.
        raise EngineUnavailable(_STRANGE, engine_code="unexpected_answer") from error


def translated(error: stripe.StripeError) -> BillingEngineError:
    """Return the portal's error for one of the SDK's."""
    inner = _inner(error)
    code = error.code or inner.get("code") or inner.get("type") or ""
    more = {"engine_code": str(code), "request_id": _request_id(error)}
    if isinstance(error, stripe.RateLimitError):
        return EngineBusy(_BUSY, retry_after=_retry_after(error), **more)
    if isinstance(error, stripe.AuthenticationError):
        return EngineAccessDenied(_REFUSED_KEY, **more)
    if isinstance(error, stripe.PermissionError):
        return EngineAccessDenied(_NO_ACCESS, **more)
    if isinstance(error, stripe.IdempotencyError):
        return BillingEngineError(_OTHER_VALUES, **more)
    if _is_uncertain(error):
        kind = FrozenFailure if _is_frozen(error) else EngineUnavailable
        return kind(_NO_ANSWER, retry_after=_retry_after(error), **more)
    if error.http_status == PAYMENT_REQUIRED:
        return PaymentDeclined(f"The payment did not go through: {said(error)}", **more)
    if error.code == "resource_missing":
        return EngineObjectMissing(f"Stripe does not know this: {said(error)}", **more)
    return BillingEngineError(f"Stripe refused: {said(error)}", **more)


def said(error: stripe.StripeError) -> str:
    """Return Stripe's own words without keys, at most 300 characters."""
    words = " ".join((error.user_message or "no reason was given.").split())
    return _KEY.sub("(key)", words)[:300]


def _is_uncertain(error: stripe.StripeError) -> bool:
    if isinstance(error, stripe.APIConnectionError):
        return True
    status = error.http_status or 0
    # The SDK raises APIError for a body that is no JSON: a proxy answered, not Stripe.
    is_foreign = isinstance(error, stripe.APIError) and not _inner(error)
    return status == 409 or status >= 500 or is_foreign


def _is_frozen(error: stripe.StripeError) -> bool:
    replayed = header(error.headers or {}, "idempotent-replayed") == "true"
    return replayed and (error.http_status or 0) >= 500


def header(headers: Mapping[str, str], name: str) -> str:
    """Return a response header whatever its capitals, or an empty string."""
    return next((value for key, value in headers.items() if key.lower() == name), "")


def _retry_after(error: stripe.StripeError) -> float | None:
    try:
        seconds = float(header(error.headers or {}, "retry-after"))
    except ValueError:
        return None
    return seconds if 0 <= seconds < 86_400 else None


def _inner(error: stripe.StripeError) -> Mapping[str, object]:
    """Return Stripe's error object; the SDK does not copy the code of every kind."""
    body = error.json_body
    inner = body.get("error") if isinstance(body, dict) else None
    return inner if isinstance(inner, dict) else {}


def _request_id(error: stripe.StripeError) -> str:
    return header(error.headers or {}, "request-id")[:255]
