"""Frozen batches of usage: made of calls once, sent unchanged, and kept with their receipt.

A batch's identifier is made of the subscription, the billing period and how many of its calls lie
before it, so that it does not depend on when or by which run it is sent.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, select

from portal import clock
from portal.billing.engine import UsageReport
from portal.extensions import db
from portal.models import (
    BatchState,
    EnginePrice,
    UsageBatch,
)
from portal.services import freezing
from portal.services.publishing import add_to_run

#: How long the same batch may be sent again. Stripe forgets identifiers after 24 hours.
RESEND = timedelta(hours=23)
#: How long the engine may take until its totals have what has arrived.
COUNTING = timedelta(minutes=15)
#: The oldest time stamp that is sent. Stripe takes none of more than 35 days ago.
OLDEST = timedelta(days=34)
MINUTE = timedelta(minutes=1)
#: What the name of a batch ends in that is sent anew, while another of its minute has arrived.
AGAIN = ":again"
#: Of more batches in one minute nobody looks for those that make up a total.
MOST_UNSETTLED = 12
#: States in which a batch still has to be brought to the engine.
UNSETTLED = (BatchState.FROZEN, BatchState.SENDING, BatchState.UNKNOWN)


@dataclass(frozen=True, kw_only=True)
class Sending:
    """A batch that is to be sent now, as plain values: no transaction stays open for it."""

    batch_id: int
    account: str
    report: UsageReport
    is_first: bool
    """Whether no earlier try could have arrived, so that a refusal is certain."""
    attempt: int
    """Which try it is. If another was begun since, nothing is certain any more."""


@dataclass(frozen=True, kw_only=True)
class Unknown:
    """A batch whose fate only the engine knows, and what to ask it about.

    If the engine's total between ``start`` and ``end`` is ``without``, nothing of the unsettled
    batches of that minute arrived; ``unsettled`` has their ids and quantities.
    """

    batch_id: int
    account: str
    meter_id: str
    customer_id: str
    start: datetime
    end: datetime
    without: int
    unsettled: tuple[tuple[int, int], ...]


# --- on the way to the engine ---------------------------------------------------------------


def unsettled(tenant_id: int) -> list[int]:
    """Return the ids of the tenant's batches that still have to reach the engine, oldest first."""
    return _ids(UsageBatch.tenant_id == tenant_id)


def unsettled_of(subscription_id: int) -> list[int]:
    """Return the ids of a subscription's batches that still have to reach the engine."""
    return _ids(UsageBatch.subscription_id == subscription_id)


def _ids(condition: ColumnElement[bool]) -> list[int]:
    return list(
        db.session.scalars(
            select(UsageBatch.batch_id)
            .where(condition, UsageBatch.state.in_(UNSETTLED))
            .order_by(UsageBatch.batch_id)
        )
    )


def begin(
    batch_id: int, run_id: int | None = None, *, avoid: Collection[str] = ()
) -> Sending | Unknown | None:
    """Note that a batch is about to be sent, and return what to send.

    To be committed before the call, so that a crash in between leaves a batch that is sent again
    unchanged. One that was first sent too long ago for the engine to know its identifier is
    ``Unknown``: the engine is asked what it counted. So is one whose invoice has been drawn since.
    ``None``: there is nothing to send now.

    :param avoid: accounts that have just denied access, and need not be asked again now
    """
    batch = _locked(batch_id)
    return _begin(batch, freezing.cuts_of([batch]).get(batch.subscription_id), run_id, avoid)


def begin_many(
    batch_ids: Collection[int], run_id: int | None = None, *, avoid: Collection[str] = ()
) -> list[Sending | Unknown]:
    """Begin several batches, as :func:`begin` does each; those with nothing to send are left out.

    What is asked about an ``Unknown`` one may not know of the others: begin that one by itself.
    """
    with db.session.no_autoflush:
        found = _locked_many(batch_ids)
        cuts = freezing.cuts_of(found)
        steps = [_begin(each, cuts.get(each.subscription_id), run_id, avoid) for each in found]
    return [step for step in steps if step is not None]


def _begin(
    batch: UsageBatch, cut: Any, run_id: int | None, avoid: Collection[str]
) -> Sending | Unknown | None:
    if batch.state not in UNSETTLED:
        return None
    if batch.connected_account in avoid:
        batch.error = "The connected account denied access to an earlier batch of this run."
        add_to_run(run_id, failures=1)
        return None
    now = clock.now()
    if batch.first_sent_at is not None and _is_uncertain(batch, cut, now, run_id):
        return None
    if batch.state == BatchState.UNKNOWN:
        return _question(batch)
    is_first = batch.first_sent_at is None
    if is_first and not _has_invoice(batch, cut, now):
        add_to_run(run_id, failures=1)
        return None
    batch.state = BatchState.SENDING
    batch.first_sent_at = batch.first_sent_at or now
    batch.attempts += 1
    batch.run_id = run_id or batch.run_id
    return Sending(
        batch_id=batch.batch_id,
        account=batch.connected_account,
        report=_report(batch),
        is_first=is_first,
        attempt=batch.attempts,
    )


