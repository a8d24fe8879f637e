"""Attempts to pay, and the workflow that waits for them."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal import clock
from portal.extensions import Model
from portal.models.customer import SharedCustomer
from portal.models.offer import EnginePrice
from portal.models.plan_change import PlanChange
from portal.models.types import DecimalText, UtcDateTime, new_uuid, text_id


class CheckoutStatus(StrEnum):
    """Where an attempt stands."""

    PENDING = "PENDING"
    COMPLETED = "COMPLETED"
    EXPIRED = "EXPIRED"


class CheckoutAttempt(Model):
    """One attempt to pay for a subscription: the seed's AM_STRIPE_CHECKOUT_SESSIONS.

    The row comes first, with every value that is sent, and its UUID makes the idempotency key:
    repeating the call is the same call. ``session_id`` is filled in from the answer.
    """

    __tablename__ = "am_stripe_checkout_sessions"

    attempt_id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(text_id(36), unique=True, default=new_uuid)
    session_id: Mapped[str | None] = mapped_column(text_id(), unique=True)
    am_subscription_id: Mapped[int] = mapped_column(
        ForeignKey("am_subscription.subscription_id"), index=True
    )
    workflow_reference: Mapped[str] = mapped_column(text_id())
    subscriber_id: Mapped[int] = mapped_column(ForeignKey("am_user.user_id"))
    tenant_id: Mapped[int] = mapped_column(ForeignKey("am_tenant.tenant_id"))
    api_uuid: Mapped[str] = mapped_column(text_id(36))
    connected_account: Mapped[str] = mapped_column(text_id())
    customer_id: Mapped[int] = mapped_column(ForeignKey("am_monetization_shared_customers.id"))
    mapping_id: Mapped[int] = mapped_column(ForeignKey("am_policy_plan_mapping.mapping_id"))
    success_url: Mapped[str] = mapped_column(Text)
    cancel_url: Mapped[str] = mapped_column(Text)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    """24 hours after the attempt was stored; sent with it, so that a retry is the same call."""
    checkout_url: Mapped[str | None] = mapped_column(Text)
    """Stripe: up to 5,000 characters, only while the page is open."""
    status: Mapped[str] = mapped_column(String(20), default=CheckoutStatus.PENDING)
    fee_percent: Mapped[Decimal | None] = mapped_column(DecimalText)
    """The platform's part of each payment, as it was when the attempt was stored."""
    plan_change_id: Mapped[int | None] = mapped_column(ForeignKey("am_plan_change.plan_change_id"))
    """The change from a free plan that is paid for; ``None``: the subscription itself is."""
    open_key: Mapped[str | None] = mapped_column(text_id(36), unique=True)
    """The subscription's UUID while the attempt is open: one open page per subscription."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now, onupdate=clock.now)

    customer: Mapped[SharedCustomer] = relationship(lazy="joined", innerjoin=True)
    price: Mapped[EnginePrice] = relationship(lazy="joined", innerjoin=True)
    plan_change: Mapped[PlanChange | None] = relationship(lazy="select")


class WorkflowStatus(StrEnum):
    """Where a workflow stands, as WSO2 names it."""

    CREATED = "CREATED"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"


class Workflow(Model):
    """Something that waits for a payment or an approval (WSO2: AM_WORKFLOWS)."""

    __tablename__ = "am_workflows"

    wf_id: Mapped[int] = mapped_column(primary_key=True)
    wf_reference: Mapped[str] = mapped_column(text_id(), index=True)
    """The subscription's number as text, as in WSO2."""
    wf_external_reference: Mapped[str] = mapped_column(text_id(), unique=True, default=new_uuid)
    wf_type: Mapped[str] = mapped_column(String(60))
    wf_status: Mapped[str] = mapped_column(String(20), default=WorkflowStatus.CREATED)
    wf_status_desc: Mapped[str | None] = mapped_column(String(1000))
    wf_created_time: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now)
    wf_updated_time: Mapped[datetime | None] = mapped_column(UtcDateTime, onupdate=clock.now)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("am_tenant.tenant_id"))
    tenant_domain: Mapped[str] = mapped_column(text_id())
