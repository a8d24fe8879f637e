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
    WhenQuery,
    for_publisher,
)
from portal.errors import Conflict, Invalid, NotFound
from portal.extensions import db
from portal.flows import changing_free, changing_plan
from portal.models import Policy, Status, Subscription, User
from portal.services import plan_changes, plan_moves
from portal.services.plan_changes import Way
from portal.services.scopes import SUBSCRIPTION_MANAGE
from portal.web.access import bearer, scope
from portal.web.engines import engine_of
from portal.web.payment_urls import return_urls

_FIXED = (Status.BLOCKED, Status.ON_HOLD, Status.REJECTED)


@bp.put(f"{subscribers.PATH}/<uuid:subscription_id>")
@subscribers.may_use
@operation(
    query=WhenQuery,
    body=SubscriptionUpdate,
    answers={200: DevportalSubscription, 202: DevportalSubscription},
    conditional=True,
    refuses=(402, 409, 502, 503),
)
def update_subscription(
    subscription_id: str, query: WhenQuery, body: SubscriptionUpdate, match: str
) -> Answer:
    """Change a subscription's plan: what is due is charged at once.

    From a free plan to a paid one it waits for the payment (202): `redirectionParams` has the
    payment page, and the free plan works until then. From a paid plan to a free one the paid
    period ends first (202), or with `when=NOW` at once. If the provider does not answer now, the
    subscription is TIER_UPDATE_PENDING (202) and the worker finishes. Naming the plan that it
    has changes nothing.
    """
    found = subscribers.living(subscription_id)
    conditions.check(match, subscribers.shown(found))
    _check(found, body)
    name = body.requested_throttling_policy or body.throttling_policy
    if name.lower() == found.plan_name.lower():
        return Answer(subscribers.shown(found))
    is_done = _change(found, bearer(), _plan(found, name), at_once=query.at_once)
    shown = subscribers.shown(subscribers.living(subscription_id))
    return Answer(shown, status=200 if is_done else 202)


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

    Where money is due, only the subscriber can agree to it. A free plan follows when the paid
    period ends, or with `when=NOW` at once.
    """
    return done_once(lambda: _moved(query))


def _moved(query: ChangePlanQuery) -> Answer:
    found = publishers.living(query.subscription_id)
    plan = _plan(found, query.business_plan)
    is_done = True
    if plan.name.lower() != found.plan_name.lower():
        owner = found.application.owner
        actor = bearer().qualified_name
        is_done = _change(found, owner, plan, at_once=query.at_once, publisher=actor)
    answer = for_publisher(publishers.living(query.subscription_id))
    return Answer(answer, status=200 if is_done else 202)


def _plan(found: Subscription, name: str) -> Policy:
    for policy in found.api.policies:
        if policy.name.lower() == name.lower() and policy.deleted_at is None:
            return policy
    raise NotFound(f"The API does not offer the plan {name}.")


def _change(
    found: Subscription, user: User, plan: Policy, *, at_once: bool, publisher: str | None = None
) -> bool:
    """Preview and change at once; return whether it is done.

    :param user: the subscriber
    :param publisher: who acts, if it is not the subscriber: nothing may be due then
    """
    known = plan_moves.awaiting_payment(found)
    if known is not None and known.to_version.policy_id == plan.policy_id and not publisher:
        return _pay(found, user, plan, known.to_version_id)
    target = plan_changes.target(found, user, plan.uuid)
    version_id = target.plan.version.policy_version_id
    if target.way is Way.SWAP:
        return _change_price(found, user, plan, publisher)
    if target.way is Way.PAY:
        if publisher:
            raise Conflict(_AGREES.format(due=target.plan.price_words))
        return _pay(found, user, plan, version_id)
    uuid, user_id, policy_uuid = found.uuid, user.user_id, plan.uuid
    engine = engine_of(found.api.tenant)
    db.session.rollback()
    if target.way is Way.SWITCH:
        changing_free.switch(uuid, user_id, policy_uuid, version_id=version_id, asked_by=publisher)
        return True
    is_done = changing_free.go_free(
        engine,
        uuid,
        user_id,
        policy_uuid,
        version_id=version_id,
        at_once=at_once,
        asked_by=publisher,
    )
    return is_done and at_once


def _pay(found: Subscription, user: User, plan: Policy, version_id: int) -> bool:
    engine, uuid, user_id = engine_of(found.api.tenant), found.uuid, user.user_id
    urls, policy_uuid = return_urls(found), plan.uuid
    db.session.rollback()
    with subscribers.refused():
        changing_free.go_paid(engine, uuid, user_id, policy_uuid, version_id=version_id, urls=urls)
    return False


_AGREES = (
    "{due} would be due, and only the subscriber can agree to that. They press Change plan on the "
    "subscription's page."
)


def _change_price(found: Subscription, user: User, plan: Policy, publisher: str | None) -> bool:
    engine, uuid, user_id = engine_of(found.api.tenant), found.uuid, user.user_id
    policy_uuid = plan.uuid
    preview = changing_plan.preview(engine, found, user, policy_uuid)
    if publisher and preview.invoice.invoice.amount_due > 0:
        raise Conflict(_AGREES.format(due=f"{preview.due_now} at once"))
    db.session.rollback()
    return changing_plan.change(
        engine,
        uuid,
        user_id,
        policy_uuid,
        version_id=preview.version_id,
        moment=preview.moment,
        asked_by=publisher,
    )
