"""The short way of an ordinary event: one statement reads, one writes, and no object is made.

Most events of a busy day change no fact: a subscription was renewed, an invoice is paid. The rules
for them are the same function as for every other event (``event_rules.next_state``), applied to
columns that one query brings; the event and what it changes are stored together by one statement
that writes nothing unless the subscription is as it was read. Whatever is not ordinary, a line for
the timeline, a notice, a tie, a subscription that is not known, takes the long way
(``inbox.receive``), which gives the same result for these, too. See docs/decisions/0020.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import (
    Executable,
    Select,
    Table,
    Update,
    bindparam,
    insert,
    literal_column,
    select,
    type_coerce,
    update,
)

from portal import clock
from portal.billing.values import BillingEvent
from portal.models import EngineSubscription, InboxEvent, Outcome, Subscription, Tenant
from portal.models.subscription import FACTS, facts_of, in_force, status_of
from portal.services import inbox
from portal.services.event_rules import SAID_BY_ENGINE, Local, Step, next_state


class Statements(Protocol):
    """Runs statements on one connection: see ``portal.web.quick``."""

    name: str
    """The kind of database."""

    def one(self, statement: Executable, values: Mapping[str, Any]) -> Any:
        """Return the only row of a query, with its columns as attributes, or ``None``."""

    def write(self, statement: Executable, values: Mapping[str, Any]) -> int:
        """Return how many rows a statement wrote."""


@dataclass(frozen=True, kw_only=True)
class Sealed:
    """A tenant's secrets as the row holds them, by which a change of them is noticed."""

    platform_key: str | None
    webhook_secrets: str | None


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is held of the tenant, of the event and of the subscription that it is about."""

    row: Any

    @property
    def sealed(self) -> Sealed:
        """The tenant's secrets as they are stored now."""
        return Sealed(
            platform_key=self.row.platform_key_sealed,
            webhook_secrets=self.row.webhook_secrets_sealed,
        )

    @property
    def is_repeat(self) -> bool:
        """Whether the event is stored already."""
        return self.row.inbox_id is not None


def read(run: Statements, domain: str, event: BillingEvent) -> Known | None:
    """Read everything that decides what an event does, in one query; ``None``: no such tenant."""
    said = {"domain": domain, "event": event.event_id, "engine_id": event.subscription_id}
    row = run.one(_READ, said)
    return None if row is None else Known(row=row)


def step_of(known: Known, event: BillingEvent, *, is_live: bool) -> Step | None:
    """Return what the event does, or ``None`` if it has to take the long way."""
    row = known.row
    if event.kind is None or event.checkout is not None or event.livemode != is_live:
        return None
    if row.subscription_id is None or row.account != event.account:
        return None
    step = next_state(_local(row), event)
    ordinary = step.outcome is Outcome.APPLIED and not step.lines and not step.refresh
    return step if ordinary else None


def _local(row: Any) -> Local:
    said = {name: getattr(row, name) for name in SAID_BY_ENGINE}
    return Local(facts=facts_of(row), gives_grace=row.grace_days > 0, **said)


def count_again(run: Statements, known: Known) -> bool:
    """Count one more delivery of an event that is stored.

    PostgreSQL is not asked to bring the count to the disk before it goes on: the event is there
    already, and a hundred repeats at once would wait for the disk one after the other.
    """
    statement = _AGAIN_AT_EASE if run.name == "postgresql" else _AGAIN
    return run.write(statement, {"number": known.row.inbox_id}) == 1


def write(run: Statements, known: Known, event: BillingEvent, raw: bytes, step: Step) -> bool:
    """Store the event with what it does; return whether it was stored.

    Nothing is to be kept of it if the subscription was written since it was read, or if somebody
    else has stored the event meanwhile, which is the database's error of a key that is taken.
    """
    stored = _columns(known.row, event, raw, step)
    guard = {"number": known.row.subscription_id, "seen": known.row.revision}
    values = {**guard, **{f"event_{name}": stored[name] for name in _STORED}}
    said = {name: getattr(step.local, name) for name in SAID_BY_ENGINE}
    if all(getattr(known.row, name) == value for name, value in said.items()):
        return run.write(_STORE, values) == 1
    changes = {f"new_{name}": value for name, value in said.items()}
    if run.name == "postgresql":
        return run.write(_STORE_AND_CHANGE, {**values, **changes}) == 1
    changed = run.write(_CHANGE, {**guard, **changes}) == 1
    return changed and run.write(_STORE, {**values, "seen": known.row.revision + 1}) == 1


