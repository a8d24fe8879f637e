"""Reading the provider's books: two lists for an account, whatever the number of subscriptions.

First the invoices, which name their payments, then what payments did to the balance. A reading
that breaks off loses nothing: the next one begins where the last that came to its end began.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import TypeVar

import structlog

from portal import clock
from portal.billing.engine import BillingEngine
from portal.errors import PortalError
from portal.extensions import db
from portal.models import Tenant
from portal.services import books
from portal.web.unit_of_work import in_unit_of_work

log = structlog.get_logger()

#: How old the copies may be when somebody opens a page of them.
FRESH = timedelta(minutes=5)
PAGE = 100

EngineFor = Callable[[Tenant], BillingEngine]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How far the books of a tenant's accounts are read."""

    as_of: datetime | None
    """The oldest of the accounts' readings; ``None`` if one was never read, or there is none."""
    problem: str | None = None
    """A sentence for the reader, if an account did not answer."""


def read(engine_for: EngineFor, tenant_id: int, *, older_than: timedelta = FRESH) -> Reading:
    """Bring the copies of a tenant's invoices and payments up to date.

    An account that does not answer leaves its sentence in ``problem``, and what is known of it.
    Where every copy is new enough, one query says so.
    """
    found, now = books.readings(tenant_id), clock.now()
    fresh = [read for read in found.values() if read is not None and now - read < older_than]
    if len(fresh) == len(found):
        return Reading(as_of=min(fresh, default=None))
    db.session.rollback()
    readings = [_account(engine_for, tenant_id, account, older_than) for account in found]
    known = [each.as_of for each in readings if each.as_of is not None]
    return Reading(
        as_of=min(known) if len(known) == len(readings) else None,
        problem=next((each.problem for each in readings if each.problem), None),
    )


def read_all(engine_for: EngineFor) -> None:
    """Bring every tenant's copies up to date; each hour, by the worker."""
    tenants = [tenant.tenant_id for tenant in db.session.query(Tenant) if tenant.platform_key]
    db.session.rollback()
    for tenant_id in tenants:
        reading = read(engine_for, tenant_id, older_than=timedelta(minutes=30))
        if reading.problem:
            log.warning("books_not_read", tenant=tenant_id, problem=reading.problem)


def _account(engine_for: EngineFor, tenant_id: int, account: str, older_than: timedelta) -> Reading:
    began = clock.now()
    held = in_unit_of_work(lambda: books.book(tenant_id, account).read_at)
    if held is not None and began - held < older_than:
        return Reading(as_of=held)
    tenant = db.session.get_one(Tenant, tenant_id)
    since = books.since(tenant, books.book(tenant_id, account))
    try:
        engine = engine_for(tenant)
        db.session.rollback()
        _copy(engine, tenant_id, account, since)
    except PortalError as error:
        db.session.rollback()
        words = error.message
        in_unit_of_work(lambda: _note(tenant_id, account, held, words))
        return Reading(as_of=held, problem=words)
    in_unit_of_work(lambda: _note(tenant_id, account, began, None))
    return Reading(as_of=began)


def _copy(engine: BillingEngine, tenant_id: int, account: str, since: datetime | None) -> None:
    for page in _pages(engine.account_invoices(account, since)):
        in_unit_of_work(lambda rows=page: books.keep_invoices(tenant_id, account, rows))  # type: ignore[misc]
    for moved in _pages(engine.movements(account, since)):
        in_unit_of_work(lambda rows=moved: books.keep_movements(rows))  # type: ignore[misc]


def _pages(values: Iterator[T]) -> Iterator[list[T]]:
    while page := list(islice(values, PAGE)):
        yield page


def _note(tenant_id: int, account: str, read_at: datetime | None, problem: str | None) -> None:
    row = books.book(tenant_id, account)
    row.read_at, row.problem = read_at, problem[:1024] if problem else None
