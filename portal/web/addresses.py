"""The portal's own addresses that somebody else is told, and what surrounds a tenant."""

from flask import url_for

from portal.flows import draining
from portal.flows.examining import Surroundings
from portal.models import Tenant
from portal.services.setup import SESSION_VARIABLE, Defaults
from portal.web.engines import absolute, settings


def webhook_url(tenant: Tenant) -> str:
    """Return where the billing engine sends the tenant's events."""
    return absolute(url_for("stripe.webhook", tenantDomain=tenant.tenant_domain))


def defaults() -> Defaults:
    """Return the addresses that hold where the administrator enters none."""
    # By hand, because url_for would quote the braces, and Stripe looks for them.
    done = absolute(url_for("stripe.complete_session")) + f"?session_id={SESSION_VARIABLE}"
    return Defaults(
        success_url=done,
        cancel_url=absolute(url_for("devportal.applications")),
        api_base=settings().stripe_api_base,
    )


def surroundings_of(tenant: Tenant) -> Surroundings:
    """Return what an examination has to know of the operator's settings."""
    own = settings()
    return Surroundings(
        base_url=own.portal_base_url,
        webhook_url=webhook_url(tenant),
        success_url=defaults().success_url,
        api_base=own.stripe_api_base,
        is_real_provider=own.is_real_stripe,
        spool=str(draining.known_folder(own)),
        other_spools=tuple((str(path), files) for path, files in draining.others(own)),
    )
