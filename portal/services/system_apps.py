"""Parts of this portal that sign people in as clients of its own authorization server."""

from sqlalchemy import select

from portal.extensions import db
from portal.models import ADMIN, SUPER_TENANT, SystemApp, Tenant, User, UserRole
from portal.services import clients
from portal.services.clients import Wanted

STRIPE_SERVICE = "apim_stripe_service"


def find(name: str) -> SystemApp | None:
    """Return the registration of a part, or ``None`` before its first one."""
    return db.session.scalars(select(SystemApp).where(SystemApp.name == name)).one_or_none()


def register(name: str, redirect_uri: str) -> SystemApp | None:
    """Register a part, or give it a new secret and this address; ``None`` without an owner.

    The owner is an administrator of the super tenant, and people of every tenant may use it.
    Registering twice leaves one registration, whose earlier secret no longer works.
    """
    row = find(name)
    if row is None:
        owner = _administrator()
        return _first(owner, name, redirect_uri) if owner else None
    secret = clients.new_secret()
    row.client.client_secret_hash = clients.hash_secret(secret)
    row.client.redirect_uris = [redirect_uri]
    row.consumer_secret = secret
    return row


def _first(owner: User, name: str, redirect_uri: str) -> SystemApp:
    grants = [clients.CODE, "refresh_token"]
    wanted = Wanted(name=name, grants=grants, redirect_uris=[redirect_uri], saas=True)
    # The portal's own address: that it may be plain http is the operator's decision.
    client, secret = clients.register(owner, wanted, own=True)
    db.session.flush()
    row = SystemApp(name=name, oauth_client_id=client.oauth_client_id)
    row.consumer_secret = secret or ""
    db.session.add(row)
    db.session.flush()
    return row


def _administrator() -> User | None:
    return db.session.scalars(
        select(User)
        .join(Tenant, User.tenant_id == Tenant.tenant_id)
        .join(UserRole, UserRole.user_id == User.user_id)
        .where(
            Tenant.tenant_domain == SUPER_TENANT,
            UserRole.role == ADMIN,
            User.disabled.is_(False),
        )
        .order_by(User.user_id)
        .limit(1)
    ).first()
