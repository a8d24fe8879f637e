"""A tenant's own identity provider, and who its people are there."""

from datetime import datetime

from sqlalchemy import JSON, Boolean, ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal import clock
from portal.extensions import Model
from portal.models.tenant import Tenant
from portal.models.types import UtcDateTime, text_id
from portal.models.user import User
from portal.vault import mask, vault


class IdentityProvider(Model):
    """Where the people of a tenant sign in, instead of with a password of this portal."""

    __tablename__ = "am_identity_provider"

    tenant_id: Mapped[int] = mapped_column(
        ForeignKey("am_tenant.tenant_id"), primary_key=True, autoincrement=False
    )
    issuer: Mapped[str] = mapped_column(String(2000))
    client_id: Mapped[str] = mapped_column(String(255))
    client_secret_sealed: Mapped[str | None] = mapped_column(Text)
    subject_claim: Mapped[str] = mapped_column(String(255), default="sub")
    """The claim that becomes the user name (WSO2: Subject Claim URI)."""
    roles_claim: Mapped[str] = mapped_column(String(255), default="")
    role_mapping: Mapped[dict[str, list[str]]] = mapped_column(JSON, default=dict)
    """The provider's value to the portal's roles."""
    default_roles: Mapped[list[str]] = mapped_column(JSON, default=list)
    """Roles of everybody who signs in there."""
    link_accounts: Mapped[bool] = mapped_column(Boolean, default=False)
    """Whether somebody who comes for the first time takes over the account of the same name."""
    enabled: Mapped[bool] = mapped_column(Boolean, default=False)
    tested_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When the settings as they are were last found to work."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now)

    tenant: Mapped[Tenant] = relationship(lazy="joined", innerjoin=True)

    def _place(self) -> str:
        return f"{self.tenant_id}:identity_provider_secret"

    @property
    def client_secret(self) -> str | None:
        """The secret with which the portal shows the provider who it is."""
        if self.client_secret_sealed is None:
            return None
        return vault.open(self._place(), self.client_secret_sealed)

    @client_secret.setter
    def client_secret(self, value: str | None) -> None:
        self.client_secret_sealed = vault.seal(self._place(), value) if value else None

    @property
    def client_secret_masked(self) -> str | None:
        """The secret as people may see it."""
        return mask(self.client_secret) if self.client_secret else None


class ExternalIdentity(Model):
    """Who a person is at an outside provider: the pair of issuer and subject never changes."""

    __tablename__ = "am_external_identity"
    __table_args__ = (UniqueConstraint("tenant_id", "issuer_hash", "subject"),)

    identity_id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("am_tenant.tenant_id"))
    issuer: Mapped[str] = mapped_column(String(2000))
    issuer_hash: Mapped[str] = mapped_column(text_id(64))
    """SHA-256 of the issuer, because an address is too long for an index."""
    subject: Mapped[str] = mapped_column(text_id(255))
    user_id: Mapped[int] = mapped_column(
        ForeignKey("am_user.user_id", ondelete="CASCADE"), index=True
    )
    id_token_sealed: Mapped[str | None] = mapped_column(Text)
    """The last id token, which the provider wants to see when the person signs out there."""
    last_signed_in_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    user: Mapped[User] = relationship(lazy="joined", innerjoin=True)

    @property
    def id_token(self) -> str | None:
        """The last id token."""
        if self.id_token_sealed is None:
            return None
        return vault.open(f"{self.tenant_id}:id_token", self.id_token_sealed)

    @id_token.setter
    def id_token(self, value: str | None) -> None:
        self.id_token_sealed = vault.seal(f"{self.tenant_id}:id_token", value) if value else None
