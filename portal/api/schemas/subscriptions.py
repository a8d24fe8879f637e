"""Applications, their keys, and subscriptions."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from portal.api.schemas.apis import millis
from portal.api.schemas.base import Pagination, Paging, Reference, Resource, Schema, Text
from portal.models import Application, ApplicationKey, Subscription
from portal.services.access import Access

SubscriptionStatus = Literal[
    "ON_HOLD",
    "UNBLOCKED",
    "BLOCKED",
    "PROD_ONLY_BLOCKED",
    "REJECTED",
    "TIER_UPDATE_PENDING",
    "DELETE_PENDING",
]
CHECKOUT_WORDS = "Please complete the checkout to activate your subscription."


class ApplicationBody(Schema):
    """An application to be made, or as it shall be."""

    name: Annotated[Text, StringConstraints(min_length=1, max_length=100, pattern=r"^\S(.*\S)?$")]
    description: Annotated[Text, StringConstraints(max_length=1000)] | None = ""


class ApplicationInfo(Schema):
    """An application in a list."""

    application_id: str
    name: str
    description: str
    owner: str
    status: Literal["APPROVED"] = "APPROVED"
    throttling_policy: Literal["Unlimited"] = "Unlimited"
    subscription_count: int
    created_time: str = Field(description="Milliseconds since 1970.")


class DevportalApplication(Resource):
    """An application."""

    application_id: str
    name: str
    description: str
    owner: str
    status: Literal["APPROVED"] = "APPROVED"
    throttling_policy: Literal["Unlimited"] = "Unlimited"
    created_time: str = Field(description="Milliseconds since 1970.")


class ApplicationList(Schema):
    """A part of your applications, by name."""

    count: int
    list: list[ApplicationInfo]
    pagination: Pagination


class ApiKeyBody(Schema):
    """A key to be generated; it works until it is revoked."""

    validity_period: Literal[-1] = Field(-1, description="Keys work until they are revoked.")


class ApiKeyMade(Schema):
    """A new key, shown this once."""

    apikey: str
    validity_time: int = Field(description="-1: until it is revoked.")
    key_uuid: str = Field(alias="keyUUID")


class ApiKeyRevoke(Schema):
    """The key that shall stop, itself or by its identifier."""

    apikey: Annotated[Text, StringConstraints(max_length=255)] = ""
    key_uuid: Annotated[Text, StringConstraints(max_length=36)] = Field("", alias="keyUUID")


class ConsumerKeyBody(Schema):
    """What a consumer key is for."""

    key_type: Literal["PRODUCTION", "SANDBOX"]
    grant_types_to_be_supported: list[
        Literal["client_credentials", "password", "refresh_token", "authorization_code"]
    ] = Field(min_length=1, max_length=4)
    callback_url: Annotated[Text, StringConstraints(max_length=2000)] | None = Field(
        None, description="Where codes are sent; only for authorization_code."
    )


class ConsumerKeyMade(Schema):
    """A consumer key with its secret, shown this once."""

    consumer_key: str
    consumer_secret: str
    supported_grant_types: Sequence[str]
    callback_url: str
    key_type: str


class ApiKeyInfo(Schema):
    """A key that works; the key itself is not stored."""

    key_uuid: str = Field(alias="keyUUID")
    prefix: str
    key_type: str
    created_time: str
    stops_time: str | None = Field(description="When it stops, if it is being replaced.")


class ApiKeyList(Schema):
    """The keys of an application that work."""

    count: int
    list: list[ApiKeyInfo]


class SubscriptionBody(Schema):
    """An application, an API, and the plan."""

    application_id: Reference
    api_id: Reference
    throttling_policy: Annotated[Text, StringConstraints(min_length=1, max_length=60)]


class SubscriptionUpdate(SubscriptionBody):
    """A subscription as it shall be: only its plan can change."""

    status: SubscriptionStatus | None = Field(
        None, description="The present status; without it the request is refused, as by WSO2."
    )
    requested_throttling_policy: (
        Annotated[Text, StringConstraints(min_length=1, max_length=60)] | None
    ) = Field(None, description="The plan to change to; without it, `throttlingPolicy` is.")


class DevportalSubscriptionQuery(Paging):
    """Whose subscriptions are wanted."""

    application_id: Reference | None = None
    api_id: Reference | None = None


class PublisherSubscriptionQuery(Paging):
    """Which subscriptions are wanted."""

    api_id: Reference | None = None


class SubscriptionQuery(Schema):
    """Which subscription is meant."""

    subscription_id: Reference


class BlockQuery(SubscriptionQuery):
    """Which subscription shall be blocked, and for which calls."""

    block_state: Literal["BLOCKED", "PROD_ONLY_BLOCKED"]


class WhenQuery(Schema):
    """When a paid plan ends that a free one follows."""

    when: Literal["PERIOD_END", "NOW"] = Field(
        "PERIOD_END",
        description="To a free plan: with the period that is paid for, or now.",
    )

    @property
    def at_once(self) -> bool:
        """Whether it ends now."""
        return self.when == "NOW"


class ChangePlanQuery(SubscriptionQuery, WhenQuery):
    """Which subscription shall move to which plan."""

    business_plan: Annotated[Text, StringConstraints(min_length=1, max_length=60)]


class ApiOfSubscription(Schema):
    """The API that a subscription is for."""

    id: str
    name: str
    version: str
    context: str
    life_cycle_status: str
    provider: str
    type: Literal["HTTP"] = "HTTP"


class ApplicationOfSubscription(Schema):
    """The application that subscribes."""

    application_id: str
    name: str
    subscriber: str


class DevportalSubscription(Resource):
    """A subscription as its subscriber sees it."""

    subscription_id: str
    application_id: str
    api_id: str
    api_info: ApiOfSubscription
    application_info: ApplicationOfSubscription
    throttling_policy: str
    requested_throttling_policy: str
    status: SubscriptionStatus
    redirection_params: str | None = Field(
        description="While it, or its change from a free plan, waits for payment: JSON with "
        "`redirectUrl`, the payment page."
    )


class DevportalSubscriptionList(Schema):
    """A part of your subscriptions, newest first."""

    count: int
    list: list[DevportalSubscription]
    pagination: Pagination


class PublisherSubscription(Resource):
    """A subscription as the API's publisher sees it."""

    subscription_id: str
    application_info: ApplicationOfSubscription
    api_info: ApiOfSubscription
    throttling_policy: str
    subscription_status: SubscriptionStatus


