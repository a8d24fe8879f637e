"""Payments that go back to who paid them."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal import clock
from portal.extensions import Model
from portal.models.subscription import Subscription
from portal.models.types import UtcDateTime, new_uuid, text_id


class RefundStatus(StrEnum):
    """Where a refund stands."""

    DUE = "DUE"
    """The worker repeats it until the engine has answered."""
    DONE = "DONE"
    REFUSED = "REFUSED"
    """The engine said no: somebody must look."""


class Refund(Model):
    """What was paid for one subscription at the engine, to be paid back in full.

    Stored in the transaction that decides it, before the engine is asked; the UUID makes the
    idempotency key. One for each subscription at the engine, so that nothing goes back twice.
    """

    __tablename__ = "am_refund"

    refund_id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(text_id(36), unique=True, default=new_uuid)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("am_tenant.tenant_id"))
    am_subscription_id: Mapped[int] = mapped_column(
        ForeignKey("am_subscription.subscription_id"), index=True
    )
    engine_subscription_id: Mapped[str] = mapped_column(text_id(), unique=True)
    connected_account: Mapped[str] = mapped_column(text_id())
    because: Mapped[str] = mapped_column(String(1024))
    """Why it goes back, in words for both portals."""
    status: Mapped[str] = mapped_column(String(20), default=RefundStatus.DUE, index=True)
    amount_minor: Mapped[int | None] = mapped_column(BigInteger)
    """What went back, once the engine has said it; 0 where nothing had been charged."""
    currency: Mapped[str | None] = mapped_column(String(3))
    error: Mapped[str | None] = mapped_column(String(1024))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now)
    done_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    subscription: Mapped[Subscription] = relationship(lazy="joined", innerjoin=True)
