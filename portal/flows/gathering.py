"""Reading a tenant's source into the ledger: plan, ask, store, one window after the other.

Each window is stored in one transaction, and only when all of it was read. A source that breaks
off in the middle leaves the window unread: nothing of it is billed, and the next run reads it.
"""

import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

import structlog

from portal import clock
from portal.analytics.registry import source_of
from portal.analytics.source import AnalyticsSource, Found, NothingYet, Scope, SourceUnavailable
from portal.extensions import db
from portal.models import UsageSource
from portal.services import sources
from portal.services.sources import Owner, Pair, Plan
from portal.web.engines import settings
from portal.web.unit_of_work import in_unit_of_work

log = structlog.get_logger()

Answer = TypeVar("Answer")

#: How long the reading of one window may take, in seconds, however many answers it needs.
LONGEST_READING = 1_800.0
#: How often whoever reads says meanwhile that it still does, in seconds.
HEARTBEAT = 20.0


class Stop(Exception):
    """Whoever reads a source is not to go on: another one does it."""


def gather(tenant_id: int, until: datetime, beat: Callable[[], object] = lambda: None) -> int:
    """Bring what the tenant's source knows up to ``until`` into the ledger; return how many calls.

    Nothing is asked where the portal's own ledger is the source. Twice adds nothing twice.

    :param beat: is called about every :data:`HEARTBEAT` seconds; may raise :class:`Stop`
    :raise SourceUnavailable: if not all of it could be read; what was read before is kept
    """
    row = sources.of(tenant_id)
    if row is None:
        db.session.rollback()
        return 0
    chosen_at = row.chosen_at
    try:
        source = _source(row)
        asked = sources.plan(row, until, source.look_back)
        db.session.rollback()
        return sum(_window(source, asked, scope, _every(HEARTBEAT, beat)) for scope in asked.scopes)
    except SourceUnavailable as error:
        db.session.rollback()
        words = error.message
        log.warning("source_unavailable", tenant=tenant_id, error=words)
        in_unit_of_work(lambda: sources.note_problem(tenant_id, chosen_at, words))
        if isinstance(error, NothingYet) and asked.is_first:
            # Before the first call there is nothing to read from; nothing is passed over either.
            return 0
        raise


def is_chosen(tenant_id: int) -> bool:
    """Whether the tenant has a source that only tells when it is asked."""
    found = sources.of(tenant_id) is not None
    db.session.rollback()
    return found


def examine(tenant_id: int) -> str:
    """Ask the tenant's source whether it works, and keep the answer for the pages that warn.

    :raise SourceUnavailable: with what to do
    """
    row = db.session.get_one(UsageSource, tenant_id)
    chosen_at = row.chosen_at
    try:
        source = _source(row)
        scope = sources.latest(row, clock.now())
        db.session.rollback()
        seen = _asked(lambda: source.check(scope))
    except SourceUnavailable as error:
        db.session.rollback()
        words = error.message
        in_unit_of_work(lambda: sources.note_problem(tenant_id, chosen_at, words))
        raise
    in_unit_of_work(lambda: sources.note_success(tenant_id, chosen_at))
    return seen


def _source(row: UsageSource) -> AnalyticsSource:
    return _asked(lambda: source_of(row, settings().backend_allowlist, settings().https_proxy))


def _asked(ask: Callable[[], Answer]) -> Answer:
    """Ask the source. Whatever goes wrong in that is the source's, so that the pages warn of it."""
    try:
        return ask()
    except (SourceUnavailable, Stop):
        raise
    except Exception as error:
        # Where and what, but no words: they may hold what the source was asked with.
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{place.filename}:{place.lineno}"
        log.error("source_failed", error=type(error).__name__, where=where)
        raise SourceUnavailable(
            "Something unexpected happened while the source of usage was asked; it is in the log. "
            "Check the source's settings, or tell the operator."
        ) from None


def _every(seconds: float, beat: Callable[[], object]) -> Callable[[], None]:
    """Return what may be called as often as one likes."""
    last = time.monotonic()

    def perhaps() -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= seconds:
            beat()
            last = now

    return perhaps


def _in_time(found: Iterator[Found], beat: Callable[[], None]) -> Iterator[Found]:
    end = time.monotonic() + LONGEST_READING
    for each in found:
        beat()
        if time.monotonic() > end:
            raise SourceUnavailable("The source of usage does not come to an end of its answers.")
        yield each


def _later(source: AnalyticsSource, scope: Scope, found: Found, mark: int) -> Found | None:
    return _asked(lambda: source.later(scope, found, mark))


def _window(source: AnalyticsSource, asked: Plan, scope: Scope, beat: Callable[[], None]) -> int:
    found = _asked(lambda: list(_in_time(source.read(scope), beat)))
    pairs = {(each.api, each.application) for each in found}
    whose = sources.owners(asked.tenant_id, pairs)
    db.session.rollback()
    pieces: list[Found] = []
    for each in found:
        beat()
        pieces += _cut(source, scope, each, whose)
    return in_unit_of_work(lambda: sources.take_over(asked, scope, pieces, whose))


def _cut(
    source: AnalyticsSource, scope: Scope, found: Found, whose: dict[Pair, list[Owner]]
) -> Iterator[Found]:
    """Tell calls apart that lie on both sides of a bound, by asking for the later ones."""
    left: Found | None = found
    while left is not None:
        mark = sources.cut(left, whose.get((left.api, left.application), []))
        if mark is None:
            yield left
            return
        later = _later(source, scope, left, mark)
        calls = left.calls - (later.calls if later else 0)
        if calls > 0:
            yield replace(left, calls=calls, last=mark - 1)
        left = replace(later, first=max(later.first, mark)) if later else None
