"""People: who they are, and whether a password is theirs."""

import base64
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from argon2.low_level import ARGON2_VERSION
from sqlalchemy import select

from portal.extensions import db
from portal.models.tenant import SUPER_TENANT, Tenant
from portal.models.user import User

_hasher = PasswordHasher()


def _nobodys() -> str:
    """Return what looks like a password's hash and is none, without the time that hashing takes."""
    salt, digest = (
        base64.b64encode(secrets.token_bytes(length)).decode().rstrip("=")
        for length in (_hasher.salt_len, _hasher.hash_len)
    )
    cost = f"m={_hasher.memory_cost},t={_hasher.time_cost},p={_hasher.parallelism}"
    return f"$argon2{_hasher.type.name.lower()}$v={ARGON2_VERSION}${cost}${salt}${digest}"


#: Checked when there is no such person, so that both answers take the same time.
_NOBODY = _nobodys()


def hash_password(password: str) -> str:
    """Return what is stored of a password (argon2id)."""
    return _hasher.hash(password)


def split_name(name: str) -> tuple[str, str]:
    """Split ``name@tenant``; without a tenant it is the super tenant. Lower case, as in WSO2.

    A user name may hold an ``@`` itself: only the part after the last one is the tenant.
    """
    username, at, domain = name.strip().lower().rpartition("@")
    return (username, domain) if at else (domain, SUPER_TENANT)


def find(name: str) -> User | None:
    """Return the person who goes by ``name@tenant``, or ``None``."""
    username, domain = split_name(name)
    return db.session.scalars(
        select(User)
        .join(Tenant, User.tenant_id == Tenant.tenant_id)
        .where(User.username == username, Tenant.tenant_domain == domain)
    ).one_or_none()


def of_tenant(tenant: Tenant, name: str) -> User | None:
    """Return the person of a tenant who goes by ``name`` or ``name@tenant``, or ``None``."""
    username = name.strip().lower().removesuffix(f"@{tenant.tenant_domain}")
    return db.session.scalars(
        select(User).where(User.username == username, User.tenant_id == tenant.tenant_id)
    ).one_or_none()


def authenticate(name: str, password: str) -> User | None:
    """Return the person if the password is right and they may sign in, else ``None``."""
    user = find(name)
    stored = user.password_hash if user and user.password_hash else _NOBODY
    try:
        _hasher.verify(stored, password)
    except (Argon2Error, InvalidHashError):
        return None
    if user is None or user.disabled or user.password_hash is None:
        return None
    return user
