"""The life of a subscription: named moves between facts, each with its cause.

This is the only module that changes a subscription's facts. Every change writes one line to the
timeline in the same transaction, and the database holds it to that. See
``docs/decisions/0003-facts-and-moves.md``.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from sqlalchemy import Table, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm.exc import StaleDataError

from portal import clock
from portal.errors import MoveRefused
from portal.extensions import db
from portal.models.subscription import (
    Approval,
    Billing,
    Block,
    Facts,
    Subscription,
    TimelineEntry,
    columns_of,
    status_of,
)
from portal.models.types import new_uuid
from portal.services import notices


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Why a fact changes: words for people, who did it, and which event said so."""

    because: str
    actor: str
    event_id: str | None = None


def _billing(start: set[Billing], end: Billing) -> Callable[[Facts], Facts | None]:
    def step(facts: Facts) -> Facts | None:
        return replace(facts, billing=end) if facts.billing in start | {end} else None

    return step


def _plan_changed(start: set[Billing], end: Billing) -> Callable[[Facts], Facts | None]:
    """Billing changes together with the plan, so the change that was asked for is settled."""

    def step(facts: Facts) -> Facts | None:
        starts = facts.billing in start
        return replace(facts, billing=end, plan_change_pending=False) if starts else None

    return step


def _block(end: Block) -> Callable[[Facts], Facts | None]:
    def step(facts: Facts) -> Facts | None:
        if facts.billing is Billing.ENDED or facts.approval is Approval.REJECTED:
            return None
        return replace(facts, block=end)

    return step


def _approval(end: Approval) -> Callable[[Facts], Facts | None]:
    def step(facts: Facts) -> Facts | None:
        starts = facts.approval in (Approval.PENDING, end) and facts.billing is not Billing.ENDED
        return replace(facts, approval=end) if starts else None

    return step


def _alive(**change: Any) -> Callable[[Facts], Facts | None]:
    def step(facts: Facts) -> Facts | None:
        return None if facts.billing is Billing.ENDED else replace(facts, **change)

    return step


_LIVING = set(Billing) - {Billing.ENDED}


class Move(Enum):
    """A step in a subscription's life: a function of the facts; ``None`` where it cannot start."""

    PAY = (_billing({Billing.PENDING, Billing.LAPSED}, Billing.PAID),)
    """The first payment is confirmed. A page we believed expired counts: the money is there."""
    LAPSE = (_billing({Billing.PENDING}, Billing.LAPSED),)
    """The payment page expired before anybody paid."""
    TRY_AGAIN = (_billing({Billing.LAPSED}, Billing.PENDING),)
    FALL_BEHIND = (_billing({Billing.PAID}, Billing.OVERDUE),)
    """A later payment failed, or needs the payer's bank."""
    GIVE_GRACE = (_billing({Billing.PAID}, Billing.GRACE),)
    """The same, where the tenant lets calls go on for some days."""
    RUN_OUT = (_billing({Billing.GRACE}, Billing.OVERDUE),)
    """The days are over and nobody has paid."""
    CATCH_UP = (_billing({Billing.GRACE, Billing.OVERDUE}, Billing.PAID),)
    GO_PAID = (_plan_changed({Billing.NOT_REQUIRED}, Billing.PAID),)
    """The payment of a plan that a free subscription changes to is confirmed."""
    GO_FREE = (_plan_changed({Billing.PAID, Billing.GRACE, Billing.OVERDUE}, Billing.NOT_REQUIRED),)
    """The paid plan has ended, and the subscription goes on with a free one."""
    END = (_billing(_LIVING, Billing.ENDED),)
    """Absorbing: nothing moves a subscription that has ended."""
    BLOCK_ALL = (_block(Block.ALL),)
    BLOCK_PRODUCTION = (_block(Block.PRODUCTION),)
    UNBLOCK = (_block(Block.NONE),)
    APPROVE = (_approval(Approval.APPROVED),)
    REJECT = (_approval(Approval.REJECTED),)
    ASK_PLAN_CHANGE = (_alive(plan_change_pending=True),)
    SETTLE_PLAN_CHANGE = (_alive(plan_change_pending=False),)
    ASK_END = (_alive(end_requested=True),)
    WITHDRAW_END = (_alive(end_requested=False),)

    def __init__(self, step: Callable[[Facts], Facts | None]) -> None:
        self.step = step

    def from_facts(self, facts: Facts) -> Facts | None:
        """Return the facts after the move, the same facts where it stays, or ``None``."""
        return self.step(facts)


