"""Changing a subscription's plan over REST: devportal v3 and publisher v4."""

from werkzeug.wrappers import Response

from portal.api import bp, conditions
from portal.api import devportal_subscriptions as subscribers
from portal.api import publisher_subscriptions as publishers
from portal.api.answers import Answer
from portal.api.once import done_once
from portal.api.operation import operation
from portal.api.schemas.subscriptions import (
    ChangePlanQuery,
    DevportalSubscription,
    PublisherSubscription,
    SubscriptionUpdate,
    for_publisher,
    for_subscriber,
)
from portal.errors import Conflict, Invalid, NotFound
from portal.extensions import db
from portal.flows import changing_plan
from portal.models import Policy, Status, Subscription, User
from portal.services.scopes import SUBSCRIPTION_MANAGE
from portal.web.access import bearer, scope
from portal.web.engines import engine_of

_FIXED = (Status.BLOCKED, Status.ON_HOLD, Status.REJECTED)


@bp.put(f"{subscribers.PATH}/<uuid:subscription_id>")
@subscribers.may_use
@operation(
    body=SubscriptionUpdate,
    answers={200: DevportalSubscription, 202: DevportalSubscription},
    conditional=True,
    refuses=(402, 409, 502, 503),
)
def update_subscription(subscription_id: str, body: SubscriptionUpdate, match: str) -> Answer:
    """Change a subscription's plan: what is due is charged at once.

    If the provider does not answer now, the subscription is TIER_UPDATE_PENDING (202) and the
    worker finishes. Naming the plan that it has changes nothing.
    """
    found = subscribers.living(subscription_id)
    conditions.check(match, for_subscriber(found, None))
    _check(found, body)
    name = body.requested_throttling_policy or body.throttling_policy
    if name.lower() == found.plan_name.lower():
        return Answer(for_subscriber(found, None))
    is_done = _change(found, bearer(), _plan(found, name))
    return Answer(
        for_subscriber(subscribers.living(subscription_id), None), status=200 if is_done else 202
    )


def _check(found: Subscription, body: SubscriptionUpdate) -> None:
    """Refuse what WSO2 refuses, and a body about another application or API."""
    if body.status is None:
        raise Invalid("Request must contain status of the subscription")
    if body.status in _FIXED or found.status in _FIXED:
        raise Invalid("Cannot update subscriptions with provided or existing status")
    given = (body.application_id.lower(), body.api_id.lower())
    if given != (found.application.uuid, found.api.api_uuid):
        raise Invalid("A subscription keeps its application and its API.")


@bp.post(f"{publishers.PATH}/change-business-plan")
@scope(SUBSCRIPTION_MANAGE)
@operation(
    query=ChangePlanQuery,
    answers={200: PublisherSubscription, 202: PublisherSubscription},
    keyed=True,
    refuses=(402, 404, 409, 502, 503),
)
def change_business_plan(query: ChangePlanQuery) -> Response:
    """Move a subscription to another plan of its API, if nothing is due for it now.

    Where money is due, only the subscriber can agree to it.
    """
    return done_once(lambda: _moved(query))


def _moved(query: ChangePlanQuery) -> Answer:
    found = publishers.living(query.subscription_id)
    plan = _plan(found, query.business_plan)
    is_done = True
    if plan.name.lower() != found.plan_name.lower():
        is_done = _change(found, found.application.owner, plan, free_of_charge=True)
    answer = for_publisher(publishers.living(query.subscription_id))
    return Answer(answer, status=200 if is_done else 202)


def _plan(found: Subscription, name: str) -> Policy:
    for policy in found.api.policies:
        if policy.name.lower() == name.lower() and policy.deleted_at is None:
            return policy
    raise NotFound(f"The API does not offer the plan {name}.")


def _change(found: Subscription, user: User, plan: Policy, *, free_of_charge: bool = False) -> bool:
    """Preview and change at once; return whether it is done."""
    engine, uuid, user_id = engine_of(found.api.tenant), found.uuid, user.user_id
    policy_uuid = plan.uuid
    preview = changing_plan.preview(engine, found, user, policy_uuid)
    if free_of_charge and preview.invoice.invoice.amount_due > 0:
        raise Conflict(
            f"{preview.due_now} would be due at once, and only the subscriber can agree to that. "
            "They press Change plan on the subscription's page."
        )
    db.session.rollback()
    return changing_plan.change(
        engine,
        uuid,
        user_id,
        policy_uuid,
        version_id=preview.version_id,
        moment=preview.moment,
    )
