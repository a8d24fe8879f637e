"""Monetization of an API: the switch, the invoices, the revenue."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from portal.api.schemas.base import Schema, Text
from portal.services.attributes import LONGEST_NAME, LONGEST_VALUE

PropertyName = Annotated[Text, StringConstraints(min_length=1, max_length=LONGEST_NAME)]
PropertyValue = Annotated[Text, StringConstraints(max_length=LONGEST_VALUE)]


class MonetizeBody(Schema):
    """The wanted state, with the values of the tenant's monetization attributes."""

    enabled: bool
    properties: dict[PropertyName, PropertyValue] = Field(
        default_factory=dict,
        description="`ConnectedAccountKey` says who is paid; needed to enable.",
        max_length=20,
    )
    running_subscriptions: Literal["GO_ON", "PERIOD", "NOW"] = Field(
        "GO_ON",
        description="To disable: what becomes of subscriptions that are paid for. They go on as "
        "they were sold, or each is ended with its period, or now; their usage is reported first.",
    )


class PlanProblem(Schema):
    """A part that could not be done; sending the same again repeats it."""

    plan: str
    description: str


class APIMonetizationInfo(Schema):
    """Whether an API is sold; the properties are plan names and their prices at Stripe."""

    enabled: bool
    properties: dict[str, str]


class MonetizeResult(Schema):
    """The state after the request, with the stored properties."""

    enabled: bool
    properties: dict[str, str]
    monetized: list[str] = Field(description="Plans that can be bought now.")
    archived: list[str] = Field(description="Plans whose price was taken off sale.")
    problems: list[PlanProblem]


class APIMonetizationUsage(Schema):
    """The next invoice as it stands now, with WSO2's labels."""

    properties: dict[str, str | None]
    as_of: str = Field(description="When the payment provider was asked.")
    waiting_calls: int = Field(description="Billable calls that are not in it yet.")


class RevenueItem(Schema):
    """What one subscription brings, in one currency."""

    subscription_id: str
    application_name: str
    throttling_policy: str
    currency: str | None
    paid: str = Field(description="Sum of its paid invoices, in major units.")
    pending: str = Field(description="What its open invoices and its next one come to.")
    problem: str | None = Field(description="Why the payment provider told less.")


class APIRevenue(Schema):
    """What an API brings: per subscription as WSO2 labels it, and summed by currency."""

    properties: dict[str, str]
    totals: dict[str, str] = Field(description="Currency and the sum of paid and pending.")
    list: list[RevenueItem]
