"""Publishing usage: freeze what is unclaimed, send each batch once, keep its receipt.

Killed anywhere, the next run goes on from the rows: a batch is committed as being sent before the
call, and sent again unchanged until it is acknowledged.
"""

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from portal import clock
from portal.analytics.source import SourceUnavailable
from portal.billing.engine import BillingEngine
from portal.errors import (
    BillingEngineError,
    EngineAccessDenied,
    EngineUnavailable,
    PortalError,
)
from portal.extensions import db
from portal.flows import draining, gathering
from portal.flows.sending import CLAIM, HEARTBEAT, Lanes, Outcome, Pace
from portal.models import PublishRun, Subscription, Tenant
from portal.services import batches, freezing, parked, publishing
from portal.services.batches import Sending, Unknown
from portal.services.publishing import Held
from portal.web import queue
from portal.web.unit_of_work import in_unit_of_work

log = structlog.get_logger()

EngineFor = Callable[[Tenant], BillingEngine]
#: Is told how many batches are done, and of how many.
Progress = Callable[[int, int], None]
#: After so many batches in a row without an answer the rest waits for the next run.
PATIENCE = 3
NO_ANSWER = "The payment provider does not answer. What was not sent goes out with the next run."


class _LostLease(gathering.Stop):
    """Another worker has taken this run over."""


@dataclass(kw_only=True)
class _Pass:
    """What one pass over the batches has met."""

    unanswered: int = 0
    denied: set[str] = field(default_factory=set)


def request(tenant: Tenant, started_by: str) -> PublishRun:
    """Start a run in the background and return at once; no call goes out from here.

    :raise portal.errors.Conflict: if one is going on
    """
    run = start(tenant, started_by)
    run_id = run.run_id
    db.session.rollback()
    queue.enqueue("publish", run_id)
    return run


def start(tenant: Tenant, started_by: str) -> PublishRun:
    """Store a run that the caller is going to work through itself.

    :raise portal.errors.Conflict: if one is going on
    """
    tenant_id = tenant.tenant_id
    return in_unit_of_work(
        lambda: publishing.start(db.session.get_one(Tenant, tenant_id), started_by)
    )


def run(engine_for: EngineFor, run_id: int, progress: Progress | None = None) -> bool:
    """Work through a run; return whether it was this worker that did.

    Whatever goes wrong ends in the run's row, so that a page and the status can show it.
    """
    token = uuid.uuid4().hex
    held = in_unit_of_work(lambda: publishing.adopt(run_id, token))
    if held is None:
        return False
    error: str | None = None
    try:
        error = _work(engine_for, held, progress or _silent)
    except _LostLease:
        log.warning("publish_lease_lost", run=run_id)
        return False
    except PortalError as refused:
        error = refused.message
    except Exception:
        log.exception("publish_failed", run=run_id)
        error = "Something unexpected happened; it is in the log. The next run goes on from here."
    db.session.rollback()
    in_unit_of_work(lambda: publishing.finish(held, error))
    return True


def is_waiting(tenant_id: int) -> bool:
    """Whether a run now would find anything to publish or to send again."""
    draining.drain_here()
    waiting = batches.unsettled(tenant_id) or parked.has_denied(tenant_id)
    found = bool(waiting) or bool(freezing.open_subscriptions(tenant_id))
    db.session.rollback()
    return found or gathering.is_chosen(tenant_id)


def _silent(_done: int, _total: int) -> None:
    """Tell nobody."""


def _work(engine_for: EngineFor, held: Held, progress: Progress) -> str | None:
    engine = engine_for(db.session.get_one(Tenant, held.tenant_id))
    db.session.rollback()
    unread = _freeze(held)
    in_unit_of_work(lambda: parked.reopen_denied(tenant_id=held.tenant_id))
    todo = batches.unsettled(held.tenant_id)
    db.session.rollback()
    progress(0, len(todo))
    if engine.parallel > 1:
        return _send_at_once(engine, todo, held, progress) or unread
    met = _Pass()
    for done, batch_id in enumerate(todo, start=1):
        _renew(held)
        _send(engine, batch_id, met, held.run_id)
        progress(done, len(todo))
        if met.unanswered >= PATIENCE:
            return NO_ANSWER
    return unread


