"""Business plans as WSO2's subscription throttling policies."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from portal.api.schemas.base import Pagination, Resource, Schema, Text
from portal.models import Policy, QuotaType
from portal.money import plain
from portal.services.plan_rules import LARGEST_COUNT, PlanDraft


def _upper(given: Any) -> Any:
    return given.upper() if isinstance(given, str) else given


def _lower(given: Any) -> Any:
    return given.lower() if isinstance(given, str) else given


def _text(given: Any) -> Any:
    return str(given) if isinstance(given, int) and not isinstance(given, bool) else given


#: A number above zero; WSO2's own console sends it as text.
Count = Annotated[
    Annotated[int, Field(ge=1, le=LARGEST_COUNT)]
    | Annotated[str, StringConstraints(pattern="^[1-9][0-9]{0,8}$")],
    Field(description=f"A whole number from 1 to {LARGEST_COUNT}."),
]
TimeUnit = Annotated[Literal["min", "hours", "days", "months", "years"], BeforeValidator(_lower)]
Amount = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]{0,9}(\.[0-9]{1,12})?$"),
    Field(description="In major units of the currency, exact; empty where it does not apply."),
]
Currency = Annotated[str, StringConstraints(pattern="^([A-Za-z]{3})?$")]
Cycle = Annotated[Literal["week", "month", "year", ""], BeforeValidator(_lower)]
Name = Annotated[
    str,
    StringConstraints(
        pattern=r"^[^~!@#;:%^*()+={}|\\<>\"',&$\s\x00-\x1f]+$", min_length=1, max_length=60
    ),
]


class RequestCountLimit(Schema):
    """So many requests in each span of time."""

    request_count: Count
    time_unit: TimeUnit = "min"
    unit_time: Count = 1


class BandwidthLimit(Schema):
    """So much data in each span of time."""

    data_amount: Count
    data_unit: Annotated[Literal["KB", "MB"], BeforeValidator(_upper)] = "KB"
    time_unit: TimeUnit = "min"
    unit_time: Count = 1


class EventCountLimit(Schema):
    """So many events in each span of time."""

    event_count: Count
    time_unit: TimeUnit = "min"
    unit_time: Count = 1


class ThrottleLimit(Schema):
    """A plan's quota; the member that ``type`` names is required."""

    type: Annotated[
        Literal["REQUESTCOUNTLIMIT", "BANDWIDTHLIMIT", "EVENTCOUNTLIMIT"], BeforeValidator(_upper)
    ]
    request_count: RequestCountLimit | None = None
    bandwidth: BandwidthLimit | None = None
    event_count: EventCountLimit | None = None

    def fields(self) -> dict[str, Any]:
        """Return the quota in the words of a draft."""
        fields: dict[str, Any] = {"quota_type": self.type}
        limit: RequestCountLimit | BandwidthLimit | EventCountLimit | None
        limit, amount = self.request_count, ""
        if self.type == "BANDWIDTHLIMIT":
            limit = self.bandwidth
        elif self.type == "EVENTCOUNTLIMIT":
            limit = self.event_count
        if isinstance(limit, RequestCountLimit):
            amount = str(limit.request_count)
        elif isinstance(limit, BandwidthLimit):
            amount = str(limit.data_amount)
            fields["quota_unit"] = limit.data_unit
        elif isinstance(limit, EventCountLimit):
            amount = str(limit.event_count)
        if limit is not None:
            fields |= {"unit_time": str(limit.unit_time), "time_unit": limit.time_unit}
        return fields | {"quota": amount}


class PriceProperties(Schema):
    """What a commercial plan costs; every value is text, as in WSO2."""

    fixed_price: Amount = ""
    price_per_request: Amount = ""
    currency_type: Currency = Field("", description="ISO 4217, for example USD.")
    billing_cycle: Cycle = ""


class MonetizationInfo(Schema):
    """How a commercial plan costs money."""

    monetization_plan: Annotated[Literal["FIXEDRATE", "DYNAMICRATE"], BeforeValidator(_upper)]
    properties: PriceProperties


class CustomAttribute(Schema):
    """A name and a value of the tenant's own."""

    name: Annotated[Text, StringConstraints(min_length=1, max_length=100)]
    value: Annotated[Text, StringConstraints(min_length=1, max_length=500)]


class Permissions(Schema):
    """Whose roles may choose the plan."""

    permission_type: Annotated[Literal["NONE", "ALLOW", "DENY"], BeforeValidator(_upper)]
    roles: list[Annotated[Text, StringConstraints(max_length=128)]] = Field(
        default_factory=list, max_length=100
    )


