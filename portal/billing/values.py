"""The values that a billing engine speaks in: frozen, and free of any provider's shapes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from portal.rating import Tier


class UsageType(StrEnum):
    """How a price is charged."""

    LICENSED = "licensed"
    """A fixed amount, in advance, each cycle."""
    METERED = "metered"
    """An amount per unit used, in arrears."""


class CheckoutState(StrEnum):
    """Where a payment page stands."""

    OPEN = "open"
    COMPLETE = "complete"
    EXPIRED = "expired"


class EngineStatus(StrEnum):
    """The provider's word for a subscription (Stripe: subscription status)."""

    INCOMPLETE = "incomplete"
    INCOMPLETE_EXPIRED = "incomplete_expired"
    TRIALING = "trialing"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    UNPAID = "unpaid"
    PAUSED = "paused"
    CANCELED = "canceled"

    @property
    def is_good(self) -> bool:
        """Whether the subscriber has paid for what is being used now."""
        return self in (EngineStatus.ACTIVE, EngineStatus.TRIALING)

    @property
    def is_arrears(self) -> bool:
        """Whether access stops until the subscriber pays."""
        return self in (EngineStatus.PAST_DUE, EngineStatus.UNPAID, EngineStatus.PAUSED)

    @property
    def is_over(self) -> bool:
        """Whether the subscription has ended for good."""
        return self in (EngineStatus.CANCELED, EngineStatus.INCOMPLETE_EXPIRED)


class EventKind(StrEnum):
    """The events the portal acts on, by Stripe's names; an engine translates its own to these."""

    CHECKOUT_COMPLETED = "checkout.session.completed"
    CHECKOUT_EXPIRED = "checkout.session.expired"
    PAYMENT_SUCCEEDED = "invoice.payment_succeeded"
    PAYMENT_FAILED = "invoice.payment_failed"
    PAYMENT_ACTION_REQUIRED = "invoice.payment_action_required"
    SUBSCRIPTION_UPDATED = "customer.subscription.updated"
    SUBSCRIPTION_DELETED = "customer.subscription.deleted"


#: The seven event types, in the order of the documentation, for registering a webhook.
EVENT_TYPES: tuple[str, ...] = tuple(kind.value for kind in EventKind)


@dataclass(frozen=True, kw_only=True)
class KeyCheck:
    """What the provider says about the tenant's own key."""

    account: str
    livemode: bool
    country: str | None = None
    answered_at: datetime | None = None
    """The provider's own time of the answer, if it says; to the second."""


@dataclass(frozen=True, kw_only=True)
class AccountCheck:
    """What the provider says about a connected account."""

    account: str
    charges_enabled: bool
    card_payments: bool
    country: str | None
    default_currency: str | None
    timezone: str | None = None

    @property
    def can_charge(self) -> bool:
        """Whether subscribers can pay into this account."""
        return self.charges_enabled and self.card_payments


@dataclass(frozen=True, kw_only=True)
class WebhookRegistration:
    """A webhook endpoint that was just made; the secret is shown only this once."""

    endpoint_id: str
    secret: str = field(repr=False)
    api_version: str


@dataclass(frozen=True, kw_only=True)
class ProductSpec:
    """An API as a product. The portal chooses ``product_id``, so that it can be found again."""

    product_id: str
    name: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class MeterSpec:
    """What counts requests of one API and plan. ``event_name`` is the account's for ever."""

    event_name: str
    display_name: str


@dataclass(frozen=True, kw_only=True)
class PriceSpec:
    """One version of a plan's price. Immutable at the provider; a change is a new price.

    ``unit_minor`` is in minor units: whole for licensed prices, up to twelve decimals for
    metered ones. ``lookup_key`` is unique in the account and finds the price again.
    """

    product_id: str
    lookup_key: str
    nickname: str
    currency: str
    unit_minor: Decimal
    usage_type: UsageType
    interval: str
    meter_id: str | None
    metadata: Mapping[str, str]
    tiers: tuple[Tier, ...] = ()
    """For a tiered price, which is always metered; ``unit_minor`` is then 0."""
    is_volume: bool = False
    """Whether the tier of the total applies to all units (Stripe: tiers_mode=volume)."""


@dataclass(frozen=True, kw_only=True)
class CustomerSpec:
    """The payer: one per application, connected account and currency."""

    name: str
    email: str | None
    metadata: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class CheckoutSpec:
    """One attempt to pay. All values are stored with the attempt, so that a repeat is the same."""

    customer_id: str
    price_id: str
    usage_type: UsageType
    reference: str
    """Our subscription's UUID (Stripe: client_reference_id)."""
    success_url: str
    """Contains ``{CHECKOUT_SESSION_ID}`` literally; the provider replaces it."""
    cancel_url: str
    expires_at: datetime
    metadata: Mapping[str, str]
    trial_days: int = 0
    """Days until the first invoice; a card is asked for all the same."""
    takes_coupons: bool = False
    """Whether the page has a field for a promotion code."""
    fee_percent: Decimal = Decimal(0)
    """Which part of each of its invoices goes to the tenant, with at most two decimals."""


@dataclass(frozen=True, kw_only=True)
class CheckoutSession:
    """A hosted payment page as the provider sees it now."""

    session_id: str
    state: CheckoutState
    is_paid: bool
    """Complete, and paid or nothing to pay now."""
    url: str | None
    """Where to pay; only while open."""
    expires_at: datetime
    reference: str | None
    customer_id: str | None
    subscription_id: str | None
    invoice_id: str | None = None
    has_failed: bool = False
    """Complete, and the payment, which took days, did not come. Only an event says so."""


