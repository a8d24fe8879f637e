"""What protects signing in, and what administrators and publishers did."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from portal import clock
from portal.extensions import Model
from portal.models.types import UtcDateTime, text_id


class SignInGuard(Model):
    """How often signing in failed, for one account, one address, or an account at a known place.

    There is a row for names that nobody has, too: an answer must not tell which exist.
    """

    __tablename__ = "am_sign_in_guard"

    guard_key: Mapped[str] = mapped_column(text_id(64), primary_key=True)
    """SHA-256 of what is counted; names and addresses are not readable here."""
    account_key: Mapped[str | None] = mapped_column(text_id(64), index=True)
    """The guard key of the account, so that all of its rows are unlocked together."""
    failures: Mapped[int] = mapped_column(Integer, default=0)
    failed_at: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)
    locked_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    known_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Until when this is a place at which the account has signed in before."""


class EndedSession(Model):
    """A browser session that was ended before its time: a copy of its cookie works no longer."""

    __tablename__ = "am_ended_session"

    session_hash: Mapped[str] = mapped_column(text_id(64), primary_key=True)
    ended_at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now, index=True)


class AuditEntry(Model):
    """One act of an administrator, a publisher or the command line, with what it changed."""

    __tablename__ = "am_audit"
    __table_args__ = (
        Index("ix_am_audit_tenant_id_audit_id", "tenant_id", "audit_id"),
        Index("ix_am_audit_tenant_id_act", "tenant_id", "act"),
    )

    audit_id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("am_tenant.tenant_id"))
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("am_user.user_id", ondelete="SET NULL"))
    actor: Mapped[str] = mapped_column(String(600))
    """The name at that time."""
    address: Mapped[str] = mapped_column(String(64))
    """From where: the network address of the request, or the machine of the command."""
    via: Mapped[str] = mapped_column(String(300))
    """With what: a page, the command line, or the program whose token it was."""
    act: Mapped[str] = mapped_column(text_id(100))
    """The endpoint that was called, such as ``admin.configuration``, or ``flask people add``."""
    path: Mapped[str] = mapped_column(String(500))
    target: Mapped[str] = mapped_column(String(300), default="")
    """What it was done to, in words."""
    request_id: Mapped[str] = mapped_column(text_id(40))
    changes: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    """Per row: what it is, what happened to it, and its fields before and after."""