def _send_at_once(
    engine: BillingEngine, todo: list[int], held: Held, progress: Progress
) -> str | None:
    """Send with an engine that takes several calls at once; what is uncertain one by one."""
    lanes = Lanes(engine=engine, pace=Pace(engine.calls_per_second), patience=PATIENCE)
    single: list[int] = []
    with lanes:
        for start in range(0, len(todo), CLAIM):
            if lanes.stop.is_set():
                break
            _renew(held)
            begun, uncertain = _begin(todo[start : start + CLAIM], held, lanes)
            single += uncertain
            # The next ones are claimed while these are sent.
            lanes.put(begun)
            _settle_until(lanes, CLAIM // 2, held)
            progress(min(start + CLAIM, len(todo)) - lanes.waiting, len(todo))
        _settle_until(lanes, 0, held)
    met = _Pass(unanswered=lanes.unanswered, denied=lanes.denied)
    for batch_id in single:
        if met.unanswered >= PATIENCE:
            break
        _renew(held)
        _send(engine, batch_id, met, held.run_id)
    progress(len(todo), len(todo))
    return NO_ANSWER if lanes.stop.is_set() or met.unanswered >= PATIENCE else None


def _settle_until(lanes: Lanes, few: int, held: Held) -> None:
    """Store what comes of batches until no more than ``few`` are on their way."""
    renewed = time.monotonic()
    while lanes.waiting > few:
        outcomes = lanes.take()
        if outcomes:
            in_unit_of_work(lambda found=outcomes: _settle(found, held.run_id))  # type: ignore[misc]
        if time.monotonic() - renewed >= HEARTBEAT:
            _renew(held)
            renewed = time.monotonic()


def _begin(part: list[int], held: Held, lanes: Lanes) -> tuple[list[Sending], list[int]]:
    """Claim batches for sending, in one transaction; return also those that are uncertain."""

    def begin() -> tuple[list[Sending], list[int]]:
        steps = batches.begin_many(part, held.run_id, avoid=lanes.denied)
        return (
            [step for step in steps if isinstance(step, Sending)],
            [step.batch_id for step in steps if isinstance(step, Unknown)],
        )

    try:
        return in_unit_of_work(begin)
    except Exception:
        # What is wrong with one holds up no other: each by itself.
        log.exception("claim_failed", run=held.run_id)
        return [], part


def _settle(outcomes: list[Outcome], run_id: int) -> None:
    went_well = {
        outcome.sent.batch_id: outcome.receipt
        for outcome in outcomes
        if outcome.was_sent and outcome.error is None
    }
    batches.acknowledge_many(went_well, run_id)
    for outcome in outcomes:
        if outcome.sent.batch_id not in went_well:
            _settle_one(outcome, run_id)


def _settle_one(outcome: Outcome, run_id: int) -> None:
    sent, error = outcome.sent, outcome.error
    if not outcome.was_sent:
        batches.call_off(sent)
        publishing.add_to_run(run_id, failures=1)
    elif isinstance(error, EngineUnavailable):
        batches.postpone(sent.batch_id, error.message, run_id)
    elif error is not None:
        denied = isinstance(error, EngineAccessDenied)
        log.warning("usage_refused", batch=sent.batch_id, error=error.message)
        batches.refuse(sent, error.message, retryable=denied, run_id=run_id)


def _renew(held: Held) -> None:
    if not in_unit_of_work(lambda: publishing.renew(held)):
        raise _LostLease


def _freeze(held: Held) -> str | None:
    """Freeze what is open, many at once; what is wrong with one holds up no other.

    Nothing is frozen while the tenant's source cannot be read: the sentence says why.
    """
    draining.drain_here()
    try:
        gathering.gather(held.tenant_id, held.until, lambda: _renew(held))
    except SourceUnavailable as error:
        return f"{error.message} Nothing new was billed; the next run reads it again."
    found = freezing.open_subscriptions(held.tenant_id)
    db.session.rollback()
    if not found:
        return None
    try:
        while in_unit_of_work(lambda: freezing.freeze(held.tenant_id, held.run_id)):
            _renew(held)
    except _LostLease:
        raise
    except Exception:
        log.exception("freeze_failed", tenant=held.tenant_id)
        for subscription_id in found:
            _renew(held)
            _freeze_one(subscription_id, held)
    return None


def _freeze_one(subscription_id: int, held: Held) -> None:
    try:
        in_unit_of_work(lambda: freezing.freeze_one(subscription_id, held.run_id))
    except Exception:
        log.exception("freeze_failed", subscription=subscription_id)
        in_unit_of_work(lambda: publishing.add_to_run(held.run_id, failures=1))


def flush(engine: BillingEngine, subscription_id: int) -> None:
    """Publish everything of one subscription now, before it is cancelled.

    What the engine refuses for good is parked and does not stop the cancelling.

    :raise portal.errors.EngineUnavailable: if it is not certain that all of it has arrived
    """
    draining.drain_here()
    _read_source(subscription_id)
    in_unit_of_work(lambda: freezing.freeze_one(subscription_id, while_changing=True))
    in_unit_of_work(lambda: parked.reopen_denied(subscription_id=subscription_id))
    met = _Pass()
    todo = batches.unsettled_of(subscription_id)
    db.session.rollback()
    for batch_id in todo:
        _send(engine, batch_id, met, None)
    is_left = parked.is_on_its_way(todo)
    db.session.rollback()
    if met.unanswered or is_left:
        raise EngineUnavailable(
            "The last usage could not be reported, because the payment provider does not answer. "
            "Nothing was cancelled. Press the button again in a minute."
        )


def flush_some(engine: BillingEngine, subscription_ids: Sequence[int]) -> bool:
    """Publish what the ledger has of some subscriptions; return whether the engine answered.

    Once it has not for some batches in a row, the rest waits.
    """
    met = _Pass()
    for subscription_id in subscription_ids:
        try:
            in_unit_of_work(lambda number=subscription_id: freezing.freeze_one(number))  # type: ignore[misc]
        except Exception:
            log.exception("freeze_failed", subscription=subscription_id)
        todo = batches.unsettled_of(subscription_id)
        db.session.rollback()
        for batch_id in todo:
            _send(engine, batch_id, met, None)
            if met.unanswered >= PATIENCE:
                return False
    return True


def _read_source(subscription_id: int) -> None:
    tenant_id = db.session.get_one(Subscription, subscription_id).tenant_id
    db.session.rollback()
    try:
        gathering.gather(tenant_id, clock.now())
    except SourceUnavailable as error:
        raise EngineUnavailable(
            f"The last usage could not be read. {error.message} Nothing was cancelled. Press the "
            "button again when it works."
        ) from error


def _send(engine: BillingEngine, batch_id: int, met: _Pass, run_id: int | None) -> None:
    """Bring one batch to the engine; what is wrong with one holds up no other."""
    try:
        step = in_unit_of_work(lambda: batches.begin(batch_id, run_id, avoid=met.denied))
        if isinstance(step, Unknown):
            step = _ask(engine, step, run_id)
        if step is not None:
            _report(engine, step, met, run_id)
    except EngineUnavailable as error:
        met.unanswered += 1
        _postpone(batch_id, error.message, run_id)
    except BillingEngineError as error:
        _postpone(batch_id, error.message, run_id)
    except Exception:
        log.exception("send_failed", batch=batch_id)
        db.session.rollback()
        _postpone(batch_id, "Something unexpected happened; it is in the log.", run_id)


def _report(engine: BillingEngine, sent: Sending, met: _Pass, run_id: int | None) -> None:
    try:
        receipt = engine.report_usage(sent.account, sent.report)
    except EngineUnavailable:
        raise
    except BillingEngineError as error:
        denied = isinstance(error, EngineAccessDenied)
        if denied:
            met.denied.add(sent.account)
        met.unanswered = 0
        _refuse(sent, error, run_id, retryable=denied)
    else:
        met.unanswered = 0
        in_unit_of_work(lambda: batches.acknowledge(sent.batch_id, receipt.request_id, run_id))


def _ask(engine: BillingEngine, question: Unknown, run_id: int | None) -> Sending | None:
    """Settle a batch by what the engine counted; return it for sending if it never arrived."""
    total = engine.usage_total(
        question.account,
        meter_id=question.meter_id,
        customer_id=question.customer_id,
        start=question.start,
        end=question.end,
    )

    def settle() -> Sending | None:
        if not batches.settle(question, total, run_id):
            return None
        step = batches.begin(question.batch_id, run_id)
        return step if isinstance(step, Sending) else None

    return in_unit_of_work(settle)


def _postpone(batch_id: int, error: str, run_id: int | None) -> None:
    in_unit_of_work(lambda: batches.postpone(batch_id, error, run_id))


def _refuse(sent: Sending, error: PortalError, run_id: int | None, *, retryable: bool) -> None:
    log.warning("usage_refused", batch=sent.batch_id, error=error.message)
    in_unit_of_work(lambda: batches.refuse(sent, error.message, retryable=retryable, run_id=run_id))
