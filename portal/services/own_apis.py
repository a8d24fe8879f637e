"""A publisher's APIs as their list shows them: plain values, three statements."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Select, bindparam, func, select

from portal.extensions import db
from portal.models import Api, Policy, Subscription, User
from portal.models.api import ApiPolicy
from portal.models.user import ADMIN
from portal.services import apis, price_versions
from portal.services.paging import Counted, Page, counted, counted_page

_API: Any = Api.__table__
_OWNER: Any = User.__table__
_PLAN: Any = Policy.__table__
_OF_API: Any = ApiPolicy.__table__
_SUBSCRIPTION: Any = Subscription.__table__


class Line(NamedTuple):
    """An API in the list."""

    uuid: str
    name: str
    version: str
    context: str
    provider: str
    state: str
    is_monetized: bool
    plans: Sequence[str]
    out_of_date: Sequence[str]
    """Plans that are sold at an older price than the plan has now."""
    subscribers: int


@dataclass(frozen=True, kw_only=True)
class Own:
    """A page of a person's APIs."""

    page: Page[Line]

    @property
    def out_of_date(self) -> int:
        """How many of the page sell a plan at an older price."""
        return sum(1 for line in self.page.items if line.out_of_date)


def of_person(person: User, number: int) -> Own:
    """Return a page of the person's APIs, or of the tenant's for an administrator, by name."""
    sees_all = person.has_role(ADMIN)
    values = {"tenant_id": person.tenant_id, "provider_id": person.user_id}
    page = counted_page(_apis(sees_all), values, number, per_page=apis.PER_PAGE)
    numbers = [row.api_id for row in page.items]
    plans, stale = _plans(numbers), price_versions.out_of_date(numbers)
    return Own(
        page=page.map(
            lambda row: Line(
                uuid=row.api_uuid,
                name=row.api_name,
                version=row.api_version,
                context=row.context,
                provider=row.display_name,
                state=row.status,
                is_monetized=row.is_monetization_enabled,
                plans=plans.get(row.api_id, ()),
                out_of_date=stale.get(row.api_id, ()),
                subscribers=row.subscribers,
            )
        )
    )


@lru_cache
def _apis(sees_all: bool) -> Counted:
    api = _API.c
    subscribers = (
        select(func.count())
        .select_from(_SUBSCRIPTION)
        .where(_SUBSCRIPTION.c.api_id == api.api_id, _SUBSCRIPTION.c.ended_at.is_(None))
        .scalar_subquery()
    )
    conditions = [api.tenant_id == bindparam("tenant_id")]
    if not sees_all:
        conditions.append(api.provider_id == bindparam("provider_id"))
    return counted(
        select(
            *(api.api_id, api.api_uuid, api.api_name, api.api_version, api.context, api.status),
            *(api.is_monetization_enabled, _OWNER.c.display_name),
            subscribers.label("subscribers"),
        )
        .join(_OWNER, _OWNER.c.user_id == api.provider_id)
        .order_by(func.lower(api.api_name), api.api_version, api.api_id),
        _API,
        *conditions,
    )


def _plans(api_ids: Collection[int]) -> Mapping[int, Sequence[str]]:
    """Return the names of the plans of APIs."""
    found: dict[int, list[str]] = defaultdict(list)
    if api_ids:
        rows = db.session.connection().execute(_names(), {"api_ids": api_ids}).all()
        for api_id, name in rows:
            found[api_id].append(name)
    return found


@lru_cache
def _names() -> Select[Any]:
    return (
        select(_OF_API.c.api_id, _PLAN.c.name)
        .join(_PLAN, _PLAN.c.policy_id == _OF_API.c.policy_id)
        .where(_OF_API.c.api_id.in_(bindparam("api_ids", expanding=True)))
        .order_by(_PLAN.c.policy_id)
    )
