"""Applications, and the keys with which they call."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal import clock
from portal.extensions import Model
from portal.models.types import UtcDateTime, new_uuid, text_id
from portal.models.user import User


class KeyType(StrEnum):
    """What a key is for. Only production calls are billed."""

    PRODUCTION = "PRODUCTION"
    SANDBOX = "SANDBOX"


class Application(Model):
    """What subscribes and calls: one program of one developer."""

    __tablename__ = "am_application"
    __table_args__ = (UniqueConstraint("owner_id", "live_name"),)

    application_id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(text_id(36), unique=True, default=new_uuid)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("am_tenant.tenant_id"))
    owner_id: Mapped[int] = mapped_column(ForeignKey("am_user.user_id"))
    name: Mapped[str] = mapped_column(text_id(128))
    live_name: Mapped[str | None] = mapped_column(
        text_id(128), default=lambda context: context.get_current_parameters()["name"]
    )
    """The name while the application lives, so that a deleted one's name is free again."""
    description: Mapped[str] = mapped_column(String(1024), default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now)
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Set instead of deleting, so that what was used is still billed and explained."""

    owner: Mapped[User] = relationship(lazy="joined", innerjoin=True)
    keys: Mapped[list["ApplicationKey"]] = relationship(
        back_populates="application", order_by="ApplicationKey.created_at", lazy="select"
    )


class ApplicationMember(Model):
    """A person who shares an application with its owner."""

    __tablename__ = "am_application_member"

    application_id: Mapped[int] = mapped_column(
        ForeignKey("am_application.application_id", ondelete="CASCADE"), primary_key=True
    )
    user_id: Mapped[int] = mapped_column(
        ForeignKey("am_user.user_id", ondelete="CASCADE"), primary_key=True, index=True
    )
    added_by_id: Mapped[int] = mapped_column(ForeignKey("am_user.user_id"))
    added_at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now)

    user: Mapped[User] = relationship(lazy="joined", innerjoin=True, foreign_keys=[user_id])


class ApplicationKey(Model):
    """A key of an application. Shown once when made; only its SHA-256 is kept."""

    __tablename__ = "am_application_key"

    key_id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(text_id(36), unique=True, default=new_uuid)
    application_id: Mapped[int] = mapped_column(
        ForeignKey("am_application.application_id", ondelete="CASCADE"), index=True
    )
    key_type: Mapped[str] = mapped_column(String(20))
    key_hash: Mapped[str] = mapped_column(text_id(64), unique=True)
    prefix: Mapped[str] = mapped_column(String(20))
    """The first characters, by which a person recognises the key."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """From this moment the key no longer works; it may lie ahead while a key is rotated."""

    application: Mapped[Application] = relationship(back_populates="keys", lazy="select")

    def works_at(self, moment: datetime) -> bool:
        """Whether the key is accepted at ``moment``."""
        return self.revoked_at is None or moment < self.revoked_at
