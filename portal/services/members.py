"""Who shares an application: its owner, and the people of the same tenant whom the owner adds.

A member may do with the application what its owner may, except change or delete it, and add
people. What a member subscribes to is the application's, and stays when the member goes.
"""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, or_, select

from portal.errors import Conflict, Invalid, NotAllowed, NotFound
from portal.extensions import db
from portal.models import Application, ApplicationMember, User
from portal.services import accounts

#: A team, not a company.
MOST_MEMBERS = 50


def shares(user: User) -> ColumnElement[bool]:
    """Return the condition that an application is the person's own, or shared with them."""
    shared = select(ApplicationMember.application_id).where(
        ApplicationMember.user_id == user.user_id
    )
    return or_(Application.owner_id == user.user_id, Application.application_id.in_(shared))


def require_owner(application: Application, user: User) -> None:
    """Refuse what only the owner may do.

    :raise portal.errors.NotAllowed: if the person is a member
    """
    if application.owner_id != user.user_id:
        raise NotAllowed(
            f"{application.name} belongs to {application.owner.display_name}, who shares it with "
            "you. Ask them to do this."
        )


def of(application: Application) -> Sequence[ApplicationMember]:
    """Return the members by name, without the owner."""
    return db.session.scalars(
        select(ApplicationMember)
        .join(User, ApplicationMember.user_id == User.user_id)
        .where(ApplicationMember.application_id == application.application_id)
        .order_by(User.username)
    ).all()


def add(application: Application, name: str, by: User) -> User:
    """Share an application with somebody of its tenant.

    :param name: the person's user name, with or without the tenant
    :raise portal.errors.Invalid: if nobody of the tenant who may sign in goes by this name
    :raise portal.errors.Conflict: if the person has it already, or there are too many members
    """
    person = accounts.of_tenant(by.tenant, name)
    if person is None or person.disabled or person.tenant_id != application.tenant_id:
        raise Invalid("", {"name": f"Nobody of {by.tenant_domain} goes by this name. Check it."})
    present = of(application)
    if person.user_id in {application.owner_id, *(row.user_id for row in present)}:
        raise Conflict(f"{person.display_name} has this application already.")
    if len(present) >= MOST_MEMBERS:
        raise Conflict(f"An application is shared with at most {MOST_MEMBERS} people.")
    db.session.add(
        ApplicationMember(
            application_id=application.application_id,
            user_id=person.user_id,
            added_by_id=by.user_id,
        )
    )
    return person


def remove(application: Application, uuid: str, by: User) -> User:
    """End the sharing with one person, who may do so, too.

    :raise portal.errors.NotAllowed: if another member tries to
    :raise portal.errors.NotFound: if that person is no member
    """
    if by.uuid != uuid:
        require_owner(application, by)
    row = next((row for row in of(application) if row.user.uuid == uuid), None)
    if row is None:
        raise NotFound("There is no such member.")
    person = row.user
    db.session.delete(row)
    return person
