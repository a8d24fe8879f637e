"""Going through everything that an account holds, a page of 100 at a time."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import stripe

from portal.billing.engine import (
    EVENT_TYPES,
    CheckoutSession,
    Invoice,
    ListedMeter,
    ListedPrice,
    ListedProduct,
    Movement,
    SubscriptionSnapshot,
)
from portal.billing.stripe import translate, translate_money
from portal.billing.stripe.client import Connection, plain
from portal.billing.stripe.errors import portal_errors
from portal.clock import epoch

if TYPE_CHECKING:
    from stripe.params import BalanceTransactionListParams, InvoiceListParams

PAGE = 100

T = TypeVar("T")


class Listing(Connection):
    """The lists of the publisher's connected account, newest first as Stripe has them."""

    def living_subscriptions(self, account: str) -> Iterator[SubscriptionSnapshot]:
        """List subscriptions. Stripe leaves out cancelled ones by itself, expired ones not."""
        with portal_errors():
            page = self.client.v1.subscriptions.list({"limit": PAGE}, self.within(account))
        for snapshot in _all(page, translate.subscription):
            if not snapshot.status.is_over:
                yield snapshot

    def open_checkouts(self, account: str) -> Iterator[CheckoutSession]:
        """List the sessions that are open."""
        with portal_errors():
            page = self.client.v1.checkout.sessions.list(
                {"limit": PAGE, "status": "open"}, self.within(account)
            )
        yield from _all(page, translate.checkout)

    def products(self, account: str) -> Iterator[ListedProduct]:
        """List products."""
        with portal_errors():
            page = self.client.v1.products.list({"limit": PAGE}, self.within(account))
        yield from _all(page, translate.listed_product)

    def prices(self, account: str) -> Iterator[ListedPrice]:
        """List recurring prices."""
        with portal_errors():
            page = self.client.v1.prices.list(
                {"limit": PAGE, "type": "recurring"}, self.within(account)
            )
        yield from _all(page, translate.listed_price)

    def meters(self, account: str) -> Iterator[ListedMeter]:
        """List meters."""
        with portal_errors():
            page = self.client.v1.billing.meters.list({"limit": PAGE}, self.within(account))
        yield from _all(page, translate.listed_meter)

    def account_invoices(self, account: str, since: datetime | None) -> Iterator[Invoice]:
        """List invoices with their payments, which Stripe shows only when asked."""
        params: InvoiceListParams = {"limit": PAGE, "expand": ["data.payments"]}
        if since is not None:
            params["created"] = {"gte": epoch(since)}
        with portal_errors():
            page = self.client.v1.invoices.list(params, self.within(account))
        for invoice in _all(page, translate.invoice):
            if invoice.subscription_id is not None:
                yield invoice

    def movements(self, account: str, since: datetime | None) -> Iterator[Movement]:
        """List balance transactions with the charge, refund or dispute behind each."""
        params: BalanceTransactionListParams = {"limit": PAGE, "expand": ["data.source"]}
        if since is not None:
            params["created"] = {"gte": epoch(since)}
        with portal_errors():
            page = self.client.v1.balance_transactions.list(params, self.within(account))
        for movement in _all(page, translate_money.movement):
            if movement is not None:
                yield movement

    def undelivered_events(self, account: str) -> Iterator[Mapping[str, Any]]:
        """List the events whose delivery failed or is still pending.

        An event that is read inside its account need not name it; a webhook's body does.
        """
        with portal_errors():
            page = self.client.v1.events.list(
                {"limit": PAGE, "delivery_success": False, "types": list(EVENT_TYPES)},
                self.within(account),
            )
        for body in _all(page, dict):
            yield {"account": account, **body}


def _all(page: stripe.ListObject[Any], translated: Callable[[dict[str, Any]], T]) -> Iterator[T]:
    """Go through a list and the pages after it.

    :raise portal.errors.BillingEngineError: from whichever page Stripe refuses
    """
    rest = page.auto_paging_iter()
    while True:
        with portal_errors():
            found = next(rest, None)
            if found is None:
                return
            value = translated(plain(found))
        yield value