class PublisherSubscriptionList(Schema):
    """A part of the subscriptions to your APIs, newest first."""

    count: int
    list: list[PublisherSubscription]
    pagination: Pagination


class AccessQuery(Schema):
    """For which kind of key."""

    key_type: Literal["PRODUCTION", "SANDBOX"] = "PRODUCTION"


class AccessAnswer(Schema):
    """Whether calls go through, and if not why, until when, and what fixes it."""

    allowed: bool
    key_type: str
    type: str = Field(description="The problem's page, or empty.")
    title: str
    remedy: str
    http_status: int
    code: int
    since: str | None = Field(description="ISO 8601, UTC.")
    until: str | None = Field(description="Likewise; when it ends by itself.")
    link: str = Field(description="The page where it can be seen and mended.")
    also: list[str] = Field(description="What would remain if this were mended.")


def application_info(application: Application, subscriptions: int) -> ApplicationInfo:
    """Return an application's line in a list."""
    return ApplicationInfo(
        application_id=application.uuid,
        name=application.name,
        description=application.description,
        owner=application.owner.qualified_name,
        subscription_count=subscriptions,
        created_time=millis(application.created_at),
    )


def application(found: Application) -> DevportalApplication:
    """Return an application."""
    return DevportalApplication(
        application_id=found.uuid,
        name=found.name,
        description=found.description,
        owner=found.owner.qualified_name,
        created_time=millis(found.created_at),
    )


def key_info(key: ApplicationKey) -> ApiKeyInfo:
    """Return what is known of a key."""
    return ApiKeyInfo(
        key_uuid=key.uuid,
        prefix=key.prefix,
        key_type=key.key_type,
        created_time=millis(key.created_at),
        stops_time=millis(key.revoked_at) if key.revoked_at else None,
    )


def _api(subscription: Subscription) -> ApiOfSubscription:
    api = subscription.api
    return ApiOfSubscription(
        id=api.api_uuid,
        name=api.api_name,
        version=api.api_version,
        context=f"/{api.context}",
        life_cycle_status=api.status,
        provider=api.provider.qualified_name,
    )


def _application(subscription: Subscription) -> ApplicationOfSubscription:
    application = subscription.application
    return ApplicationOfSubscription(
        application_id=application.uuid,
        name=application.name,
        subscriber=application.owner.qualified_name,
    )


def for_subscriber(subscription: Subscription, pay_at: str | None) -> DevportalSubscription:
    """Return a subscription as its subscriber sees it.

    :param pay_at: the payment page, while one is open
    """
    plan, status = subscription.plan_name, subscription.status
    pending = subscription.pending_version
    waits = subscription.can_pay or subscription.can_pay_change
    return DevportalSubscription(
        subscription_id=subscription.uuid,
        application_id=subscription.application.uuid,
        api_id=subscription.api.api_uuid,
        api_info=_api(subscription),
        application_info=_application(subscription),
        throttling_policy=plan,
        requested_throttling_policy=pending.policy.name if pending is not None else plan,
        status=status.value,  # type: ignore[arg-type]
        redirection_params=_redirection(pay_at) if pay_at and waits else None,
    )


def _redirection(pay_at: str) -> str:
    return json.dumps(
        {
            "redirectUrl": pay_at,
            "redirectConfirmationMsg": CHECKOUT_WORDS,
            "additionalParameters": {},
        }
    )


def for_publisher(subscription: Subscription) -> PublisherSubscription:
    """Return a subscription as the API's publisher sees it."""
    return PublisherSubscription(
        subscription_id=subscription.uuid,
        application_info=_application(subscription),
        api_info=_api(subscription),
        throttling_policy=subscription.plan_name,
        subscription_status=subscription.status.value,  # type: ignore[arg-type]
    )


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def access(found: Access, base_url: str) -> AccessAnswer:
    """Return the answer to `may this call go through`."""
    return AccessAnswer(
        allowed=found.allowed,
        key_type=found.key_type,
        type=f"{base_url}/problems/{found.slug}" if found.refusal else "",
        title=found.title,
        remedy=found.remedy,
        http_status=found.http_status,
        code=found.code,
        since=_iso(found.since),
        until=_iso(found.until),
        link=base_url + found.link,
        also=[cause.title for cause in found.also],
    )
