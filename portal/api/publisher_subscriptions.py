"""Publisher v4: who subscribes, blocking, and the invoices of subscribers."""

from sqlalchemy import select
from werkzeug.wrappers import Response

from portal.api import bp, lists
from portal.api.answers import Answer
from portal.api.once import done_once
from portal.api.operation import operation
from portal.api.publisher_apis import mine
from portal.api.schemas.monetization import APIMonetizationUsage
from portal.api.schemas.subscriptions import (
    BlockQuery,
    PublisherSubscription,
    PublisherSubscriptionList,
    PublisherSubscriptionQuery,
    SubscriptionQuery,
    for_publisher,
)
from portal.api.statements import invoice_of
from portal.errors import NotFound
from portal.models import ADMIN, Api, Subscription
from portal.services.paging import page_of
from portal.services.scopes import SUBSCRIPTION_BLOCK, SUBSCRIPTION_MANAGE, SUBSCRIPTION_VIEW
from portal.services.subscriptions import Cause, Move, make
from portal.web.access import bearer, scope
from portal.web.tenancy import provided_subscription
from portal.web.unit_of_work import in_unit_of_work

PATH = "/publisher/v4/subscriptions"
may_read = scope(SUBSCRIPTION_VIEW, SUBSCRIPTION_MANAGE)
may_block = scope(SUBSCRIPTION_BLOCK, SUBSCRIPTION_MANAGE)
_BLOCKS = {"BLOCKED": Move.BLOCK_ALL, "PROD_ONLY_BLOCKED": Move.BLOCK_PRODUCTION}


def living(subscription_id: str) -> Subscription:
    """Return a subscription to one of the person's APIs; one that ended is not found."""
    found = provided_subscription(bearer(), subscription_id)
    if found.ended_at is not None:
        raise NotFound("There is no such subscription.")
    return found


@bp.get(PATH)
@may_read
@operation(
    query=PublisherSubscriptionQuery, answers={200: PublisherSubscriptionList}, refuses=(404,)
)
def list_api_subscriptions(query: PublisherSubscriptionQuery) -> PublisherSubscriptionList:
    """List the living subscriptions to your APIs, or to one of them."""
    person = bearer()
    wanted = (
        select(Subscription)
        .join(Api, Subscription.api_id == Api.api_id)
        .where(Api.tenant_id == person.tenant_id, Subscription.ended_at.is_(None))
        .order_by(Subscription.subscription_id.desc())
    )
    if query.api_id is not None:
        wanted = wanted.where(Api.api_id == mine(query.api_id).api_id)
    if not person.has_role(ADMIN):
        wanted = wanted.where(Api.provider_id == person.user_id)
    part = lists.wanted(query)
    page = page_of(wanted, part)
    return PublisherSubscriptionList(
        count=len(page.items),
        list=[for_publisher(subscription) for subscription in page.items],
        pagination=lists.place(part, page),
    )


@bp.get(f"{PATH}/<uuid:subscription_id>")
@may_read
@operation(answers={200: PublisherSubscription})
def get_api_subscription(subscription_id: str) -> PublisherSubscription:
    """Read a subscription to one of your APIs."""
    return for_publisher(living(subscription_id))


@bp.post(f"{PATH}/block-subscription")
@may_block
@operation(query=BlockQuery, answers={200: PublisherSubscription}, keyed=True, refuses=(404, 409))
def block_subscription(query: BlockQuery) -> Response:
    """Block a subscription's calls, all of them or those with production keys.

    A payment never lifts this block.
    """
    return done_once(lambda: _move(query.subscription_id, _BLOCKS[query.block_state]))


@bp.post(f"{PATH}/unblock-subscription")
@may_block
@operation(
    query=SubscriptionQuery, answers={200: PublisherSubscription}, keyed=True, refuses=(404, 409)
)
def unblock_subscription(query: SubscriptionQuery) -> Response:
    """Lift your block; one that billing has set stays until it is paid."""
    return done_once(lambda: _move(query.subscription_id, Move.UNBLOCK))


def _move(subscription_id: str, move: Move) -> Answer:
    words = move.name.lower().replace("_", " ")
    actor = bearer().qualified_name

    def change() -> None:
        cause = Cause(because=f"The publisher asked over REST to {words}.", actor=actor)
        make(living(subscription_id), move, cause)

    in_unit_of_work(change)
    return Answer(for_publisher(living(subscription_id)))


@bp.get(f"{PATH}/<uuid:subscription_id>/usage")
@may_read
@operation(answers={200: APIMonetizationUsage}, refuses=(409, 502, 503))
def get_api_subscription_usage(subscription_id: str) -> APIMonetizationUsage:
    """Read a subscriber's next invoice as it stands now (View Invoice)."""
    return invoice_of(living(subscription_id))
