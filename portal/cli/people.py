"""``flask people``: the first administrator, and everybody after."""

import re

import click
from flask.cli import with_appcontext
from sqlalchemy import select

from portal.extensions import db
from portal.models.tenant import Tenant
from portal.models.user import PORTAL_ROLES, User
from portal.services import accounts, sign_in_guard
from portal.services import people as services
from portal.web import audit
from portal.web.unit_of_work import unit_of_work

_DOMAIN = re.compile(r"[a-z0-9][a-z0-9.-]{0,252}")


@click.group()
def people() -> None:
    """Make people, and give them new passwords."""


@people.command()
@click.argument("name")
@click.option(
    "--role",
    "roles",
    multiple=True,
    required=True,
    type=click.Choice(PORTAL_ROLES),
    help="May be given several times.",
)
@click.option("--display-name", help="As it is shown to others.  [default: the name]")
@click.option("--email")
@with_appcontext
def add(name: str, roles: tuple[str, ...], display_name: str | None, email: str | None) -> None:
    """Make a person and print their password.

    NAME is a name of the tenant carbon.super, or name@tenant. A tenant that is not there yet is
    made with its first person.
    """
    username, domain = accounts.split_name(name)
    if not services.is_name(username) or not _DOMAIN.fullmatch(domain):
        raise click.ClickException(
            f"{name} is no name: use letters, digits, dots and hyphens, as in dana or "
            "dana@bluewater.example."
        )
    password = services.new_password()
    with audit.command("people add") as act, unit_of_work():
        if accounts.find(name) is not None:
            raise click.ClickException(
                f"{name} is there already. `flask people password {name}` gives a new password."
            )
        act.tenant_id = _tenant(domain).tenant_id
        user = User(
            tenant_id=act.tenant_id,
            username=username,
            display_name=display_name or username,
            email=email,
            password_hash=accounts.hash_password(password),
        )
        user.set_roles(set(roles))
        db.session.add(user)
    click.echo(f"{name} signs in with the password {password}")


@people.command()
@click.argument("name")
@with_appcontext
def password(name: str) -> None:
    """Give a person a new password, print it, and sign them out everywhere."""
    with audit.command("people password") as act, unit_of_work():
        user = _known(name)
        act.tenant_id = user.tenant_id
        fresh = services.give_password(user)
    click.echo(f"{name} signs in with the password {fresh}")


@people.command()
@click.argument("name")
@with_appcontext
def unlock(name: str) -> None:
    """Let a person sign in at once, whose sign-in was locked by too many wrong passwords."""
    with audit.command("people unlock") as act, unit_of_work():
        user = _known(name)
        act.tenant_id = user.tenant_id
        audit.tell({"row": "User", "name": user.username, "what": "changed", "fields": {}})
        locks = sign_in_guard.unlock(user)
    click.echo(f"{name} can sign in." if locks else f"{name} was not locked.")


def _known(name: str) -> User:
    user = accounts.find(name)
    if user is None:
        raise click.ClickException(f"There is nobody called {name}.")
    return user


def _tenant(domain: str) -> Tenant:
    found = db.session.scalars(select(Tenant).where(Tenant.tenant_domain == domain)).one_or_none()
    if found is None:
        found = Tenant(tenant_domain=domain)
        db.session.add(found)
        db.session.flush()
    return found