class PolicyBody(Schema):
    """A business plan to be made, or as it shall be."""

    policy_name: Name
    display_name: Annotated[Text, StringConstraints(max_length=512)] = ""
    description: Annotated[Text, StringConstraints(max_length=1024)] | None = ""
    default_limit: ThrottleLimit
    rate_limit_count: int = Field(0, ge=0, le=LARGEST_COUNT, description="Burst; 0: none.")
    rate_limit_time_unit: Annotated[Literal["sec", "min"], BeforeValidator(_lower)] | None = "sec"
    stop_on_quota_reach: bool = True
    billing_plan: Annotated[Literal["FREE", "COMMERCIAL"], BeforeValidator(_upper)] = "FREE"
    monetization: MonetizationInfo | None = None
    custom_attributes: list[CustomAttribute] = Field(default_factory=list, max_length=20)
    permissions: Permissions | None = None

    def draft(self) -> PlanDraft:
        """Return it as the plans' one set of rules reads it."""
        price, permissions = self.monetization, self.permissions
        fields: dict[str, Any] = self.default_limit.fields()
        if price is not None and self.billing_plan == "COMMERCIAL":
            fields |= {
                "monetization_plan": price.monetization_plan,
                "fixed_price": price.properties.fixed_price,
                "price_per_request": price.properties.price_per_request,
                "currency": price.properties.currency_type,
                "billing_cycle": price.properties.billing_cycle,
            }
        if permissions is not None:
            fields["permission_type"] = permissions.permission_type
            fields["permission_roles"] = tuple(permissions.roles)
        return PlanDraft(
            name=self.policy_name,
            display_name=self.display_name,
            description=self.description or "",
            rate_limit_count=str(self.rate_limit_count) if self.rate_limit_count else "",
            rate_limit_time_unit=self.rate_limit_time_unit or "sec",
            stop_on_quota_reach=self.stop_on_quota_reach,
            billing_plan=self.billing_plan,
            custom_attributes=tuple((item.name, item.value) for item in self.custom_attributes),
            **fields,
        )


#: A draft's names of fields, in the body's words.
FIELDS = {
    "name": "policyName",
    "display_name": "displayName",
    "quota": "defaultLimit",
    "quota_type": "defaultLimit.type",
    "quota_unit": "defaultLimit.bandwidth.dataUnit",
    "unit_time": "defaultLimit.unitTime",
    "time_unit": "defaultLimit.timeUnit",
    "rate_limit_count": "rateLimitCount",
    "rate_limit_time_unit": "rateLimitTimeUnit",
    "billing_plan": "billingPlan",
    "monetization_plan": "monetization.monetizationPlan",
    "fixed_price": "monetization.properties.fixedPrice",
    "price_per_request": "monetization.properties.pricePerRequest",
    "currency": "monetization.properties.currencyType",
    "billing_cycle": "monetization.properties.billingCycle",
    "permission_type": "permissions.permissionType",
    "permission_roles": "permissions.roles",
    "custom_attributes": "customAttributes",
}


class SubscriptionThrottlePolicy(Resource):
    """A business plan."""

    policy_id: str
    policy_name: str
    display_name: str
    description: str
    is_deployed: bool = True
    type: Literal["SubscriptionThrottlePolicy"] = "SubscriptionThrottlePolicy"
    default_limit: ThrottleLimit
    rate_limit_count: int
    rate_limit_time_unit: str
    subscriber_count: int = Field(description="WSO2's field for streaming APIs; always 0 here.")
    stop_on_quota_reach: bool
    billing_plan: Literal["FREE", "COMMERCIAL"]
    monetization: MonetizationInfo | None
    custom_attributes: list[CustomAttribute]
    permissions: Permissions | None


class SubscriptionThrottlePolicyList(Schema):
    """A part of the tenant's business plans, by name."""

    count: int
    list: list[SubscriptionThrottlePolicy]
    pagination: Pagination


def to_json(policy: Policy) -> SubscriptionThrottlePolicy:
    """Return a plan in WSO2's words."""
    return SubscriptionThrottlePolicy(
        policy_id=policy.uuid,
        policy_name=policy.name,
        display_name=policy.display_name,
        description=policy.description,
        default_limit=_limit(policy),
        rate_limit_count=policy.rate_limit_count or 0,
        rate_limit_time_unit=policy.rate_limit_time_unit or "sec",
        subscriber_count=0,
        stop_on_quota_reach=policy.stop_on_quota_reach,
        billing_plan=policy.billing_plan,  # type: ignore[arg-type]
        monetization=_price(policy),
        custom_attributes=[
            CustomAttribute(name=item["name"], value=item["value"])
            for item in policy.custom_attributes
        ],
        permissions=_permissions(policy),
    )


def _limit(policy: Policy) -> ThrottleLimit:
    span: dict[str, Any] = {"unit_time": policy.unit_time, "time_unit": policy.time_unit}
    limit = ThrottleLimit(type=policy.quota_type)  # type: ignore[arg-type]
    if policy.quota_type == QuotaType.BANDWIDTH:
        unit: Any = policy.quota_unit or "KB"
        limit.bandwidth = BandwidthLimit(data_amount=policy.quota, data_unit=unit, **span)
    elif policy.quota_type == QuotaType.EVENTS:
        limit.event_count = EventCountLimit(event_count=policy.quota, **span)
    else:
        limit.request_count = RequestCountLimit(request_count=policy.quota, **span)
    return limit


def price_of(policy: Policy) -> PriceProperties:
    """Return what the plan costs now."""
    version = policy.current
    per_request = version.price_per_request
    return PriceProperties(
        fixed_price=version.fixed_rate_words,
        price_per_request="" if per_request is None else plain(per_request),
        currency_type=version.currency or "",
        billing_cycle=version.billing_cycle or "",  # type: ignore[arg-type]
    )


def _price(policy: Policy) -> MonetizationInfo | None:
    kind: Any = policy.current.monetization_plan
    if kind is None:
        return None
    return MonetizationInfo(monetization_plan=kind, properties=price_of(policy))


def _permissions(policy: Policy) -> Permissions | None:
    if policy.permission_type == "NONE":
        return None
    kind: Any = policy.permission_type
    return Permissions(permission_type=kind, roles=list(policy.permission_roles))
