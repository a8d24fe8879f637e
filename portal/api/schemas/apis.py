"""APIs, as publishers and as developers see them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints

from portal.api.schemas.base import Pagination, Paging, Reference, Resource, Schema, Text
from portal.api.schemas.policies import PriceProperties
from portal.models import Api, PolicyVersion
from portal.money import plain
from portal.services.apis import STEPS, ApiDraft
from portal.services.catalogue import LONGEST_SEARCH, Entry, Plan
from portal.services.openapi_import import LONGEST_DESCRIPTION

Address = Annotated[
    str, StringConstraints(max_length=2000, pattern=r"^[Hh][Tt][Tt][Pp][Ss]?://[!-~]+$")
]
#: What WSO2 calls the steps of an API's life, and what the buttons call them.
ACTIONS = {"Publish": "publish", "Deprecate": "deprecate", "Retire": "retire"}
Action = Literal["Publish", "Deprecate", "Retire"]


class Endpoint(Schema):
    """A back end."""

    url: Address


class EndpointConfig(Schema):
    """Where calls go; keys of the sandbox kind may have a back end of their own."""

    model_config = ConfigDict(alias_generator=None)

    endpoint_type: Literal["http"] = "http"
    production_endpoints: Endpoint
    sandbox_endpoints: Endpoint | None = None


class ApiSearch(Paging):
    """Which APIs are wanted."""

    query: Annotated[str, StringConstraints(max_length=LONGEST_SEARCH)] = Field(
        "", description="Words that name, context or description contain."
    )


class ApiBody(Schema):
    """An API to be made, or as it shall be."""

    name: Annotated[Text, StringConstraints(min_length=1, max_length=60)]
    version: Annotated[str, StringConstraints(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$")]
    context: Annotated[str, StringConstraints(pattern="^/?[a-z0-9][a-z0-9_-]{0,63}$")] = Field(
        description="One path segment at the gateway."
    )
    description: Annotated[Text, StringConstraints(max_length=LONGEST_DESCRIPTION)] | None = Field(
        "", description="Markdown."
    )
    endpoint_config: EndpointConfig
    policies: list[Annotated[Text, StringConstraints(max_length=60)]] = Field(
        default_factory=list, max_length=100, description="Names of the plans that it offers."
    )

    def draft(self) -> ApiDraft:
        """Return it as the APIs' one set of rules reads it."""
        ends = self.endpoint_config
        return ApiDraft(
            name=self.name,
            version=self.version,
            context=self.context,
            endpoint_url=ends.production_endpoints.url,
            sandbox_endpoint_url=ends.sandbox_endpoints.url if ends.sandbox_endpoints else "",
            description=self.description or "",
        )


#: A draft's names of fields, in the body's words.
FIELDS = {
    "endpoint_url": "endpointConfig.production_endpoints.url",
    "sandbox_endpoint_url": "endpointConfig.sandbox_endpoints.url",
    "policies": "policies",
}


class ApiInfo(Schema):
    """An API in a list."""

    id: str
    name: str
    version: str
    context: str
    description: str
    provider: str
    type: Literal["HTTP"] = "HTTP"
    life_cycle_status: str
    is_monetization_enabled: bool
    subscription_count: int = Field(description="How many subscriptions live.")
    created_time: str = Field(description="Milliseconds since 1970.")
    updated_time: str = Field(description="Likewise.")


class ApiList(Schema):
    """A part of the APIs that the caller publishes, by name."""

    count: int
    list: list[ApiInfo]
    pagination: Pagination


class PublisherApi(Resource):
    """An API as its publisher sees it."""

    id: str
    name: str
    version: str
    context: str
    description: str
    provider: str
    type: Literal["HTTP"] = "HTTP"
    life_cycle_status: str
    endpoint_config: EndpointConfig
    policies: list[str]
    is_monetization_enabled: bool
    created_time: str = Field(description="Milliseconds since 1970.")
    last_updated_time: str = Field(description="Likewise.")


class LifecycleQuery(Schema):
    """Which step of which API."""

    action: Action
    api_id: Reference


class LifecycleState(Resource):
    """Where an API stands, and what it may become."""

    state: str
    available_transitions: list[dict[str, str]]


class WorkflowResponse(Schema):
    """What a step of an API's life came to."""

    workflow_status: Literal["APPROVED"] = "APPROVED"
    json_payload: str = ""
    lifecycle_state: LifecycleState


class ImportBody(Schema):
    """An OpenAPI document, and what is not in it."""

    file: bytes = Field(description="OpenAPI 3.0, 3.1 or 3.2, as JSON or YAML.")
    additional_properties: Annotated[Text, StringConstraints(max_length=20_000)] = Field(
        "{}",
        description="JSON with `context`, `policies` and `endpointConfig`; what is left out is "
        "taken from the document.",
    )


