"""Changes of plan: what was asked for, what was sent, and what became of it."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, Boolean, ForeignKey, Index, String, false
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal import clock
from portal.extensions import Model
from portal.models.offer import EnginePrice
from portal.models.policy import PolicyVersion
from portal.models.types import UtcDateTime, new_uuid, text_id


class PlanChangeState(StrEnum):
    """Where a change of plan stands."""

    ASKED = "ASKED"
    """Stored, and perhaps sent: made once more, with the same values, until there is an answer."""
    WAITING = "WAITING"
    """For a payment, or for the end of the period that is paid for."""
    DONE = "DONE"
    REFUSED = "REFUSED"
    """Nothing has changed; ``detail`` says why."""


class PlanChange(Model):
    """One change of a subscription from one plan to another.

    The row is stored before the engine is called, with every value that is sent; its UUID makes
    the idempotency key. Rows stay: they say at what price a past period was sold.
    """

    __tablename__ = "am_plan_change"
    __table_args__ = (Index("ix_am_plan_change_state", "state"),)

    plan_change_id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(text_id(36), unique=True, default=new_uuid)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("am_tenant.tenant_id"))
    subscription_id: Mapped[int] = mapped_column(
        ForeignKey("am_subscription.subscription_id"), index=True
    )
    from_version_id: Mapped[int] = mapped_column(ForeignKey("am_policy_version.policy_version_id"))
    to_version_id: Mapped[int] = mapped_column(ForeignKey("am_policy_version.policy_version_id"))
    mapping_id: Mapped[int | None] = mapped_column(ForeignKey("am_policy_plan_mapping.mapping_id"))
    """The price, product and meter that are sold from now on; ``None`` for a free plan."""
    at_period_end: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    """Whether a paid plan runs until its period ends, and the free one begins then."""
    new_period: Mapped[bool] = mapped_column()
    """Whether a billing period begins with the change."""
    counted_from: Mapped[datetime] = mapped_column(UtcDateTime)
    """The second from which unused time is credited: that of the preview."""
    asked_by: Mapped[str] = mapped_column(String(255))
    asked_at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now)
    state: Mapped[str] = mapped_column(String(10), default=PlanChangeState.ASKED)
    detail: Mapped[str | None] = mapped_column(String(1024))
    open_key: Mapped[str | None] = mapped_column(text_id(36), unique=True)
    """The subscription's UUID while the change is under way: one at a time."""
    period_start: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Of the period in which the old plan ended."""
    took_effect_at: Mapped[int | None] = mapped_column(BigInteger)
    """Epoch seconds since when the new plan is sold, by the engine's clock."""

    price: Mapped[EnginePrice | None] = relationship(lazy="joined")
    from_version: Mapped[PolicyVersion] = relationship(
        lazy="joined", innerjoin=True, foreign_keys=[from_version_id]
    )
    to_version: Mapped[PolicyVersion] = relationship(
        lazy="joined", innerjoin=True, foreign_keys=[to_version_id]
    )

    @property
    def is_open(self) -> bool:
        """Whether it may still take effect by itself."""
        return self.state in (PlanChangeState.ASKED, PlanChangeState.WAITING)

    @property
    def is_to_free(self) -> bool:
        """Whether what is paid for ends, and the subscription goes on without."""
        return self.from_version.is_commercial and not self.to_version.is_commercial
