"""Prices, products and meters of ours, and who sells through which account."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import ColumnElement, exists, or_, select, union

from portal.extensions import db
from portal.models import (
    Api,
    Billing,
    EnginePrice,
    EngineSubscription,
    Offer,
    PlanChange,
    Subscription,
    Tenant,
)
from portal.money import plain

PAGE = 100


@dataclass(frozen=True, kw_only=True)
class Priced:
    """A plan's price in one connected account."""

    mapping_id: int
    uuid: str
    price_id: str | None
    plan: str
    version: str
    terms: str
    is_offered: bool
    is_awaited: bool
    """Somebody is still to pay it: an archived price could not be paid any more."""
    archived_at: datetime | None
    created: datetime


def tenants() -> Sequence[tuple[int, str]]:
    """Return the tenants that have a platform key, with their domains."""
    found = db.session.execute(
        select(Tenant.tenant_id, Tenant.tenant_domain)
        .where(Tenant.platform_key_sealed.is_not(None))
        .order_by(Tenant.tenant_id)
    )
    return [(row.tenant_id, row.tenant_domain) for row in found]


def accounts(tenant_id: int) -> list[str]:
    """Return every connected account that the tenant has sold or tried to sell through."""
    prices = (
        select(EnginePrice.connected_account)
        .join(Api, Api.api_id == EnginePrice.api_id)
        .where(Api.tenant_id == tenant_id)
    )
    records = select(EngineSubscription.connected_account).where(
        EngineSubscription.tenant_id == tenant_id
    )
    return sorted(db.session.scalars(union(prices, records)))


def _prices(*conditions: ColumnElement[bool], limit: int | None = None) -> list[Priced]:
    offered = exists().where(Offer.mapping_id == EnginePrice.mapping_id)
    changing = exists().where(
        PlanChange.mapping_id == EnginePrice.mapping_id, PlanChange.open_key.is_not(None)
    )
    subscribed = exists().where(
        Subscription.api_id == EnginePrice.api_id,
        Subscription.policy_version_id == EnginePrice.policy_version_id,
        Subscription.ended_at.is_(None),
        Subscription.billing.in_((Billing.PENDING, Billing.LAPSED)),
    )
    awaited = or_(subscribed, changing)
    rows = db.session.execute(
        select(EnginePrice, offered, awaited)
        .where(*conditions)
        .order_by(EnginePrice.mapping_id)
        .limit(limit)
        .execution_options(populate_existing=True)
    )
    return [
        Priced(
            mapping_id=row.mapping_id,
            uuid=row.uuid,
            price_id=row.plan_id,
            plan=row.policy_version.policy.name,
            version=f"{row.policy_version.policy.name} v{row.policy_version.number}",
            terms=terms(
                row.policy_version.unit_minor,
                row.policy_version.currency or "",
                row.policy_version.billing_cycle,
            ),
            is_offered=is_offered,
            is_awaited=is_awaited,
            archived_at=row.archived_at,
            created=row.created_at,
        )
        for row, is_offered, is_awaited in rows
    ]


def terms(unit_minor: Decimal | None, currency: str, interval: str | None) -> str:
    """Write a price as both sides can state it."""
    amount = "tiers" if unit_minor is None else plain(unit_minor)
    return f"{amount} {currency.lower()} per {interval}"


def _sold_in(tenant_id: int, account: str) -> tuple[ColumnElement[bool], ...]:
    of_tenant = select(Api.api_id).where(Api.tenant_id == tenant_id)
    return (EnginePrice.connected_account == account, EnginePrice.api_id.in_(of_tenant))


def prices_known(
    tenant_id: int, account: str, price_ids: Iterable[str], uuids: Iterable[str]
) -> list[Priced]:
    """Return our rows of these prices, by the engine's id or by our UUID in their metadata."""
    known = or_(EnginePrice.plan_id.in_(list(price_ids)), EnginePrice.uuid.in_(list(uuids)))
    return _prices(*_sold_in(tenant_id, account), known)


def prices_after(tenant_id: int, account: str, after: int) -> list[Priced]:
    """Return a page of our rows that have a price at the engine, after a row."""
    return _prices(
        *_sold_in(tenant_id, account),
        EnginePrice.plan_id.is_not(None),
        EnginePrice.mapping_id > after,
        limit=PAGE,
    )


def apis_selling(tenant_id: int, account: str, uuids: Iterable[str]) -> dict[str, bool]:
    """Return which of these APIs are ours, and whether each sells or is owed something here."""
    sells = exists().where(
        EnginePrice.api_id == Api.api_id,
        EnginePrice.connected_account == account,
        or_(
            exists().where(Offer.mapping_id == EnginePrice.mapping_id),
            exists().where(
                Subscription.api_id == EnginePrice.api_id,
                Subscription.connected_account == account,
                Subscription.ended_at.is_(None),
                Subscription.billing.in_((Billing.PENDING, Billing.LAPSED)),
            ),
        ),
    )
    rows = db.session.execute(
        select(Api.api_uuid, sells).where(Api.tenant_id == tenant_id, Api.api_uuid.in_(list(uuids)))
    )
    return {row[0]: bool(row[1]) for row in rows}


def meters_known(tenant_id: int, account: str, meter_ids: Iterable[str]) -> set[str]:
    """Return which of these meters a price of ours counts on."""
    return {
        str(found)
        for found in db.session.scalars(
            select(EnginePrice.meter_id).where(
                *_sold_in(tenant_id, account), EnginePrice.meter_id.in_(list(meter_ids))
            )
        )
    }
