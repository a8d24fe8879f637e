"""What administrators and publishers did: how a change is told, kept and found again.

A change is told by the tables themselves, before and after, so that no act can forget to tell
it. Secrets are never told: only that there was one, and that there is one now.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from typing import Any

from sqlalchemy import Update, inspect, select
from sqlalchemy.orm import InstanceState, Session

from portal.extensions import db
from portal.models import (
    ApiPolicy,
    AuditEntry,
    Book,
    BookedInvoice,
    BookedMovement,
    BookedPayment,
    DriftCheck,
    EndedSession,
    GatewayRevision,
    IdempotentRequest,
    InboxEvent,
    Mail,
    Notice,
    OAuthCode,
    OAuthToken,
    QuotaUse,
    SignInGuard,
    TimelineEntry,
    UsageBucket,
    UsageEvent,
    UsagePublisher,
    UsageSegment,
    UsageSourceCount,
    UsageSpool,
    UsageTally,
    UserRole,
)
from portal.services.paging import Page, page_of

#: Rows that tell nothing of an act: they have a history of their own, or are counters and copies.
UNTOLD: frozenset[type[Any]] = frozenset(
    {
        *(ApiPolicy, AuditEntry, Book, BookedInvoice, BookedMovement, BookedPayment, DriftCheck),
        *(EndedSession, GatewayRevision, IdempotentRequest, InboxEvent, Mail, Notice, OAuthCode),
        *(OAuthToken, QuotaUse, SignInGuard, TimelineEntry, UsageBucket, UsageEvent),
        *(UsagePublisher, UsageSegment, UsageSourceCount, UsageSpool, UsageTally, UserRole),
    }
)
_NAMES = ("username", "display_name", "name", "api_name", "tier_name", "client_name", "role")
_MORE_NAMES = ("tenant_domain", "issuer", "kind", "uuid")
_SECRET_ENDINGS = ("_sealed", "_hash", "_secret", "_password", "_token")
NO_SECRET, SECRET, NEW_SECRET = "none", "a secret", "a new secret"
#: Fields that change with every other.
_NOISE = ("updated_at", "changed_at", "revision", "line")
LONGEST_VALUE = 300
MOST_FIELDS = 40
MOST_ROWS = 40
PER_PAGE = 50

Change = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Filter:
    """What the list is narrowed to; what is empty narrows nothing. Both days are included."""

    who: str = ""
    act: str = ""
    since: date | None = None
    until: date | None = None


@dataclass(frozen=True, kw_only=True)
class Author:
    """Who acts, from where and with what; plain values, because rows may expire meanwhile."""

    user_id: int | None
    """``None``: nobody that the portal knows."""
    tenant_id: int
    name: str
    address: str = ""
    via: str = ""
    act: str = ""
    path: str = ""
    request_id: str = field(default="")


def told(session: Session) -> list[Change]:
    """Return what the rows that are about to be written change; asks the database nothing."""
    kinds = (("made", session.new), ("changed", session.dirty), ("deleted", session.deleted))
    found = []
    for what, rows in kinds:
        for row in rows:
            if type(row) in UNTOLD:
                continue
            fields = _fields(inspect(row), what)
            if fields or what != "changed":
                found.append(_change(type(row), _label(inspect(row).dict), what, fields))
    return found


def told_by_statement(session: Session, statement: Update, table: type[Any]) -> list[Change]:
    """Return what an UPDATE is about to change: reads the rows that it will find."""
    if table in UNTOLD:
        return []
    given: dict[Any, Any] = dict(statement._values or {})  # noqa: SLF001
    values = {str(column.key): _bound(value) for column, value in given.items()}
    columns = inspect(table).columns
    query = select(*columns).where(*statement._where_criteria).limit(MOST_ROWS)  # noqa: SLF001
    found = []
    for row in session.connection().execute(query).mappings():
        before = {str(key): value for key, value in row.items()}
        fields = {
            str(name): _pair(str(name), before.get(str(name)), value)
            for name, value in values.items()
            if before.get(str(name)) != value and name not in _NOISE
        }
        if fields:
            found.append(_change(table, _label(before), "changed", fields))
    return found


def merged(changes: Iterable[Change]) -> list[Change]:
    """Return one change for each row: as it was at first, and as it is at last."""
    found: dict[tuple[str, str], Change] = {}
    for change in changes:
        key = (change["row"], change["name"])
        known = found.get(key)
        if known is None:
            found[key] = {**change, "fields": dict(change["fields"])}
            continue
        if {known["what"], change["what"]} == {"made", "deleted"}:
            # A list that was written anew: this row of it is as it was.
            del found[key]
            continue
        if change["what"] == "deleted":
            known["what"] = "deleted"
        for name, (before, after) in change["fields"].items():
            known["fields"][name] = [known["fields"].get(name, [before])[0], after]
    kept = list(found.values())
    return [*kept[:MOST_ROWS], {"more": len(kept) - MOST_ROWS}] if len(kept) > MOST_ROWS else kept


def entry(author: Author, changes: list[Change], at: datetime) -> dict[str, Any]:
    """Return the row of an act."""
    named = next((change for change in changes if "name" in change), None)
    return {
        "tenant_id": author.tenant_id,
        "at": at,
        "user_id": author.user_id,
        "actor": author.name[:600],
        "address": author.address[:64],
        "via": author.via[:300],
        "act": author.act[:100],
        "path": author.path[:500],
        "target": f"{named['row']} {named['name']}".strip()[:300] if named else "",
        "request_id": author.request_id,
        "changes": changes,
    }


def page(tenant_id: int, wanted: Filter, number: int) -> Page[AuditEntry]:
    """Return a page of a tenant's acts, the latest first."""
    query = select(AuditEntry).where(AuditEntry.tenant_id == tenant_id)
    if wanted.who:
        query = query.where(AuditEntry.actor == wanted.who)
    if wanted.act:
        query = query.where(AuditEntry.act == wanted.act)
    if wanted.since:
        query = query.where(AuditEntry.at >= _midnight(wanted.since))
    if wanted.until:
        query = query.where(AuditEntry.at < _midnight(wanted.until) + timedelta(days=1))
    return page_of(query.order_by(AuditEntry.audit_id.desc()), number, per_page=PER_PAGE)


