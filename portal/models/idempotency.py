"""What has been answered to a program that may ask the same again."""

from datetime import datetime

from sqlalchemy import ForeignKey, Integer, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from portal import clock
from portal.extensions import Model
from portal.models.types import UtcDateTime, long_text, text_id


class IdempotentRequest(Model):
    """One request with an Idempotency-Key, and its answer.

    Stored in the transaction of what it made, so that there is never one without the other.
    """

    __tablename__ = "am_idempotent_request"
    __table_args__ = (UniqueConstraint("user_id", "idempotency_key"),)

    idempotent_request_id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("am_tenant.tenant_id"))
    user_id: Mapped[int] = mapped_column(ForeignKey("am_user.user_id"))
    idempotency_key: Mapped[str] = mapped_column(text_id())
    fingerprint: Mapped[str] = mapped_column(text_id(64))
    """SHA-256 of method, address and body: the key stands for this request only."""
    made_sealed: Mapped[str | None] = mapped_column(long_text())
    """What was made, in what its answer is written from; sealed, because it may be a new key."""
    status: Mapped[int | None] = mapped_column(Integer)
    """Of the answer; ``None`` until there is one."""
    answer_sealed: Mapped[str | None] = mapped_column(long_text())
    """Headers and body as JSON."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now, index=True)
