"""Reading the present state at the engine, where events tied, disagreed or came too soon."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import structlog
from sqlalchemy import func, select, tuple_, update

from portal import clock
from portal.billing.engine import BillingEngine, BillingEvent, Invoice, SubscriptionSnapshot
from portal.errors import PortalError
from portal.extensions import db
from portal.flows import sweeping
from portal.models import (
    Billing,
    CheckoutAttempt,
    CheckoutStatus,
    EngineSubscription,
    InboxEvent,
    Subscription,
    Tenant,
)
from portal.services import billing_events, inbox
from portal.web.unit_of_work import in_unit_of_work

log = structlog.get_logger()

EngineFor = Callable[[Tenant], BillingEngine]
#: An answer that was overtaken by an event this many times in a row waits for the next sweep.
TRIES = 5


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What the engine answered, when it was asked, and which revision of the row it was for."""

    snapshot: SubscriptionSnapshot | None
    at: int
    revision: int
    owed: Invoice | None
    """The open invoice, where the subscription is in arrears."""


def refresh_due(engine_for: EngineFor, limit: int = 500) -> int:
    """Refresh every subscription that is marked; return how many were.

    One that the engine does not answer for stays marked. Its account is left alone for the rest
    of this pass, so that it holds up nobody else's, however many of it are marked.
    """
    done = 0
    tried: set[int] = set()
    failing: set[tuple[int, str]] = set()
    while len(tried) < limit:
        page = [row for row in _marked(failing, limit) if row[0] not in tried]
        for subscription_id, tenant_id, account in page[: limit - len(tried)]:
            if (tenant_id, account) in failing:
                continue
            tried.add(subscription_id)
            if _was_refreshed(engine_for, subscription_id):
                done += 1
            else:
                failing.add((tenant_id, account))
        if not page:
            break
    return done


def _marked(failing: set[tuple[int, str]], limit: int) -> Sequence[tuple[int, int, str]]:
    account = func.coalesce(Subscription.connected_account, "")
    found = db.session.execute(
        select(Subscription.subscription_id, Subscription.tenant_id, account)
        .where(
            Subscription.refresh_due.is_(True),
            tuple_(Subscription.tenant_id, account).not_in(failing),
        )
        .order_by(Subscription.refresh_failed_at, Subscription.subscription_id)
        .limit(limit)
    )
    marked = [(row[0], row[1], row[2]) for row in found]
    db.session.rollback()
    return marked


def _was_refreshed(engine_for: EngineFor, subscription_id: int) -> bool:
    try:
        refresh(engine_for, subscription_id)
    except Exception as error:
        db.session.rollback()
        in_unit_of_work(lambda: _failed(subscription_id))
        if isinstance(error, PortalError):
            log.warning("refresh_failed", subscription=subscription_id, error=error.message)
        else:
            log.exception("refresh_failed", subscription=subscription_id)
        return False
    return True


def _failed(subscription_id: int) -> None:
    """Put a subscription behind those that have not failed yet."""
    db.session.execute(
        update(Subscription)
        .where(Subscription.subscription_id == subscription_id)
        .values(refresh_failed_at=clock.epoch(clock.now()))
    )


def refresh(engine_for: EngineFor, subscription_id: int) -> None:
    """Make one subscription agree with the engine; at once, whatever events say later.

    An answer that an event has overtaken is thrown away and asked for again. A subscription that
    has ended here but lives at the engine is cancelled there.
    """
    for _ in range(TRIES):
        if _ask(engine_for, subscription_id):
            return


