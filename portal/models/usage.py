"""Usage: each call, the frozen batches made of calls, and the job that publishes them."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal import clock
from portal.extensions import Model
from portal.models.types import UtcDateTime, new_uuid, text_id

BigId = BigInteger().with_variant(Integer, "sqlite")


class QuotaUse(Model):
    """How much of a limit a subscription has used in the window that runs now.

    One row for each limit and not for each window, so that nothing has to be cleaned up.
    """

    __tablename__ = "am_quota_use"

    subscription_id: Mapped[int] = mapped_column(
        ForeignKey("am_subscription.subscription_id"), primary_key=True
    )
    kind: Mapped[str] = mapped_column(String(10), primary_key=True)
    """quota or burst."""
    used: Mapped[int] = mapped_column(BigInteger)
    window_start: Mapped[int] = mapped_column(BigInteger)
    """Epoch seconds."""


class UsageEvent(Model):
    """One call at the gateway, stored before it is answered."""

    __tablename__ = "am_usage_event"
    __table_args__ = (
        Index("ix_am_usage_event_unclaimed", "subscription_id", "batch_id", "counted", "at"),
    )

    usage_event_id: Mapped[int] = mapped_column(BigId, primary_key=True)
    event_id: Mapped[str] = mapped_column(text_id(), unique=True)
    """The call's correlation id: the same call is never stored twice."""
    tenant_id: Mapped[int] = mapped_column(ForeignKey("am_tenant.tenant_id"))
    subscription_id: Mapped[int] = mapped_column(ForeignKey("am_subscription.subscription_id"))
    key_type: Mapped[str] = mapped_column(String(20))
    method: Mapped[str] = mapped_column(String(10))
    resource: Mapped[str] = mapped_column(String(255))
    status: Mapped[int] = mapped_column(Integer)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    """When the call was answered."""
    counted: Mapped[bool] = mapped_column()
    """Whether it is billable by the written rule: production key, back end answered below 400."""
    batch_id: Mapped[int | None] = mapped_column(ForeignKey("am_usage_batch.batch_id"))
    """The batch that claimed it, for ever."""


class BatchState(StrEnum):
    """Where a batch stands on its way to the billing engine."""

    FROZEN = "FROZEN"
    """Its quantity will never change; not sent yet."""
    SENDING = "SENDING"
    """About to be sent, or sent without an answer: sent again unchanged."""
    ACKNOWLEDGED = "ACKNOWLEDGED"
    UNKNOWN = "UNKNOWN"
    """Without an answer for longer than the engine remembers identifiers: never sent blindly."""
    REFUSED = "REFUSED"
    """The engine refused for good; ``error`` says why."""


class UsageBatch(Model):
    """A frozen number of calls of one subscription inside one billing period."""

    __tablename__ = "am_usage_batch"
    __table_args__ = (Index("ix_am_usage_batch_state", "tenant_id", "state"),)

    batch_id: Mapped[int] = mapped_column(BigId, primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("am_tenant.tenant_id"))
    subscription_id: Mapped[int] = mapped_column(
        ForeignKey("am_subscription.subscription_id"), index=True
    )
    number: Mapped[int] = mapped_column(Integer)
    """Counts the subscription's batches: 1, 2, 3 …"""
    identifier: Mapped[str] = mapped_column(text_id(100), unique=True)
    """Sent with the batch (Stripe: unique for at least 24 h)."""
    connected_account: Mapped[str] = mapped_column(text_id())
    engine_customer_id: Mapped[str] = mapped_column(text_id())
    meter_event_name: Mapped[str] = mapped_column(text_id(100))
    quantity: Mapped[int] = mapped_column(BigInteger)
    first_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_at: Mapped[datetime] = mapped_column(UtcDateTime)
    """The last call's time: the time stamp that is sent, inside the billing period."""
    state: Mapped[str] = mapped_column(String(20), default=BatchState.FROZEN)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    first_sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    acknowledged_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    receipt: Mapped[str | None] = mapped_column(text_id())
    """The engine's request id of the acknowledgement."""
    error: Mapped[str | None] = mapped_column(Text)
    retryable: Mapped[bool] = mapped_column(default=False)
    """Refused for want of access: the next run asks again."""
    run_id: Mapped[int | None] = mapped_column(ForeignKey("am_usage_publish_run.run_id"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now)


class PublishRun(Model):
    """One run of the publish job, with its totals."""

    __tablename__ = "am_usage_publish_run"

    run_id: Mapped[int] = mapped_column(BigId, primary_key=True)
    uuid: Mapped[str] = mapped_column(text_id(36), unique=True, default=new_uuid)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("am_tenant.tenant_id"), index=True)
    started_by: Mapped[str] = mapped_column(String(255))
    started_at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    status: Mapped[str] = mapped_column(String(20))
    """INPROGRESS, SUCCESSFUL, UNSUCCESSFUL or FAILED."""
    until: Mapped[datetime] = mapped_column(UtcDateTime)
    """Calls up to this moment are published."""
    batches: Mapped[int] = mapped_column(Integer, default=0)
    calls: Mapped[int] = mapped_column(BigInteger, default=0)
    failures: Mapped[int] = mapped_column(Integer, default=0)
    error: Mapped[str | None] = mapped_column(Text)


class UsagePublisher(Model):
    """The publish job of a tenant, as WSO2's AM_MONETIZATION_USAGE_PUBLISHER, with a lease.

    The lease is what makes one run at a time: taken by a guarded UPDATE, renewed while the run
    works, and free again when a crashed run lets it expire.
    """

    __tablename__ = "am_monetization_usage_publisher"

    id: Mapped[str] = mapped_column(text_id(100), primary_key=True)
    """The tenant's domain."""
    tenant_id: Mapped[int] = mapped_column(ForeignKey("am_tenant.tenant_id"), unique=True)
    state: Mapped[str] = mapped_column(String(20))
    status: Mapped[str] = mapped_column(String(20))
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    published_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    run_id: Mapped[int | None] = mapped_column(ForeignKey("am_usage_publish_run.run_id"))
    lease_owner: Mapped[str | None] = mapped_column(text_id(64))
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)

    run: Mapped[PublishRun | None] = relationship(lazy="joined")
