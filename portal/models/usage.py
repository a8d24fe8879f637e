"""Usage: calls, the buckets they are counted in, frozen batches, and the job that sends them."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal import clock
from portal.extensions import Model
from portal.models.types import UtcDateTime, long_bytes, new_uuid, text_id

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


class GatewayRevision(Model):
    """One row, raised by every change of an API, an application, a key or a plan.

    Gateways keep decisions in memory, and ask for this number several times a second.
    """

    __tablename__ = "am_gateway_revision"

    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, default=0)


class UsageSpool(Model):
    """A file that a gateway appends calls to, and how far it has been brought into the ledger.

    The offset moves in the transaction that stores what was read, so that two drainers or a crash
    count nothing twice and lose nothing.
    """

    __tablename__ = "am_usage_spool"

    spool_id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(text_id(), unique=True)
    """Machine and file; never used for another file again."""
    offset: Mapped[int] = mapped_column(BigInteger, default=0)
    """Bytes that are in the ledger."""
    drained_at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now)


class UsageSegment(Model):
    """The records of calls as they were read, compressed: the evidence behind the buckets.

    Kept for some months (``usage.KEEP_RECORDS``) and then deleted; the buckets stay.
    """

    __tablename__ = "am_usage_segment"
    __table_args__ = (
        UniqueConstraint("spool_id", "offset"),
        Index("ix_am_usage_segment_first_at_last_at", "first_at", "last_at"),
    )

    segment_id: Mapped[int] = mapped_column(BigId, primary_key=True)
    spool_id: Mapped[int] = mapped_column(ForeignKey("am_usage_spool.spool_id"))
    offset: Mapped[int] = mapped_column(BigInteger)
    """Where in the file it begins."""
    format: Mapped[str] = mapped_column(String(10))
    """How to read the records: ``spool`` or ``nginx``."""
    calls: Mapped[int] = mapped_column(Integer)
    first_at: Mapped[int] = mapped_column(BigInteger)
    """Epoch milliseconds of the earliest call; ``last_at`` of the latest."""
    last_at: Mapped[int] = mapped_column(BigInteger)
    records: Mapped[bytes] = mapped_column(long_bytes())
    """``evidence.packed``, or zlib for ``nginx``."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now, index=True)


class UsageEvent(Model):
    """One call that another gateway or a file reported, so that it is taken in only once."""

    __tablename__ = "am_usage_event"
    __table_args__ = (UniqueConstraint("source", "event_id"),)

    usage_event_id: Mapped[int] = mapped_column(BigId, primary_key=True)
    source: Mapped[str] = mapped_column(text_id(128))
    """Who reported it, as CloudEvents' ``source``."""
    event_id: Mapped[str] = mapped_column(text_id(128))
    """Its id there: the same call is never counted twice."""
    tenant_id: Mapped[int] = mapped_column(ForeignKey("am_tenant.tenant_id"))
    subscription_id: Mapped[int] = mapped_column(
        ForeignKey("am_subscription.subscription_id"), index=True
    )
    key_type: Mapped[str] = mapped_column(String(20))
    method: Mapped[str] = mapped_column(String(10))
    resource: Mapped[str] = mapped_column(String(255))
    status: Mapped[int] = mapped_column(Integer)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    """When the call was answered."""
    counted: Mapped[bool] = mapped_column()
    """Whether it is billable by the written rule: production key, back end answered below 400."""
    received_at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now, index=True)


