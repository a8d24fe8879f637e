"""Buying: customers, payment pages and the customer portal."""

import stripe
from stripe.params import CustomerCreateParams
from stripe.params.checkout import (
    SessionCreateParams,
    SessionCreateParamsLineItem,
    SessionCreateParamsSubscriptionData,
)

from portal.billing.engine import (
    CheckoutSession,
    CheckoutSpec,
    CheckoutState,
    CustomerSpec,
    UsageType,
)
from portal.billing.stripe import translate
from portal.billing.stripe.client import Connection, create_once, is_replay, known, plain
from portal.billing.stripe.errors import portal_errors
from portal.clock import epoch
from portal.errors import BillingEngineError, EngineAccessDenied, EngineUnavailable

#: The attempt that made an object, so that it can be found again after a lost answer.
ATTEMPT = "apim_attempt"
PAGE = 100


class Buying(Connection):
    """Customers, Checkout and the customer portal in the publisher's connected account."""

    def ensure_customer(self, account: str, spec: CustomerSpec, *, key: str) -> str:
        """Create the customer; Stripe knows the key for at least 24 hours and repeats its answer.

        Stripe has no uniqueness for customers: the caller keeps the id.
        """
        params: CustomerCreateParams = {
            "name": spec.name[:256],
            "metadata": {**spec.metadata, ATTEMPT: key},
        }
        if spec.email:
            params["email"] = spec.email

        def create(used: str) -> str:
            with portal_errors():
                return self.client.v1.customers.create(params, self.within(account, used)).id

        return create_once(create, lambda: self._customer_of(account, spec, key), key)

    def _customer_of(self, account: str, spec: CustomerSpec, key: str) -> str | None:
        with portal_errors():
            page = self.client.v1.customers.list(
                {"limit": PAGE, "email": spec.email} if spec.email else {"limit": PAGE},
                self.within(account),
            )
            for customer in page.auto_paging_iter():
                if _attempt(customer) == key:
                    return customer.id
        return None

    def open_checkout(self, account: str, spec: CheckoutSpec, *, key: str) -> CheckoutSession:
        """Open a payment page for cards; a repeat returns the same page as it stands now."""
        params = _session_params(spec, key)

        def create(used: str) -> CheckoutSession:
            with portal_errors():
                session = self.client.v1.checkout.sessions.create(
                    params, self.within(account, used)
                )
                if not is_replay(session):
                    return translate.checkout(plain(session))
            return self.checkout(account, session.id)

        return create_once(create, lambda: self._session_of(account, spec, key), key)

    def _session_of(self, account: str, spec: CheckoutSpec, key: str) -> CheckoutSession | None:
        with portal_errors():
            page = self.client.v1.checkout.sessions.list(
                {"limit": PAGE, "customer": spec.customer_id}, self.within(account)
            )
            for session in page.auto_paging_iter():
                if _attempt(session) == key:
                    return translate.checkout(plain(session))
        return None

    def checkout(self, account: str, session_id: str) -> CheckoutSession:
        """Read a Checkout Session."""
        with portal_errors():
            session = self.client.v1.checkout.sessions.retrieve(
                known(session_id), None, self.within(account)
            )
            return translate.checkout(plain(session))

    def expire_checkout(self, account: str, session_id: str) -> CheckoutSession:
        """Close the page. Stripe refuses unless it is open, so a refusal is settled by reading."""
        try:
            with portal_errors():
                session = self.client.v1.checkout.sessions.expire(
                    known(session_id), None, self.within(account)
                )
                return translate.checkout(plain(session))
        except (EngineAccessDenied, EngineUnavailable):
            raise
        except BillingEngineError:
            present = self.checkout(account, session_id)
            if present.state is CheckoutState.OPEN:
                raise
            return present

    def portal_url(
        self, account: str, customer_id: str, *, configuration: str, return_url: str
    ) -> str:
        """Make an address of the customer portal; it works once and for minutes."""
        with portal_errors():
            session = self.client.v1.billing_portal.sessions.create(
                {
                    "customer": known(customer_id),
                    "configuration": known(configuration),
                    "return_url": return_url,
                },
                self.within(account),
            )
            return session.url


def _session_params(spec: CheckoutSpec, key: str) -> SessionCreateParams:
    item: SessionCreateParamsLineItem = {"price": spec.price_id}
    if spec.usage_type is UsageType.LICENSED:
        # Stripe refuses a quantity for metered prices and demands one for the others.
        item["quantity"] = 1
    metadata = {**spec.metadata, translate.REFERENCE: spec.reference}
    params: SessionCreateParams = {
        "mode": "subscription",
        "customer": spec.customer_id,
        "line_items": [item],
        # Delayed methods would complete a session unpaid, with events that are not among ours.
        "payment_method_types": ["card"],
        "client_reference_id": spec.reference,
        "metadata": {**metadata, ATTEMPT: key},
        "subscription_data": _subscription_params(spec, metadata),
        "success_url": spec.success_url,
        "cancel_url": spec.cancel_url,
        "expires_at": epoch(spec.expires_at),
    }
    if spec.takes_coupons:
        params["allow_promotion_codes"] = True
    if spec.trial_days:
        # Without a card the trial would end in an invoice that nobody can pay.
        params["payment_method_collection"] = "always"
    return params


def _subscription_params(
    spec: CheckoutSpec, metadata: dict[str, str]
) -> SessionCreateParamsSubscriptionData:
    # A session's metadata is not copied to its subscription.
    params: SessionCreateParamsSubscriptionData = {"metadata": metadata}
    if spec.trial_days:
        params["trial_period_days"] = spec.trial_days
    if spec.fee_percent:
        # Stripe's library wants a float; two decimals survive its way into text unchanged.
        params["application_fee_percent"] = float(spec.fee_percent)
    return params


def _attempt(found: stripe.Customer | stripe.checkout.Session) -> object:
    return (plain(found).get("metadata") or {}).get(ATTEMPT)
