"""The catalogue's cards: what an API is and what its plans cost, without their objects.

What a plan costs and who may choose it is decided as ``services/catalogue.py`` does for one API.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Select, and_, bindparam, func, or_, select

from portal.extensions import db
from portal.models import Api, EnginePrice, Lifecycle, Offer, Policy, User
from portal.models.api import ApiPolicy
from portal.models.policy import BillingPlan, MonetizationPlan
from portal.services import apis, catalogue, markdown
from portal.services.paging import Counted, Page, counted, counted_page
from portal.services.price_words import PRICE, VERSION, price_words

_API: Any = Api.__table__
_OWNER: Any = User.__table__
_PLAN: Any = Policy.__table__
_OF_API: Any = ApiPolicy.__table__
_OFFER: Any = Offer.__table__
_SOLD: Any = EnginePrice.__table__

PER_PAGE = catalogue.PER_PAGE


class Price(NamedTuple):
    """What a plan that is for sale costs."""

    words: str
    is_commercial: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """An API in the catalogue."""

    uuid: str
    name: str
    version: str
    provider: str
    summary: str
    """The first paragraph of the description, as plain text."""
    prices: Sequence[Price]
    """The cheapest kind first; only those that are open to who looks."""


def page(person: User, search: str, number: int) -> Page[Card]:
    """Return a page of the APIs that this person may subscribe to, by name and version.

    :param search: words that name, context or description must all contain, ignoring case
    """
    values = {"tenant_id": person.tenant_id}
    found = counted_page(_apis(search), values, number, per_page=PER_PAGE)
    prices = _prices(person, [row.api_id for row in found.items])
    return found.map(
        lambda row: Card(
            uuid=row.api_uuid,
            name=row.api_name,
            version=row.api_version,
            provider=row.display_name,
            summary=markdown.summary(row.description),
            prices=prices.get(row.api_id, ()),
        )
    )


@lru_cache(maxsize=64)
def _apis(search: str) -> Counted:
    api = _API.c
    return counted(
        select(
            *(api.api_id, api.api_uuid, api.api_name, api.api_version, api.description),
            _OWNER.c.display_name,
        )
        .join(_OWNER, _OWNER.c.user_id == api.provider_id)
        .order_by(api.api_name, api.api_version, api.api_id),
        _API,
        api.tenant_id == bindparam("tenant_id"),
        api.status == Lifecycle.PUBLISHED,
        *apis.containing(search),
    )


def _prices(person: User, api_ids: Collection[int]) -> Mapping[int, Sequence[Price]]:
    """Return what the plans of APIs cost that this person may choose."""
    if not api_ids:
        return {}
    rows = db.session.connection().execute(_for_sale(), {"api_ids": api_ids}).all()
    roles, prices = person.roles, defaultdict(list)
    for row in sorted(rows, key=_rank):
        if _admits(row, roles):
            prices[row.api_id].append(_price(row))
    return prices


@lru_cache
def _for_sale() -> Select[Any]:
    """Return the statement for plans that APIs sell now, each with the version that is sold."""
    newest: Any = VERSION.alias("newest")
    number = (
        select(func.max(newest.c.number))
        .where(newest.c.policy_id == _PLAN.c.policy_id)
        .scalar_subquery()
    )
    costs = _PLAN.c.billing_plan == BillingPlan.COMMERCIAL
    return (
        select(
            *(_OF_API.c.api_id, _PLAN.c.name, _PLAN.c.permission_type, _PLAN.c.permission_roles),
            *(VERSION.c.billing_plan, VERSION.c.monetization_plan),
            *PRICE,
        )
        .join(_API, _API.c.api_id == _OF_API.c.api_id)
        .join(_PLAN, _PLAN.c.policy_id == _OF_API.c.policy_id)
        .join(VERSION, VERSION.c.policy_id == _PLAN.c.policy_id)
        .outerjoin(
            _OFFER,
            and_(
                _OFFER.c.api_id == _OF_API.c.api_id,
                _OFFER.c.tier_name == _PLAN.c.name,
                _API.c.is_monetization_enabled,
            ),
        )
        .outerjoin(_SOLD, _SOLD.c.mapping_id == _OFFER.c.mapping_id)
        .where(
            _OF_API.c.api_id.in_(bindparam("api_ids", expanding=True)),
            _PLAN.c.deleted_at.is_(None),
            or_(
                and_(costs, VERSION.c.policy_version_id == _SOLD.c.policy_version_id),
                and_(~costs, VERSION.c.number == number),
            ),
        )
    )


def _admits(plan: Any, roles: frozenset[str]) -> bool:
    return Policy.admits(plan, roles)


def _rank(row: Any) -> tuple[bool, bool, Any, str]:
    is_commercial = row.billing_plan == BillingPlan.COMMERCIAL
    is_dynamic = row.monetization_plan == MonetizationPlan.DYNAMIC
    price = row.fixed_rate or row.price_per_request
    return catalogue.rank(is_commercial, is_dynamic, price, row.name)


def _price(row: Any) -> Price:
    return Price(price_words(row), row.billing_plan == BillingPlan.COMMERCIAL)
