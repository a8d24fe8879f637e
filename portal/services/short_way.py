"""The short way of an ordinary event: one statement reads, one writes, and no object is made.

Most events of a busy day change no fact: a subscription was renewed, an invoice is paid. The rules
for them are the same function as for every other event (``event_rules.next_state``), applied to
columns that one query brings; the event and what it changes are stored together by one statement
that writes nothing unless the subscription is as it was read. So it is with those by which a debt
begins or is settled (``short_moves``). Whatever is not ordinary, another line for the timeline, a
tie, a subscription that is not known, takes the long way (``inbox.receive``), which gives the same
result for these, too. See docs/decisions/0020.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, Update, bindparam, literal_column, select, update

from portal import clock
from portal.billing.values import BillingEvent
from portal.models import EnginePrice, EngineSubscription, Outcome, Tenant
from portal.models.subscription import FACTS, UNKNOWN, facts_of, in_force, status_of
from portal.services import arrears, inbox, short_moves
from portal.services.event_rules import SAID_BY_ENGINE, Local, Step, next_state
from portal.services.short_statements import (
    AS_READ,
    HOLD,
    INBOX,
    ROW,
    STORE,
    STORE_IF,
    Statements,
    given,
    named,
    storing,
)


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

    def closes_with(self, step: Step) -> bool:
        """Whether a step ends a billing period of a subscription that pays per call."""
        began = self.row.period_start
        is_moved = began is not None and began != step.local.period_start
        return is_moved and self.row.meter_event_name is not None


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
    if row.engine_subscription_id != event.subscription_id:
        # Of a paid plan that was left.
        return None
    if row.billed_from == UNKNOWN:
        # The first period of a paid plan is named at any moment, and calls are billed from then.
        return None
    step = next_state(_local(row), event)
    if step.outcome is not Outcome.APPLIED:
        return None
    ordinary = not step.lines and not step.refresh
    return step if ordinary or short_moves.line_of(step) else None


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
    stored = named("event", _columns(known.row, event, raw, step))
    line = short_moves.line_of(step)
    if line is not None:
        return short_moves.write(run, known.row, event, line, step, stored)
    guard = {"number": known.row.subscription_id, "seen": known.row.revision}
    values = {**guard, **stored}
    said = {name: getattr(step.local, name) for name in SAID_BY_ENGINE}
    is_news = any(getattr(known.row, name) != value for name, value in said.items())
    if is_news:
        values |= named("new", said)
    if run.name == "postgresql":
        return run.write(_STORE_AND_CHANGE if is_news else STORE_IF, values) == 1
    return run.write(_CHANGE if is_news else HOLD, values) == 1 and run.write(STORE, values) == 1


def _columns(row: Any, event: BillingEvent, raw: bytes, step: Step) -> dict[str, Any]:
    now = clock.now()
    before = in_force(facts_of(row), row.stops_at, now)
    return {
        **inbox.first_values(row.tenant_id, event, raw, now),
        "outcome": step.outcome.value,
        "detail": step.detail[:1024],
        "status_before": status_of(before).value,
        "status_after": status_of(step.local.facts if step.lines else before).value,
        "am_subscription_id": row.subscription_id,
    }


# --- the statements ---------------------------------------------------------------------------

_NEEDED = (
    *("subscription_id", "uuid", "line", "revision", "billed_from"),
    *("engine_subscription_id", *FACTS, *SAID_BY_ENGINE, *arrears.COLUMNS),
)


def _reading() -> Select[Any]:
    tenant, record = Tenant.__table__, EngineSubscription.__table__
    price = EnginePrice.__table__
    return (
        select(
            tenant.c.tenant_id,
            tenant.c.platform_key_sealed,
            tenant.c.webhook_secrets_sealed,
            tenant.c.grace_days,
            tenant.c.reminder_days,
            INBOX.c.inbox_id,
            record.c.connected_account.label("account"),
            price.c.meter_event_name,
            *(ROW.c[name] for name in _NEEDED),
        )
        .select_from(tenant)
        .outerjoin(
            INBOX,
            (INBOX.c.tenant_id == tenant.c.tenant_id) & (INBOX.c.event_id == bindparam("event")),
        )
        .outerjoin(
            record,
            (record.c.tenant_id == tenant.c.tenant_id)
            & (record.c.subscription_id == bindparam("engine_id")),
        )
        .outerjoin(price, price.c.mapping_id == record.c.mapping_id)
        .outerjoin(ROW, ROW.c.subscription_id == record.c.am_subscription_id)
        .where(tenant.c.tenant_domain == bindparam("domain"))
    )


def _changing() -> Update:
    """Write what the engine said, if the row is as it was read; a gateway sees that it changed."""
    return (
        update(ROW)
        .where(*AS_READ)
        .values(revision=ROW.c.revision + literal_column("1"), **given("new", ROW, SAID_BY_ENGINE))
    )


_READ = _reading()
_AGAIN = (
    update(INBOX)
    .where(INBOX.c.inbox_id == bindparam("number"))
    .values(deliveries=INBOX.c.deliveries + literal_column("1"))
)
_AT_EASE = select(literal_column("set_config('synchronous_commit', 'off', true)")).scalar_subquery()
_AGAIN_AT_EASE = _AGAIN.where(literal_column("'off'") == _AT_EASE)
_CHANGE = _changing()
_STORE_AND_CHANGE = storing(_changing().returning(ROW.c.subscription_id).cte("changed"))
