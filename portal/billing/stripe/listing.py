"""Going through everything that an account holds, a page of 100 at a time."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
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
        for page in self._ahead("/v1/subscriptions", account):
            with portal_errors():
                found = [translate.subscription(each) for each in page]
            yield from (snapshot for snapshot in found if not snapshot.status.is_over)

    def _ahead(self, path: str, account: str) -> Iterator[list[dict[str, Any]]]:
        """Go through a list of any length, page by page, each asked for while one is looked at.

        As JSON has it: the SDK's objects take longer to make than Stripe takes to answer.
        """
        page, is_more = self._page(path, account, None)
        if not is_more:
            yield page
            return
        with ThreadPoolExecutor(max_workers=1) as ahead:
            while is_more:
                rest = ahead.submit(self._page, path, account, page[-1]["id"])
                yield page
                page, is_more = rest.result()
        yield page

    def _page(
        self, path: str, account: str, after: str | None
    ) -> tuple[list[dict[str, Any]], bool]:
        params: dict[str, Any] = {"limit": PAGE, **self.within(account)}
        if after is not None:
            params["starting_after"] = after
        with portal_errors():
            answer = self.client.raw_request("get", path, **params)
            return translate.page(answer.data)

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
