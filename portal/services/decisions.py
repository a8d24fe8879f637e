"""May this call go through, and if not: why, and what fixes it.

One pure function, used by the gateway, by the subscription's page and by the JSON, so that they
cannot disagree.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from portal.models.api import Lifecycle
from portal.models.application import KeyType
from portal.models.subscription import Approval, Billing, Block, Facts, in_force


class Refusal(Enum):
    """A cause for which a call is refused: slug, HTTP status, WSO2's code, title, what to do."""

    MISSING_KEY = (
        "missing-key",
        401,
        900902,
        "No key was sent",
        "Send your application's key in the header ApiKey, or as a bearer token.",
    )
    UNKNOWN_KEY = (
        "unknown-key",
        401,
        900901,
        "The key is not known",
        "Check the key, or make a new one on the application's page.",
    )
    AMBIGUOUS_KEY = (
        "ambiguous-key",
        401,
        900901,
        "More than one key was sent",
        "Send the key once: in the header ApiKey, or as a bearer token.",
    )
    NO_API = (
        "no-such-api",
        404,
        404,
        "There is no such API here",
        "Check the address on the API's page in the developer portal.",
    )
    API_RETIRED = (
        "api-retired",
        403,
        900907,
        "The API has been retired",
        "Look for a newer version in the developer portal.",
    )
    NO_SUBSCRIPTION = (
        "no-subscription",
        403,
        900908,
        "The application is not subscribed to this API",
        "Open the API in the developer portal and press Subscribe.",
    )
    PAYMENT_PENDING = (
        "payment-pending",
        403,
        900909,
        "The first payment is not complete",
        "Open the subscription and press Complete Payment.",
    )
    CHECKOUT_LAPSED = (
        "checkout-lapsed",
        403,
        900909,
        "The subscription was not paid within 24 hours",
        "Open the subscription and press Try again.",
    )
    APPROVAL_PENDING = (
        "approval-pending",
        403,
        900909,
        "The subscription waits for approval",
        "There is nothing to press: it opens as soon as it is approved.",
    )
    APPROVAL_REJECTED = (
        "approval-rejected",
        403,
        900909,
        "The subscription was not approved",
        "Ask the publisher of the API why.",
    )
    PAYMENT_OVERDUE = (
        "payment-overdue",
        403,
        900907,
        "A payment failed",
        "Open the subscription and press Pay now, or update the card in the Customer Portal.",
    )
    AUTHENTICATION_NEEDED = (
        "authentication-needed",
        403,
        900907,
        "The bank wants the payment confirmed",
        "Open the subscription and press Authenticate payment.",
    )
    BLOCKED_BY_PUBLISHER = (
        "blocked-by-publisher",
        403,
        900907,
        "The publisher has blocked this subscription",
        "Ask the publisher of the API. A payment does not lift this block.",
    )
    PRODUCTION_BLOCKED = (
        "production-blocked",
        403,
        900907,
        "The publisher has blocked production calls",
        "Sandbox keys still work. Ask the publisher of the API about production.",
    )
    ENDING = (
        "subscription-ending",
        403,
        900908,
        "The subscription is being ended",
        "Its last usage is being reported. Subscribe again when it has ended.",
    )
    ENDED = (
        "subscription-ended",
        403,
        900908,
        "The subscription has ended",
        "Open the API in the developer portal and press Subscribe.",
    )
    QUOTA_REACHED = (
        "quota-reached",
        429,
        900804,
        "The plan's quota is used up",
        "Wait until the quota starts anew, or choose a larger plan.",
    )
    RATE_REACHED = (
        "rate-reached",
        429,
        900803,
        "Too many calls at once",
        "Wait a moment and call again.",
    )
    BAD_REQUEST = (
        "bad-request",
        400,
        400,
        "The call cannot be read",
        "Check the call's first line, its header fields and the length of its body.",
    )
    BAD_PATH = (
        "bad-path",
        400,
        400,
        "The path leaves the API",
        "Call a path without dot segments, backslashes and control characters.",
    )
    BODY_TOO_LARGE = (
        "body-too-large",
        413,
        413,
        "The body is too large",
        "Nothing was passed on. Send at most 1 MB in one call.",
    )
    BAD_METHOD = (
        "method-not-allowed",
        405,
        405,
        "The gateway does not pass on this method",
        "Call with GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS.",
    )
    BACKEND_UNREACHABLE = (
        "backend-unreachable",
        502,
        101503,
        "The API's back end does not answer",
        "Try again in a minute. The call is not billed. If it lasts, tell the API's publisher.",
    )
    BACKEND_FORBIDDEN = (
        "backend-forbidden",
        502,
        101503,
        "The API's back end is at an address that the gateway may not call",
        "Tell the API's publisher: the operator of this portal has to allow the address.",
    )
    BACKEND_TIMEOUT = (
        "backend-timeout",
        504,
        101504,
        "The API's back end took too long",
        "Try again in a minute. The call is not billed. If it lasts, tell the API's publisher.",
    )
    NOT_RECORDED = (
        "not-recorded",
        503,
        303001,
        "The gateway cannot count calls now",
        "Try again in a minute. The call is not billed.",
    )

    def __init__(self, slug: str, http_status: int, code: int, title: str, remedy: str) -> None:
        self.slug = slug
        self.http_status = http_status
        self.code = code
        self.title = title
        self.remedy = remedy

    @classmethod
    def by_slug(cls, slug: str) -> "Refusal | None":
        """Return the cause whose problem page has this address."""
        return next((refusal for refusal in cls if refusal.slug == slug), None)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What the decision needs to know about a subscription and its API."""

    facts: Facts
    api_status: str
    needs_authentication: bool = False
    stops_at: datetime | None = None
    """When a grace ends; see :func:`portal.models.subscription.in_force`."""

    def at(self, now: datetime) -> "Standing":
        """Return how it stands at ``now``: a grace may have run out since it was read."""
        facts = in_force(self.facts, self.stops_at, now)
        return self if facts is self.facts else replace(self, facts=facts)


def decide(standing: Standing | None, key_type: KeyType = KeyType.PRODUCTION) -> Refusal | None:
    """Return why a call with such a key is refused now, or ``None`` if it goes through.

    Quotas are counted elsewhere; a call that passes here may still be over its quota.
    """
    if standing is None:
        return Refusal.NO_SUBSCRIPTION
    return next((cause for cause, rule in _RULES.items() if rule(standing, key_type)), None)


def causes(standing: Standing, key_type: KeyType = KeyType.PRODUCTION) -> tuple[Refusal, ...]:
    """Return every cause that holds, the one that :func:`decide` gives first."""
    return tuple(cause for cause, rule in _RULES.items() if rule(standing, key_type))


def holds(refusal: Refusal, standing: Standing, key_type: KeyType = KeyType.PRODUCTION) -> bool:
    """Whether a cause holds, though another one may come before it."""
    return _RULES[refusal](standing, key_type)


_CALLABLE = (Lifecycle.PUBLISHED, Lifecycle.DEPRECATED)
_Rule = Callable[[Standing, KeyType], bool]

#: What refuses a call; the first that holds decides.
_RULES: dict[Refusal, _Rule] = {
    Refusal.ENDED: lambda s, _: s.facts.billing is Billing.ENDED,
    # A call after the last report would be on no invoice.
    Refusal.ENDING: lambda s, _: s.facts.end_requested,
    Refusal.API_RETIRED: lambda s, _: s.api_status not in _CALLABLE,
    Refusal.APPROVAL_REJECTED: lambda s, _: s.facts.approval is Approval.REJECTED,
    Refusal.CHECKOUT_LAPSED: lambda s, _: s.facts.billing is Billing.LAPSED,
    Refusal.PAYMENT_PENDING: lambda s, _: s.facts.billing is Billing.PENDING,
    Refusal.APPROVAL_PENDING: lambda s, _: s.facts.approval is Approval.PENDING,
    Refusal.BLOCKED_BY_PUBLISHER: lambda s, _: s.facts.block is Block.ALL,
    Refusal.AUTHENTICATION_NEEDED: lambda s, _: _owes(s) and s.needs_authentication,
    Refusal.PAYMENT_OVERDUE: lambda s, _: _owes(s) and not s.needs_authentication,
    Refusal.PRODUCTION_BLOCKED: lambda s, key_type: (
        s.facts.block is Block.PRODUCTION and key_type is KeyType.PRODUCTION
    ),
}


def _owes(standing: Standing) -> bool:
    return standing.facts.billing is Billing.OVERDUE
