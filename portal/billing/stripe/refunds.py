"""Paying back what was paid for a subscription."""

import stripe

from portal.billing.engine import Refunded
from portal.billing.stripe import translate
from portal.billing.stripe.client import Connection, create_once, known, plain
from portal.billing.stripe.errors import portal_errors
from portal.errors import BillingEngineError

PAGE = 100
ATTEMPT = "apim_attempt"
ALREADY = "charge_already_refunded"
#: A refund that is on its way or waits for the payer's bank account counts; these do not.
_GONE = frozenset({"failed", "canceled"})


class Refunds(Connection):
    """Refunds in the publisher's connected account."""

    def refund(self, account: str, subscription_id: str, *, key: str) -> Refunded:
        """Refund each payment of each invoice of a subscription, in full.

        Stripe pays back payments, not invoices: each paid invoice is asked for its payments.
        """
        with portal_errors():
            # In another account the list of invoices would be empty: nothing to pay back.
            self.client.v1.subscriptions.retrieve(
                known(subscription_id), None, self.within(account)
            )
        amount, currency = 0, None
        for intent_id in self._payments(account, subscription_id):
            self._refund_payment(account, intent_id, f"{key}:{intent_id}")
            for each in self._refunds(account, intent_id):
                if each.status in _GONE:
                    raise BillingEngineError(
                        "A refund did not reach the payer. Pay back in the payment provider's "
                        "dashboard, and confirm it here.",
                        engine_code=f"refund_{each.status}",
                    )
                amount, currency = amount + each.amount, each.currency
        return Refunded(amount_minor=amount, currency=currency)

    def paid_back(self, account: str, subscription_id: str) -> Refunded:
        """Add up the refunds of the payments of a subscription's invoices."""
        amount, currency = 0, None
        for intent_id in self._payments(account, known(subscription_id)):
            for each in self._refunds(account, intent_id):
                if each.status not in _GONE:
                    amount, currency = amount + each.amount, each.currency
        return Refunded(amount_minor=amount, currency=currency)

    def _payments(self, account: str, subscription_id: str) -> list[str]:
        with portal_errors():
            invoices = self.client.v1.invoices.list(
                {"subscription": subscription_id, "status": "paid", "limit": PAGE},
                self.within(account),
            )
            found = []
            for invoice in invoices.auto_paging_iter():
                if not invoice.amount_paid:
                    continue
                payments = self.client.v1.invoice_payments.list(
                    {"invoice": known(invoice.id or ""), "status": "paid", "limit": PAGE},
                    self.within(account),
                )
                found += [
                    translate.payment_intent_of(plain(each)) for each in payments.auto_paging_iter()
                ]
        return [each for each in found if each is not None]

    def _refund_payment(self, account: str, intent_id: str, key: str) -> None:
        def create(used: str) -> str:
            with portal_errors():
                made = self.client.v1.refunds.create(
                    {"payment_intent": known(intent_id), "metadata": {ATTEMPT: key}},
                    self.within(account, used),
                )
                return made.id

        def find() -> str | None:
            return next(
                (
                    each.id
                    for each in self._refunds(account, intent_id)
                    if (plain(each).get("metadata") or {}).get(ATTEMPT) == key
                ),
                None,
            )

        try:
            create_once(create, find, key)
        except BillingEngineError as error:
            if error.engine_code != ALREADY:
                raise

    def _refunds(self, account: str, intent_id: str) -> list[stripe.Refund]:
        with portal_errors():
            page = self.client.v1.refunds.list(
                {"payment_intent": intent_id, "limit": PAGE}, self.within(account)
            )
            return list(page.auto_paging_iter())
