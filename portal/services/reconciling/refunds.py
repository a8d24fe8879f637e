"""Refunds of ours: those that went back, and those that have not."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import or_, select

from portal.extensions import db
from portal.models import Refund, RefundStatus

PAGE = 100


@dataclass(frozen=True, kw_only=True)
class PaidBack:
    """Money that bought nothing, and what became of it."""

    refund_id: int
    engine_id: str
    status: RefundStatus
    amount_minor: int
    currency: str
    created: datetime


def refunds_since(
    tenant_id: int, account: str, after: int, *, done: datetime, waiting: datetime
) -> list[PaidBack]:
    """Return a page of refunds after a number: done since a moment, or waiting since before one.

    One that a person has confirmed names no amount, so there is nothing to compare it with.
    """
    is_done = (Refund.status == RefundStatus.DONE) & (Refund.done_at >= done)
    rows = db.session.execute(
        select(
            Refund.refund_id,
            Refund.engine_subscription_id,
            Refund.status,
            Refund.amount_minor,
            Refund.currency,
            Refund.created_at,
        )
        .where(
            Refund.tenant_id == tenant_id,
            Refund.connected_account == account,
            Refund.refund_id > after,
            or_(
                is_done & Refund.amount_minor.is_not(None),
                (Refund.status != RefundStatus.DONE) & (Refund.created_at < waiting),
            ),
        )
        .order_by(Refund.refund_id)
        .limit(PAGE)
    )
    return [
        PaidBack(
            refund_id=row[0],
            engine_id=row[1],
            status=RefundStatus(row[2]),
            amount_minor=row[3] or 0,
            currency=row[4] or "",
            created=row[5],
        )
        for row in rows
    ]
