"""Sending what is left of a billing period when it ends, while its own invoice takes it.

Usage goes out once an hour, and so long does an invoice wait: what is left to the next run may be
too late. So a subscription is looked at when Stripe says that its period has ended, and each
minute those whose period ends about now are, whoever has missed the event.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from portal import clock
from portal.analytics.source import SourceUnavailable
from portal.billing.engine import BillingEngine
from portal.errors import PortalError
from portal.extensions import db
from portal.flows import draining, gathering, publishing
from portal.models import Subscription, Tenant
from portal.services import closing, freezing, sources
from portal.web import queue

log = structlog.get_logger()

EngineFor = Callable[[Tenant], BillingEngine]
#: How many subscriptions a sweep looks at.
PAGE = 200
#: How often a tenant's source is read at most because periods end: each reading looks back days.
READING = timedelta(minutes=1)
#: After so many tenants whose provider did not answer a sweep leaves the rest for the next one.
PATIENCE = 2


def flush(engine_for: EngineFor, subscription_id: int) -> None:
    """Send what is open of a subscription whose period has ended. Nothing open: nothing is sent.

    Where the tenant's source was read a moment ago, but before this end, it is put off: one reading
    is then enough for all whose periods end meanwhile.
    """
    row = db.session.get_one(Subscription, subscription_id)
    tenant_id, ended = row.tenant_id, _ended(row)
    is_metered = bool(freezing.sold_as({subscription_id}))
    db.session.rollback()
    if not is_metered:
        return
    draining.drain_here()
    wait = _read_source(tenant_id, ended)
    if wait:
        queue.enqueue("flush", subscription_id, delay=wait)
    elif closing.is_open(subscription_id):
        _flush(engine_for, tenant_id, [subscription_id])


def _ended(row: Subscription) -> datetime:
    """Return when the period ended that is to be sent; never later than now."""
    now = clock.now()
    if row.ended_at is not None:
        return min(row.ended_at, now)
    is_over = row.period_end is not None and row.period_end <= now
    found = row.period_end if is_over else row.period_start
    return min(found or now, now)


def _read_source(tenant_id: int, ended: datetime) -> float:
    """Read the tenant's source if it was not read up to ``ended``; return the seconds to wait else.

    0: it was read, or does not work, so that what is in the ledger goes out.
    """
    now = clock.now()
    row = sources.of(tenant_id)
    read, failed = (row.read_until, row.problem_at) if row is not None else (now, None)
    db.session.rollback()
    if read is not None and read >= ended:
        return 0.0
    if failed is not None and failed > now - READING:
        return 0.0
    if read is not None and read > now - READING:
        return (read + READING - now).total_seconds()
    try:
        gathering.gather(tenant_id, now)
    except SourceUnavailable:
        # It is noted where the source is chosen.
        db.session.rollback()
    return 0.0


def sweep(engine_for: EngineFor) -> int:
    """Send what is open of the periods that end about now; return of how many subscriptions.

    A provider that does not answer is left alone until the next time. One that answers one tenant
    with trouble may answer the next, so two have to fail before the rest waits.
    """
    found = closing.due(clock.now(), PAGE)
    db.session.rollback()
    unanswered = 0
    for tenant_id, some in found.items():
        unanswered += not _flush(engine_for, tenant_id, some)
        if unanswered >= PATIENCE:
            break
    return sum(len(some) for some in found.values())


def _flush(engine_for: EngineFor, tenant_id: int, some: list[int]) -> bool:
    """Send what is open of a tenant's subscriptions; return whether the provider answered."""
    try:
        tenant = db.session.get_one(Tenant, tenant_id)
        if not tenant.platform_key_sealed:
            return True
        engine = engine_for(tenant)
        db.session.rollback()
        return publishing.flush_some(engine, some)
    except PortalError as error:
        log.warning("flush_failed", tenant=tenant_id, error=error.message)
    except Exception:
        log.exception("flush_failed", tenant=tenant_id)
    db.session.rollback()
    return True
