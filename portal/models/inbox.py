"""The inbox: every genuine webhook event, once, with what it changed."""

import json
import zlib
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from portal import clock
from portal.extensions import Model
from portal.models.types import UtcDateTime, long_bytes, text_id


class Outcome(StrEnum):
    """What became of an event."""

    APPLIED = "applied"
    STALE = "stale"
    """Older than what was known: no effect."""
    REFRESHED = "refreshed"
    """The object's present state was read at the engine and applied instead."""
    IGNORED = "ignored"
    """Genuine, but not for us: another type, account or mode."""
    PARKED = "parked"
    """About something not known yet; tried again."""
    FAILED = "failed"
    DEAD = "dead"
    """Given up after eight tries; a person decides."""


class InboxEvent(Model):
    """A webhook event, stored in the same transaction as its effect."""

    __tablename__ = "am_stripe_event"
    __table_args__ = (
        UniqueConstraint("tenant_id", "event_id"),
        Index("ix_am_stripe_event_outcome_next_try_at", "outcome", "next_try_at"),
    )

    inbox_id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True
    )
    tenant_id: Mapped[int] = mapped_column(ForeignKey("am_tenant.tenant_id"))
    event_id: Mapped[str] = mapped_column(text_id())
    type: Mapped[str] = mapped_column(String(100))
    account: Mapped[str | None] = mapped_column(text_id())
    livemode: Mapped[bool] = mapped_column()
    created: Mapped[int] = mapped_column(BigInteger)
    received_at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now)
    payload_zlib: Mapped[bytes] = mapped_column(long_bytes())
    outcome: Mapped[str] = mapped_column(String(20))
    detail: Mapped[str] = mapped_column(String(1024), default="")
    """Why this outcome, in words."""
    status_before: Mapped[str | None] = mapped_column(String(30))
    status_after: Mapped[str | None] = mapped_column(String(30))
    am_subscription_id: Mapped[int | None] = mapped_column(
        ForeignKey("am_subscription.subscription_id"), index=True
    )
    deliveries: Mapped[int] = mapped_column(Integer, default=1)
    attempts: Mapped[int] = mapped_column(Integer, default=1)
    next_try_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    @staticmethod
    def pack(payload: bytes) -> bytes:
        """Compress an event's raw body for storage."""
        return zlib.compress(payload, 6)

    @property
    def payload(self) -> dict[str, Any]:
        """The event's body."""
        body: dict[str, Any] = json.loads(zlib.decompress(self.payload_zlib))
        return body
