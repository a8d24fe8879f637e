"""Ending the subscriptions of an API that was taken off sale: each now, or with its period.

What was asked for is stored with the end of sale. Each ending is an act of its own that may be
interrupted and made again; what one lacks holds up no other, and the worker goes on with it.
"""

from collections.abc import Callable, Sequence
from functools import partial

from sqlalchemy import select

from portal.billing.engine import BillingEngine
from portal.extensions import db
from portal.flows import cancelling, changing_free, payments, publishing, sweeping
from portal.models import Api, Endings, Subscription, Tenant
from portal.services import stopping
from portal.web import queue
from portal.web.unit_of_work import in_unit_of_work

EngineFor = Callable[[Tenant], BillingEngine]
#: Of how many APIs the subscriptions are ended by one sweep.
APIS = 5
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
    found = _page(api_id, after, sweeping.PAGE)
    db.session.rollback()
    if not found:
        in_unit_of_work(lambda: _done(api_id))
        return None
    for number in found:
        sweeping.alone(f"endings {api_id}", number, partial(_end, engine_for))
    return found[-1]


def _page(api_id: int, after: int, limit: int) -> Sequence[int]:
    api = db.session.get_one(Api, api_id, populate_existing=True)
    return stopping.left(api, after, limit) if api.endings is not None else ()


def _done(api_id: int) -> None:
    api = db.session.get_one(Api, api_id)
    # Somebody may have asked for more meanwhile; what came in then is found by the next sweep.
    if api.endings is not None and not stopping.count_left(api):
        stopping.ask(api, Endings.GO_ON, "")


def _end(engine_for: EngineFor, number: int) -> None:
    """End one subscription as was asked for, and close a payment that it waits for."""
    row = db.session.get_one(Subscription, number)
    how, actor = row.api.endings, row.api.endings_by or "worker"
    if how is None:
        # Taken back while the page was worked through.
        return
    is_free, is_first = row.can_pay_change or not row.is_commercial, stopping.is_waiting(row)
    engine, uuid = engine_for(row.api.tenant), row.uuid
    db.session.rollback()
    if is_free:
        changing_free.keep_free(engine_for, uuid, actor=actor)
    elif how == Endings.NOW or is_first:
        payments.end(engine_for, uuid, actor=actor, because=BECAUSE)
    else:
        # What was called until now; the hourly run reports the rest before the last invoice.
        publishing.flush(engine, number)
        cancelling.at_period_end(engine, uuid, actor=actor)


def sweep(engine_for: EngineFor) -> int:
    """Go on with endings that a crash or a missing answer has left; return of how many APIs.

    A page of each: the sweep has other work as well, and comes again in a minute.
    """
    return sweeping.in_turn("endings", stopping.pending, partial(_go_on, engine_for), page=APIS)


def _go_on(engine_for: EngineFor, api_id: int) -> None:
    sweeping.in_turn(f"endings {api_id}", partial(_page, api_id), partial(_end, engine_for))
    in_unit_of_work(lambda: _done(api_id))
