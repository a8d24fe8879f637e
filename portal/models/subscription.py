"""Subscriptions and their timeline.

Nothing assigns a fact but ``services/subscriptions.py``, which writes the cause to the timeline
in the same transaction; the database refuses facts that no line of the timeline states.
"""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal import clock
from portal.extensions import Model
from portal.models.api import Api
from portal.models.application import Application
from portal.models.facts import (
    FACTS,
    Approval,
    Billing,
    Block,
    Facts,
    Status,
    columns_of,
    facts_of,
    in_force,
    status_of,
)
from portal.models.policy import PolicyVersion
from portal.models.types import UtcDateTime, database_epoch, new_uuid, text_id

#: What a subscription is asked for together with its facts.
__all__ = (
    "FACTS", "UNKNOWN", "Approval", "Billing", "Block", "Facts", "Status", "Subscription",
    "TimelineEntry", "columns_of", "facts_of", "in_force", "status_of",
)  # fmt: skip

#: Later than any call: ``billed_from`` of a plan that has just been paid.
UNKNOWN = 2**62


class Subscription(Model):
    """One application's subscription to one API under one version of a plan."""

    __tablename__ = "am_subscription"
    __table_args__ = (
        Index("ix_am_subscription_api_id_ended_at", "api_id", "ended_at"),
        Index("ix_am_subscription_application_id_ended_at", "application_id", "ended_at"),
        Index("ix_am_subscription_tenant_id_approval", "tenant_id", "approval"),
        ForeignKeyConstraint(
            ["uuid", "line", *FACTS],
            [f"am_subscription_timeline.{name}" for name in ("subscription_uuid", "line", *FACTS)],
            name="fk_am_subscription_facts",
        ),
    )

    subscription_id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(text_id(36), unique=True, default=new_uuid)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("am_tenant.tenant_id"), index=True)
    api_id: Mapped[int] = mapped_column(ForeignKey("am_api.api_id"))
    application_id: Mapped[int] = mapped_column(ForeignKey("am_application.application_id"))
    policy_version_id: Mapped[int] = mapped_column(
        ForeignKey("am_policy_version.policy_version_id")
    )
    live_key: Mapped[str | None] = mapped_column(text_id(64), unique=True)
    """``application:api`` while the subscription lives, so that there is never a second one."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now)

    # Facts. Changed by services/subscriptions.py only.
    line: Mapped[int] = mapped_column(Integer, default=1)
    """Number of the newest line of the timeline. A foreign key says that it states these facts."""
    billing: Mapped[str] = mapped_column(text_id(20))
    publisher_block: Mapped[str] = mapped_column(text_id(20), default=Block.NONE)
    approval: Mapped[str] = mapped_column(text_id(20), default=Approval.NOT_REQUIRED)
    plan_change_pending: Mapped[bool] = mapped_column(default=False)
    end_requested: Mapped[bool] = mapped_column(default=False)

    # What belongs to a fact.
    pending_policy_version_id: Mapped[int | None] = mapped_column(
        ForeignKey("am_policy_version.policy_version_id")
    )
    """Which version of a plan was asked for, while a change of plan is pending."""
    plan_since: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    """Epoch seconds of the billing period in which the present plan began; 0: the first.
    Calls from before were sold under another plan, whose invoice is drawn."""
    billed_from: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    """Epoch seconds; calls from before were made on a free plan. ``UNKNOWN``: none is billed
    until the first period of the paid plan is known."""
    end_requested_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # What the billing engine last said. Changed by services/billing_events.py only.
    connected_account: Mapped[str | None] = mapped_column(text_id())
    """The account that this subscription was sold through; events of others are ignored."""
    engine_subscription_id: Mapped[str | None] = mapped_column(text_id(), unique=True)
    engine_status: Mapped[str | None] = mapped_column(String(30))
    engine_at: Mapped[int] = mapped_column(BigInteger, default=0)
    """Epoch seconds of the newest snapshot that was applied; older ones change nothing."""
    refresh_due: Mapped[bool] = mapped_column(default=False, index=True)
    """Two snapshots tied or disagreed: the worker reads the present state at the engine."""
    refresh_failed_at: Mapped[int] = mapped_column(BigInteger, default=0)
    """Epoch seconds of the last refresh that got no answer; those go last."""
    period_start: Mapped[datetime | None] = mapped_column(UtcDateTime)
    period_end: Mapped[datetime | None] = mapped_column(UtcDateTime)
    trial_start: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Beginning of the free trial, past or present; ``trial_end`` is when the first paid period
    begins. Calls made before it are not billed."""
    trial_end: Mapped[datetime | None] = mapped_column(UtcDateTime)
    cancel_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When it ends by itself, because somebody cancelled it for later."""
    # The grace after a failed payment. Changed by services/subscriptions.py and notices.py only.
    arrears_line: Mapped[int | None] = mapped_column(Integer)
    """The line with which the present arrears began; its notices are named after it."""
    access_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Until when calls go on without a payment, as the subscriber was told."""
    stops_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """The same moment, once every notice that the tenant asks for is stored. Only this stops."""
    needs_authentication: Mapped[bool] = mapped_column(default=False)
    """The bank wants the payer to confirm; ``pay_url`` is where."""
    pay_url: Mapped[str | None] = mapped_column(Text)
    """Hosted page of the invoice that is open, while one is."""
    revision: Mapped[int] = mapped_column(Integer, default=1)
    changed_at: Mapped[int] = mapped_column(
        BigInteger, default=database_epoch(), onupdate=database_epoch(), index=True
    )
    """When the row was last written, by the database's clock: gateways look for it."""

    api: Mapped[Api] = relationship(lazy="joined", innerjoin=True)
    application: Mapped[Application] = relationship(lazy="joined", innerjoin=True)
    policy_version: Mapped[PolicyVersion] = relationship(
        lazy="joined", innerjoin=True, foreign_keys=[policy_version_id]
    )
    pending_version: Mapped[PolicyVersion | None] = relationship(
        lazy="selectin", foreign_keys=[pending_policy_version_id], viewonly=True
    )
    __mapper_args__ = {"version_id_col": revision}  # noqa: RUF012 - SQLAlchemy's own way

    @property
    def facts(self) -> Facts:
        """The facts as one value."""
        return facts_of(self)

    @property
    def facts_in_force(self) -> Facts:
        """The facts as they hold at this moment, which no line may say yet."""
        return in_force(self.facts, self.stops_at, clock.now())

    @property
    def status(self) -> Status:
        """WSO2's status, derived."""
        return status_of(self.facts_in_force)

    @property
    def is_commercial(self) -> bool:
        """Whether it is billed: decided by what was sold, never by the API's present setting."""
        return self.policy_version.is_commercial

    @property
    def has_invoices(self) -> bool:
        """Whether View Invoice is offered: it is billed, or was before its present free plan.

        A free plan that began with a billing period followed a paid one.
        """
        return self.is_commercial or self.plan_since > 0

    @property
    def plan_name(self) -> str:
        """The name of the plan that was sold."""
        return self.policy_version.policy.name

    @property
    def can_pay(self) -> bool:
        """Whether Complete Payment is offered."""
        return self.status is Status.ON_HOLD and self.facts.billing is Billing.PENDING

    @property
    def can_pay_change(self) -> bool:
        """Whether it works on its free plan, and a paid one waits for its payment."""
        waits = self.billing == Billing.NOT_REQUIRED and self.plan_change_pending
        return waits and self.status is Status.TIER_UPDATE_PENDING

    @property
    def can_change_plan(self) -> bool:
        """Whether Change plan is offered."""
        free = self.billing == Billing.NOT_REQUIRED and not self.is_commercial
        return self.is_billed or (free and self.ended_at is None)

    @property
    def wanted_plan(self) -> str | None:
        """The plan that was asked for, as people know it, while a change is pending."""
        wanted = self.pending_version
        return wanted.policy.display_name if wanted else None

    @property
    def goes_free(self) -> bool:
        """Whether it goes on with a free plan when what is paid for ends."""
        wanted = self.pending_version
        return self.plan_change_pending and wanted is not None and not wanted.is_commercial

    @property
    def can_try_again(self) -> bool:
        """Whether Try again is offered."""
        facts = self.facts
        return facts.billing is Billing.LAPSED and facts.approval is not Approval.REJECTED

    @property
    def is_billed(self) -> bool:
        """Whether the engine has a subscription that runs."""
        return self.engine_subscription_id is not None and self.ended_at is None

    @property
    def can_manage_billing(self) -> bool:
        """Whether there is something to see in the Customer Portal."""
        return self.is_billed


