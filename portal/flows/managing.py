"""The customer portal, where a payer changes cards and cancels."""

from sqlalchemy import select

from portal.billing.engine import BillingEngine
from portal.errors import Conflict
from portal.extensions import db
from portal.models import PortalConfiguration, Subscription
from portal.services import customers


def manage_url(engine: BillingEngine, subscription: Subscription, return_url: str) -> str:
    """Return a single-use address of the customer portal of a subscription's payer.

    :raise portal.errors.Conflict: if there is nothing to manage, or no portal configuration
    """
    record = customers.newest_record(subscription)
    if record is None or record.customer.shared_customer_id is None:
        raise Conflict("There is no billing to manage for this subscription yet.")
    configuration = db.session.scalars(
        select(PortalConfiguration.configuration_id).where(
            PortalConfiguration.tenant_id == record.tenant_id,
            PortalConfiguration.connected_account == record.connected_account,
        )
    ).one_or_none()
    if configuration is None:
        raise Conflict(
            "The publisher has not set up the Customer Portal yet. Ask them to open the API's "
            "Monetization page and press Save."
        )
    account, customer_id = record.connected_account, record.customer.shared_customer_id
    db.session.rollback()
    return engine.portal_url(
        account, customer_id, configuration=configuration, return_url=return_url
    )