def _ask(engine_for: EngineFor, subscription_id: int) -> bool:
    """Read a subscription at the engine and apply it; False if it changed here meanwhile."""
    subscription = db.session.get_one(Subscription, subscription_id)
    engine = engine_for(subscription.api.tenant)
    records = [
        (record.connected_account, record.subscription_id)
        for record in db.session.scalars(
            select(EngineSubscription).where(
                EngineSubscription.am_subscription_id == subscription_id
            )
        )
    ]
    open_pages = db.session.execute(
        select(CheckoutAttempt.connected_account, CheckoutAttempt.session_id).where(
            CheckoutAttempt.am_subscription_id == subscription_id,
            CheckoutAttempt.status == CheckoutStatus.PENDING,
            CheckoutAttempt.session_id.is_not(None),
        )
    ).all()
    current, ended = subscription.engine_subscription_id, subscription.ended_at is not None
    seen_at, revision = clock.epoch(clock.now()), subscription.revision
    db.session.rollback()
    if records and (ended or current is not None):
        for account, session_id in open_pages:
            # Paid through one page: another one that is still open must not be paid too.
            engine.expire_checkout(account, str(session_id))
    snapshot = None
    for account, engine_id in records:
        found = engine.subscription(account, engine_id)
        if (ended or engine_id != current) and not found.status.is_over:
            found = engine.cancel_subscription(account, engine_id)
        if engine_id == current:
            snapshot = found
    owed = _owed(engine, records, snapshot)
    seen = _Seen(snapshot=snapshot, at=seen_at, revision=revision, owed=owed)
    return in_unit_of_work(lambda: _apply(subscription_id, seen))


def _owed(
    engine: BillingEngine, records: list[tuple[str, str]], snapshot: SubscriptionSnapshot | None
) -> Invoice | None:
    """Return the open invoice of a subscription that is in arrears."""
    if snapshot is None or not snapshot.status.is_arrears:
        return None
    account = next(acct for acct, engine_id in records if engine_id == snapshot.subscription_id)
    invoices = engine.invoices(account, snapshot.subscription_id)
    return next((invoice for invoice in invoices if invoice.status == "open"), None)


def _apply(subscription_id: int, seen: _Seen) -> bool:
    subscription = db.session.get_one(Subscription, subscription_id)
    if subscription.revision != seen.revision:
        # An event came while we were asking; it may be newer than the answer.
        return False
    subscription.refresh_due = False
    if seen.snapshot is None or subscription.facts.billing is Billing.ENDED:
        inbox.resolve(subscription)
        return True
    billing_events.apply_snapshot(subscription, seen.snapshot, seen.at)
    if seen.owed is not None:
        subscription.pay_url = seen.owed.hosted_url
        subscription.needs_authentication = seen.owed.needs_authentication
    inbox.resolve(subscription)
    return True


def retry_parked(engine_for: EngineFor) -> int:
    """Try the parked events whose time has come; return how many there were."""
    waiting = inbox.due()
    db.session.rollback()
    for inbox_id in waiting:
        sweeping.alone("parked", inbox_id, partial(_try_again, engine_for))
    return len(waiting)


def _try_again(engine_for: EngineFor, inbox_id: int) -> None:
    row = db.session.get_one(InboxEvent, inbox_id)
    tenant = db.session.get_one(Tenant, row.tenant_id)
    try:
        engine = engine_for(tenant)
    except PortalError as error:
        # A key may be entered again at any moment.
        why = error.message
        in_unit_of_work(lambda: inbox.postpone(db.session.get_one(InboxEvent, inbox_id), why))
        return
    try:
        event = engine.translate_event(row.payload)
    except PortalError as error:
        log.warning("event_unreadable", event=row.event_id, error=error.message)
        _mark_dead(inbox_id, error.message)
        return
    in_unit_of_work(lambda: _retry(inbox_id, event))


def _retry(inbox_id: int, event: BillingEvent) -> None:
    row = db.session.get_one(InboxEvent, inbox_id)
    inbox.retry(row, db.session.get_one(Tenant, row.tenant_id), event)


def _mark_dead(inbox_id: int, why: str) -> None:
    def mark() -> None:
        db.session.execute(
            update(InboxEvent)
            .where(InboxEvent.inbox_id == inbox_id)
            .values(outcome="dead", detail=why[:1024], next_try_at=None)
        )

    in_unit_of_work(mark)