class ImportProperties(Schema):
    """What stands beside an imported document."""

    context: Annotated[str, StringConstraints(pattern="^/?[a-z0-9][a-z0-9_-]{0,63}$")] | None = None
    endpoint_config: EndpointConfig | None = None
    policies: list[Annotated[Text, StringConstraints(max_length=60)]] = Field(
        default_factory=list, max_length=100
    )


class Tier(Schema):
    """A plan as an API offers it."""

    tier_name: str
    tier_plan: Literal["FREE", "COMMERCIAL"]
    tier_description: str
    is_for_sale: bool = Field(description="Whether somebody can subscribe to it now.")
    monetization_attributes: PriceProperties | None


class EndpointUrls(Schema):
    """Where the gateway answers."""

    model_config = ConfigDict(alias_generator=None)

    environmentName: str = "Default"  # noqa: N815 - WSO2's spelling
    URLs: dict[str, str]


class DevportalApi(Resource):
    """An API as developers see it."""

    id: str
    name: str
    version: str
    context: str
    description: str
    provider: str
    type: Literal["HTTP"] = "HTTP"
    life_cycle_status: str
    is_monetization_enabled: bool
    tiers: list[Tier]
    endpoint_urls: list[EndpointUrls] = Field(alias="endpointURLs")
    api_definition: str | None = Field(description="The OpenAPI document as JSON, if there is one.")


class DevportalApiInfo(Schema):
    """An API in the catalogue."""

    id: str
    name: str
    version: str
    context: str
    description: str
    provider: str
    type: Literal["HTTP"] = "HTTP"
    life_cycle_status: str
    is_monetization_enabled: bool
    throttling_policies: list[str]


class DevportalApiList(Schema):
    """A part of the catalogue, by name."""

    count: int
    list: list[DevportalApiInfo]
    pagination: Pagination


def millis(moment: datetime) -> str:
    """Write a moment as WSO2 does: milliseconds since 1970, as text."""
    return str(int(moment.timestamp() * 1000))


def _common(api: Api) -> dict[str, Any]:
    return {
        "id": api.api_uuid,
        "name": api.api_name,
        "version": api.api_version,
        "context": f"/{api.context}",
        "description": api.description,
        "provider": api.provider.qualified_name,
        "life_cycle_status": api.status,
        "is_monetization_enabled": api.is_monetization_enabled,
    }


def info(api: Api, subscribers: int) -> ApiInfo:
    """Return an API's line in a list."""
    return ApiInfo(
        **_common(api),
        subscription_count=subscribers,
        created_time=millis(api.created_at),
        updated_time=millis(api.updated_at),
    )


def for_publisher(api: Api) -> PublisherApi:
    """Return an API as its publisher sees it."""
    sandbox = api.sandbox_endpoint_url
    return PublisherApi(
        **_common(api),
        endpoint_config=EndpointConfig(
            production_endpoints=Endpoint(url=api.endpoint_url),
            sandbox_endpoints=Endpoint(url=sandbox) if sandbox else None,
        ),
        policies=[policy.name for policy in api.policies],
        created_time=millis(api.created_at),
        last_updated_time=millis(api.updated_at),
    )


def lifecycle(api: Api) -> LifecycleState:
    """Return where an API stands."""
    words = {step: action for action, step in ACTIONS.items()}
    return LifecycleState(
        state=api.status,
        available_transitions=[
            {"event": words[step], "targetState": target}
            for step, target in STEPS[api.status].items()
        ],
    )


def for_developers(api: Api, plans: Sequence[Plan], base_url: str) -> DevportalApi:
    """Return an API as developers see it."""
    scheme = base_url.partition(":")[0]
    return DevportalApi(
        **_common(api),
        tiers=[_tier(plan) for plan in plans],
        endpoint_urls=[EndpointUrls(URLs={scheme: base_url + api.gateway_path})],
        api_definition=api.definition,
    )


def in_catalogue(entry: Entry) -> DevportalApiInfo:
    """Return an API's line in the catalogue."""
    return DevportalApiInfo(
        **_common(entry.api), throttling_policies=[plan.policy.name for plan in entry.plans]
    )


def _tier(plan: Plan) -> Tier:
    version = plan.version
    return Tier(
        tier_name=plan.policy.name,
        tier_plan="COMMERCIAL" if version.is_commercial else "FREE",
        tier_description=plan.policy.description,
        is_for_sale=plan.is_for_sale,
        monetization_attributes=_price(version) if version.is_commercial else None,
    )


def _price(version: PolicyVersion) -> PriceProperties:
    per_request = version.price_per_request
    cycle: Any = version.billing_cycle or ""
    return PriceProperties(
        fixed_price=version.fixed_rate_words,
        price_per_request="" if per_request is None else plain(per_request),
        currency_type=version.currency or "",
        billing_cycle=cycle,
    )
