"""From the subscriptions that a gateway's log names to what its calls are counted under."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, select

from portal.models import Api, Policy, PolicyVersion, Subscription
from portal.services import resources
from portal.services.inserting import parts
from portal.services.ledger import Alike
from portal.services.log_lines import Kind
from portal.services.quotas import PlanLimits, limits_of
from portal.services.resources import Resources


@dataclass(frozen=True, kw_only=True)
class Place:
    """A subscription, the limits of its plan, and the paths of its API."""

    subscription_id: int
    limits: PlanLimits
    context: str
    version: str
    resources: Resources

    def resource_of(self, path: str) -> str:
        """Return the resource of a path, which names the API or is inside it already."""
        _, found, inside = path.partition(f"/{self.context}/{self.version}")
        return self.resources.of(inside if found else path)

    def alike(self, hour: int, kind: Kind) -> Alike:
        """Return under what calls of a kind are counted in an hour."""
        resource = self.resource_of(kind.path)
        return Alike(self.subscription_id, hour, kind.method, resource, kind.status, kind.key_type)


Places = dict[str, Place]
"""The places of subscriptions by their uuid."""


def find(connection: Connection, uuids: Collection[str]) -> Places:
    """Return the place of each subscription that there is; one query for 500 of them."""
    subscription: Table = Subscription.__table__  # type: ignore[assignment]
    api: Table = Api.__table__  # type: ignore[assignment]
    policy: Table = Policy.__table__  # type: ignore[assignment]
    version: Table = PolicyVersion.__table__  # type: ignore[assignment]
    query = (
        select(
            subscription.c.uuid,
            subscription.c.subscription_id,
            api.c.api_id,
            api.c.context,
            api.c.api_version,
            api.c.definition,
            policy.c.quota_type,
            policy.c.quota,
            policy.c.quota_unit,
            policy.c.unit_time,
            policy.c.time_unit,
            policy.c.rate_limit_count,
            policy.c.rate_limit_time_unit,
            policy.c.stop_on_quota_reach,
        )
        .join(api, api.c.api_id == subscription.c.api_id)
        .join(version, version.c.policy_version_id == subscription.c.policy_version_id)
        .join(policy, policy.c.policy_id == version.c.policy_id)
    )
    rows = [
        row
        for part in parts(sorted(uuids))
        for row in connection.execute(query.where(subscription.c.uuid.in_(part)))
    ]
    known = {row.api_id: resources.of_definition(row.definition) for row in rows}
    return {row.uuid: _place(row, known[row.api_id]) for row in rows}


def _place(row: Any, found: Resources) -> Place:
    return Place(
        subscription_id=row.subscription_id,
        limits=limits_of(row),
        context=row.context,
        version=row.api_version,
        resources=found,
    )
