"""Notices to subscribers, each of which is its own letter in the outbox; and the local mailbox."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal import clock
from portal.extensions import Model
from portal.models.subscription import Subscription
from portal.models.types import UtcDateTime, new_uuid, text_id


class NoticeKind(StrEnum):
    """What a notice is about."""

    QUOTA_80 = "QUOTA_80"
    QUOTA_100 = "QUOTA_100"
    PAYMENT_FAILED = "PAYMENT_FAILED"
    GRACE_ENDING = "GRACE_ENDING"
    """A number of days of grace is left."""
    ACCESS_STOPPED = "ACCESS_STOPPED"
    """The grace has run out."""
    ACCESS_BACK = "ACCESS_BACK"
    TRIAL_ENDING = "TRIAL_ENDING"
    CANCELLED = "CANCELLED"
    """It ends on a day to come."""
    ENDED = "ENDED"


class MailState(StrEnum):
    """Where the letter of a notice stands."""

    WAITING = "waiting"
    SENDING = "sending"
    """A worker has taken it. If that worker dies, it is taken again after a while."""
    SENT = "sent"
    FAILED = "failed"
    """The mail server refused it for good, or did not take it for three days."""
    NONE = "none"
    """There is no address, or this portal sends no mail."""


class Notice(Model):
    """Something that a subscriber was told. Stored before what it announces may happen.

    ``occasion`` names the quota's window, the payment that failed or the day, so that each is
    told once: kind and occasion are unique for a subscription.
    """

    __tablename__ = "am_notice"
    __table_args__ = (
        UniqueConstraint("subscription_id", "kind", "occasion"),
        Index("ix_am_notice_mail_state", "mail_state", "mail_next_at"),
    )

    notice_id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(text_id(36), unique=True, default=new_uuid)
    """Names the letter too: a letter that is sent again has the same Message-ID."""
    tenant_id: Mapped[int] = mapped_column(ForeignKey("am_tenant.tenant_id"), index=True)
    subscription_id: Mapped[int] = mapped_column(ForeignKey("am_subscription.subscription_id"))
    kind: Mapped[str] = mapped_column(text_id(20))
    occasion: Mapped[str] = mapped_column(text_id(64))
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now)
    subject: Mapped[str] = mapped_column(String(255))
    body: Mapped[str] = mapped_column(Text)
    relevant_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Until when it stands above the pages; ``None``: until it is settled or dismissed."""
    closed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When it was settled, as by a payment, or dismissed by the reader."""

    recipient: Mapped[str | None] = mapped_column(String(320))
    mail_state: Mapped[str] = mapped_column(text_id(10), default=MailState.WAITING)
    mail_attempts: Mapped[int] = mapped_column(Integer, default=0)
    mail_next_at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now)
    """When it is sent, or sent again; while it is being sent, when another worker may take it."""
    mailed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    mail_problem: Mapped[str | None] = mapped_column(String(255))

    subscription: Mapped[Subscription] = relationship(lazy="joined", innerjoin=True)


class Mail(Model):
    """A letter in the local mailbox, where ``MAIL_URL`` names that instead of a mail server."""

    __tablename__ = "am_mail"

    mail_id: Mapped[int] = mapped_column(primary_key=True)
    message_id: Mapped[str] = mapped_column(text_id(255), unique=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("am_tenant.tenant_id"), index=True)
    recipient: Mapped[str] = mapped_column(String(320))
    subject: Mapped[str] = mapped_column(String(255))
    body: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now)