class TimelineEntry(Model):
    """One change of a subscription, and its cause. Never changed or deleted.

    It is stored before the subscription says so: what is stored there must stand in a line here.
    """

    __tablename__ = "am_subscription_timeline"
    __table_args__ = (
        UniqueConstraint("subscription_uuid", "line"),
        UniqueConstraint(
            "subscription_uuid", "line", *FACTS, name="uq_am_subscription_timeline_facts"
        ),
    )

    entry_id: Mapped[int] = mapped_column(primary_key=True)
    subscription_uuid: Mapped[str] = mapped_column(text_id(36))
    """Whose line; the subscription itself is stored after its first line."""
    line: Mapped[int] = mapped_column(Integer)
    """1 for the oldest."""
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now)
    move: Mapped[str] = mapped_column(String(40))
    status_before: Mapped[str | None] = mapped_column(String(30))
    status_after: Mapped[str] = mapped_column(String(30))
    billing: Mapped[str] = mapped_column(text_id(20))
    publisher_block: Mapped[str] = mapped_column(text_id(20))
    approval: Mapped[str] = mapped_column(text_id(20))
    plan_change_pending: Mapped[bool] = mapped_column()
    end_requested: Mapped[bool] = mapped_column()
    because: Mapped[str] = mapped_column(String(1024))
    """The cause in words, for both portals."""
    actor: Mapped[str] = mapped_column(String(255))
    """A user's name, ``stripe``, ``worker`` or ``command``."""
    stripe_event_id: Mapped[str | None] = mapped_column(text_id())

    @property
    def facts(self) -> Facts:
        """The facts after this change."""
        return facts_of(self)