class UsageBucket(Model):
    """The calls of one subscription that are alike, in one hour of one billing period.

    An hour that holds the end of a billing period is two buckets. Calls that arrive after a batch
    has claimed a bucket go into a further one, which the next batch claims.
    """

    __tablename__ = "am_usage_bucket"
    __table_args__ = (
        Index("ix_am_usage_bucket_subscription_id_starts_at", "subscription_id", "starts_at"),
    )

    bucket_id: Mapped[int] = mapped_column(BigId, primary_key=True)
    digest: Mapped[str] = mapped_column(text_id(32), unique=True)
    """Of everything that makes calls alike, and of ``claim``."""
    tenant_id: Mapped[int] = mapped_column(ForeignKey("am_tenant.tenant_id"))
    subscription_id: Mapped[int] = mapped_column(ForeignKey("am_subscription.subscription_id"))
    period_start: Mapped[int] = mapped_column(BigInteger)
    """Epoch seconds; 0 where no billing period was known."""
    starts_at: Mapped[int] = mapped_column(BigInteger)
    """Epoch seconds of the hour, or of the billing period that begins in it."""
    method: Mapped[str] = mapped_column(String(10))
    resource: Mapped[str] = mapped_column(String(255))
    """The path in the API, as a template: ``/users/{id}``."""
    status: Mapped[int] = mapped_column(Integer)
    key_type: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str] = mapped_column(String(20))
    """Empty for billable calls, else the name of a ``usage.Reason``."""
    claim: Mapped[int] = mapped_column(BigInteger)
    """``first`` of the batch that claims these calls; -1 if none ever will."""
    calls: Mapped[int] = mapped_column(BigInteger)
    bytes: Mapped[int] = mapped_column(BigInteger)
    """Of calls and answers together."""


class UsageTally(Model):
    """How many billable calls a metered subscription made in one billing period.

    The first ``claimed`` of them are in batches, the others are for the next one.
    """

    __tablename__ = "am_usage_tally"
    __table_args__ = (Index("ix_am_usage_tally_open", "tenant_id", "open_since"),)

    subscription_id: Mapped[int] = mapped_column(
        ForeignKey("am_subscription.subscription_id"), primary_key=True
    )
    period_start: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    """Epoch seconds; 0 where no billing period was known."""
    period_end: Mapped[int] = mapped_column(BigInteger)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("am_tenant.tenant_id"))
    counted: Mapped[int] = mapped_column(BigInteger, default=0)
    claimed: Mapped[int] = mapped_column(BigInteger, default=0)
    batches: Mapped[int] = mapped_column(Integer, default=0)
    open_since: Mapped[int | None] = mapped_column(BigInteger)
    """Epoch milliseconds of the earliest call that no batch has claimed; ``None``: all are."""
    open_until: Mapped[int | None] = mapped_column(BigInteger)
    """Epoch milliseconds of the latest such call."""


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
    WRITTEN_OFF = "WRITTEN_OFF"
    """Nothing was sent and nothing will be: a person gave up what no invoice can have."""


class UsageBatch(Model):
    """A frozen number of calls of one subscription inside one billing period."""

    __tablename__ = "am_usage_batch"
    __table_args__ = (
        Index("ix_am_usage_batch_state", "tenant_id", "state"),
        Index("ix_am_usage_batch_acknowledged_at", "tenant_id", "acknowledged_at"),
        UniqueConstraint("subscription_id", "period_start", "first"),
    )

    batch_id: Mapped[int] = mapped_column(BigId, primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("am_tenant.tenant_id"))
    subscription_id: Mapped[int] = mapped_column(
        ForeignKey("am_subscription.subscription_id"), index=True
    )
    number: Mapped[int] = mapped_column(Integer)
    """Counts the batches of the billing period: 1, 2, 3 …"""
    period_start: Mapped[int] = mapped_column(BigInteger, default=0)
    """Of the billing period in which the calls were made; epoch seconds, 0 if none was known."""
    first: Mapped[int] = mapped_column(BigInteger, default=0)
    """How many billable calls of the period lie before this batch's first."""
    identifier: Mapped[str] = mapped_column(text_id(100), unique=True)
    """Sent with the batch (Stripe: unique for at least 24 h). Made of subscription, period and
    ``first``, so that a ledger restored from a backup gives the same calls the same name."""
    connected_account: Mapped[str] = mapped_column(text_id())
    engine_customer_id: Mapped[str] = mapped_column(text_id())
    meter_event_name: Mapped[str] = mapped_column(text_id(100))
    quantity: Mapped[int] = mapped_column(BigInteger)
    first_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_at: Mapped[datetime] = mapped_column(UtcDateTime)
    stamp: Mapped[datetime] = mapped_column(UtcDateTime)
    """The time stamp that is sent: the last call's, or a later one if the batch is late or old."""
    closes_at: Mapped[int] = mapped_column(BigInteger, default=0)
    """End of the billing period that ``stamp`` lies in; epoch seconds, 0 if none was known."""
    late: Mapped[bool] = mapped_column(default=False)
    """The invoice of the calls' own period had been drawn, so the next one has them."""
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
