"""A tenant's own identity provider: its settings, and whom it lets in as whom.

A person is the pair of issuer and subject, which never changes; the name is only how they are
called here. The same name at two providers, or in two tenants, never meets.
"""

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import select

from portal import clock
from portal.errors import Invalid, NotAllowed
from portal.extensions import db
from portal.models import ExternalIdentity, IdentityProvider, Tenant, User
from portal.models.user import PORTAL_ROLES
from portal.services import accounts, backends

_CLAIM = re.compile(r"[A-Za-z0-9_.:/#-]{1,255}")
_ROLE = re.compile(r"[A-Za-z0-9_./-]{1,128}")
_USERNAME = re.compile(r"[a-z0-9][a-z0-9._+@-]{0,127}")
_LONGEST_KEPT_TOKEN = 16_000
MOST_MAPPINGS = 100


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What an administrator enters. An empty secret keeps the stored one."""

    issuer: str
    client_id: str
    client_secret: str = ""
    forget_secret: bool = False
    subject_claim: str = "sub"
    roles_claim: str = ""
    role_mapping: str = ""
    """A line for each value: ``value = role, role``."""
    default_roles: tuple[str, ...] = ()
    link_accounts: bool = False
    enabled: bool = False


def of(tenant: Tenant) -> IdentityProvider | None:
    """Return the tenant's provider, enabled or not."""
    return db.session.get(IdentityProvider, tenant.tenant_id)


def enabled_for(domain: str) -> IdentityProvider | None:
    """Return the provider at which the people of a tenant sign in, if they do."""
    return db.session.scalars(
        select(IdentityProvider)
        .join(Tenant, IdentityProvider.tenant_id == Tenant.tenant_id)
        .where(Tenant.tenant_domain == domain, IdentityProvider.enabled.is_(True))
    ).one_or_none()


def host(provider: IdentityProvider) -> str:
    """Return the provider's name as people know it."""
    return urlsplit(provider.issuer).netloc


# --- settings -------------------------------------------------------------------------------


def check(draft: Draft, allowlist: Collection[str]) -> dict[str, list[str]]:
    """Check what was entered, and return the role mapping that it says.

    :raise portal.errors.Invalid: naming each field that is wrong
    """
    wrong: dict[str, str] = {}
    try:
        check_address(draft.issuer, allowlist)
    except Invalid as error:
        wrong["issuer"] = error.message
    if not draft.client_id or len(draft.client_id) > 255:
        wrong["client_id"] = "Enter the client ID that the provider has given this portal."
    if not _CLAIM.fullmatch(draft.subject_claim):
        wrong["subject_claim"] = "Enter the name of one claim, for example preferred_username."
    if draft.roles_claim and not _CLAIM.fullmatch(draft.roles_claim):
        wrong["roles_claim"] = "Enter the name of one claim, or nothing."
    if not set(draft.default_roles) <= set(PORTAL_ROLES):
        wrong["default_roles"] = "Choose among the roles that are there."
    mapping: dict[str, list[str]] = {}
    try:
        mapping = read_mapping(draft.role_mapping)
    except Invalid as error:
        wrong["role_mapping"] = error.message
    if wrong:
        raise Invalid("Nothing was saved.", wrong)
    return mapping


def check_address(url: str, allowlist: Collection[str]) -> None:
    """Accept an address of a provider: https, on the open internet or allowed by the operator.

    :raise portal.errors.Invalid: with a sentence that says what is possible
    """
    try:
        backends.check_url(url, allowlist)
        allowed = backends.is_allowed(url, allowlist)
    except Invalid as error:
        raise Invalid(error.message.replace("back end", "provider")) from error
    if not url.startswith("https://") and not allowed:
        raise Invalid("The provider's address must begin with https://.")


def read_mapping(text: str) -> dict[str, list[str]]:
    """Read lines such as ``api-team = publisher, subscriber``.

    :raise portal.errors.Invalid: naming the line that cannot be read
    """
    mapping: dict[str, list[str]] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        value, equals, names = line.rpartition("=")
        roles = [name.strip() for name in names.split(",") if name.strip()]
        if not equals or not value.strip() or not roles or not all(map(_ROLE.fullmatch, roles)):
            raise Invalid(f"This line is not “value = role, role”: {line[:80]}")
        mapping[value.strip()] = roles
    if len(mapping) > MOST_MAPPINGS:
        raise Invalid(f"At most {MOST_MAPPINGS} lines are possible.")
    return mapping


def mapping_text(provider: IdentityProvider) -> str:
    """Return the stored mapping as it is entered."""
    return "\n".join(
        f"{value} = {', '.join(roles)}" for value, roles in provider.role_mapping.items()
    )


