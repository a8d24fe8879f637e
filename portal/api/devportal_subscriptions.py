"""Developer portal v3: subscribing, paying, usage and ending."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import select
from werkzeug.wrappers import Response

from portal.api import bp, conditions, lists
from portal.api.answers import Answer
from portal.api.once import done_once, made_once
from portal.api.operation import operation
from portal.api.schemas.base import Done
from portal.api.schemas.monetization import APIMonetizationUsage
from portal.api.schemas.subscriptions import (
    AccessAnswer,
    AccessQuery,
    DevportalSubscription,
    DevportalSubscriptionList,
    DevportalSubscriptionQuery,
    SubscriptionBody,
    access,
    for_subscriber,
)
from portal.api.statements import invoice_of
from portal.errors import (
    BillingEngineError,
    Conflict,
    EngineAccessDenied,
    EngineUnavailable,
    NotFound,
)
from portal.extensions import db
from portal.flows import payments
from portal.models import Api, Application, CheckoutAttempt, KeyType, Policy, Subscription
from portal.services import access as calls
from portal.services import checkouts, members, subscribing
from portal.services.paging import page_of
from portal.services.scopes import SUB_MANAGE, SUBSCRIBE
from portal.web.access import bearer, scope
from portal.web.engines import engine_of, settings
from portal.web.payment_urls import return_urls
from portal.web.tenancy import own_application, own_subscription, published_api

PATH = "/devportal/v3/subscriptions"
may_use = scope(SUBSCRIBE, SUB_MANAGE)
BECAUSE = "The subscriber unsubscribed over REST."


def living(subscription_id: str) -> Subscription:
    """Return one of the person's subscriptions; one that ended is not found."""
    found = own_subscription(bearer(), subscription_id)
    if found.ended_at is not None:
        raise NotFound("There is no such subscription.")
    return found


def shown(found: Subscription) -> DevportalSubscription:
    """Return a subscription with its payment page, while one is open."""
    waits = found.can_pay or found.can_pay_change
    attempt = checkouts.open_attempt(found) if waits else None
    return for_subscriber(found, attempt.checkout_url if attempt else None)


@bp.get(PATH)
@may_use
@operation(
    query=DevportalSubscriptionQuery, answers={200: DevportalSubscriptionList}, refuses=(404,)
)
def list_subscriptions(query: DevportalSubscriptionQuery) -> DevportalSubscriptionList:
    """List your living subscriptions, of one application or to one API if you name it."""
    person = bearer()
    wanted = (
        select(Subscription)
        .join(Application, Subscription.application_id == Application.application_id)
        .where(members.shares(person), Subscription.ended_at.is_(None))
        .order_by(Subscription.subscription_id.desc())
    )
    if query.application_id is not None:
        number = own_application(person, query.application_id).application_id
        wanted = wanted.where(Application.application_id == number)
    if query.api_id is not None:
        wanted = wanted.join(Api, Subscription.api_id == Api.api_id).where(
            Api.api_uuid == query.api_id, Api.tenant_id == person.tenant_id
        )
    part = lists.wanted(query)
    page = page_of(wanted, part)
    pages = _payment_pages(page.items)
    return DevportalSubscriptionList(
        count=len(page.items),
        list=[for_subscriber(found, pages.get(found.uuid)) for found in page.items],
        pagination=lists.place(part, page),
    )


def _payment_pages(subscriptions: Sequence[Subscription]) -> dict[str, str | None]:
    """Return the payment pages that are open, by subscription; one query for all."""
    waiting = [found.uuid for found in subscriptions if found.can_pay or found.can_pay_change]
    if not waiting:
        return {}
    rows = db.session.execute(
        select(CheckoutAttempt.open_key, CheckoutAttempt.checkout_url).where(
            CheckoutAttempt.open_key.in_(waiting)
        )
    )
    return {row.open_key: row.checkout_url for row in rows}


