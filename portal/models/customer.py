"""Who pays, and the billing record of each paid subscription."""

from datetime import datetime

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal import clock
from portal.extensions import Model
from portal.models.types import UtcDateTime, new_uuid, text_id


class SharedCustomer(Model):
    """The engine's customer for one application, connected account and currency.

    The seed's AM_MONETIZATION_SHARED_CUSTOMERS. Stored before the engine is called; the UUID
    makes the idempotency key. By currency, because Stripe bills a customer in one currency.
    """

    __tablename__ = "am_monetization_shared_customers"
    __table_args__ = (UniqueConstraint("application_id", "connected_account", "currency"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(text_id(36), unique=True, default=new_uuid)
    application_id: Mapped[int] = mapped_column(ForeignKey("am_application.application_id"))
    api_provider: Mapped[str] = mapped_column(String(255))
    """The publisher's name, as in the seed; ``connected_account`` decides."""
    tenant_id: Mapped[int] = mapped_column(ForeignKey("am_tenant.tenant_id"))
    connected_account: Mapped[str] = mapped_column(text_id())
    currency: Mapped[str] = mapped_column(String(3))
    shared_customer_id: Mapped[str | None] = mapped_column(text_id())
    """Stripe: ``cus_…``; empty until the engine has answered."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now)


class EngineSubscription(Model):
    """The billing record of a subscription that was paid: the seed's AM_MONETIZATION_SUBSCRIPTIONS.

    Kept when the subscription has ended, for disputes and last invoices.
    """

    __tablename__ = "am_monetization_subscriptions"

    id: Mapped[int] = mapped_column(primary_key=True)
    am_subscription_id: Mapped[int] = mapped_column(
        ForeignKey("am_subscription.subscription_id"), index=True
    )
    subscribed_application_id: Mapped[int] = mapped_column(
        ForeignKey("am_application.application_id")
    )
    subscribed_api_id: Mapped[int] = mapped_column(ForeignKey("am_api.api_id"))
    tenant_id: Mapped[int] = mapped_column(ForeignKey("am_tenant.tenant_id"))
    subscription_id: Mapped[str] = mapped_column(text_id(), unique=True)
    """Stripe: ``sub_…``."""
    shared_customer_id: Mapped[int] = mapped_column(
        ForeignKey("am_monetization_shared_customers.id")
    )
    mapping_id: Mapped[int] = mapped_column(ForeignKey("am_policy_plan_mapping.mapping_id"))
    """Which product, price and meter were sold."""
    connected_account: Mapped[str] = mapped_column(text_id())
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now)
    cancelled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    customer: Mapped[SharedCustomer] = relationship(lazy="joined", innerjoin=True)