def _is_uncertain(batch: UsageBatch, cut: Any, now: datetime, run_id: int | None) -> bool:
    """Make a batch unknown that must not go out again as it is; return whether it has to wait.

    Once the invoice is drawn, the engine would take the batch and bill it to nobody. It is asked
    whether the earlier try arrived, but not before its totals have even the last try in time: what
    it has not counted yet would be sent, and billed, twice.
    """
    is_closed = freezing.is_drawn(batch, cut, now)
    if is_closed and not freezing.is_drawn(batch, cut, now - COUNTING):
        batch.error = (
            "It was sent without an answer, and its invoice is drawn. The payment provider is "
            "asked in some minutes whether it arrived."
        )
        add_to_run(run_id, failures=1)
        return True
    if is_closed:
        batch.state = BatchState.UNKNOWN
        batch.error = "It was sent without an answer before its invoice was drawn."
    elif now >= batch.first_sent_at + RESEND:  # type: ignore[operator]
        batch.state = BatchState.UNKNOWN
        batch.error = "It was sent without an answer more than 23 hours ago."
    return False


def _has_invoice(batch: UsageBatch, cut: Any, now: datetime) -> bool:
    """Give a batch, of which nothing can have arrived, a time that the engine bills."""
    if freezing.is_drawn(batch, cut, now):
        _restamp(batch, now)
    elif batch.stamp < now - OLDEST:
        _freshen(batch, now)
    return batch.state != BatchState.REFUSED


def _restamp(batch: UsageBatch, now: datetime) -> None:
    """Send a batch, of which nothing can have arrived, for the period that runs now."""
    sold = freezing.sold_as({batch.subscription_id}).get(batch.subscription_id)
    if sold is None:
        return
    for name, value in freezing.lateness(sold, now).items():
        setattr(batch, name, value)
    # A change of plan has a meter of its own.
    batch.meter_event_name = sold.meter_event_name
    name = f"{sold.uuid}:{batch.period_start}:{batch.first}:{batch.closes_at}"
    if not batch.identifier.startswith(name):
        batch.identifier = name


def _freshen(batch: UsageBatch, now: datetime) -> None:
    """Send calls of long ago as of now, or of the last second of their period if it is over."""
    last = clock.from_epoch(batch.closes_at) - timedelta(seconds=1) if batch.closes_at else now
    batch.stamp = min(now, last)


def _report(batch: UsageBatch) -> UsageReport:
    return UsageReport(
        event_name=batch.meter_event_name,
        customer_id=batch.engine_customer_id,
        quantity=batch.quantity,
        identifier=batch.identifier,
        timestamp=batch.stamp,
    )


def _locked(batch_id: int) -> UsageBatch:
    return db.session.scalars(
        select(UsageBatch).where(UsageBatch.batch_id == batch_id).with_for_update()
    ).one()


def _locked_many(batch_ids: Collection[int]) -> Sequence[UsageBatch]:
    return db.session.scalars(
        select(UsageBatch)
        .where(UsageBatch.batch_id.in_(batch_ids))
        .order_by(UsageBatch.batch_id)
        .with_for_update()
    ).all()


def _question(batch: UsageBatch) -> Unknown | None:
    meter_id = db.session.scalar(
        select(EnginePrice.meter_id)
        .where(
            EnginePrice.meter_event_name == batch.meter_event_name,
            EnginePrice.connected_account == batch.connected_account,
        )
        .limit(1)
    )
    if meter_id is None:
        return None
    start = batch.stamp.replace(second=0, microsecond=0)
    same_minute = (
        UsageBatch.connected_account == batch.connected_account,
        UsageBatch.engine_customer_id == batch.engine_customer_id,
        UsageBatch.meter_event_name == batch.meter_event_name,
        UsageBatch.stamp >= start,
        UsageBatch.stamp < start + MINUTE,
    )
    arrived = UsageBatch.state == BatchState.ACKNOWLEDGED
    settled = _sum(*same_minute, arrived)
    uncertain = db.session.execute(
        select(UsageBatch.batch_id, UsageBatch.quantity)
        .where(*same_minute, ~arrived, UsageBatch.first_sent_at.is_not(None))
        .order_by(UsageBatch.batch_id)
    ).all()
    return Unknown(
        batch_id=batch.batch_id,
        account=batch.connected_account,
        meter_id=meter_id,
        customer_id=batch.engine_customer_id,
        start=start,
        end=start + MINUTE,
        without=settled,
        unsettled=tuple((row.batch_id, int(row.quantity)) for row in uncertain),
    )


