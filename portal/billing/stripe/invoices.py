"""Subscriptions and their invoices."""

from collections.abc import Sequence

from portal.billing.engine import Invoice, SubscriptionSnapshot
from portal.billing.stripe import translate
from portal.billing.stripe.client import Connection, known, plain
from portal.billing.stripe.errors import portal_errors
from portal.errors import BillingEngineError, EngineAccessDenied, EngineUnavailable

NO_NEXT_INVOICE = "invoice_upcoming_none"
PAGE = 100


class Invoices(Connection):
    """One subscription in the publisher's connected account: its state, end and invoices."""

    def subscription(self, account: str, subscription_id: str) -> SubscriptionSnapshot:
        """Read a subscription; Stripe keeps ended ones."""
        with portal_errors():
            found = self.client.v1.subscriptions.retrieve(
                known(subscription_id), None, self.within(account)
            )
            return translate.subscription(plain(found))

    def cancel_subscription(self, account: str, subscription_id: str) -> SubscriptionSnapshot:
        """End a subscription now, and invoice the usage of the open period.

        Stripe answers 404 for one that ended before, so a refusal is settled by reading.
        """
        try:
            with portal_errors():
                ended = self.client.v1.subscriptions.cancel(
                    known(subscription_id),
                    {"invoice_now": True, "prorate": False},
                    self.within(account),
                )
                return translate.subscription(plain(ended))
        except (EngineAccessDenied, EngineUnavailable):
            raise
        except BillingEngineError:
            present = self.subscription(account, subscription_id)
            if not present.status.is_over:
                raise
            return present

    def preview(self, account: str, subscription_id: str) -> Invoice | None:
        """Return the next invoice as Stripe would draw it now: usage so far, or the next fee."""
        try:
            with portal_errors():
                found = self.client.v1.invoices.create_preview(
                    {"subscription": known(subscription_id)}, self.within(account)
                )
                return translate.invoice(plain(found), is_preview=True)
        except BillingEngineError as error:
            if error.engine_code == NO_NEXT_INVOICE:
                return None
            raise

    def invoices(self, account: str, subscription_id: str) -> Sequence[Invoice]:
        """Return the latest hundred invoices of a subscription, newest first."""
        with portal_errors():
            page = self.client.v1.invoices.list(
                {"subscription": known(subscription_id), "limit": PAGE}, self.within(account)
            )
            return [translate.invoice(plain(each)) for each in page.data]
