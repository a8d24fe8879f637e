"""APIs, and the plans that are attached to them."""

import json
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Boolean, ForeignKey, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal import clock
from portal.extensions import Model
from portal.models.policy import Policy
from portal.models.tenant import SUPER_TENANT, Tenant
from portal.models.types import UtcDateTime, long_text, new_uuid, text_id
from portal.models.user import User
from portal.vault import vault

CONNECTED_ACCOUNT = "ConnectedAccountKey"


class Lifecycle(StrEnum):
    """An API's state, as WSO2 names it."""

    CREATED = "CREATED"
    PUBLISHED = "PUBLISHED"
    DEPRECATED = "DEPRECATED"
    RETIRED = "RETIRED"


class Endings(StrEnum):
    """What becomes of the subscriptions that run when an API is taken off sale."""

    GO_ON = "GO_ON"
    PERIOD = "PERIOD"
    """Each ends with its period."""
    NOW = "NOW"


class Api(Model):
    """An API that a publisher offers."""

    __tablename__ = "am_api"
    __table_args__ = (
        UniqueConstraint("tenant_id", "api_name", "api_version"),
        UniqueConstraint("tenant_id", "context", "api_version"),
    )

    api_id: Mapped[int] = mapped_column(primary_key=True)
    api_uuid: Mapped[str] = mapped_column(text_id(36), unique=True, default=new_uuid)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("am_tenant.tenant_id"))
    provider_id: Mapped[int] = mapped_column(ForeignKey("am_user.user_id"))
    api_name: Mapped[str] = mapped_column(text_id(128))
    api_version: Mapped[str] = mapped_column(text_id(32))
    context: Mapped[str] = mapped_column(text_id(128))
    """Path segment at the gateway, without slashes."""
    description: Mapped[str] = mapped_column(Text, default="")
    """Markdown."""
    endpoint_url: Mapped[str] = mapped_column(Text)
    sandbox_endpoint_url: Mapped[str | None] = mapped_column(Text)
    """Where calls with a sandbox key go; ``None`` means the same back end."""
    status: Mapped[str] = mapped_column(String(20), default=Lifecycle.CREATED)
    definition: Mapped[str | None] = mapped_column(long_text(), deferred=True)
    """The OpenAPI document as JSON, if there is one."""
    is_monetization_enabled: Mapped[bool] = mapped_column(Boolean, default=False)
    monetization_properties_sealed: Mapped[str | None] = mapped_column(Text)
    endings: Mapped[str | None] = mapped_column(String(10))
    """An ``Endings``, while what it was taken off sale with is being done; ``None``: nothing is."""
    endings_by: Mapped[str | None] = mapped_column(text_id())
    """Who asked for it."""
    revision: Mapped[int] = mapped_column(Integer, default=1)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now, onupdate=clock.now)

    tenant: Mapped[Tenant] = relationship(lazy="joined", innerjoin=True)
    provider: Mapped[User] = relationship(lazy="joined", innerjoin=True)
    policies: Mapped[list[Policy]] = relationship(
        secondary="am_api_policy", order_by="Policy.policy_id"
    )

    __mapper_args__ = {"version_id_col": revision}  # noqa: RUF012 - SQLAlchemy's own way

    @property
    def _place(self) -> str:
        return f"{self.api_uuid}:monetization_properties"

    @property
    def monetization_properties(self) -> dict[str, str]:
        """The values of the tenant's monetization attributes for this API."""
        if self.monetization_properties_sealed is None:
            return {}
        stored = json.loads(vault.open(self._place, self.monetization_properties_sealed))
        return {str(name): str(value) for name, value in stored.items()}

    @monetization_properties.setter
    def monetization_properties(self, values: dict[str, str]) -> None:
        self.monetization_properties_sealed = (
            vault.seal(self._place, json.dumps(values)) if values else None
        )

    @property
    def connected_account(self) -> str | None:
        """The publisher's connected account that this API is sold through."""
        return self.monetization_properties.get(CONNECTED_ACCOUNT) or None

    @property
    def gateway_path(self) -> str:
        """Where the gateway answers for this API, without the origin."""
        domain = self.tenant.tenant_domain
        prefix = "" if domain == SUPER_TENANT else f"/t/{domain}"
        return f"/gateway{prefix}/{self.context}/{self.api_version}"

    @property
    def takes_subscriptions(self) -> bool:
        """Whether somebody new may subscribe."""
        return self.status == Lifecycle.PUBLISHED

    @property
    def takes_calls(self) -> bool:
        """Whether existing subscribers may call."""
        return self.status in (Lifecycle.PUBLISHED, Lifecycle.DEPRECATED)


class ApiPolicy(Model):
    """A plan that an API may be subscribed under."""

    __tablename__ = "am_api_policy"

    api_id: Mapped[int] = mapped_column(
        ForeignKey("am_api.api_id", ondelete="CASCADE"), primary_key=True
    )
    policy_id: Mapped[int] = mapped_column(
        ForeignKey("am_policy_subscription.policy_id"), primary_key=True
    )
