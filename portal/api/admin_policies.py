"""Admin v4: business plans as subscription throttling policies."""

from typing import Any

from werkzeug.wrappers import Response

from portal.api import bp, conditions, lists
from portal.api.answers import Answer
from portal.api.errors import in_words_of
from portal.api.once import made_once
from portal.api.operation import operation
from portal.api.schemas.base import Done, Paging
from portal.api.schemas.policies import (
    FIELDS,
    PolicyBody,
    SubscriptionThrottlePolicy,
    SubscriptionThrottlePolicyList,
    to_json,
)
from portal.services import policies
from portal.services.scopes import ADMIN_ALL, TIER_MANAGE, TIER_VIEW
from portal.web.access import bearer, scope
from portal.web.tenancy import policy_of
from portal.web.unit_of_work import in_unit_of_work

PATH = "/admin/v4/throttling/policies/subscription"
may_read = scope(ADMIN_ALL, TIER_VIEW, TIER_MANAGE)
may_write = scope(ADMIN_ALL, TIER_MANAGE)


@bp.get(PATH)
@may_read
@operation(query=Paging, answers={200: SubscriptionThrottlePolicyList})
def list_policies(query: Paging) -> SubscriptionThrottlePolicyList:
    """List the business plans."""
    part = lists.wanted(query)
    page = policies.page(bearer().tenant_id, part)
    return SubscriptionThrottlePolicyList(
        count=len(page.items),
        list=[to_json(policy) for policy in page.items],
        pagination=lists.place(part, page),
    )


@bp.post(PATH)
@may_write
@operation(
    body=PolicyBody, answers={201: SubscriptionThrottlePolicy}, keyed=True, refuses=(400, 409)
)
def create_policy(body: PolicyBody) -> Response:
    """Create a business plan.

    Nothing is created at the payment provider: that happens when an API sells the plan.
    """
    user = bearer()
    tenant_id, actor = user.tenant_id, user.qualified_name

    def make() -> str:
        with in_words_of(FIELDS):
            return policies.create(tenant_id, body.draft(), actor=actor).uuid

    return made_once(make, _created)


def _created(uuid: str) -> Answer:
    made = to_json(policy_of(bearer(), uuid))
    return Answer(made, status=201, headers={"Location": f"/api/am{PATH}/{uuid}"})


@bp.get(f"{PATH}/<uuid:policy_id>")
@may_read
@operation(answers={200: SubscriptionThrottlePolicy})
def get_policy(policy_id: str) -> SubscriptionThrottlePolicy:
    """Read a business plan."""
    return to_json(policy_of(bearer(), policy_id))


@bp.put(f"{PATH}/<uuid:policy_id>")
@may_write
@operation(
    body=PolicyBody,
    answers={200: SubscriptionThrottlePolicy},
    conditional=True,
    refuses=(409,),
)
def update_policy(policy_id: str, body: PolicyBody, match: str) -> SubscriptionThrottlePolicy:
    """Change a business plan.

    Its name stays. A new price makes a new version: who has subscribed keeps the price that was
    sold, and an API sells at the new one once its monetization is saved again.
    """
    actor = bearer().qualified_name

    def change() -> None:
        found = policy_of(bearer(), policy_id)
        conditions.check(match, to_json(found))
        with in_words_of(FIELDS):
            policies.update(found, body.draft(), revision=None, actor=actor)

    in_unit_of_work(change)
    return to_json(policy_of(bearer(), policy_id))


@bp.delete(f"{PATH}/<uuid:policy_id>")
@may_write
@operation(answers={200: Done}, refuses=(409, 412))
def delete_policy(policy_id: str) -> Any:
    """Delete a business plan that no API offers and nobody is subscribed to."""

    def remove() -> None:
        found = policy_of(bearer(), policy_id)
        conditions.check_optional(to_json(found))
        policies.delete(found)

    in_unit_of_work(remove)
    return Done(message="The plan is deleted.")
