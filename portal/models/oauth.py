"""OAuth clients and tokens. Secrets and tokens are kept as hashes only."""

from datetime import datetime

from sqlalchemy import JSON, Boolean, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal import clock
from portal.extensions import Model
from portal.models.tenant import Tenant
from portal.models.types import UtcDateTime, text_id
from portal.models.user import User


class OAuthClient(Model):
    """A program that may ask for tokens (WSO2: a registered OAuth application)."""

    __tablename__ = "am_oauth_client"

    oauth_client_id: Mapped[int] = mapped_column(primary_key=True)
    client_id: Mapped[str] = mapped_column(text_id(64), unique=True)
    client_secret_hash: Mapped[str] = mapped_column(String(255))
    tenant_id: Mapped[int] = mapped_column(ForeignKey("am_tenant.tenant_id"))
    owner_id: Mapped[int] = mapped_column(ForeignKey("am_user.user_id"))
    client_name: Mapped[str] = mapped_column(String(255))
    grant_types: Mapped[list[str]] = mapped_column(JSON, default=list)
    redirect_uris: Mapped[list[str]] = mapped_column(JSON, default=list)
    saas_app: Mapped[bool] = mapped_column(Boolean, default=False)
    """Whether people of every tenant may use it, rather than of its own tenant only."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now)

    tenant: Mapped[Tenant] = relationship(lazy="joined", innerjoin=True)


class OAuthToken(Model):
    """An access token, with its refresh token if there is one."""

    __tablename__ = "am_oauth_token"

    token_id: Mapped[int] = mapped_column(primary_key=True)
    oauth_client_id: Mapped[int] = mapped_column(
        ForeignKey("am_oauth_client.oauth_client_id", ondelete="CASCADE")
    )
    user_id: Mapped[int | None] = mapped_column(ForeignKey("am_user.user_id"))
    access_token_hash: Mapped[str] = mapped_column(text_id(64), unique=True)
    refresh_token_hash: Mapped[str | None] = mapped_column(text_id(64), unique=True)
    scope: Mapped[str] = mapped_column(Text, default="")
    issued_at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    client: Mapped[OAuthClient] = relationship(lazy="joined", innerjoin=True)
    user: Mapped[User | None] = relationship(lazy="joined")
