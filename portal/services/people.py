"""The people of a tenant, as its administrator looks after them."""

import re
import secrets
from dataclasses import dataclass

from email_validator import EmailNotValidError, validate_email
from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import selectinload

from portal import clock
from portal.errors import Conflict, Invalid, NotFound
from portal.extensions import db
from portal.models import OAuthToken, Tenant, User
from portal.models.user import PORTAL_ROLES
from portal.services import accounts, sign_in_guard
from portal.services.paging import Page, page_of

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
SHORTEST_PASSWORD, LONGEST_PASSWORD, FEWEST_CHARACTERS = 12, 1024, 5
#: What common passwords of that length are made of.
_GUESSED_FIRST = (
    *("password", "passwort", "qwerty", "qwertz", "azerty", "asdfgh", "zxcvbn", "1q2w3e"),
    *("letmein", "welcome", "iloveyou", "administrator", "changeme", "12345678", "87654321"),
    *("abcdefgh", "monetization"),
)
#: Without letters and digits that people mix up when they copy a password by hand.
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


@dataclass(frozen=True, kw_only=True)
class Person:
    """What an administrator enters about somebody."""

    display_name: str
    email: str = ""
    roles: frozenset[str] = frozenset()
    disabled: bool = False


def is_name(username: str) -> bool:
    """Whether this can be a user name."""
    return _NAME.fullmatch(username) is not None


def new_password() -> str:
    """Return a random password that can be read out (78 bits)."""
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(4))
    return "-".join(groups)


def listed(tenant: Tenant, number: int, search: str = "") -> Page[User]:
    """Return a page of the tenant's people by name; their roles come with one more query."""
    query = select(User).where(User.tenant_id == tenant.tenant_id)
    query = query.options(selectinload(User.role_rows))
    if search:
        part = search.lower()
        query = query.where(
            or_(
                User.username.contains(part, autoescape=True),
                func.lower(User.display_name).contains(part, autoescape=True),
            )
        )
    return page_of(query.order_by(User.username), number)


def one(tenant: Tenant, uuid: str) -> User:
    """Return a person of the tenant.

    :raise portal.errors.NotFound: if there is none with this id
    """
    found = db.session.scalars(
        select(User).where(User.uuid == uuid, User.tenant_id == tenant.tenant_id)
    ).one_or_none()
    if found is None:
        raise NotFound("There is no such person.")
    return found


def create(tenant: Tenant, username: str, wanted: Person) -> tuple[User, str]:
    """Make a person; return them with their password, which nobody can see again.

    :raise portal.errors.Invalid: naming the fields that are wrong
    :raise portal.errors.Conflict: if the tenant has somebody of this name
    """
    name = username.strip().lower().removesuffix(f"@{tenant.tenant_domain}")
    wrong = _wrong(wanted)
    if not is_name(name):
        wrong["username"] = "Use letters, digits, dots and hyphens, as in dana.lee."
    if wrong:
        raise Invalid("Nothing was saved.", wrong)
    if accounts.of_tenant(tenant, name) is not None:
        raise Conflict(f"There is somebody called {name} already. Choose another name.")
    password = new_password()
    user = User(
        tenant_id=tenant.tenant_id, username=name, password_hash=accounts.hash_password(password)
    )
    _apply(user, wanted)
    db.session.add(user)
    db.session.flush()
    return user, password


def change(user: User, wanted: Person, by: User) -> None:
    """Change what is known of a person, and what they may do; it holds from the next request on.

    :raise portal.errors.Invalid: naming the fields that are wrong
    :raise portal.errors.Conflict: if administrators would lock themselves out
    """
    wrong = _wrong(wanted)
    if wrong:
        raise Invalid("Nothing was saved.", wrong)
    if user.user_id == by.user_id and (wanted.disabled or "admin" not in wanted.roles):
        raise Conflict("You cannot take your own access away. Ask another administrator to do it.")
    if wanted.disabled and not user.disabled:
        sign_out(user)
    _apply(user, wanted)


def give_password(user: User) -> str:
    """Give a person a new password, and sign them out everywhere; return it."""
    password = new_password()
    user.password_hash = accounts.hash_password(password)
    sign_out(user)
    sign_in_guard.forget_places(user)
    sign_in_guard.unlock(user)
    return password


def change_password(user: User, new: str) -> None:
    """Give a person the password that they chose, and end every session and token of theirs.

    The password they have now must have been checked before.

    :raise portal.errors.Invalid: saying what a password needs
    """
    problem = password_problem(user, new)
    if problem:
        raise Invalid("Nothing was changed.", {"new": problem})
    user.password_hash = accounts.hash_password(new)
    sign_out(user)


def password_problem(user: User, new: str) -> str | None:
    """Return what is wrong with a password; length counts, and not which characters it has."""
    plain = new.lower()
    if len(new) < SHORTEST_PASSWORD:
        return f"Use at least {SHORTEST_PASSWORD} characters, for example four words."
    if len(new) > LONGEST_PASSWORD:
        return f"Use at most {LONGEST_PASSWORD} characters."
    if len(set(plain)) < FEWEST_CHARACTERS or any(part in plain for part in _GUESSED_FIRST):
        return "This is one of the first that somebody would try. Use words that only you combine."
    if len(user.username) > 3 and user.username in plain:
        return "Leave your user name out of it."
    return None


def sign_out(user: User) -> None:
    """End every session and every token of a person. Doing it twice is the same."""
    user.session_epoch += 1
    db.session.execute(
        update(OAuthToken)
        .where(OAuthToken.user_id == user.user_id, OAuthToken.revoked_at.is_(None))
        .values(revoked_at=clock.now())
    )


def _apply(user: User, wanted: Person) -> None:
    user.display_name = " ".join(wanted.display_name.split())
    user.email = wanted.email.strip() or None
    user.disabled = wanted.disabled
    kept = {row.role for row in user.role_rows} - set(PORTAL_ROLES)
    user.set_roles(kept | set(wanted.roles))


def _wrong(wanted: Person) -> dict[str, str]:
    wrong: dict[str, str] = {}
    name = wanted.display_name.strip()
    if not name or len(name) > 255 or not name.isprintable():
        wrong["display_name"] = "Enter a name of at most 255 readable characters."
    if wanted.email.strip():
        try:
            validate_email(wanted.email.strip(), check_deliverability=False)
        except EmailNotValidError:
            wrong["email"] = "Enter an e-mail address such as dana@example.com, or nothing."
    if not wanted.roles <= set(PORTAL_ROLES):
        wrong["roles"] = "Choose among the roles that are there."
    return wrong
