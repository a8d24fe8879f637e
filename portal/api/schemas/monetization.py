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


class RevenueFigures(Schema):
    """What was brought in one currency, as the page Revenue says; amounts in major units.

    `net`, `fee`, `platformFee` and `refunded` together are what was charged.
    """

    currency: str
    invoiced: str
    paid: str
    open: str
    overdue: str
    refunded: str
    fee: str
    platform_fee: str
    net: str


class RevenueItem(RevenueFigures):
    """What one subscription brought, in one currency."""

    subscription_id: str
    application_name: str
    throttling_policy: str
    upcoming: str | None = Field(
        description="What its next invoice comes to so far, before tax; null: no more is drawn."
    )


class APIRevenue(Schema):
    """What an API brought, and is owed: of the hundred newest subscriptions, and in all."""

    properties: dict[str, str] = Field(description="What was invoiced, as WSO2 labels it.")
    totals: list[RevenueFigures] = Field(description="Of all subscriptions, for each currency.")
    list: list[RevenueItem]
    as_of: str | None = Field(description="When the payment provider's books were read.")
    problem: str | None = Field(description="Why they could not be read now.")