def _sum(*conditions: ColumnElement[bool]) -> int:
    query = select(func.coalesce(func.sum(UsageBatch.quantity), 0)).where(*conditions)
    return int(db.session.scalar(query) or 0)


# --- what came of it ------------------------------------------------------------------------


def acknowledge(batch_id: int, receipt: str | None, run_id: int | None = None) -> None:
    """Keep the engine's receipt, and add the batch to its run's totals."""
    acknowledge_many({batch_id: receipt}, run_id)


def acknowledge_many(receipts: Mapping[int, str | None], run_id: int | None = None) -> None:
    """Keep the receipts of several batches; those that had one already change nothing."""
    fresh = [
        batch for batch in _locked_many(receipts.keys()) if batch.state != BatchState.ACKNOWLEDGED
    ]
    for batch in fresh:
        batch.state = BatchState.ACKNOWLEDGED
        batch.acknowledged_at = clock.now()
        batch.receipt = receipts[batch.batch_id]
        batch.error = None
        batch.retryable = False
    if fresh:
        add_to_run(run_id, batches=len(fresh), calls=sum(batch.quantity for batch in fresh))


def call_off(sent: Sending) -> None:
    """Note that a batch which was to be sent was not: it waits as if nobody had begun it."""
    batch = _locked(sent.batch_id)
    if batch.state != BatchState.SENDING:
        return
    is_alone = batch.attempts == sent.attempt
    batch.attempts -= 1
    if sent.is_first and is_alone:
        batch.state = BatchState.FROZEN
        batch.first_sent_at = None


def postpone(batch_id: int, error: str, run_id: int | None = None) -> None:
    """Note that there was no certain answer: the batch is sent again unchanged."""
    batch = _locked(batch_id)
    if batch.state == BatchState.ACKNOWLEDGED:
        return
    batch.error = error
    add_to_run(run_id, failures=1)


def refuse(sent: Sending, error: str, *, retryable: bool, run_id: int | None = None) -> None:
    """Park a batch that the engine has refused.

    After an earlier try without an answer, it stays uncertain whether that one arrived, and the
    time of that try is kept.

    :param retryable: whether the next run asks again, because access may be given back
    """
    batch = _locked(sent.batch_id)
    if batch.state == BatchState.ACKNOWLEDGED:
        return
    batch.state = BatchState.REFUSED
    batch.error = error
    batch.retryable = retryable
    if sent.is_first and batch.attempts == sent.attempt:
        batch.first_sent_at = None
    add_to_run(run_id, failures=1)


def settle(question: Unknown, total: int, run_id: int | None = None) -> bool:
    """Decide an unknown batch by what the engine counted; return whether it may be sent anew.

    It may when it never arrived. Where some of a minute arrived, any choice of batches that makes
    up the total bills the same: they are of one customer, meter and minute. Those that are sent
    anew then get another name, since which of them the engine knows is not certain. A total that
    nothing makes up is left for a person.
    """
    batch = _locked(question.batch_id)
    if batch.state != BatchState.UNKNOWN:
        return False
    there = _making_up(question.unsettled, total - question.without)
    if there is None:
        expected = question.without + sum(quantity for _, quantity in question.unsettled)
        batch.error = (
            f"The payment provider counted {total} calls in this minute, where the portal expects "
            f"{question.without} or {expected}. Compare both before it is sent again."
        )
        add_to_run(run_id, failures=1)
        return False
    if question.batch_id in there:
        acknowledge(question.batch_id, "found in the engine's total", run_id)
        return False
    batch.state = BatchState.FROZEN
    batch.first_sent_at = None
    batch.error = None
    if there:
        batch.identifier += AGAIN
    return True


def _making_up(some: tuple[tuple[int, int], ...], total: int) -> frozenset[int] | None:
    """Return batches, the oldest first, whose quantities make up a total; ``None`` if none do."""
    if total == 0:
        return frozenset()
    if not some or total < 0 or len(some) > MOST_UNSETTLED:
        return None
    (first, quantity), rest = some[0], some[1:]
    taken = _making_up(rest, total - quantity)
    return taken | {first} if taken is not None else _making_up(rest, total)


def reopen(batch: UsageBatch) -> bool:
    """Send a parked batch again with the next run; return whether it was parked."""
    if batch.state != BatchState.REFUSED:
        return False
    batch.state = BatchState.FROZEN
    batch.retryable = False
    return True
