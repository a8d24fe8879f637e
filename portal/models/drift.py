"""Differences between the portal and the billing engine, as the comparisons found them."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from portal import clock
from portal.extensions import Model
from portal.models.types import UtcDateTime, text_id


class DriftState(StrEnum):
    """What became of a difference."""

    OPEN = "open"
    REPAIRED = "repaired"
    GONE = "gone"
    """A later comparison did not find it any more."""
    SETTLED = "settled"
    """A person has put it right in another way."""


class DriftCheck(Model):
    """A tenant's latest comparison with the billing engine."""

    __tablename__ = "am_drift_check"

    tenant_id: Mapped[int] = mapped_column(
        ForeignKey("am_tenant.tenant_id"), primary_key=True, autoincrement=False
    )
    number: Mapped[int] = mapped_column(Integer, default=0)
    """Counts the comparisons; a difference keeps the number of the last that saw it."""
    started_by: Mapped[str] = mapped_column(String(255))
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    found: Mapped[int] = mapped_column(Integer, default=0)
    repaired: Mapped[int] = mapped_column(Integer, default=0)
    error: Mapped[str | None] = mapped_column(Text)


class Drift(Model):
    """One difference, from when it was first found until it is repaired or gone."""

    __tablename__ = "am_drift"
    __table_args__ = (Index("ix_am_drift_tenant_id_state", "tenant_id", "state"),)

    drift_id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True
    )
    tenant_id: Mapped[int] = mapped_column(ForeignKey("am_tenant.tenant_id"))
    open_key: Mapped[str | None] = mapped_column(text_id(64), unique=True)
    """Digest of what differs while it does, so that it stands here once; empty afterwards."""
    kind: Mapped[str] = mapped_column(String(40))
    account: Mapped[str | None] = mapped_column(text_id())
    subject: Mapped[str] = mapped_column(text_id())
    """Our UUID or the engine's id of what differs."""
    here: Mapped[str] = mapped_column(Text)
    there: Mapped[str] = mapped_column(Text)
    since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    risk: Mapped[str] = mapped_column(String(10))
    """high, medium or low."""
    danger: Mapped[str] = mapped_column(Text)
    """What it does to people and money, in words."""
    proposal: Mapped[str] = mapped_column(Text)
    repairable: Mapped[bool] = mapped_column()
    """Whether pressing Repair does what is proposed; otherwise a person does."""
    state: Mapped[str] = mapped_column(String(10), default=DriftState.OPEN)
    problem: Mapped[str | None] = mapped_column(Text)
    """Why the last repair did not succeed."""
    found_at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now)
    seen_by: Mapped[int] = mapped_column(Integer)
    """Number of the last comparison that saw it."""
    settled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    settled_by: Mapped[str | None] = mapped_column(String(255))
