"""Where a payment page leads back to."""

from flask import url_for

from portal.models import Subscription
from portal.services.checkouts import ReturnUrls
from portal.web.engines import absolute


def return_urls(subscription: Subscription) -> ReturnUrls:
    """Return where the payment page leads back to: the tenant's own addresses, or ours.

    Stripe replaces ``{CHECKOUT_SESSION_ID}``, so it is appended by hand: ``url_for`` would
    quote the braces.
    """
    tenant = subscription.api.tenant
    done = absolute(url_for("stripe.complete_session")) + "?session_id={CHECKOUT_SESSION_ID}"
    back = absolute(url_for("devportal.subscription", uuid=subscription.uuid))
    return ReturnUrls(
        success=tenant.checkout_success_url or done, cancel=tenant.checkout_cancel_url or back
    )
