"""Changing a running subscription: another price, a planned end, and what each would cost."""

from collections.abc import Callable
from typing import Final

from stripe.params import (
    InvoiceCreatePreviewParams,
    InvoiceCreatePreviewParamsSubscriptionDetails,
    InvoiceCreatePreviewParamsSubscriptionDetailsItem,
    SubscriptionUpdateParams,
    SubscriptionUpdateParamsItem,
)

from portal.billing.engine import Invoice, PlanChange, SubscriptionSnapshot, UsageType
from portal.billing.stripe import translate
from portal.billing.stripe.client import Connection, create_once, known, plain
from portal.billing.stripe.errors import portal_errors
from portal.clock import epoch
from portal.errors import BillingEngineError, EngineAccessDenied, EngineUnavailable

NO_INVOICE = "invoice_upcoming_none"
#: Stripe: ``/docs/billing/subscriptions/prorations``. The difference is invoiced at once, since
#: otherwise a subscriber could use the dearer plan for a month before paying for it.
AT_ONCE: Final = "always_invoice"


class Changing(Connection):
    """Plans and ends of running subscriptions in the publisher's connected account."""

    def cancel_at_period_end(self, account: str, subscription_id: str) -> SubscriptionSnapshot:
        """Plan the end. Stripe refuses if it has ended, so a refusal is settled by reading."""
        return self._update_or_over(account, subscription_id, {"cancel_at_period_end": True})

    def _update_or_over(
        self, account: str, subscription_id: str, params: SubscriptionUpdateParams
    ) -> SubscriptionSnapshot:
        try:
            return self._update(account, subscription_id, params)
        except (EngineAccessDenied, EngineUnavailable):
            raise
        except BillingEngineError:
            present = self._read(account, subscription_id)
            if not present.status.is_over:
                raise
            return present

    def keep_subscription(self, account: str, subscription_id: str) -> SubscriptionSnapshot:
        """Withdraw a planned end. The customer portal plans it as a moment, the API as a flag."""
        with portal_errors():
            found = plain(
                self.client.v1.subscriptions.retrieve(
                    known(subscription_id), None, self.within(account)
                )
            )
        present = translate.subscription(found)
        if present.status.is_over:
            raise BillingEngineError("The subscription has ended at Stripe; it cannot be kept.")
        if found.get("cancel_at_period_end"):
            return self._update(account, subscription_id, {"cancel_at_period_end": False})
        if present.cancel_at is not None:
            return self._update(account, subscription_id, {"cancel_at": ""})
        return present

    def preview_end(self, account: str, subscription_id: str, *, at_once: bool) -> Invoice | None:
        """Return the last invoice. Nothing is credited: that is how it is cancelled, too."""
        details: InvoiceCreatePreviewParamsSubscriptionDetails = {"cancel_at_period_end": True}
        if at_once:
            details = {"cancel_now": True, "proration_behavior": "none"}
        return self._preview(
            account, {"subscription": known(subscription_id), "subscription_details": details}
        )

    def change_plan(
        self, account: str, subscription_id: str, change: PlanChange, *, key: str
    ) -> SubscriptionSnapshot:
        """Swap the price of the only item; Stripe answers 402 and changes nothing if unpaid."""
        present = self._read(account, subscription_id)
        if present.price_id == change.price_id:
            return present
        params = _changed(present, change)

        def create(used: str) -> SubscriptionSnapshot:
            return self._update(account, subscription_id, params, used)

        return create_once(create, self._if_changed(account, subscription_id, change), key)

    def _if_changed(
        self, account: str, subscription_id: str, change: PlanChange
    ) -> Callable[[], SubscriptionSnapshot | None]:
        def find() -> SubscriptionSnapshot | None:
            present = self._read(account, subscription_id)
            return present if present.price_id == change.price_id else None

        return find

    def preview_change(self, account: str, subscription_id: str, change: PlanChange) -> Invoice:
        """Ask Stripe to draw the invoice of a change without making it."""
        params = _changed(self._read(account, subscription_id), change)
        item: InvoiceCreatePreviewParamsSubscriptionDetailsItem = {**params["items"][0]}
        details: InvoiceCreatePreviewParamsSubscriptionDetails = {
            "items": [item],
            "proration_behavior": AT_ONCE,
            "proration_date": epoch(change.at),
        }
        if change.new_period:
            details["billing_cycle_anchor"] = "now"
        found = self._preview(
            account, {"subscription": known(subscription_id), "subscription_details": details}
        )
        if found is None:
            raise BillingEngineError("The subscription has ended at Stripe; it cannot be changed.")
        return found

    def _read(self, account: str, subscription_id: str) -> SubscriptionSnapshot:
        with portal_errors():
            found = self.client.v1.subscriptions.retrieve(
                known(subscription_id), None, self.within(account)
            )
            return translate.subscription(plain(found))

    def _update(
        self,
        account: str,
        subscription_id: str,
        params: SubscriptionUpdateParams,
        key: str | None = None,
    ) -> SubscriptionSnapshot:
        with portal_errors():
            changed = self.client.v1.subscriptions.update(
                known(subscription_id), params, self.within(account, key)
            )
            return translate.subscription(plain(changed))

    def _preview(self, account: str, params: InvoiceCreatePreviewParams) -> Invoice | None:
        try:
            with portal_errors():
                found = self.client.v1.invoices.create_preview(params, self.within(account))
                return translate.invoice(plain(found), is_preview=True)
        except BillingEngineError as error:
            if error.engine_code == NO_INVOICE:
                return None
            raise


def _changed(present: SubscriptionSnapshot, change: PlanChange) -> SubscriptionUpdateParams:
    item: SubscriptionUpdateParamsItem = {"id": present.item_id or "", "price": change.price_id}
    if change.usage_type is UsageType.LICENSED:
        item["quantity"] = 1
    params: SubscriptionUpdateParams = {
        "items": [item],
        "proration_behavior": AT_ONCE,
        "proration_date": epoch(change.at),
        "payment_behavior": "error_if_incomplete",
    }
    if change.new_period:
        params["billing_cycle_anchor"] = "now"
    return params
