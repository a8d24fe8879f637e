"""Which version of a plan's price is sold where, and how many have each.

An edited price is sold only after the API's monetization is saved again; who has subscribed keeps
the version that they were sold.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Select, bindparam, exists, func, select

from portal.extensions import db
from portal.models import Api, EnginePrice, Offer, Policy, PolicyVersion, Subscription


@dataclass(frozen=True, kw_only=True)
class Version:
    """One version of a plan's price."""

    version: PolicyVersion
    is_present: bool
    """Whether it is what the plan says now."""
    sold_by: Sequence[str]
    """The APIs that sell at this version."""
    subscriptions: int

    @property
    def is_out_of_date(self) -> bool:
        """Whether an API still sells at it although the plan says something else."""
        return bool(self.sold_by) and not self.is_present


def out_of_date(api_ids: Collection[int]) -> dict[int, list[str]]:
    """Return which of these APIs sell plans at an older version, with their names; one query."""
    found: dict[int, list[str]] = {}
    if api_ids:
        rows = db.session.connection().execute(_out_of_date(), {"api_ids": api_ids}).all()
        for api_id, name in rows:
            found.setdefault(api_id, []).append(name)
    return found


@lru_cache
def _out_of_date() -> Select[Any]:
    tables: Any = (Offer.__table__, EnginePrice.__table__, PolicyVersion.__table__)
    offer, price, version = tables
    newer = version.alias("newer")
    return (
        select(offer.c.api_id, offer.c.tier_name)
        .join(price, price.c.mapping_id == offer.c.mapping_id)
        .join(version, version.c.policy_version_id == price.c.policy_version_id)
        .where(
            offer.c.api_id.in_(bindparam("api_ids", expanding=True)),
            exists().where(
                newer.c.policy_id == version.c.policy_id, newer.c.number > version.c.number
            ),
        )
        .order_by(offer.c.api_id, offer.c.tier_name)
    )


def of_plan(policy: Policy) -> list[Version]:
    """Return a plan's versions, the newest first; two queries."""
    sold: dict[int, list[str]] = {}
    for number, name in db.session.execute(
        select(EnginePrice.policy_version_id, Api.api_name)
        .join(Offer, Offer.mapping_id == EnginePrice.mapping_id)
        .join(Api, Api.api_id == Offer.api_id)
        .where(EnginePrice.policy_uuid == policy.uuid)
        .order_by(Api.api_name)
    ):
        sold.setdefault(number, []).append(name)
    counts = _counts(Subscription.policy_version_id.in_(_ids(policy.versions)))
    return [
        Version(
            version=version,
            is_present=version is policy.current,
            sold_by=sold.get(version.policy_version_id, ()),
            subscriptions=counts.get(version.policy_version_id, 0),
        )
        for version in reversed(policy.versions)
    ]


def of_api(api: Api) -> list[Version]:
    """Return the versions that an API's living subscriptions have; two queries."""
    counts = _counts(Subscription.api_id == api.api_id)
    versions = db.session.scalars(
        select(PolicyVersion)
        .where(PolicyVersion.policy_version_id.in_(counts))
        .order_by(PolicyVersion.policy_id, PolicyVersion.number.desc())
    )
    return [
        Version(
            version=version,
            is_present=version is version.policy.current,
            sold_by=(),
            subscriptions=counts[version.policy_version_id],
        )
        for version in versions
    ]


def _ids(versions: Sequence[PolicyVersion]) -> list[int]:
    return [version.policy_version_id for version in versions]


def _counts(where: object) -> dict[int, int]:
    rows = db.session.execute(
        select(Subscription.policy_version_id, func.count())
        .where(where, Subscription.ended_at.is_(None))  # type: ignore[arg-type]
        .group_by(Subscription.policy_version_id)
    )
    return {int(number): int(count) for number, count in rows}
