"""Where a tenant's usage is read from, and what was read of it."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, ForeignKey, Index, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal import clock
from portal.extensions import Model
from portal.models.tenant import Tenant
from portal.models.types import UtcDateTime, text_id
from portal.vault import vault

DEFAULT_INDEX = "apim_event_response"


class SourceKind(StrEnum):
    """The kinds of sources."""

    PORTAL = "portal"
    """The portal's own gateway, its intake and its files: no row is needed for it."""
    ELASTICSEARCH = "elasticsearch"
    CHOREO = "choreo"


class UsageSource(Model):
    """The source that a tenant has chosen. The settings are named as WSO2's deployment.toml."""

    __tablename__ = "am_usage_source"

    tenant_id: Mapped[int] = mapped_column(ForeignKey("am_tenant.tenant_id"), primary_key=True)
    kind: Mapped[str] = mapped_column(text_id(20), default=SourceKind.PORTAL)
    chosen_at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now)
    """Calls from this moment on are read from it."""
    read_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Everything before is in the ledger, but for what the source learns of later."""
    problem: Mapped[str | None] = mapped_column(Text)
    """Why it could not be read the last time; ``None``: it could."""
    problem_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    tested_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    nobody: Mapped[int] = mapped_column(BigInteger, default=0)
    """Calls in the last reading that belong to no subscription of the portal."""

    analytics_host: Mapped[str] = mapped_column(text_id(), default="")
    analytics_port: Mapped[str] = mapped_column(text_id(5), default="")
    analytics_username: Mapped[str] = mapped_column(text_id(), default="")
    analytics_password_sealed: Mapped[str | None] = mapped_column(Text)
    analytics_index: Mapped[str] = mapped_column(text_id(), default=DEFAULT_INDEX)
    analytics_query_api_endpoint: Mapped[str] = mapped_column(Text, default="")
    analytics_access_token_sealed: Mapped[str | None] = mapped_column(Text)
    choreo_token_endpoint: Mapped[str] = mapped_column(Text, default="")
    choreo_insight_app_consumer_key: Mapped[str] = mapped_column(text_id(), default="")
    choreo_insight_app_consumer_secret_sealed: Mapped[str | None] = mapped_column(Text)

    tenant: Mapped[Tenant] = relationship(lazy="joined", innerjoin=True)

    def secret(self, name: str) -> str:
        """Return one of ``SECRETS`` in clear; empty if none is stored."""
        sealed = getattr(self, f"{name}_sealed")
        return vault.open(self._place(name), sealed) if sealed else ""

    def set_secret(self, name: str, value: str) -> None:
        """Seal one of ``SECRETS``."""
        setattr(self, f"{name}_sealed", vault.seal(self._place(name), value) if value else None)

    def _place(self, name: str) -> str:
        return f"{self.tenant.tenant_domain}:{name}"


#: Settings that are written and never shown.
SECRETS = (
    "analytics_password",
    "analytics_access_token",
    "choreo_insight_app_consumer_secret",
)


class UsageSourceCount(Model):
    """How many calls of one kind and hour were taken over from a source.

    A source learns of calls late. The same hours are read again for some time, and only what is
    more than here is new.
    """

    __tablename__ = "am_usage_source_count"
    __table_args__ = (Index("ix_am_usage_source_count_tenant_id_hour", "tenant_id", "hour"),)

    digest: Mapped[str] = mapped_column(text_id(32), primary_key=True)
    """Of the kind, the hour, and the moment in it from which these calls were made."""
    tenant_id: Mapped[int] = mapped_column(ForeignKey("am_tenant.tenant_id"))
    kind: Mapped[str] = mapped_column(text_id(32))
    """Digest of what makes calls alike, hour included."""
    hour: Mapped[int] = mapped_column(BigInteger)
    """Hours since 1970."""
    calls: Mapped[int] = mapped_column(BigInteger)
