"""Billing periods that end about now, and have usage that their own invoice would miss."""

from datetime import datetime, timedelta

from sqlalchemy import Select, Table, and_, func, or_, select, union_all

from portal import clock
from portal.extensions import db
from portal.models import BatchState, Tenant, UsageBatch, UsageTally
from portal.services.claiming import GRACE, OPEN, is_settled, is_sold

#: How long before a period's end its usage is sent, so that little is left to do after it.
AHEAD = timedelta(minutes=2)
#: A batch that nobody has brought to an end for so long is on no run's way to the engine.
IDLE = timedelta(minutes=5)
#: For sending, before the invoice takes nothing more.
SPARE = timedelta(seconds=30)
_tally: Table = UsageTally.__table__  # type: ignore[assignment]
_batch: Table = UsageBatch.__table__  # type: ignore[assignment]
_tenant: Table = Tenant.__table__  # type: ignore[assignment]


def due(now: datetime, limit: int) -> dict[int, list[int]]:
    """Return subscriptions with usage to send for a period that ends about now, by tenant.

    Those whose invoice is drawn first come first; so many at most. One query, along the indexes
    of what is open.
    """
    some = union_all(_open(now), _left(now)).subquery()
    ends = func.min(some.c.ends_at)
    rows = db.session.execute(
        select(some.c.tenant_id, some.c.subscription_id)
        .group_by(some.c.tenant_id, some.c.subscription_id)
        .order_by(ends, some.c.subscription_id)
        .limit(limit)
    )
    found: dict[int, list[int]] = {}
    for tenant_id, subscription_id in rows:
        found.setdefault(tenant_id, []).append(subscription_id)
    return found


def is_open(subscription_id: int) -> bool:
    """Whether a metered subscription has calls that no batch has, and that may be claimed."""
    query = select(_tally.c.subscription_id).where(
        _tally.c.subscription_id == subscription_id, *OPEN, is_sold(), is_settled()
    )
    return db.session.scalar(query.limit(1)) is not None


def _open(now: datetime) -> Select[tuple[int, int, int]]:
    """Return calls that no batch has."""
    return select(
        _tally.c.tenant_id, _tally.c.subscription_id, _tally.c.period_end.label("ends_at")
    ).where(
        _tally.c.tenant_id.in_(_keyed()),
        *OPEN,
        _tally.c.period_end.between(*_about(now)),
        is_sold(),
        is_settled(),
    )


def _left(now: datetime) -> Select[tuple[int, int, int]]:
    """Return batches that did not arrive, and that nobody is sending."""
    idle = now - IDLE
    frozen = and_(_batch.c.state == BatchState.FROZEN, _batch.c.created_at <= idle)
    unanswered = and_(_batch.c.state == BatchState.SENDING, _batch.c.first_sent_at <= idle)
    return select(
        _batch.c.tenant_id, _batch.c.subscription_id, _batch.c.closes_at.label("ends_at")
    ).where(
        _batch.c.tenant_id.in_(_keyed()),
        _batch.c.state.in_((BatchState.FROZEN, BatchState.SENDING)),
        or_(frozen, unanswered),
        _batch.c.closes_at.between(*_about(now)),
    )


def _keyed() -> Select[tuple[int]]:
    """Return the tenants that can send; the first column of the indexes that lead to the rows."""
    return select(_tenant.c.tenant_id).where(_tenant.c.platform_key_sealed.is_not(None))


def _about(now: datetime) -> tuple[int, int]:
    return clock.epoch(now - GRACE + SPARE), clock.epoch(now + AHEAD)
