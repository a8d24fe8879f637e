"""Who pays, and under which record: the engine's customer, and its subscription."""

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from portal.extensions import db
from portal.models import EnginePrice, EngineSubscription, SharedCustomer, Subscription


def customer_for(subscription: Subscription, price: EnginePrice) -> SharedCustomer:
    """Return who pays: one customer per application, connected account and currency."""
    currency = (price.policy_version.currency or "").lower()
    query = select(SharedCustomer).where(
        SharedCustomer.application_id == subscription.application_id,
        SharedCustomer.connected_account == price.connected_account,
        SharedCustomer.currency == currency,
    )
    found = db.session.scalars(query).one_or_none()
    if found is not None:
        return found
    customer = SharedCustomer(
        application_id=subscription.application_id,
        api_provider=subscription.api.provider.username,
        tenant_id=subscription.tenant_id,
        connected_account=price.connected_account,
        currency=currency,
    )
    try:
        with db.session.begin_nested():
            db.session.add(customer)
    except IntegrityError:
        return db.session.scalars(query).one()
    return customer


def newest_record(subscription: Subscription) -> EngineSubscription | None:
    """Return the last billing record of a subscription; ``None``: nothing of it was ever billed."""
    return db.session.scalars(
        select(EngineSubscription)
        .where(EngineSubscription.am_subscription_id == subscription.subscription_id)
        .order_by(EngineSubscription.id.desc())
        .limit(1)
    ).one_or_none()
