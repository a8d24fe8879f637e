"""People and their roles."""

from datetime import datetime

from sqlalchemy import Boolean, ForeignKey, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal import clock
from portal.extensions import Model
from portal.models.tenant import SUPER_TENANT, Tenant
from portal.models.types import UtcDateTime, new_uuid, text_id

ADMIN = "admin"
PUBLISHER = "publisher"
SUBSCRIBER = "subscriber"
#: The roles that open a portal. Any other role name only matters to a plan's permissions.
PORTAL_ROLES = (ADMIN, PUBLISHER, SUBSCRIBER)
EVERYONE = "Internal/everyone"


class User(Model):
    """A person of one tenant. The same name in two tenants is two people."""

    __tablename__ = "am_user"
    __table_args__ = (UniqueConstraint("tenant_id", "username"),)

    user_id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(text_id(36), unique=True, default=new_uuid)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("am_tenant.tenant_id"))
    username: Mapped[str] = mapped_column(text_id())
    """Lower case, without the tenant's domain."""
    display_name: Mapped[str] = mapped_column(String(255))
    email: Mapped[str | None] = mapped_column(String(320))
    password_hash: Mapped[str | None] = mapped_column(String(255))
    disabled: Mapped[bool] = mapped_column(Boolean, default=False)
    session_epoch: Mapped[int] = mapped_column(Integer, default=0)
    """Raised to sign the person out everywhere."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now)

    tenant: Mapped[Tenant] = relationship(lazy="joined", innerjoin=True)
    role_rows: Mapped[list["UserRole"]] = relationship(
        cascade="all, delete-orphan", order_by="UserRole.role"
    )

    is_anonymous = False
    is_authenticated = True

    @property
    def is_active(self) -> bool:
        """Whether the person may sign in (Flask-Login asks)."""
        return not self.disabled

    def get_id(self) -> str:
        """Return what the session cookie holds: it ends when ``session_epoch`` is raised."""
        return f"{self.uuid}.{self.session_epoch}"

    @property
    def roles(self) -> frozenset[str]:
        """The person's roles, including the one that everybody has."""
        return frozenset({row.role for row in self.role_rows} | {EVERYONE})

    def set_roles(self, roles: set[str]) -> None:
        """Give the person exactly these roles."""
        self.role_rows = [UserRole(role=role) for role in sorted(roles - {EVERYONE})]

    def has_role(self, role: str) -> bool:
        """Whether the person has a role; an administrator has only the admin role."""
        return role in self.roles

    @property
    def tenant_domain(self) -> str:
        """The domain of the person's tenant."""
        return self.tenant.tenant_domain

    @property
    def qualified_name(self) -> str:
        """``name@tenant``; the super tenant's people go by the bare name, as in WSO2."""
        if self.tenant_domain == SUPER_TENANT:
            return self.username
        return f"{self.username}@{self.tenant_domain}"


class UserRole(Model):
    """One role of one person."""

    __tablename__ = "am_user_role"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("am_user.user_id", ondelete="CASCADE"), primary_key=True
    )
    role: Mapped[str] = mapped_column(text_id(128), primary_key=True)