def store(
    tenant: Tenant, draft: Draft, mapping: dict[str, list[str]], tested_at: datetime | None
) -> None:
    """Store what :func:`check` has accepted."""
    row = of(tenant)
    if row is None:
        row = IdentityProvider(tenant_id=tenant.tenant_id, issuer="", client_id="")
        db.session.add(row)
    row.issuer, row.client_id = draft.issuer, draft.client_id
    if draft.client_secret or draft.forget_secret:
        row.client_secret = draft.client_secret or None
    row.subject_claim, row.roles_claim = draft.subject_claim, draft.roles_claim
    row.role_mapping, row.default_roles = mapping, sorted(draft.default_roles)
    row.link_accounts, row.enabled = draft.link_accounts, draft.enabled
    row.tested_at = tested_at


# --- people ---------------------------------------------------------------------------------


def person_of(provider: IdentityProvider, claims: Mapping[str, Any], id_token: str) -> User:
    """Return who the claims of a checked id token name; the first time the account is made.

    :raise portal.errors.NotAllowed: with a sentence that says why nobody is let in
    """
    subject = _text(claims, "sub")
    if not subject or len(subject) > 255:
        raise NotAllowed("The provider did not say who you are (sub).")
    identity = _identity(provider, subject)
    if identity is None:
        identity = ExternalIdentity(
            tenant_id=provider.tenant_id,
            issuer=provider.issuer,
            issuer_hash=_digest(provider.issuer),
            subject=subject,
            user=_first_time(provider, claims),
        )
        db.session.add(identity)
        is_new = True
    else:
        is_new = False
    user = identity.user
    if user.disabled:
        raise NotAllowed("Your account here is disabled. Ask your administrator.")
    if provider.roles_claim:
        user.set_roles(_roles(provider, claims))
    elif is_new and not user.role_rows:
        user.set_roles(set(provider.default_roles))
    identity.last_signed_in_at = clock.now()
    identity.id_token = id_token if len(id_token) <= _LONGEST_KEPT_TOKEN else None
    db.session.flush()
    return user


def identity_of(user: User, provider: IdentityProvider) -> ExternalIdentity | None:
    """Return who somebody is at a provider."""
    return db.session.scalars(
        select(ExternalIdentity).where(
            ExternalIdentity.user_id == user.user_id,
            ExternalIdentity.issuer_hash == _digest(provider.issuer),
        )
    ).first()


def _identity(provider: IdentityProvider, subject: str) -> ExternalIdentity | None:
    return db.session.scalars(
        select(ExternalIdentity).where(
            ExternalIdentity.tenant_id == provider.tenant_id,
            ExternalIdentity.issuer_hash == _digest(provider.issuer),
            ExternalIdentity.subject == subject,
        )
    ).one_or_none()


def _first_time(provider: IdentityProvider, claims: Mapping[str, Any]) -> User:
    """Find the account to take over, or make one."""
    name = _name(provider, claims)
    known = accounts.of_tenant(provider.tenant, name)
    if known is None:
        user = User(
            tenant_id=provider.tenant_id,
            username=name,
            display_name=_text(claims, "name")[:255] or name,
            email=_text(claims, "email")[:320] or None,
        )
        db.session.add(user)
        db.session.flush()
        return user
    if not provider.link_accounts or identity_of(known, provider) is not None:
        raise NotAllowed(
            f"There is an account called {name} already, and it is not yours yet. Ask your "
            "administrator to link it, or to rename it."
        )
    return known


def _name(provider: IdentityProvider, claims: Mapping[str, Any]) -> str:
    claim = provider.subject_claim
    if claim == "email" and claims.get("email_verified") is not True:
        raise NotAllowed("The provider has not verified your e-mail address.")
    domain = provider.tenant.tenant_domain
    name = _text(claims, claim).strip().lower().removesuffix(f"@{domain}")
    if not _USERNAME.fullmatch(name):
        raise NotAllowed(
            f"The provider gave no user name that can be used here (claim {claim}). Ask your "
            "administrator."
        )
    return name


def _roles(provider: IdentityProvider, claims: Mapping[str, Any]) -> set[str]:
    """Return the roles that the provider's values stand for, and those of everybody."""
    given = claims.get(provider.roles_claim)
    values = given if isinstance(given, list) else str(given or "").split()
    roles = set(provider.default_roles)
    for value in values:
        roles |= set(provider.role_mapping.get(str(value), ()))
    return roles


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    return value if isinstance(value, str) and value.isprintable() else ""


def _digest(issuer: str) -> str:
    return hashlib.sha256(issuer.encode()).hexdigest()
