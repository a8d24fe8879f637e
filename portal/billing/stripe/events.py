"""Webhook bodies: are they genuine, and what do they say."""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from portal.billing.engine import BillingEvent
from portal.billing.stripe import translate
from portal.billing.stripe.errors import Malformed
from portal.clock import epoch, now
from portal.errors import Invalid, InvalidSignature

#: Stripe's tolerance. The SDK applies it to the past only.
TOLERANCE_SECONDS = 300
#: Stripe sends one signature per active secret, of which there are two while one is rolled.
MOST_SIGNATURES = 16
LONGEST_HEADER = 4096

_TIME = re.compile(r"t=([0-9]{1,12})")
_SIGNATURE = re.compile(r"v1=([0-9a-f]{64})")
_NOT_GENUINE = "The signature of this event is not valid."
_NO_EVENT = "This is signed correctly, but it is no event that can be read."


class Events:
    """Checking and translating webhook events. Nothing here asks Stripe anything."""

    def verify_event(self, payload: bytes, header: str, secrets: Sequence[str]) -> BillingEvent:
        """Check the signature over the bytes as received, then translate them.

        :raise portal.errors.InvalidSignature: also if it is older or newer than 300 seconds
        """
        check_signature(payload, header, secrets)
        try:
            body = json.loads(payload)
        except (ValueError, RecursionError):
            raise Invalid(_NO_EVENT) from None
        return self.translate_event(body)

    def translate_event(self, payload: Mapping[str, Any]) -> BillingEvent:
        """Translate an event body.

        :raise portal.errors.Invalid: if it is no event
        """
        try:
            return translate.event(payload)
        except Malformed as error:
            raise Invalid(f"{_NO_EVENT} ({error})") from error


def check_signature(payload: bytes, header: str, secrets: Sequence[str]) -> None:
    """Refuse a body that Stripe did not sign with one of the secrets within 300 seconds.

    The signature is HMAC-SHA256 over the time, a full stop and the raw body (Stripe:
    docs/webhooks/signature). Calling again has no effect: replays are told by the event's id.

    :raise portal.errors.InvalidSignature: with the same sentence for every reason
    """
    usable = [secret.encode() for secret in secrets if secret.strip()]
    signed_at, signatures = _read(header)
    if not usable or not _is_utf8(payload):
        raise InvalidSignature(_NOT_GENUINE)
    if abs(epoch(now()) - int(signed_at)) > TOLERANCE_SECONDS:
        raise InvalidSignature(_NOT_GENUINE)
    message = signed_at.encode() + b"." + payload
    expected = [hmac.new(secret, message, hashlib.sha256).hexdigest() for secret in usable]
    matches = [hmac.compare_digest(one, other) for one in expected for other in signatures]
    if not any(matches):
        raise InvalidSignature(_NOT_GENUINE)


def _read(header: str) -> tuple[str, list[str]]:
    if len(header) > LONGEST_HEADER:
        raise InvalidSignature(_NOT_GENUINE)
    parts = [part.strip() for part in header.split(",")]
    times = [found[1] for part in parts if (found := _TIME.fullmatch(part))]
    signatures = [found[1] for part in parts if (found := _SIGNATURE.fullmatch(part))]
    if len(times) != 1 or not 1 <= len(signatures) <= MOST_SIGNATURES:
        raise InvalidSignature(_NOT_GENUINE)
    return times[0], signatures


def _is_utf8(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True
