"""Sending what is left of a billing period when it ends, while its own invoice takes it.

Usage goes out once an hour, and so long does an invoice wait: what is left to the next run may be
too late. So a subscription is looked at when Stripe says that its period has ended, and each
minute those whose period ends about now are, whoever has missed the event.
"""

from collections.abc import Callable

import structlog

from portal import clock
from portal.analytics.source import SourceUnavailable
from portal.billing.engine import BillingEngine
from portal.errors import PortalError
from portal.extensions import db
from portal.flows import draining, gathering, publishing
from portal.models import Subscription, Tenant
from portal.services import closing, freezing

log = structlog.get_logger()

EngineFor = Callable[[Tenant], BillingEngine]
#: How many subscriptions a sweep looks at.
PAGE = 200


def flush(engine_for: EngineFor, subscription_id: int) -> None:
    """Send what is open of a subscription whose period has ended. Nothing open: nothing is sent."""
    tenant_id = db.session.get_one(Subscription, subscription_id).tenant_id
    is_metered = bool(freezing.sold_as({subscription_id}))
    db.session.rollback()
    if not is_metered:
        return
    draining.drain_here()
    try:
        gathering.gather(tenant_id, clock.now())
    except SourceUnavailable:
        # It is noted where the source is chosen; what is in the ledger goes out.
        db.session.rollback()
    if closing.is_open(subscription_id):
        _flush(engine_for, tenant_id, [subscription_id])


def sweep(engine_for: EngineFor) -> int:
    """Send what is open of the periods that end about now; return of how many subscriptions.

    A provider that does not answer is left alone until the next time.
    """
    found = closing.due(clock.now(), PAGE)
    db.session.rollback()
    for tenant_id, some in found.items():
        if not _flush(engine_for, tenant_id, some):
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
