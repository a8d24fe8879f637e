"""The short way of an event by which a debt begins or is settled: a move, its line, its notice.

The rules are those of every other event: ``event_rules`` says which move it is, ``arrears`` what
is announced with it, ``subscriptions`` and ``notices`` how a line and a notice are written. Here
they are only stored, together with the event, and nothing is stored unless the subscription is as
it was read. On PostgreSQL that is one statement. See docs/decisions/0020.
"""

from dataclasses import asdict
from typing import Any

from sqlalchemy import Table, bindparam, insert, literal_column, select, update
from sqlalchemy.dialects import postgresql

from portal.billing.values import BillingEvent
from portal.models import Notice
from portal.models.subscription import FACTS, TimelineEntry, columns_of
from portal.models.tenant import days_of
from portal.services import arrears, notices, subscriptions
from portal.services.arrears import Announcement, Arrears
from portal.services.event_rules import SAID_BY_ENGINE, Line, Step
from portal.services.inserting import ignoring
from portal.services.short_statements import (
    AS_READ,
    ROW,
    STORE,
    Statements,
    given,
    inserted,
    named,
    storing,
)
from portal.services.subscriptions import Cause, Move

_MOVES = (Move.FALL_BEHIND, Move.GIVE_GRACE, Move.CATCH_UP)


def line_of(step: Step) -> Line | None:
    """Return the line of a step that is one such move and nothing else."""
    alone = len(step.lines) == 1 and step.refresh
    return step.lines[0] if alone and step.lines[0].move in _MOVES else None


def write(
    run: Statements, row: Any, event: BillingEvent, line: Line, step: Step, stored: dict[str, Any]
) -> bool:
    """Store a move with its line, its notice and its event; return whether it was stored.

    :param row: what was read of the subscription and its tenant
    :param stored: the event's row, under the names of its parameters
    """
    told = _announced(row, line)
    said = run.one(notices.ABOUT, {"number": row.subscription_id}) if told else None
    if told is None or said is None:
        return False
    cause = Cause(because=line.because, actor="stripe", event_id=event.event_id)
    number = row.line + 1
    lined = subscriptions.line_of(row.uuid, number, line.name, cause, (line.before, line.after))
    notice = _notice(row, step, told, said)
    values = {
        **stored,
        **named("line", lined),
        **named("told", notice),
        **named("new", _changes(step, told, number)),
        "number": row.subscription_id,
        "seen": row.revision,
    }
    if told.settles:
        values |= {"settled_at": notice["at"]}
    return _stored(run, values, settles=bool(told.settles))


def _announced(row: Any, line: Line) -> Announcement | None:
    return arrears.announce(
        line.before,
        line.after,
        Arrears(**{name: getattr(row, name) for name in arrears.COLUMNS}),
        row.line + 1,
        grace_days=row.grace_days,
        days_before=days_of(row.reminder_days),
    )


def _notice(row: Any, step: Step, told: Announcement, said: Any) -> dict[str, Any]:
    facts = notices.facts_of(
        said,
        asks_bank=step.local.needs_authentication,
        until=told.until,
        was_blocked=told.was_blocked,
    )
    return notices.row_of(
        row.tenant_id,
        row.subscription_id,
        (told.kind, told.occasion),
        facts,
        relevant_until=told.relevant_until,
        email=said.email,
    )


def _changes(step: Step, told: Announcement, number: int) -> dict[str, Any]:
    return {
        **{name: getattr(step.local, name) for name in SAID_BY_ENGINE},
        **columns_of(step.local.facts),
        **asdict(told.arrears),
        "line": number,
        "refresh_due": True,
    }


def _stored(run: Statements, values: dict[str, Any], *, settles: bool) -> bool:
    if run.name == "postgresql":
        return run.write(_AT_ONCE[settles], values) == 1
    # The line first: the facts of a subscription have to stand in one.
    run.write(_LINE, values)
    if run.write(_CHANGE, values) != 1:
        return False
    if settles:
        run.write(_SETTLE, values)
    run.write(_TELL[run.name], values)
    return run.write(STORE, values) == 1


# --- the statements ---------------------------------------------------------------------------

_TIMELINE: Table = TimelineEntry.__table__  # type: ignore[assignment]
_NOTICE: Table = Notice.__table__  # type: ignore[assignment]
_CHANGED = (*SAID_BY_ENGINE, *FACTS, *arrears.COLUMNS, "line", "refresh_due")
_LINED = (
    *("subscription_uuid", "line", "at", "move", "status_before", "status_after"),
    *("because", "actor", "stripe_event_id", *FACTS),
)
_TOLD = (
    *("uuid", "tenant_id", "subscription_id", "kind", "occasion", "at", "subject", "body"),
    *("relevant_until", "recipient", "mail_state", "mail_attempts", "mail_next_at"),
)

_CHANGE = (
    update(ROW)
    .where(*AS_READ)
    .values(revision=ROW.c.revision + literal_column("1"), **given("new", ROW, _CHANGED))
)
_LINE = insert(_TIMELINE).values(given("line", _TIMELINE, _LINED))
_TELL = {
    kind: ignoring(kind, _NOTICE).values(given("told", _NOTICE, _TOLD))
    for kind in ("sqlite", "mysql", "mariadb")
}
_SETTLE = (
    update(_NOTICE)
    .where(
        _NOTICE.c.subscription_id == bindparam("number"),
        # In the text itself: a list of parameters is no text that can be kept.
        _NOTICE.c.kind.in_([literal_column(f"'{kind.value}'") for kind in arrears.KINDS]),
        _NOTICE.c.closed_at.is_(None),
    )
    .values(closed_at=bindparam("settled_at", type_=_NOTICE.c.at.type))
)


def _at_once(*, settles: bool) -> Any:
    """Return all of it as one statement: nothing happens unless the subscription is changed."""
    changed = _CHANGE.returning(ROW.c.subscription_id).cte("changed")
    lined = inserted("line", _TIMELINE, _LINED, changed, insert(_TIMELINE))
    told = inserted("told", _NOTICE, _TOLD, changed, postgresql.insert(_NOTICE))
    also = [lined.cte("lined"), told.on_conflict_do_nothing().cte("told")]
    if settles:
        # What is told now is not seen by this: it is of another kind, and newer.
        also.append(_SETTLE.where(select(changed).exists()).cte("settled"))
    return storing(changed).add_cte(*also)


_AT_ONCE = {settles: _at_once(settles=settles) for settles in (False, True)}
