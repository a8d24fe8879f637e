"""From a key or a token to everything that a call's decision needs, in indexed queries."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, FromClause, Select, Table, and_, bindparam, case, select

from portal.models import (
    Api,
    Application,
    ApplicationKey,
    KeyType,
    Lifecycle,
    Policy,
    PolicyVersion,
    Subscription,
    Tenant,
)
from portal.models.subscription import facts_of
from portal.services import gateway_tokens
from portal.services.decisions import Standing
from portal.services.quotas import PlanLimits, limits_of


def _table(model: Any) -> Table:
    found: Table = model.__table__
    return found


_key, _application, _api = _table(ApplicationKey), _table(Application), _table(Api)
_subscription, _tenant = _table(Subscription), _table(Tenant)
_version, _policy = _table(PolicyVersion), _table(Policy)

_COLUMNS = (
    _application.c.application_id,
    _application.c.deleted_at,
    _api.c.api_id,
    _api.c.api_uuid,
    _api.c.endpoint_url,
    _api.c.sandbox_endpoint_url,
    _api.c.status.label("api_status"),
    _api.c.tenant_id.label("api_tenant_id"),
    _subscription.c.subscription_id,
    _subscription.c.uuid.label("subscription_uuid"),
    _subscription.c.revision,
    _subscription.c.billing,
    _subscription.c.publisher_block,
    _subscription.c.approval,
    _subscription.c.plan_change_pending,
    _subscription.c.end_requested,
    _subscription.c.needs_authentication,
    _subscription.c.stops_at,
    _policy.c.quota_type,
    _policy.c.quota,
    _policy.c.quota_unit,
    _policy.c.unit_time,
    _policy.c.time_unit,
    _policy.c.rate_limit_count,
    _policy.c.rate_limit_time_unit,
    _policy.c.stop_on_quota_reach,
)


def _query(source: FromClause, *more: Any) -> Select[Any]:
    """Return the query for an application that ``source`` leads to, calling at an address."""
    return (
        select(*more, *_COLUMNS)
        .select_from(source)
        .outerjoin(_tenant, _tenant.c.tenant_domain == bindparam("domain"))
        .outerjoin(
            _api,
            and_(
                _api.c.tenant_id == _tenant.c.tenant_id,
                _api.c.context == bindparam("context"),
                _api.c.api_version == bindparam("version"),
            ),
        )
        .outerjoin(
            _subscription,
            and_(
                _subscription.c.application_id == _application.c.application_id,
                _subscription.c.api_id == _api.c.api_id,
            ),
        )
        .outerjoin(_version, _version.c.policy_version_id == _subscription.c.policy_version_id)
        .outerjoin(_policy, _policy.c.policy_id == _version.c.policy_id)
        # The living subscription, else the one that ended last.
        .order_by(
            case((_subscription.c.live_key.is_not(None), 0), else_=1),
            _subscription.c.subscription_id.desc(),
        )
        .limit(1)
    )


_BY_KEY = _query(
    _key.join(_application, _application.c.application_id == _key.c.application_id),
    _key.c.key_type,
    _key.c.revoked_at,
).where(_key.c.key_hash == bindparam("key_hash"))
_BY_APPLICATION = _query(_application).where(
    _application.c.application_id == bindparam("application_id")
)


@dataclass(frozen=True, kw_only=True)
class Target:
    """The API that is called."""

    api_id: int
    api_uuid: str
    tenant_id: int
    endpoint_url: str
    sandbox_endpoint_url: str | None

    def endpoint(self, key_type: KeyType) -> str:
        """Return the back end for a key: sandbox keys have one of their own where it is set."""
        if key_type is KeyType.SANDBOX and self.sandbox_endpoint_url:
            return self.sandbox_endpoint_url
        return self.endpoint_url


@dataclass(frozen=True, kw_only=True)
class Subscriber:
    """The subscription under which the call is made."""

    subscription_id: int
    uuid: str
    revision: int
    standing: Standing
    limits: PlanLimits


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a working key or token leads to."""

    application_id: int
    key_type: KeyType
    works_until: datetime | None
    """From this moment the key is revoked, or the token has expired."""
    target: Target | None
    subscriber: Subscriber | None

    def works_at(self, moment: datetime) -> bool:
        """Whether the key or token is accepted at ``moment``."""
        return self.works_until is None or moment < self.works_until


def find(
    connection: Connection, key_hash: str, domain: str, context: str, version: str, now: datetime
) -> Found | None:
    """Return what an application key or an access token leads to at this address.

    ``None`` if there is no such key and no such token, or it does not work any more.

    :param key_hash: SHA-256 of the key or token in hexadecimal
    """
    where = {"domain": domain, "context": context, "version": version}
    row: Any = connection.execute(_BY_KEY, {"key_hash": key_hash, **where}).first()
    if row is not None:
        found = _found(row, row.key_type, row.revoked_at)
        return found if found is not None and found.works_at(now) else None
    caller = gateway_tokens.caller(connection, key_hash, now)
    if caller is None:
        return None
    asked = {"application_id": caller.application_id, **where}
    row = connection.execute(_BY_APPLICATION, asked).first()
    return None if row is None else _found(row, caller.key_type, caller.expires_at)


def _found(row: Any, key_type: str, works_until: datetime | None) -> Found | None:
    if row.deleted_at is not None:
        return None
    target = _target(row)
    return Found(
        application_id=row.application_id,
        key_type=KeyType(key_type),
        works_until=works_until,
        target=target,
        subscriber=_subscriber(row) if target and row.subscription_id is not None else None,
    )


def _target(row: Any) -> Target | None:
    # An API that was never published is nobody's business but its publisher's.
    if row.api_uuid is None or row.api_status == Lifecycle.CREATED:
        return None
    return Target(
        api_id=row.api_id,
        api_uuid=row.api_uuid,
        tenant_id=row.api_tenant_id,
        endpoint_url=row.endpoint_url,
        sandbox_endpoint_url=row.sandbox_endpoint_url,
    )


def _subscriber(row: Any) -> Subscriber:
    return Subscriber(
        subscription_id=row.subscription_id,
        uuid=row.subscription_uuid,
        revision=row.revision,
        standing=Standing(
            facts=facts_of(row),
            api_status=row.api_status,
            needs_authentication=row.needs_authentication,
            stops_at=row.stops_at,
        ),
        limits=limits_of(row),
    )
