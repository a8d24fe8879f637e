"""What waits for an administrator's decision, as the page of approvals lists it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Row, Select, bindparam, func, select

from portal.extensions import db
from portal.models import (
    Api,
    Application,
    Approval,
    Billing,
    CheckoutAttempt,
    Policy,
    Refund,
    RefundStatus,
    Status,
    Subscription,
    User,
)
from portal.models.facts import Facts
from portal.services import status_words
from portal.services.paging import Counted, Page, counted, counted_page
from portal.services.price_words import PRICE, VERSION, price_words

PER_PAGE = 50
MOST_REFUNDS = 100

_OWN: Any = Subscription.__table__
_APPLICATION: Any = Application.__table__
_OWNER: Any = User.__table__
_API: Any = Api.__table__
_PLAN: Any = Policy.__table__
_ATTEMPT: Any = CheckoutAttempt.__table__
_REFUND: Any = Refund.__table__


class Line(NamedTuple):
    """A subscription that waits for a decision."""

    uuid: str
    application: str
    owner: str
    api: str
    version: str
    plan: str
    price: str
    status: Status
    note: str
    since: datetime


class Refused(NamedTuple):
    """A refund that the engine refused."""

    refund_id: int
    engine_subscription_id: str
    because: str
    error: str | None
    application: str


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """What waits in a tenant."""

    page: Page[Line]
    refunds: Sequence[Refused]


def of_tenant(tenant_id: int, number: int) -> Waiting:
    """Return a page of the subscriptions that wait, the oldest first, and the refused refunds.

    One whose payment page lapsed is not among them; it comes back when it is tried again. One
    statement, and another if there are refunds or no subscriptions.
    """
    page = counted_page(_subscriptions(), {"tenant_id": tenant_id}, number, per_page=PER_PAGE)
    none_refused = page.items and page.items[0].refused == 0
    return Waiting(page=page.map(_line), refunds=() if none_refused else _refunds(tenant_id))


@lru_cache
def _subscriptions() -> Counted:
    refused = select(func.count()).select_from(_REFUND).where(*_refused()).scalar_subquery()
    query = (
        select(
            *(_OWN.c.uuid, _OWN.c.billing, _OWN.c.created_at),
            _APPLICATION.c.name.label("application"),
            _OWNER.c.display_name.label("owner"),
            *(_API.c.api_name, _API.c.api_version),
            _PLAN.c.display_name.label("plan"),
            *PRICE,
            _ATTEMPT.c.expires_at.label("open_until"),
            refused.label("refused"),
        )
        .join(_APPLICATION, _APPLICATION.c.application_id == _OWN.c.application_id)
        .join(_OWNER, _OWNER.c.user_id == _APPLICATION.c.owner_id)
        .join(_API, _API.c.api_id == _OWN.c.api_id)
        .join(VERSION, VERSION.c.policy_version_id == _OWN.c.policy_version_id)
        .join(_PLAN, _PLAN.c.policy_id == VERSION.c.policy_id)
        .outerjoin(_ATTEMPT, _ATTEMPT.c.open_key == _OWN.c.uuid)
        .order_by(_OWN.c.subscription_id)
    )
    return counted(
        query,
        _OWN,
        _OWN.c.tenant_id == bindparam("tenant_id"),
        _OWN.c.approval == Approval.PENDING,
        _OWN.c.ended_at.is_(None),
        _OWN.c.end_requested.is_(False),
        _OWN.c.billing != Billing.LAPSED,
    )


def _line(row: Row[Any]) -> Line:
    # Nothing else about a subscription says anything before it is decided.
    facts = Facts.of(row.billing, approval=Approval.PENDING)
    return Line(
        uuid=row.uuid,
        application=row.application,
        owner=row.owner,
        api=row.api_name,
        version=row.api_version,
        plan=row.plan,
        price=price_words(row),
        status=facts.status,
        note=status_words.waiting(facts, row.open_until),
        since=row.created_at,
    )


def _refunds(tenant_id: int) -> list[Refused]:
    values = {"tenant_id": tenant_id, "most": MOST_REFUNDS}
    found = db.session.connection().execute(_refused_refunds(), values)
    return [Refused._make(row) for row in found.all()]


@lru_cache
def _refused_refunds() -> Select[Any]:
    return (
        select(
            *(_REFUND.c[name] for name in Refused._fields[:-1]),
            _APPLICATION.c.name.label("application"),
        )
        .join(_OWN, _OWN.c.subscription_id == _REFUND.c.am_subscription_id)
        .join(_APPLICATION, _APPLICATION.c.application_id == _OWN.c.application_id)
        .where(*_refused())
        .order_by(_REFUND.c.refund_id)
        .limit(bindparam("most"))
    )


def _refused() -> tuple[Any, ...]:
    return (
        _REFUND.c.tenant_id == bindparam("tenant_id"),
        _REFUND.c.status == RefundStatus.REFUSED,
    )
