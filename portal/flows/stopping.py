"""Ending the subscriptions of an API that was taken off sale: each now, or with its period.

What was asked for is stored with the end of sale. Each ending is an act of its own that may be
interrupted and made again; what one lacks holds up no other, and the worker goes on with it.
"""

from collections.abc import Callable

import structlog
from sqlalchemy import select

from portal.billing.engine import BillingEngine
from portal.errors import PortalError
from portal.extensions import db
from portal.flows import cancelling, changing_free, payments, publishing
from portal.models import Api, Endings, Tenant
from portal.services import stopping, subscriptions
from portal.web import queue
from portal.web.unit_of_work import in_unit_of_work

log = structlog.get_logger()

EngineFor = Callable[[Tenant], BillingEngine]
BECAUSE = "The publisher took the API off sale."


def request(api_uuid: str) -> None:
    """Let the worker end what was asked for at an API; returns at once."""
    api_id = db.session.scalars(
        select(Api.api_id).where(Api.api_uuid == api_uuid, Api.endings.is_not(None))
    ).one_or_none()
    db.session.rollback()
    if api_id is not None:
        queue.enqueue("end_subscriptions", api_id)


def run(engine_for: EngineFor, api_id: int, after: int = 0) -> int | None:
    """End a page of what was asked for at an API; return after which number more is to be done.

    ``None``: that was the last page. What failed is left for the worker's next sweep.
    """
    found = _page(api_id, after)
    if found is None:
        in_unit_of_work(lambda: _done(api_id))
        return None
    how, actor, rows = found
    for _, uuid in rows:
        try:
            _end(engine_for, uuid, how, actor)
        except PortalError as error:
            db.session.rollback()
            log.warning("ending_failed", subscription=uuid, error=error.message)
    return rows[-1][0]


def _page(api_id: int, after: int) -> tuple[Endings, str, list[tuple[int, str]]] | None:
    try:
        api = db.session.get_one(Api, api_id, populate_existing=True)
        if api.endings is None:
            return None
        rows = list(stopping.left(api, after))
        return (Endings(api.endings), api.endings_by or "worker", rows) if rows else None
    finally:
        db.session.rollback()


def _done(api_id: int) -> None:
    api = db.session.get_one(Api, api_id)
    # Somebody may have asked for more meanwhile; what came in then is found by the next sweep.
    if api.endings is not None and not stopping.left(api, 0):
        stopping.ask(api, Endings.GO_ON, "")


def _end(engine_for: EngineFor, uuid: str, how: Endings, actor: str) -> None:
    """End one subscription, and close a payment that it waits for."""
    row = subscriptions.by_uuid(uuid)
    is_free, is_first = row.can_pay_change or not row.is_commercial, stopping.is_waiting(row)
    engine, number = engine_for(row.api.tenant), row.subscription_id
    db.session.rollback()
    if is_free:
        changing_free.keep_free(engine_for, uuid, actor=actor)
    elif how is Endings.NOW or is_first:
        payments.end(engine_for, uuid, actor=actor, because=BECAUSE)
    else:
        # What was called until now; the hourly run reports the rest before the last invoice.
        publishing.flush(engine, number)
        cancelling.at_period_end(engine, uuid, actor=actor)


def sweep(engine_for: EngineFor, limit: int = 5) -> int:
    """Go on with endings that a crash or a missing answer has left; return of how many APIs.

    A page of each: the sweep has other work as well, and comes again in a minute.
    """
    found = stopping.pending(limit)
    db.session.rollback()
    for api_id in found:
        last = run(engine_for, api_id)
        if last is not None and _page(api_id, last) is None:
            in_unit_of_work(lambda number=api_id: _done(number))  # type: ignore[misc]
    return len(found)
