"""What an event does to a subscription that is known: one pure function, without a database.

The documentation's table of seven events, as ``next_state(local, event)``. Whoever persists the
step, rows through the ORM or a few prepared statements, takes it from here, so that the rules
stand in one place and can be tried in every order.

An event is a snapshot of the past. One that is newer than what we hold is applied; one that is
older or of the same second cannot be trusted to be news, so the worker reads the present state at
the engine instead. Ended is absorbing.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from portal.billing.values import BillingEvent, EngineStatus, EventKind, SubscriptionSnapshot
from portal.models.inbox import Outcome
from portal.models.subscription import Billing, Facts
from portal.services.subscriptions import Move

#: Lines of the timeline that are no move: no fact changes with them.
CANCEL_SCHEDULED = "CANCEL_SCHEDULED"
CANCEL_WITHDRAWN = "CANCEL_WITHDRAWN"


@dataclass(frozen=True, kw_only=True)
class Local:
    """What we hold of a subscription that an event may change: the row's columns by name."""

    facts: Facts
    engine_at: int = 0
    engine_status: str | None = None
    period_start: datetime | None = None
    period_end: datetime | None = None
    trial_start: datetime | None = None
    trial_end: datetime | None = None
    cancel_at: datetime | None = None
    needs_authentication: bool = False
    pay_url: str | None = None
    gives_grace: bool = False
    """The tenant's policy: whether calls go on for some days after a failed payment."""
    goes_free: bool = False
    """Whether a free plan was asked for, to go on with when the paid one ends."""


#: The columns of ``Local`` that are no facts.
SAID_BY_ENGINE = (
    "engine_at",
    "engine_status",
    "period_start",
    "period_end",
    "trial_start",
    "trial_end",
    "cancel_at",
    "needs_authentication",
    "pay_url",
)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line for the timeline. ``move`` is ``None`` for a note: no fact changes with it."""

    name: str
    because: str
    before: Facts
    after: Facts

    @property
    def move(self) -> Move | None:
        """The move that is made, if it is one."""
        return Move.__members__.get(self.name)


@dataclass(frozen=True, kw_only=True)
class Step:
    """What an event does: the state afterwards, and what is written about it."""

    local: Local
    outcome: Outcome
    detail: str
    lines: tuple[Line, ...] = ()
    refresh: bool = False
    """The worker is to read the present state at the engine."""


def next_state(local: Local, event: BillingEvent) -> Step:
    """Return what an event about this very subscription does to it.

    Any event may come at any time and more than once; the same event twice is the same as once.
    """
    if local.facts.billing is Billing.ENDED:
        words = "The subscription has ended; nothing changes it any more."
        return Step(local=local, outcome=Outcome.STALE, detail=words)
    if event.kind is EventKind.SUBSCRIPTION_DELETED:
        return _deleted(local, event)
    if event.created > local.engine_at:
        local = replace(local, engine_at=event.created)
        after, lines, words = _HANDLERS[event.kind](local, event)  # type: ignore[index]
        # Applied at once, and checked where a fact changed: another invoice may be open, and the
        # times that the engine's servers stamp on events need not be in the order of what happened.
        # A failure does not say whether the bank still asks.
        asks = event.kind is EventKind.PAYMENT_FAILED and local.needs_authentication
        checked = after.facts != local.facts or asks
        return Step(
            local=after, outcome=Outcome.APPLIED, detail=words, lines=lines, refresh=checked
        )
    if not _would_change(local, event):
        return Step(local=local, outcome=Outcome.APPLIED, detail="Known already.")
    if event.created == local.engine_at:
        words = "Same second as another event: the present state is read."
        return Step(local=local, outcome=Outcome.REFRESHED, detail=words, refresh=True)
    words = "Older than what is known: the present state is read to be sure."
    return Step(local=local, outcome=Outcome.STALE, detail=words, refresh=True)


_Done = tuple[Local, tuple[Line, ...], str]


def agree(local: Local, snapshot: SubscriptionSnapshot) -> _Done:
    """Make what we hold agree with the engine's view; return it, the lines, and what happened."""
    local = replace(
        local,
        engine_status=snapshot.status.value,
        period_start=snapshot.period_start,
        period_end=snapshot.period_end,
        trial_start=snapshot.trial_start,
        trial_end=snapshot.trial_end,
    )
    words = f"Stripe reports {snapshot.status.replace('_', ' ')}."
    if snapshot.status.is_over:
        return _move(_ended(local), _end(local), words)
    said: tuple[Line, ...] = ()
    result = words
    if snapshot.cancel_at != local.cancel_at:
        local, said, result = _schedule(local, snapshot.cancel_at)
    if snapshot.status.is_arrears:
        local, lines, _ = _move(local, _behind(local), words)
        return local, said + lines, result
    if snapshot.status.is_good:
        local, lines, _ = _move(_settled(local), Move.CATCH_UP, words)
        return local, said + lines, result
    return local, said, result