@dataclass(frozen=True, kw_only=True)
class SubscriptionSnapshot:
    """A subscription as the provider saw it at one moment."""

    subscription_id: str
    status: EngineStatus
    customer_id: str
    item_id: str | None
    price_id: str | None
    period_start: datetime | None
    period_end: datetime | None
    cancel_at: datetime | None
    """When it ends by itself, if somebody cancelled it for later."""
    ended_at: datetime | None
    cancel_reason: str | None
    latest_invoice_id: str | None
    reference: str | None
    """Our subscription's UUID from the metadata, if it is there."""
    created: datetime | None = None
    trial_start: datetime | None = None
    """The free trial, past or present; its usage is never billed. ``None``: there is none."""
    trial_end: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class PlanChange:
    """Another price for a running subscription, from now on, and paid for at once.

    What was paid for the rest of the period is credited, and the rest of the period (or a new
    one) charged at the new price. If the payment fails, nothing changes.
    """

    price_id: str
    usage_type: UsageType
    new_period: bool
    """Whether a new period begins, and what was used until now is invoiced. Always so where a
    price counts usage, so that each period has one price."""
    at: datetime
    """The second from which unused time is counted: stored, so that the preview stays true."""


@dataclass(frozen=True, kw_only=True)
class Refunded:
    """What has been paid back of a subscription's payments, all together, in minor units."""

    amount_minor: int
    currency: str | None
    """``None`` where nothing had been paid."""


@dataclass(frozen=True, kw_only=True)
class ListedProduct:
    """A product as the provider lists it; ``metadata`` is what it was made with."""

    product_id: str
    active: bool
    metadata: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class ListedPrice:
    """A price as the provider lists it; ``unit_minor`` is ``None`` where it is no single amount."""

    price_id: str
    product_id: str
    active: bool
    lookup_key: str | None
    currency: str
    unit_minor: Decimal | None
    interval: str | None
    meter_id: str | None
    metadata: Mapping[str, str]
    created: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class ListedMeter:
    """A meter as the provider lists it."""

    meter_id: str
    event_name: str
    active: bool
    created: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class InvoiceLine:
    """One line of an invoice; ``unit_minor`` is in minor units with decimals."""

    description: str
    quantity: int | None
    unit_minor: Decimal | None
    amount_minor: int
    period_start: datetime
    period_end: datetime
    price_id: str | None = None
    """What it was sold at, if the provider says."""


@dataclass(frozen=True, kw_only=True)
class Invoice:
    """An invoice, or the preview of the next one (``is_preview``). Amounts in minor units."""

    invoice_id: str | None
    number: str | None
    status: str
    is_preview: bool
    currency: str
    subtotal: int
    tax: int
    total: int
    amount_due: int
    amount_paid: int
    amount_remaining: int
    period_start: datetime
    period_end: datetime
    due_date: datetime | None
    next_payment_attempt: datetime | None
    created: datetime
    description: str | None
    account_name: str | None
    account_country: str | None
    customer_email: str | None
    hosted_url: str | None
    pdf_url: str | None
    billing_reason: str | None
    subscription_id: str | None
    lines: Sequence[InvoiceLine]
    needs_authentication: bool = False
    reference: str | None = None
    """Our subscription's UUID from the metadata that the invoice carries, if it is there."""
    balance_before: int = 0
    """What the customer had before this invoice: below zero is credit, taken off what is due."""
    attempted: bool = False
    """Whether somebody tried to collect it."""
    payment_ids: tuple[str, ...] = ()
    """Its payments, by the names that :class:`Movement` has; filled in by lists of an account."""


@dataclass(frozen=True, kw_only=True)
class UsageReport:
    """A frozen quantity of requests of one customer on one meter.

    ``identifier`` is sent unchanged until acknowledged (Stripe: unique for at least 24 h).
    ``timestamp`` is when the usage happened, inside the billing period it belongs to.
    """

    event_name: str
    customer_id: str
    quantity: int
    identifier: str
    timestamp: datetime


@dataclass(frozen=True, kw_only=True)
class UsageReceipt:
    """The provider's acknowledgement. ``duplicate``: it had this identifier already."""

    identifier: str
    duplicate: bool
    request_id: str | None


@dataclass(frozen=True, kw_only=True)
class BillingEvent:
    """A genuine webhook event. ``kind`` is ``None`` for a type that the portal does not act on.

    ``created`` has one-second resolution, so two events can tie.
    """

    event_id: str
    type: str
    kind: EventKind | None
    account: str | None
    livemode: bool
    created: int
    checkout: CheckoutSession | None = None
    subscription: SubscriptionSnapshot | None = None
    invoice: Invoice | None = None

    @property
    def subscription_id(self) -> str | None:
        """The provider's subscription that the event is about, wherever the object keeps it."""
        if self.subscription:
            return self.subscription.subscription_id
        if self.invoice:
            return self.invoice.subscription_id
        return self.checkout.subscription_id if self.checkout else None

    @property
    def reference(self) -> str | None:
        """Our subscription's UUID that the object names: a hint, not a proof."""
        about = self.subscription or self.invoice or self.checkout
        return about.reference if about else None
