"""Gathering what the checks of a tenant's set-up look at; nothing is changed anywhere."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import ColumnElement, DateTime, func, select, type_coerce

from portal import clock
from portal.billing.engine import EVENT_TYPES, BillingEngine
from portal.billing.keys import refuse_mismatched_key
from portal.config import DATA
from portal.errors import BillingEngineError, EngineAccessDenied, EngineObjectMissing, Invalid
from portal.extensions import db
from portal.models import (
    Api,
    CheckoutAttempt,
    CheckoutStatus,
    InboxEvent,
    Outcome,
    PortalConfiguration,
    Tenant,
)
from portal.services import setup
from portal.services.doctor import CHECKS
from portal.services.examination import Account, Evidence, Report, examine
from portal.vault import SecretUnreadable

#: After so long somebody should have done what was due.
PATIENCE = timedelta(minutes=10)


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What the operator's settings say, and where the portal's own addresses are."""

    base_url: str
    webhook_url: str
    success_url: str
    api_base: str
    is_real_provider: bool
    spool: str = ""
    """The folder of this machine in which calls wait to be counted."""
    other_spools: tuple[tuple[str, int], ...] = ()
    """Other such folders, and how many files nobody counts there."""


def look_at(
    tenant: Tenant, engine_for: Callable[[Tenant], BillingEngine], around: Surroundings
) -> Report:
    """Examine a tenant's set-up: reads the database, then asks the provider, changes nothing."""
    evidence = _stored(tenant, around)
    if evidence.secrets_readable and evidence.has_key and not evidence.key_problem:
        engine = engine_for(tenant)
        configured = _configured(tenant)
        db.session.rollback()
        evidence = _asked(evidence, engine, configured)
    return examine(evidence, CHECKS)


# --- what is stored -------------------------------------------------------------------------


def _stored(tenant: Tenant, around: Surroundings) -> Evidence:
    current, newest = _schema()
    evidence = Evidence(
        now=clock.now(),
        base_url=around.base_url,
        webhook_url=around.webhook_url,
        success_url=tenant.checkout_success_url or around.success_url,
        is_real_provider=around.is_real_provider,
        spool=around.spool,
        other_spools=around.other_spools,
        schema=current,
        newest_schema=newest,
        database_now=_database_now(),
        wanted_version=setup.API_VERSION,
        wanted_events=frozenset(EVENT_TYPES),
        overdue_since=_overdue(tenant),
        last_refused_at=tenant.last_refused_event_at,
        refused_events=tenant.refused_events,
        **_events(tenant),
    )
    try:
        return replace(evidence, **_secrets(tenant, around.api_base))
    except SecretUnreadable:
        return replace(evidence, secrets_readable=False)


def _secrets(tenant: Tenant, api_base: str) -> dict[str, Any]:
    key = tenant.platform_key or ""
    sold: dict[str, list[str]] = {}
    nameless = []
    for api in db.session.scalars(
        select(Api).where(Api.tenant_id == tenant.tenant_id, Api.is_monetization_enabled.is_(True))
    ).unique():
        if api.connected_account:
            sold.setdefault(api.connected_account, []).append(api.api_name)
        else:
            nameless.append(api.api_name)
    return {
        "has_key": bool(key),
        "key_problem": _problem(key, api_base),
        "is_live": tenant.is_live,
        "secrets": len(tenant.webhook_secrets),
        "accounts": tuple(
            Account(account=account, apis=tuple(apis)) for account, apis in sorted(sold.items())
        ),
        "apis_without_account": tuple(nameless),
    }


def _problem(key: str, api_base: str) -> str:
    try:
        if key:
            refuse_mismatched_key(key, api_base)
    except Invalid as error:
        return error.message
    return ""


def _schema() -> tuple[str | None, str | None]:
    scripts = ScriptDirectory(str(DATA / "migrations"))
    current = MigrationContext.configure(db.session.connection()).get_current_revision()
    return current, scripts.get_current_head()


