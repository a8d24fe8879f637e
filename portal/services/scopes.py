"""OAuth scopes: what a token may be used for, in a sentence each, and whose tokens may carry it.

The ``apim:`` names are WSO2's, so that its users' scripts go on working.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from portal.models.user import ADMIN, PUBLISHER, SUBSCRIBER

# Admin REST API
ADMIN_ALL = "apim:admin"
TIER_VIEW = "apim:admin_tier_view"
TIER_MANAGE = "apim:admin_tier_manage"
USAGE_PUBLISH = "apim:monetization_usage_publish"
USAGE_INGEST = "apim:usage_ingest"
# Publisher REST API
API_VIEW = "apim:api_view"
API_CREATE = "apim:api_create"
API_PUBLISH = "apim:api_publish"
API_DELETE = "apim:api_delete"
SUBSCRIPTION_VIEW = "apim:subscription_view"
SUBSCRIPTION_BLOCK = "apim:subscription_block"
SUBSCRIPTION_MANAGE = "apim:subscription_manage"
# Developer portal REST API
SUBSCRIBE = "apim:subscribe"
APP_MANAGE = "apim:app_manage"
SUB_MANAGE = "apim:sub_manage"
# OpenID Connect
OPENID = "openid"
PROFILE = "profile"
EMAIL = "email"

_EVERYBODY = frozenset[str]()
_ADMINS = frozenset({ADMIN})
_PUBLISHERS = frozenset({PUBLISHER, ADMIN})
_SUBSCRIBERS = frozenset({SUBSCRIBER, PUBLISHER, ADMIN})


@dataclass(frozen=True)
class Scope:
    """What a token may be used for, and whose tokens may carry it.

    :param roles: a person needs one of these; nobody in particular when it is empty
    """

    name: str
    sentence: str
    roles: frozenset[str]

    def admits(self, roles: frozenset[str]) -> bool:
        """Whether a person with these roles may be given the scope."""
        return not self.roles or bool(self.roles & roles)


SCOPES: dict[str, Scope] = {
    scope.name: scope
    for scope in (
        Scope(ADMIN_ALL, "Read and change everything that an administrator can.", _ADMINS),
        Scope(TIER_VIEW, "Read the tenant's business plans.", _ADMINS),
        Scope(TIER_MANAGE, "Create, change and delete business plans.", _ADMINS),
        Scope(
            USAGE_PUBLISH,
            "Publish the tenant's usage to the billing engine, and read how that went.",
            _ADMINS,
        ),
        Scope(USAGE_INGEST, "Report calls that another gateway has served.", _ADMINS),
        Scope(API_VIEW, "Read the APIs that you publish.", _PUBLISHERS),
        Scope(API_CREATE, "Create APIs and change them.", _PUBLISHERS),
        Scope(
            API_PUBLISH,
            "Publish APIs, change their lifecycle, and switch monetization on and off.",
            _PUBLISHERS,
        ),
        Scope(API_DELETE, "Delete APIs that you publish.", _PUBLISHERS),
        Scope(
            SUBSCRIPTION_VIEW,
            "Read the subscriptions, usage and revenue of your APIs.",
            _PUBLISHERS,
        ),
        Scope(SUBSCRIPTION_BLOCK, "Block and unblock subscriptions to your APIs.", _PUBLISHERS),
        Scope(
            SUBSCRIPTION_MANAGE,
            "Block subscriptions to your APIs, and move them to another business plan.",
            _PUBLISHERS,
        ),
        Scope(
            SUBSCRIBE,
            "Read the catalogue, and use your applications, their keys and subscriptions.",
            _SUBSCRIBERS,
        ),
        Scope(APP_MANAGE, "Create, change and delete your applications and keys.", _SUBSCRIBERS),
        Scope(SUB_MANAGE, "Make, change and end your subscriptions.", _SUBSCRIBERS),
        Scope(OPENID, "Confirm who you are.", _EVERYBODY),
        Scope(PROFILE, "Read your name and your roles.", _EVERYBODY),
        Scope(EMAIL, "Read your e-mail address.", _EVERYBODY),
    )
}


def known(names: str) -> list[Scope]:
    """Return those of the space-separated names that exist, in their order, each once."""
    return [SCOPES[name] for name in dict.fromkeys(names.split()) if name in SCOPES]


def joined(scopes: Iterable[Scope]) -> str:
    """Return names as they stand in a request and in a token."""
    return " ".join(scope.name for scope in scopes)