def by_uuid(uuid: str) -> Subscription:
    """Return a subscription. Who may see it is for the caller to know.

    :raise sqlalchemy.exc.NoResultFound: if there is none
    """
    return db.session.scalars(select(Subscription).where(Subscription.uuid == uuid)).unique().one()


def may(subscription: Subscription, move: Move) -> bool:
    """Whether the move starts from where the subscription stands."""
    return move.from_facts(subscription.facts) is not None


def make(subscription: Subscription, move: Move, cause: Cause) -> bool:
    """Make a move and write its cause to the timeline; return whether a fact changed.

    A move to where the subscription already stands changes nothing, writes nothing and is no
    error: the billing engine repeats itself, and renewals are paid every cycle.

    :raise portal.errors.MoveRefused: if the move does not start from the present facts
    :raise sqlalchemy.orm.exc.StaleDataError: if somebody else moves it at this moment
    """
    before = subscription.facts
    after = move.from_facts(before)
    if after is None:
        raise MoveRefused(
            f"A subscription that is {subscription.status} cannot "
            f"{move.name.lower().replace('_', ' ')}."
        )
    if after == before:
        return False
    number = subscription.line + 1
    notices.before_move(subscription, move.name, before, after, number)
    _add_line(subscription, move.name, cause, before, after)
    _write(subscription, before, after)
    return True


def _write(subscription: Subscription, before: Facts, after: Facts) -> None:
    for name, value in columns_of(after).items():
        setattr(subscription, name, value)
    if not after.plan_change_pending:
        subscription.pending_policy_version_id = None
    if after.end_requested != before.end_requested:
        subscription.end_requested_at = clock.now() if after.end_requested else None
    if after.billing is Billing.ENDED:
        subscription.ended_at = clock.now()
        subscription.live_key = None
        subscription.needs_authentication = False
        subscription.cancel_at = None


def note(subscription: Subscription, name: str, cause: Cause) -> None:
    """Write a line to the timeline about something that changed no fact.

    :raise sqlalchemy.orm.exc.StaleDataError: if somebody else writes a line at this moment
    """
    facts = subscription.facts
    _add_line(subscription, name, cause, facts, facts)


def begin(subscription: Subscription, cause: Cause) -> None:
    """Store a new subscription with the first line of its timeline.

    :raise sqlalchemy.exc.IntegrityError: if the application has a living subscription already
    """
    subscription.uuid = subscription.uuid or new_uuid()
    subscription.line = 0
    subscription.publisher_block = subscription.publisher_block or Block.NONE
    subscription.approval = subscription.approval or Approval.NOT_REQUIRED
    subscription.plan_change_pending = bool(subscription.plan_change_pending)
    subscription.end_requested = bool(subscription.end_requested)
    with db.session.no_autoflush:
        _add_line(subscription, "SUBSCRIBE", cause, None, subscription.facts)
    db.session.add(subscription)
    db.session.flush()


def _add_line(
    subscription: Subscription, name: str, cause: Cause, before: Facts | None, after: Facts
) -> None:
    """Store the next line. It goes to the database before the facts that it states."""
    number = subscription.line + 1
    values = line_of(subscription.uuid, number, name, cause, (before, after))
    try:
        db.session.execute(insert(_TIMELINE).values(**values))
    except IntegrityError as error:
        raise StaleDataError("Another line was written in the same moment.") from error
    subscription.line = number


def line_of(
    uuid: str, number: int, name: str, cause: Cause, facts: tuple[Facts | None, Facts]
) -> dict[str, Any]:
    """Return a line of the timeline as a row.

    :param facts: before and after it
    """
    before, after = facts
    return {
        "subscription_uuid": uuid,
        "line": number,
        "at": clock.now(),
        "move": name,
        "status_before": status_of(before) if before else None,
        "status_after": status_of(after),
        "because": cause.because[:1024],
        "actor": cause.actor,
        "stripe_event_id": cause.event_id,
        **columns_of(after),
    }


_TIMELINE: Table = TimelineEntry.__table__  # type: ignore[assignment]


def live_key(application_id: int, api_id: int) -> str:
    """Return what is unique among living subscriptions."""
    return f"{application_id}:{api_id}"
