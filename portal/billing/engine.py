"""What the portal needs of a billing provider, in the portal's own words.

``BillingEngine`` is the documented extension point: to sell through another provider, subclass
it, register the class in the entry-point group ``portal.billing_engines`` and name it in
``BILLING_ENGINE``. The contract that every engine keeps is ``tests/contract/``.

One instance serves one tenant and holds that tenant's keys; nothing is process-wide. ``account``
is the publisher's connected account. Whatever creates something takes a ``key``: a string made
from a stored attempt row. Calling again with the same key and the same values creates nothing
new and returns the same object.

Every method raises :class:`portal.errors.BillingEngineError` when the provider refuses, and
:class:`portal.errors.EngineUnavailable` when the outcome is unknown.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from portal.billing.inspection import PortalState, WebhookState
from portal.billing.movements import Movement, MovementKind
from portal.billing.values import (
    EVENT_TYPES,
    AccountCheck,
    BillingEvent,
    CheckoutSession,
    CheckoutSpec,
    CheckoutState,
    CustomerSpec,
    EngineStatus,
    EventKind,
    Invoice,
    InvoiceLine,
    KeyCheck,
    ListedMeter,
    ListedPrice,
    ListedProduct,
    MeterSpec,
    PlanChange,
    PriceSpec,
    ProductSpec,
    Refunded,
    SubscriptionSnapshot,
    UsageReceipt,
    UsageReport,
    UsageType,
    WebhookRegistration,
)
from portal.errors import BillingEngineError

CANNOT_CHANGE = (
    "The payment provider of this portal cannot change a running subscription. Press Unsubscribe, "
    "and subscribe again to the plan you want."
)
CANNOT_LIST = "The payment provider of this portal lists no invoices and fees of an account."

CANNOT_REFUND = (
    "The payment provider of this portal cannot pay back. Pay back in its own dashboard, and "
    "confirm it here."
)

__all__ = [
    "EVENT_TYPES",
    "AccountCheck",
    "BillingEngine",
    "BillingEvent",
    "CheckoutSession",
    "CheckoutSpec",
    "CheckoutState",
    "CustomerSpec",
    "EngineStatus",
    "EventKind",
    "Invoice",
    "InvoiceLine",
    "KeyCheck",
    "ListedMeter",
    "ListedPrice",
    "ListedProduct",
    "MeterSpec",
    "Movement",
    "MovementKind",
    "PlanChange",
    "PortalState",
    "PriceSpec",
    "ProductSpec",
    "Refunded",
    "SubscriptionSnapshot",
    "UsageReceipt",
    "UsageReport",
    "UsageType",
    "WebhookRegistration",
    "WebhookState",
]


class BillingEngine(ABC):
    """A provider that holds prices, takes payments and draws up invoices for one tenant."""

    name: ClassVar[str]
    parallel: int = 1
    """How many calls may be made at once, from as many threads."""
    calls_per_second: float = 1000.0
    """How many writing calls a second the provider takes."""

    # --- set-up -----------------------------------------------------------------------------

    @abstractmethod
    def test_key(self) -> KeyCheck:
        """Ask the provider who the tenant's key belongs to.

        :raise portal.errors.EngineAccessDenied: if the key is wrong
        """

    @abstractmethod
    def check_account(self, account: str) -> AccountCheck:
        """Ask whether a connected account exists and can charge.

        :raise portal.errors.EngineAccessDenied: if it is not connected to the tenant's account
        """

    @abstractmethod
    def register_webhook(self, url: str, *, key: str) -> WebhookRegistration:
        """Register ``url`` for the seven events of connected accounts and return its secret."""

    # --- looking at a set-up; a provider that cannot tell leaves these as they are -----------

    def webhooks(self) -> Sequence[WebhookState] | None:
        """Return the webhook endpoints of the tenant's account; ``None`` if it cannot tell."""
        return None

    def missing_rights(self, account: str) -> Sequence[str]:
        """Return what the key may not do in a connected account, in the provider's words.

        Changes nothing. Asked only for an account that ``check_account`` has just answered for.
        """
        return ()

    def portal_state(self, account: str, configuration_id: str) -> PortalState | None:
        """Return what a customer portal configuration allows now; ``None`` if it cannot tell.

        :raise portal.errors.EngineObjectMissing: if there is no such configuration any more
        """
        return None

    # --- selling ----------------------------------------------------------------------------

    @abstractmethod
    def ensure_product(self, account: str, spec: ProductSpec, *, key: str) -> str:
        """Create the product, or find it and make it active again; return its id."""

    @abstractmethod
    def ensure_meter(self, account: str, spec: MeterSpec, *, key: str) -> str:
        """Create the meter, or find it by event name and reactivate it; return its id."""

    @abstractmethod
    def ensure_price(self, account: str, spec: PriceSpec, *, key: str) -> str:
        """Create the price, or find it by lookup key and make it active again; return its id."""

    @abstractmethod
    def archive_price(self, account: str, price_id: str) -> None:
        """Stop offering a price. Its subscriptions go on. Missing or archived counts as done."""

    @abstractmethod
    def archive_product(self, account: str, product_id: str) -> None:
        """Stop offering a product. Missing or archived counts as done."""

    @abstractmethod
    def ensure_portal_configuration(self, account: str, *, return_url: str, key: str) -> str:
        """Create what the customer portal may do in this account, or find ours; return its id."""

    # --- buying -----------------------------------------------------------------------------

    @abstractmethod
    def ensure_customer(self, account: str, spec: CustomerSpec, *, key: str) -> str:
        """Create the customer; the same key returns the same customer. Returns its id."""

    @abstractmethod
    def open_checkout(self, account: str, spec: CheckoutSpec, *, key: str) -> CheckoutSession:
        """Open a hosted payment page for one subscription."""

    @abstractmethod
    def checkout(self, account: str, session_id: str) -> CheckoutSession:
        """Read a payment page's present state."""

    @abstractmethod
    def expire_checkout(self, account: str, session_id: str) -> CheckoutSession:
        """Close a payment page so that nobody can pay; return how it stands afterwards.

        If the payment won the race, the returned session is complete: nothing was closed.
        """

    @abstractmethod
    def portal_url(
        self, account: str, customer_id: str, *, configuration: str, return_url: str
    ) -> str:
        """Make a single-use address of the hosted customer portal. Never store it."""

    # --- a subscription ---------------------------------------------------------------------

    @abstractmethod
    def subscription(self, account: str, subscription_id: str) -> SubscriptionSnapshot:
        """Read a subscription's present state."""

    @abstractmethod
    def cancel_subscription(self, account: str, subscription_id: str) -> SubscriptionSnapshot:
        """End a subscription now and invoice what was used. Already ended counts as done."""

    def refund(self, account: str, subscription_id: str, *, key: str) -> Refunded:
        """Pay back everything that was paid for a subscription, to where it came from.

        What has been paid back before, here or in the provider's dashboard, counts as done. A
        provider that cannot leaves this as it is.

        :raise portal.errors.BillingEngineError: if a payment cannot be paid back
        """
        raise BillingEngineError(CANNOT_REFUND)

    # --- changing a subscription; a provider that cannot leaves these as they are ------------

    def paid_back(self, account: str, subscription_id: str) -> Refunded:
        """Return what has been paid back for a subscription until now. Changes nothing.

        Refunds that failed on their way do not count.
        """
        raise BillingEngineError(CANNOT_REFUND)

    def cancel_at_period_end(self, account: str, subscription_id: str) -> SubscriptionSnapshot:
        """Let a subscription end with its period. Planned already, or ended, counts as done."""
        raise BillingEngineError(CANNOT_CHANGE)

    def keep_subscription(self, account: str, subscription_id: str) -> SubscriptionSnapshot:
        """Withdraw an end that is planned for later, whoever planned it. None counts as done.

        :raise portal.errors.BillingEngineError: if the subscription has ended
        """
        raise BillingEngineError(CANNOT_CHANGE)

    def preview_end(self, account: str, subscription_id: str, *, at_once: bool) -> Invoice | None:
        """Return the last invoice if it ended now, or with its period; ``None`` if none comes.

        With ``at_once`` it is what :meth:`cancel_subscription` would invoice.
        """
        raise BillingEngineError(CANNOT_CHANGE)

    def change_plan(
        self, account: str, subscription_id: str, change: PlanChange, *, key: str
    ) -> SubscriptionSnapshot:
        """Sell a running subscription at another price from now on. Changed already counts as done.

        :raise portal.errors.PaymentDeclined: if what is due now is not paid; nothing has changed
        :raise portal.errors.BillingEngineError: if the subscription has ended
        """
        raise BillingEngineError(CANNOT_CHANGE)

    def preview_change(self, account: str, subscription_id: str, change: PlanChange) -> Invoice:
        """Return the invoice that :meth:`change_plan` with the same values would draw now."""
        raise BillingEngineError(CANNOT_CHANGE)

    # --- usage and invoices -----------------------------------------------------------------

    @abstractmethod
    def report_usage(self, account: str, report: UsageReport) -> UsageReceipt:
        """Report usage once. A repeat with the same identifier is acknowledged as duplicate."""

    @abstractmethod
    def usage_total(
        self, account: str, *, meter_id: str, customer_id: str, start: datetime, end: datetime
    ) -> int:
        """Return what the provider counted between two whole minutes (it may lag)."""

    @abstractmethod
    def preview(self, account: str, subscription_id: str) -> Invoice | None:
        """Return the next invoice as the provider would draw it now; ``None`` if there is none."""

    @abstractmethod
    def invoices(self, account: str, subscription_id: str) -> Sequence[Invoice]:
        """Return the invoices of a subscription, newest first, at most 100."""

    # --- going through everything -----------------------------------------------------------
    #
    # For reconciliation. Each method asks for a page at a time, so that an account of any size
    # is gone through in the memory of one page; an error can come while iterating.

    @abstractmethod
    def living_subscriptions(self, account: str) -> Iterator[SubscriptionSnapshot]:
        """Go through the subscriptions that have not ended, everybody's, in any order."""

    @abstractmethod
    def open_checkouts(self, account: str) -> Iterator[CheckoutSession]:
        """Go through the payment pages that can still be paid."""

    @abstractmethod
    def products(self, account: str) -> Iterator[ListedProduct]:
        """Go through all products, archived ones too."""

    @abstractmethod
    def prices(self, account: str) -> Iterator[ListedPrice]:
        """Go through all prices that recur, archived ones too."""

    @abstractmethod
    def meters(self, account: str) -> Iterator[ListedMeter]:
        """Go through all meters, inactive ones too."""

    def account_invoices(self, account: str, since: datetime | None) -> Iterator[Invoice]:
        """Go through the invoices of subscriptions that were made since then, drafts too.

        Each names its payments. They change afterwards: whoever keeps them asks again for those
        that are not settled.

        :raise portal.errors.BillingEngineError: by default: a provider that cannot list them has
            no revenue pages
        """
        raise BillingEngineError(CANNOT_LIST)

    def movements(self, account: str, since: datetime | None) -> Iterator[Movement]:
        """Go through what charges, refunds and disputes since then did to the balance.

        :raise portal.errors.BillingEngineError: by default, as :meth:`account_invoices`
        """
        raise BillingEngineError(CANNOT_LIST)

    @abstractmethod
    def undelivered_events(self, account: str) -> Iterator[Mapping[str, Any]]:
        """Go through the events of the seven kinds that no webhook has accepted yet.

        Bodies as a webhook gets them, for :meth:`translate_event`; in any order, and only as far
        back as the provider keeps them (Stripe: 30 days).
        """

    # --- events -----------------------------------------------------------------------------

    @abstractmethod
    def verify_event(self, payload: bytes, header: str, secrets: Sequence[str]) -> BillingEvent:
        """Check that a webhook body is genuine (any of the secrets) and translate it.

        :raise portal.errors.InvalidSignature: if it is not, or if there is no secret to check with
        :raise portal.errors.Invalid: if it is genuine but is no event
        """

    @abstractmethod
    def translate_event(self, payload: Mapping[str, Any]) -> BillingEvent:
        """Translate a stored, already verified event body (for replay)."""