def _settled(local: Local) -> Local:
    return replace(local, pay_url=None, needs_authentication=False)


def _ended(local: Local) -> Local:
    return replace(_settled(local), cancel_at=None)


def _move(local: Local, move: Move, because: str) -> _Done:
    """Make a move where it starts; where it does not, the event is about the past."""
    after = move.from_facts(local.facts)
    if after is None or after == local.facts:
        return local, (), because
    line = Line(name=move.name, because=because, before=local.facts, after=after)
    return replace(local, facts=after), (line,), because


def _schedule(local: Local, cancel_at: datetime | None) -> _Done:
    name, words = CANCEL_WITHDRAWN, "The cancellation was withdrawn."
    if cancel_at is not None:
        name = CANCEL_SCHEDULED
        what = "The paid plan" if local.goes_free else "Cancelled; it"
        words = f"{what} works until {cancel_at:%Y-%m-%d %H:%M} UTC."
        if local.goes_free:
            words = f"{words[:-1]}, then it goes on with the free one."
    line = Line(name=name, because=words, before=local.facts, after=local.facts)
    return replace(local, cancel_at=cancel_at), (line,), words


def _end(local: Local) -> Move:
    return Move.GO_FREE if local.goes_free else Move.END


def _deleted(local: Local, event: BillingEvent) -> Step:
    snapshot = event.subscription
    why = (snapshot.cancel_reason if snapshot else None) or "cancelled"
    what = "paid plan" if local.goes_free else "subscription"
    words = f"The {what} has ended at Stripe ({why.replace('_', ' ')})."
    local = replace(
        _ended(local),
        engine_at=max(local.engine_at, event.created),
        engine_status=EngineStatus.CANCELED.value,
    )
    local, lines, _ = _move(local, _end(local), words)
    return Step(local=local, outcome=Outcome.APPLIED, detail=words, lines=lines)


def _failed(local: Local, event: BillingEvent) -> _Done:
    action = event.kind is EventKind.PAYMENT_ACTION_REQUIRED
    if local.facts.billing is Billing.PENDING:
        return local, (), "During the first payment: the payment page itself asks again."
    local = replace(
        local,
        pay_url=event.invoice.hosted_url if event.invoice else None,
        # payment_failed follows action_required for the same invoice; it must not hide why.
        needs_authentication=action or local.needs_authentication,
    )
    what = "The bank wants the payment confirmed" if action else "A payment failed"
    then = "access stops until then" if action else "access stops until it is paid"
    if local.gives_grace:
        then = "the time to pay begins, and access goes on"
    return _move(local, _behind(local), f"{what}; {then}.")


def _behind(local: Local) -> Move:
    return Move.GIVE_GRACE if local.gives_grace else Move.FALL_BEHIND


def _paid(local: Local, _event: BillingEvent) -> _Done:
    return _move(_settled(local), Move.CATCH_UP, "The invoice is paid.")


def _updated(local: Local, event: BillingEvent) -> _Done:
    assert event.subscription is not None  # noqa: S101 - decided by the kind
    return agree(local, event.subscription)


_HANDLERS: dict[EventKind, Callable[[Local, BillingEvent], _Done]] = {
    EventKind.PAYMENT_SUCCEEDED: _paid,
    EventKind.PAYMENT_FAILED: _failed,
    EventKind.PAYMENT_ACTION_REQUIRED: _failed,
    EventKind.SUBSCRIPTION_UPDATED: _updated,
}


def _would_change(local: Local, event: BillingEvent) -> bool:
    """Whether an event that is not newer says anything else than what we hold."""
    billing = local.facts.billing
    if event.subscription is not None:
        snapshot = event.subscription
        arrears = billing.is_arrears
        return (
            snapshot.status.is_over
            or snapshot.status.is_arrears != arrears
            or snapshot.cancel_at != local.cancel_at
            or snapshot.period_end != local.period_end
        )
    if event.kind is EventKind.PAYMENT_SUCCEEDED:
        return billing.is_arrears
    if event.kind is EventKind.PAYMENT_ACTION_REQUIRED:
        return billing is Billing.PAID or not local.needs_authentication
    # An overdue subscription without a page to pay at helps nobody: only invoices name one.
    return billing is Billing.PAID or local.pay_url is None
