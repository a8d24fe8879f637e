"""Subscriptions and payment pages of ours, a page at a time."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, or_, select

from portal.extensions import db
from portal.models import (
    Billing,
    CheckoutAttempt,
    CheckoutStatus,
    EnginePrice,
    EngineSubscription,
    Subscription,
)

PAGE = 100
BLOCK = 1000


@dataclass(frozen=True, kw_only=True)
class Sold:
    """A subscription of ours, and its billing record where it has one."""

    number: int
    uuid: str
    billing: Billing
    engine_id: str | None
    """Of the record that was asked for; the one that holds now is ``current_id``."""
    current_id: str | None
    price_id: str | None
    cancel_at: datetime | None
    period_end: datetime | None
    created: datetime

    @property
    def ended(self) -> bool:
        """Whether it has ended here."""
        return self.billing is Billing.ENDED


@dataclass(frozen=True, kw_only=True)
class Page:
    """An attempt to pay."""

    attempt_id: int
    session_id: str | None
    subscription_uuid: str
    status: CheckoutStatus
    created: datetime


#: Columns and no rows of the ORM: there may be a hundred thousand.
_OURS = (
    Subscription.subscription_id,
    Subscription.uuid,
    Subscription.billing,
    Subscription.engine_subscription_id,
    Subscription.cancel_at,
    Subscription.period_end,
    Subscription.created_at,
)
_RECORDS = (
    select(*_OURS, EngineSubscription.subscription_id, EnginePrice.plan_id, EngineSubscription.id)
    .join(
        EngineSubscription,
        EngineSubscription.am_subscription_id == Subscription.subscription_id,
    )
    .join(EnginePrice, EnginePrice.mapping_id == EngineSubscription.mapping_id)
)


def _sold(row: Any, engine_id: str | None, price_id: str | None) -> Sold:
    return Sold(
        number=row[0],
        uuid=row[1],
        billing=Billing(row[2]),
        engine_id=engine_id,
        current_id=row[3],
        price_id=price_id,
        cancel_at=row[4],
        period_end=row[5],
        created=row[6],
    )


def sold_as(tenant_id: int, account: str, engine_ids: Iterable[str]) -> dict[str, Sold]:
    """Return our subscriptions by the engine's ids, of one account."""
    rows = db.session.execute(
        _RECORDS.where(
            EngineSubscription.tenant_id == tenant_id,
            EngineSubscription.connected_account == account,
            EngineSubscription.subscription_id.in_(list(engine_ids)),
        )
    )
    return {row[7]: _sold(row, row[7], row[8]) for row in rows}


def named(tenant_id: int, account: str, uuids: Iterable[str]) -> dict[str, Sold]:
    """Return our subscriptions by their own UUIDs, if they were sold through this account."""
    rows = db.session.execute(
        select(*_OURS).where(
            Subscription.tenant_id == tenant_id,
            Subscription.connected_account == account,
            Subscription.uuid.in_(list(uuids)),
        )
    )
    return {row[1]: _sold(row, None, None) for row in rows}


def open_ids(tenant_id: int, account: str, after: int) -> list[tuple[int, str]]:
    """Return a block of the billing records that are open, after a record.

    Each with its number and the engine's id. From one table only: a planner that does not know
    yet how large the others are would join all of them for each block.
    """
    rows = db.session.execute(
        select(EngineSubscription.id, EngineSubscription.subscription_id)
        .where(
            EngineSubscription.tenant_id == tenant_id,
            EngineSubscription.connected_account == account,
            EngineSubscription.id > after,
            EngineSubscription.cancelled_at.is_(None),
        )
        .order_by(EngineSubscription.id)
        .limit(BLOCK)
    )
    return [(row[0], row[1]) for row in rows]


def payment_of(subscription_id: int) -> list[tuple[int, str]]:
    """Return a subscription's attempts that have a page and are not known to be paid."""
    rows = db.session.execute(
        select(CheckoutAttempt.attempt_id, CheckoutAttempt.session_id)
        .where(
            CheckoutAttempt.am_subscription_id == subscription_id,
            CheckoutAttempt.session_id.is_not(None),
            CheckoutAttempt.status != CheckoutStatus.COMPLETED,
        )
        .order_by(CheckoutAttempt.attempt_id.desc())
    )
    return [(row.attempt_id, str(row.session_id)) for row in rows]


def _pages(*conditions: ColumnElement[bool], limit: int | None = None) -> list[Page]:
    rows = db.session.execute(
        select(CheckoutAttempt, Subscription.uuid)
        .join(Subscription, Subscription.subscription_id == CheckoutAttempt.am_subscription_id)
        .where(*conditions)
        .order_by(CheckoutAttempt.attempt_id)
        .limit(limit)
        .execution_options(populate_existing=True)
    )
    return [
        Page(
            attempt_id=attempt.attempt_id,
            session_id=attempt.session_id,
            subscription_uuid=uuid,
            status=CheckoutStatus(attempt.status),
            created=attempt.created_at,
        )
        for attempt, uuid in rows
    ]


def pages_known(
    tenant_id: int, account: str, session_ids: Iterable[str], uuids: Iterable[str]
) -> list[Page]:
    """Return the attempts of these pages, and unanswered ones of these subscriptions.

    An attempt without an answer will get the page that was opened for it, under its own key.
    """
    return _pages(
        CheckoutAttempt.tenant_id == tenant_id,
        CheckoutAttempt.connected_account == account,
        or_(
            CheckoutAttempt.session_id.in_(list(session_ids)),
            CheckoutAttempt.open_key.in_(list(uuids)) & CheckoutAttempt.session_id.is_(None),
        ),
    )


def pages_open(tenant_id: int, account: str, after: int) -> list[Page]:
    """Return a page of the attempts that are open here, after an attempt."""
    return _pages(
        CheckoutAttempt.tenant_id == tenant_id,
        CheckoutAttempt.connected_account == account,
        CheckoutAttempt.attempt_id > after,
        CheckoutAttempt.status == CheckoutStatus.PENDING,
        CheckoutAttempt.session_id.is_not(None),
        limit=PAGE,
    )
