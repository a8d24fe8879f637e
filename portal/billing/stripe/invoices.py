"""Subscriptions and their invoices."""

from collections.abc import Sequence
from dataclasses import replace

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
        """Return the latest hundred invoices of a subscription, newest first.

        An invoice does not say why it is open; its payment does, and is asked for each open one.
        """
        with portal_errors():
            page = self.client.v1.invoices.list(
                {"subscription": known(subscription_id), "limit": PAGE}, self.within(account)
            )
            found = [translate.invoice(plain(each)) for each in page.data]
            return [
                replace(each, needs_authentication=self._asks(account, each.invoice_id))
                if each.status == "open" and each.invoice_id
                else each
                for each in found
            ]

    def _asks(self, account: str, invoice_id: str) -> bool:
        """Whether the payer's bank wants an invoice's payment confirmed."""
        payments = self.client.v1.invoice_payments.list(
            {"invoice": invoice_id}, self.within(account)
        )
        for each in payments.data:
            intent_id = translate.payment_intent_of(plain(each))
            if intent_id is not None:
                intent = self.client.v1.payment_intents.retrieve(
                    known(intent_id), None, self.within(account)
                )
                if intent.status == "requires_action":
                    return True
        return False