def _database_now() -> datetime | None:
    if db.session.get_bind().dialect.name == "sqlite":
        return None  # It has no clock of its own.
    here = func.utc_timestamp() if _is_mysql() else func.clock_timestamp()
    said: datetime | None = db.session.scalar(select(type_coerce(here, DateTime(timezone=True))))
    if said is None:
        return None
    return said.astimezone(UTC) if said.tzinfo else said.replace(tzinfo=UTC)


def _is_mysql() -> bool:
    return db.session.get_bind().dialect.name in ("mysql", "mariadb")


def _events(tenant: Tenant) -> dict[str, Any]:
    newest, connected = db.session.execute(
        select(func.max(InboxEvent.received_at), func.count(InboxEvent.account)).where(
            InboxEvent.tenant_id == tenant.tenant_id
        )
    ).one()
    dead = db.session.scalar(
        select(func.count()).where(
            InboxEvent.tenant_id == tenant.tenant_id, InboxEvent.outcome == Outcome.DEAD
        )
    )
    return {"last_event_at": newest, "heard_connected": connected > 0, "dead_events": dead or 0}


def _overdue(tenant: Tenant) -> datetime | None:
    """Return since when something is due that only the worker does."""
    long_ago = clock.now() - PATIENCE

    def oldest(moment: ColumnElement[datetime] | Any, *conditions: Any) -> datetime | None:
        found: datetime | None = db.session.scalar(
            select(func.min(moment)).where(moment < long_ago, *conditions)
        )
        return found

    due = (
        oldest(
            InboxEvent.next_try_at,
            InboxEvent.tenant_id == tenant.tenant_id,
            InboxEvent.outcome == Outcome.PARKED,
        ),
        oldest(
            CheckoutAttempt.expires_at,
            CheckoutAttempt.tenant_id == tenant.tenant_id,
            CheckoutAttempt.status == CheckoutStatus.PENDING,
        ),
    )
    return min((moment for moment in due if moment is not None), default=None)


def _configured(tenant: Tenant) -> dict[str, str]:
    rows = db.session.execute(
        select(PortalConfiguration.connected_account, PortalConfiguration.configuration_id).where(
            PortalConfiguration.tenant_id == tenant.tenant_id,
            PortalConfiguration.configuration_id.is_not(None),
        )
    )
    return {account: str(configuration) for account, configuration in rows}


# --- what the provider says -----------------------------------------------------------------


def _asked(evidence: Evidence, engine: BillingEngine, configured: dict[str, str]) -> Evidence:
    try:
        key = engine.test_key()
        asked_at = clock.now()
        evidence = replace(evidence, **_webhooks(engine))
        accounts = [_account(engine, each, configured) for each in evidence.accounts]
        accounts = _rights(engine, accounts)
    except BillingEngineError as error:
        return replace(evidence, key_error=error)
    return replace(evidence, key=key, asked_at=asked_at, accounts=tuple(accounts))


def _webhooks(engine: BillingEngine) -> dict[str, Any]:
    try:
        found = engine.webhooks()
    except EngineAccessDenied:
        return {"missing_rights": ("Webhook Endpoints",)}
    return {"webhooks": None if found is None else tuple(found)}


def _account(engine: BillingEngine, known: Account, configured: dict[str, str]) -> Account:
    try:
        known = replace(known, check=engine.check_account(known.account))
    except EngineAccessDenied as error:
        return replace(known, error=error)
    configuration = configured.get(known.account)
    if configuration is None:
        return known
    try:
        state = engine.portal_state(known.account, configuration)
    except EngineObjectMissing:
        return replace(known, has_portal=True, portal_missing=True)
    except EngineAccessDenied:
        return known  # The check of the key's rights names it.
    return replace(known, has_portal=True, portal=state)


def _rights(engine: BillingEngine, accounts: Sequence[Account]) -> list[Account]:
    """Ask for the key's rights in one account that answers: they are the same in each."""
    first = next((each for each in accounts if each.check is not None), None)
    return [
        replace(each, missing_rights=tuple(engine.missing_rights(each.account)))
        if each is first
        else each
        for each in accounts
    ]