@bp.post(PATH)
@may_use
@operation(
    body=SubscriptionBody,
    answers={201: DevportalSubscription},
    keyed=True,
    refuses=(404, 409, 502, 503),
)
def subscribe(body: SubscriptionBody) -> Response:
    """Subscribe an application to an API under a plan.

    A free plan works at once. A commercial one is ON_HOLD until it is paid at the page that
    `redirectionParams` names.
    """

    def make() -> str:
        person = bearer()
        application = own_application(person, body.application_id)
        api = published_api(person, body.api_id)
        return subscribing.subscribe(person, application, api, _plan(api, body)).uuid

    return made_once(make, _subscribed)


def _plan(api: Api, body: SubscriptionBody) -> Policy:
    for policy in api.policies:
        if policy.name.lower() == body.throttling_policy.lower() and policy.deleted_at is None:
            return policy
    raise NotFound(f"The API does not offer the plan {body.throttling_policy}.")


def _subscribed(subscription_id: str) -> Answer:
    _open_page(subscription_id)
    return Answer(
        shown(own_subscription(bearer(), subscription_id)),
        status=201,
        headers={"Location": f"/api/am{PATH}/{subscription_id}"},
    )


def _open_page(subscription_id: str) -> None:
    """Open the payment page of a subscription that waits for one; again is the same page."""
    found = own_subscription(bearer(), subscription_id)
    if found.can_pay:
        urls, user_id = return_urls(found), bearer().user_id
        engine = engine_of(found.api.tenant)
        with refused():
            payments.open_page(engine, subscription_id, user_id, urls)


@contextmanager
def refused() -> Iterator[None]:
    """Say that things are not in a state to be paid, such as a price that was taken off sale."""
    try:
        yield
    except (EngineUnavailable, EngineAccessDenied):
        raise
    except BillingEngineError as error:
        raise Conflict(error.message) from error


@bp.get(f"{PATH}/<uuid:subscription_id>")
@may_use
@operation(answers={200: DevportalSubscription})
def get_subscription(subscription_id: str) -> DevportalSubscription:
    """Read a subscription; one that has ended is gone."""
    return shown(living(subscription_id))


@bp.post(f"{PATH}/<uuid:subscription_id>/try-again")
@may_use
@operation(answers={200: DevportalSubscription}, keyed=True, refuses=(409, 502, 503))
def try_subscription_again(subscription_id: str) -> Response:
    """Open a new payment page for a subscription that was not paid within 24 hours."""

    def act() -> Answer:
        found = living(subscription_id)
        if found.can_pay:
            _open_page(subscription_id)
        else:
            urls, engine = return_urls(found), engine_of(found.api.tenant)
            with refused():
                payments.try_again(engine, subscription_id, bearer().user_id, urls)
        return Answer(shown(living(subscription_id)))

    return done_once(act)


@bp.delete(f"{PATH}/<uuid:subscription_id>")
@may_use
@operation(answers={200: Done, 202: DevportalSubscription}, refuses=(409, 412))
def unsubscribe(subscription_id: str) -> Answer:
    """End a subscription: its last usage is billed, and it is cancelled at the provider.

    If the provider does not answer now, the subscription is DELETE_PENDING (202) and the
    worker finishes.
    """
    found = living(subscription_id)
    conditions.check_optional(shown(found))
    actor = bearer().qualified_name
    db.session.rollback()
    try:
        payments.end(engine_of, subscription_id, actor=actor, because=BECAUSE)
    except BillingEngineError:
        db.session.rollback()
        return Answer(shown(living(subscription_id)), status=202)
    return Answer(Done(message="Unsubscribed."))


@bp.get(f"{PATH}/<uuid:subscription_id>/usage")
@may_use
@operation(answers={200: APIMonetizationUsage}, refuses=(409, 502, 503))
def get_subscription_usage(subscription_id: str) -> APIMonetizationUsage:
    """Read the next invoice as it stands now (View Invoice)."""
    return invoice_of(living(subscription_id))


@bp.get(f"{PATH}/<uuid:subscription_id>/access")
@may_use
@operation(query=AccessQuery, answers={200: AccessAnswer})
def get_subscription_access(subscription_id: str, query: AccessQuery) -> AccessAnswer:
    """Read whether calls go through, and if not why, until when, and what fixes it.

    It is the gateway's own decision.
    """
    found = calls.explain(living(subscription_id), KeyType(query.key_type))
    return access(found, settings().portal_base_url)
