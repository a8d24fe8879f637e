"""What an API sells at the billing engine: products, prices and meters.

``Offer`` is the seed's AM_MONETIZATION, ``EnginePrice`` its AM_POLICY_PLAN_MAPPING.
"""

from datetime import datetime

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal import clock
from portal.extensions import Model
from portal.models.policy import PolicyVersion
from portal.models.types import UtcDateTime, new_uuid, text_id


class EnginePrice(Model):
    """A plan version's product, price and meter in one connected account, for one API.

    The row is stored before the engine is called; its UUID makes the idempotency keys, so a
    repeat after a crash finds the same objects. Rows stay when the price is archived.
    """

    __tablename__ = "am_policy_plan_mapping"
    __table_args__ = (UniqueConstraint("api_id", "policy_version_id", "connected_account"),)

    mapping_id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(text_id(36), unique=True, default=new_uuid)
    api_id: Mapped[int] = mapped_column(ForeignKey("am_api.api_id"))
    policy_uuid: Mapped[str] = mapped_column(
        text_id(36), ForeignKey("am_policy_subscription.uuid"), index=True
    )
    policy_version_id: Mapped[int] = mapped_column(
        ForeignKey("am_policy_version.policy_version_id")
    )
    connected_account: Mapped[str] = mapped_column(text_id())
    product_id: Mapped[str | None] = mapped_column(text_id())
    plan_id: Mapped[str | None] = mapped_column(text_id())
    """The price (Stripe: ``price_…``)."""
    meter_id: Mapped[str | None] = mapped_column(text_id())
    meter_event_name: Mapped[str | None] = mapped_column(text_id(100))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now)
    archived_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    policy_version: Mapped[PolicyVersion] = relationship(lazy="joined", innerjoin=True)


class Offer(Model):
    """The price at which an API sells a plan now: Monetized, in WSO2's words."""

    __tablename__ = "am_monetization"
    __table_args__ = (UniqueConstraint("api_id", "tier_name"),)

    monetization_id: Mapped[int] = mapped_column(primary_key=True)
    api_id: Mapped[int] = mapped_column(ForeignKey("am_api.api_id", ondelete="CASCADE"))
    tier_name: Mapped[str] = mapped_column(text_id(60))
    stripe_product_id: Mapped[str] = mapped_column(text_id())
    stripe_plan_id: Mapped[str] = mapped_column(text_id())
    mapping_id: Mapped[int] = mapped_column(ForeignKey("am_policy_plan_mapping.mapping_id"))
    monetized_at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now)

    price: Mapped[EnginePrice] = relationship(lazy="joined", innerjoin=True)


class PortalConfiguration(Model):
    """What the engine's customer portal may do in one connected account."""

    __tablename__ = "am_portal_configuration"
    __table_args__ = (UniqueConstraint("tenant_id", "connected_account"),)

    portal_configuration_id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(text_id(36), unique=True, default=new_uuid)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("am_tenant.tenant_id"))
    connected_account: Mapped[str] = mapped_column(text_id())
    configuration_id: Mapped[str | None] = mapped_column(text_id())
    return_url: Mapped[str] = mapped_column(String(1024))
