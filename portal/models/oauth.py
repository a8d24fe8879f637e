"""OAuth clients, codes, tokens and keys. Secrets and tokens are kept as hashes only."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Boolean, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal import clock
from portal.extensions import Model
from portal.models.tenant import Tenant
from portal.models.types import UtcDateTime, new_uuid, text_id
from portal.models.user import User
from portal.vault import vault


class OAuthClient(Model):
    """A program that may ask for tokens (WSO2: a registered OAuth application)."""

    __tablename__ = "am_oauth_client"

    oauth_client_id: Mapped[int] = mapped_column(primary_key=True)
    client_id: Mapped[str] = mapped_column(text_id(64), unique=True)
    client_secret_hash: Mapped[str | None] = mapped_column(String(255))
    """``None`` for a public client, which can keep no secret and proves itself by PKCE alone."""
    tenant_id: Mapped[int] = mapped_column(ForeignKey("am_tenant.tenant_id"))
    owner_id: Mapped[int] = mapped_column(ForeignKey("am_user.user_id"))
    client_name: Mapped[str] = mapped_column(String(255))
    grant_types: Mapped[list[str]] = mapped_column(JSON, default=list)
    redirect_uris: Mapped[list[str]] = mapped_column(JSON, default=list)
    saas_app: Mapped[bool] = mapped_column(Boolean, default=False)
    """Whether people of every tenant may use it, rather than of its own tenant only."""
    trusted: Mapped[bool] = mapped_column(Boolean, default=False)
    """Whether it is a part of this portal, so that nobody is asked for consent."""
    application_id: Mapped[int | None] = mapped_column(
        ForeignKey("am_application.application_id", ondelete="CASCADE"), index=True
    )
    """The application whose calls at the gateway its tokens are for, if it is for that."""
    key_type: Mapped[str | None] = mapped_column(String(20))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now)

    tenant: Mapped[Tenant] = relationship(lazy="joined", innerjoin=True)
    owner: Mapped[User] = relationship(lazy="select")

    @property
    def is_public(self) -> bool:
        """Whether it has no secret."""
        return self.client_secret_hash is None


class OAuthCode(Model):
    """An authorization code: works once, for a minute, for the client that asked."""

    __tablename__ = "am_oauth_code"

    code_id: Mapped[int] = mapped_column(primary_key=True)
    code_hash: Mapped[str] = mapped_column(text_id(64), unique=True)
    oauth_client_id: Mapped[int] = mapped_column(
        ForeignKey("am_oauth_client.oauth_client_id", ondelete="CASCADE")
    )
    user_id: Mapped[int] = mapped_column(ForeignKey("am_user.user_id"))
    family: Mapped[str] = mapped_column(text_id(36), default=new_uuid)
    """The family of the tokens that it is exchanged for."""
    redirect_uri: Mapped[str] = mapped_column(Text)
    scope: Mapped[str] = mapped_column(Text, default="")
    nonce: Mapped[str | None] = mapped_column(Text)
    code_challenge: Mapped[str] = mapped_column(String(128))
    """What the verifier must hash to; always S256."""
    authenticated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    """When the person last proved who they are (``auth_time``)."""
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    user: Mapped[User] = relationship(lazy="joined", innerjoin=True)


class OAuthToken(Model):
    """An access token, with its refresh token if there is one."""

    __tablename__ = "am_oauth_token"

    token_id: Mapped[int] = mapped_column(primary_key=True)
    oauth_client_id: Mapped[int] = mapped_column(
        ForeignKey("am_oauth_client.oauth_client_id", ondelete="CASCADE")
    )
    user_id: Mapped[int | None] = mapped_column(ForeignKey("am_user.user_id"))
    family: Mapped[str | None] = mapped_column(text_id(36), index=True)
    """All tokens that come from one sign-in; ended together when one is used twice."""
    access_token_hash: Mapped[str] = mapped_column(text_id(64), unique=True)
    refresh_token_hash: Mapped[str | None] = mapped_column(text_id(64), unique=True)
    scope: Mapped[str] = mapped_column(Text, default="")
    issued_at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    refresh_expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """The family's last moment: renewing does not put it off."""
    refreshed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When the refresh token was used; using it once more is a theft."""
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    client: Mapped[OAuthClient] = relationship(lazy="joined", innerjoin=True)
    user: Mapped[User | None] = relationship(lazy="joined")


class SigningKey(Model):
    """A key that signs id tokens. The newest signs; the others are published until they end."""

    __tablename__ = "am_oauth_key"

    key_id: Mapped[int] = mapped_column(primary_key=True)
    kid: Mapped[str] = mapped_column(text_id(64), unique=True)
    private_key_sealed: Mapped[str] = mapped_column(Text)
    public_jwk: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now)
    retired_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """From this moment it is not published any more."""

    @property
    def private_key(self) -> str:
        """The private key in PEM."""
        return vault.open(f"signing:{self.kid}", self.private_key_sealed)

    @private_key.setter
    def private_key(self, pem: str) -> None:
        self.private_key_sealed = vault.seal(f"signing:{self.kid}", pem)


class SystemApp(Model):
    """A part of this portal that is a client of its authorization server (WSO2: AM_SYSTEM_APPS)."""

    __tablename__ = "am_system_apps"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(text_id(50), unique=True)
    oauth_client_id: Mapped[int] = mapped_column(
        ForeignKey("am_oauth_client.oauth_client_id", ondelete="CASCADE")
    )
    consumer_secret_sealed: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now)

    client: Mapped[OAuthClient] = relationship(lazy="joined", innerjoin=True)

    @property
    def consumer_secret(self) -> str:
        """The client secret, which this part has to show."""
        return vault.open(f"system:{self.name}", self.consumer_secret_sealed)

    @consumer_secret.setter
    def consumer_secret(self, value: str) -> None:
        self.consumer_secret_sealed = vault.seal(f"system:{self.name}", value)
