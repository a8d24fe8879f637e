"""Looking at a set-up without changing it: webhooks, rights, the customer portal."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import stripe

from portal.billing.inspection import PortalState, WebhookState
from portal.billing.stripe.client import Connection, known, plain
from portal.billing.stripe.errors import header, portal_errors
from portal.errors import EngineAccessDenied

#: Metadata of the webhook endpoints that the portal registers.
SCOPE_MARK, CONNECTED = "apim_events_from", "connected_accounts"

Ask = Callable[[stripe.StripeClient, stripe.RequestOptions], object]

#: What a restricted key must be allowed to read, each with a question that changes nothing.
#: A right to write includes the right to read (Stripe: restricted keys, none, read or write).
RIGHTS: tuple[tuple[str, Ask], ...] = (
    ("Products", lambda client, within: client.v1.products.list({"limit": 1}, within)),
    ("Prices", lambda client, within: client.v1.prices.list({"limit": 1}, within)),
    ("Meters", lambda client, within: client.v1.billing.meters.list({"limit": 1}, within)),
    ("Customers", lambda client, within: client.v1.customers.list({"limit": 1}, within)),
    (
        "Checkout Sessions",
        lambda client, within: client.v1.checkout.sessions.list({"limit": 1}, within),
    ),
    ("Subscriptions", lambda client, within: client.v1.subscriptions.list({"limit": 1}, within)),
    ("Invoices", lambda client, within: client.v1.invoices.list({"limit": 1}, within)),
    ("Charges and Refunds", lambda client, within: client.v1.refunds.list({"limit": 1}, within)),
    (
        "Customer portal",
        lambda client, within: client.v1.billing_portal.configurations.list({"limit": 1}, within),
    ),
    ("Events", lambda client, within: client.v1.events.list({"limit": 1}, within)),
)


def answered_at(answer: stripe.StripeObject) -> datetime | None:
    """Return when Stripe says that it answered, by its own clock; ``None`` if it does not."""
    response = answer.last_response
    said = header(response.headers, "date") if response is not None else ""
    try:
        moment = parsedate_to_datetime(said)
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


class Inspecting(Connection):
    """Calls that read the set-up."""

    def webhooks(self) -> Sequence[WebhookState]:
        """Return the platform's webhook endpoints, at most 100 (Stripe allows 16)."""
        with portal_errors():
            listed = self.client.v1.webhook_endpoints.list({"limit": 100})
            return [_webhook(plain(endpoint)) for endpoint in listed.data]

    def missing_rights(self, account: str) -> Sequence[str]:
        """Try what a restricted key must read in an account that is connected for certain.

        A secret key (``sk_``) may do everything, so nothing is asked.
        """
        within = self.within(account)
        if not self.is_restricted:
            return ()
        return [name for name, ask in RIGHTS if not self._may(ask, within)]

    def _may(self, ask: Ask, within: stripe.RequestOptions) -> bool:
        try:
            with portal_errors():
                ask(self.client, within)
        except EngineAccessDenied:
            return False
        return True

    def portal_state(self, account: str, configuration_id: str) -> PortalState:
        """Return what a configuration of the customer portal allows now."""
        within = self.within(account)
        with portal_errors():
            found = plain(
                self.client.v1.billing_portal.configurations.retrieve(
                    known(configuration_id), options=within
                )
            )
        features = found.get("features") or {}

        def has(name: str) -> bool:
            return (features.get(name) or {}).get("enabled") is True

        return PortalState(
            is_active=found.get("active") is True,
            return_url=found.get("default_return_url"),
            cancels=has("subscription_cancel"),
            updates_card=has("payment_method_update"),
            lists_invoices=has("invoice_history"),
        )


def _webhook(found: dict[str, Any]) -> WebhookState:
    # Stripe shows the Connect application on some endpoints for connected accounts, and never
    # what ``connect`` was: those that were registered from here carry our mark.
    marked = (found.get("metadata") or {}).get(SCOPE_MARK) == CONNECTED
    return WebhookState(
        endpoint_id=str(found["id"]),
        url=str(found.get("url") or ""),
        is_enabled=found.get("status") == "enabled",
        hears_connected=True if marked or found.get("application") else None,
        api_version=found.get("api_version"),
        event_types=frozenset(found.get("enabled_events") or ()),
    )