def _columns(row: Any, event: BillingEvent, raw: bytes, step: Step) -> dict[str, Any]:
    now = clock.now()
    status = status_of(in_force(facts_of(row), row.stops_at, now))
    return {
        **inbox.first_values(row.tenant_id, event, raw, now),
        "outcome": step.outcome.value,
        "detail": step.detail[:1024],
        "status_before": status.value,
        "status_after": status.value,
        "am_subscription_id": row.subscription_id,
    }


# --- the statements ---------------------------------------------------------------------------

_INBOX: Table = InboxEvent.__table__  # type: ignore[assignment]
_ROW: Table = Subscription.__table__  # type: ignore[assignment]
_STORED = (
    *("tenant_id", "event_id", "type", "account", "livemode", "created", "received_at"),
    *("payload_zlib", "outcome", "detail", "deliveries", "attempts"),
    *("status_before", "status_after", "am_subscription_id"),
)
_NEEDED = ("subscription_id", "revision", "stops_at", *FACTS, *SAID_BY_ENGINE)


def _reading() -> Select[Any]:
    tenant, record = Tenant.__table__, EngineSubscription.__table__
    return (
        select(
            tenant.c.tenant_id,
            tenant.c.platform_key_sealed,
            tenant.c.webhook_secrets_sealed,
            tenant.c.grace_days,
            _INBOX.c.inbox_id,
            record.c.connected_account.label("account"),
            *(_ROW.c[name] for name in _NEEDED),
        )
        .select_from(tenant)
        .outerjoin(
            _INBOX,
            (_INBOX.c.tenant_id == tenant.c.tenant_id) & (_INBOX.c.event_id == bindparam("event")),
        )
        .outerjoin(
            record,
            (record.c.tenant_id == tenant.c.tenant_id)
            & (record.c.subscription_id == bindparam("engine_id")),
        )
        .outerjoin(_ROW, _ROW.c.subscription_id == record.c.am_subscription_id)
        .where(tenant.c.tenant_domain == bindparam("domain"))
    )


def _changing() -> Update:
    """Write what the engine said, if the row is as it was read; a gateway sees that it changed."""
    return (
        update(_ROW)
        .where(_ROW.c.subscription_id == bindparam("number"), _ROW.c.revision == bindparam("seen"))
        .values(
            revision=_ROW.c.revision + literal_column("1"),
            **{name: bindparam(f"new_{name}", type_=_ROW.c[name].type) for name in SAID_BY_ENGINE},
        )
    )


def _storing(source: Any) -> Any:
    """Store the event for each row of ``source``: one, or none."""
    given = (type_coerce(bindparam(f"event_{name}"), _INBOX.c[name].type) for name in _STORED)
    return insert(_INBOX).from_select(_STORED, select(*given).select_from(source))


_READ = _reading()
_AGAIN = (
    update(_INBOX)
    .where(_INBOX.c.inbox_id == bindparam("number"))
    .values(deliveries=_INBOX.c.deliveries + literal_column("1"))
)
_AT_EASE = select(literal_column("set_config('synchronous_commit', 'off', true)")).scalar_subquery()
_AGAIN_AT_EASE = _AGAIN.where(literal_column("'off'") == _AT_EASE)
_CHANGE = _changing()
_AS_READ = (
    select(_ROW.c.subscription_id)
    .where(_ROW.c.subscription_id == bindparam("number"), _ROW.c.revision == bindparam("seen"))
    .subquery("as_read")
)
_STORE = _storing(_AS_READ)
_STORE_AND_CHANGE = _storing(_changing().returning(_ROW.c.subscription_id).cte("changed"))
