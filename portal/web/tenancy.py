"""Selectors that start from a tenant, so that no query can reach another tenant's rows.

What is missing and what belongs to somebody else get the same answer: not found.
"""

from typing import TypeVar

from sqlalchemy import Select, select

from portal.errors import NotFound
from portal.extensions import db
from portal.models import Api, Application, Notice, Policy, Subscription
from portal.models.user import ADMIN, User
from portal.services import members

T = TypeVar("T")


def _one(query: Select[T], what: str) -> T:
    found = db.session.scalars(query).unique().one_or_none()
    if found is None:
        raise NotFound(f"There is no such {what}.")
    return found


def own_application(user: User, uuid: str) -> Application:
    """Return an application that is the person's own, or that is shared with them."""
    return _one(
        select(Application).where(
            Application.uuid == uuid,
            Application.tenant_id == user.tenant_id,
            members.shares(user),
            Application.deleted_at.is_(None),
        ),
        "application",
    )


def owned_application(user: User, uuid: str) -> Application:
    """Return the person's own application, for what only its owner may do.

    :raise portal.errors.NotAllowed: if it is only shared with the person
    """
    found = own_application(user, uuid)
    members.require_owner(found, user)
    return found


def own_subscription(user: User, uuid: str) -> Subscription:
    """Return a subscription of an application that the person has, ended ones included."""
    return _one(
        select(Subscription)
        .join(Application, Subscription.application_id == Application.application_id)
        .where(
            Subscription.uuid == uuid,
            Subscription.tenant_id == user.tenant_id,
            members.shares(user),
        ),
        "subscription",
    )


def own_notice(user: User, uuid: str) -> Notice:
    """Return a notice about a subscription of one of the person's own applications."""
    return _one(
        select(Notice)
        .join(Subscription, Notice.subscription_id == Subscription.subscription_id)
        .join(Application, Subscription.application_id == Application.application_id)
        .where(Notice.uuid == uuid, Application.owner_id == user.user_id),
        "notice",
    )


def published_api(user: User, uuid: str) -> Api:
    """Return an API of the person's tenant that is offered to developers."""
    return _one(
        select(Api).where(
            Api.api_uuid == uuid,
            Api.tenant_id == user.tenant_id,
            Api.status.in_(("PUBLISHED", "DEPRECATED")),
        ),
        "API",
    )


def provided_api(user: User, uuid: str) -> Api:
    """Return an API that the person publishes; an administrator sees all of the tenant."""
    query = select(Api).where(Api.api_uuid == uuid, Api.tenant_id == user.tenant_id)
    if not user.has_role(ADMIN):
        query = query.where(Api.provider_id == user.user_id)
    return _one(query, "API")


def provided_subscription(user: User, uuid: str) -> Subscription:
    """Return a subscription to an API that the person publishes."""
    query = (
        select(Subscription)
        .join(Api, Subscription.api_id == Api.api_id)
        .where(Subscription.uuid == uuid, Api.tenant_id == user.tenant_id)
    )
    if not user.has_role(ADMIN):
        query = query.where(Api.provider_id == user.user_id)
    return _one(query, "subscription")


def policy_of(user: User, uuid: str) -> Policy:
    """Return a plan of the person's tenant."""
    return _one(
        select(Policy).where(
            Policy.uuid == uuid, Policy.tenant_id == user.tenant_id, Policy.deleted_at.is_(None)
        ),
        "plan",
    )