def acts(tenant_id: int) -> Sequence[str]:
    """Return the acts that a tenant's log holds."""
    query = select(AuditEntry.act).where(AuditEntry.tenant_id == tenant_id).distinct()
    return db.session.scalars(query).all()


def people(tenant_id: int) -> Sequence[str]:
    """Return the names that a tenant's log holds."""
    query = select(AuditEntry.actor).where(AuditEntry.tenant_id == tenant_id).distinct()
    return sorted(db.session.scalars(query))


def is_secret(name: str) -> bool:
    """Whether a field's value is never told."""
    return name.endswith(_SECRET_ENDINGS)


def _pair(name: str, before: Any, after: Any) -> list[Any]:
    if is_secret(name):
        return [
            NO_SECRET if before is None else SECRET,
            NO_SECRET if after is None else NEW_SECRET,
        ]
    return [_short(before), _short(after)]


def _short(value: Any) -> str | int | bool | None:
    if value is None or isinstance(value, bool | int):
        return value
    text = value.value if isinstance(value, Enum) else str(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def _fields(state: InstanceState[Any], what: str) -> dict[str, list[Any]]:
    fields: dict[str, list[Any]] = {}
    mapper = state.mapper
    keys = {mapper.get_property_by_column(column).key for column in mapper.primary_key}
    for attribute in mapper.column_attrs:
        name = attribute.key
        history = state.attrs[name].history
        if name in keys or name in _NOISE or not history.has_changes():
            continue
        before = history.deleted[0] if history.deleted else None
        after = history.added[0] if history.added else None
        if what == "made" and after is None:
            continue
        fields[name] = _pair(name, before, after)
    for relation in mapper.relationships:
        history = state.attrs[relation.key].history
        if relation.uselist and history.has_changes():
            gone, come = _names(history.deleted), _names(history.added)
            pair = [", ".join(sorted(gone - come)), ", ".join(sorted(come - gone))]
            if any(pair):
                fields[relation.key] = pair
    return dict(list(fields.items())[:MOST_FIELDS])


def _names(rows: Iterable[Any]) -> set[str]:
    return {name for row in rows if (name := _label(inspect(row).dict))}


def _label(values: Any) -> str:
    """Return what people call a row, from what is loaded of it."""
    for name in (*_NAMES, *_MORE_NAMES):
        if values.get(name):
            return str(values[name])[:200]
    return ""


def _change(table: type[Any], name: str, what: str, fields: dict[str, list[Any]]) -> Change:
    return {"row": table.__name__, "name": name, "what": what, "fields": fields}


def _bound(value: Any) -> Any:
    return getattr(value, "value", str(value))


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
