"""What a subscription costs: the next invoice as it would be drawn now, and the past ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from portal import clock
from portal.billing.engine import BillingEngine
from portal.errors import BillingEngineError, EngineObjectMissing, NotFound
from portal.extensions import db
from portal.models import Subscription
from portal.services import customers, invoices, usage
from portal.services.invoices import InvoiceView

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Statement:
    """The invoices of a subscription as they stood at one moment (``as_of``)."""

    as_of: datetime
    upcoming: InvoiceView | None
    past: Sequence[InvoiceView]
    problem: str | None = None
    """A sentence for the reader, if the engine did not answer in full; nothing is guessed."""
    reason: str = ""
    """Why there is no upcoming invoice."""
    waiting: int = 0
    """Billable calls that the engine has not been told about: not in the estimate yet."""

    @property
    def owed(self) -> list[InvoiceView]:
        """The invoices that somebody has to pay now."""
        return [view for view in self.past if view.is_owed]


def current(engine: BillingEngine, subscription: Subscription) -> Statement:
    """Ask the engine for the estimate and the past invoices of a subscription that was ever billed.

    On a free plan that followed a paid one, the past invoices are that one's. The read transaction
    ends before the engine is called. An engine that refuses or does not answer leaves its sentence
    in ``problem``; what it did answer is shown.

    :raise portal.errors.NotFound: if nothing was ever to be paid for
    """
    if not subscription.has_invoices:
        raise NotFound(_NONE)
    if not subscription.is_commercial:
        return _of_paid_plan(engine, subscription)
    account, engine_id = subscription.connected_account, subscription.engine_subscription_id
    ended = subscription.ended_at is not None
    metered = subscription.policy_version.is_dynamic and not ended
    waiting = usage.current_period(subscription).waiting if metered else 0
    db.session.rollback()
    if account is None or engine_id is None:
        return Statement(
            as_of=clock.now(),
            upcoming=None,
            past=(),
            reason="Nothing has been paid yet. The first invoice is drawn with the first payment.",
        )
    return replace(_ask(engine, account, engine_id, ended=ended), waiting=waiting)


def _of_paid_plan(engine: BillingEngine, subscription: Subscription) -> Statement:
    """Return the invoices of the paid plan that a free one has followed."""
    record = customers.newest_record(subscription)
    if record is None:
        raise NotFound(_NONE)
    account, engine_id = record.connected_account, record.subscription_id
    ended = subscription.ended_at is not None
    db.session.rollback()
    found = _ask(engine, account, engine_id, ended=True)
    return found if ended else replace(found, reason=_FREE)


_NONE = "This plan is free, so it has no invoices."
_FREE = "The plan is free now. These are the invoices of the paid plan before it."


def _ask(engine: BillingEngine, account: str, engine_id: str, *, ended: bool) -> Statement:
    problems: list[str] = []
    upcoming = None
    if not ended:
        upcoming = _answer(lambda: engine.preview(account, engine_id), problems)
    # One time-out is enough: what did not answer once is not asked again.
    past = () if problems else _answer(lambda: engine.invoices(account, engine_id), problems)
    return Statement(
        as_of=clock.now(),
        upcoming=invoices.view(upcoming) if upcoming else None,
        past=[invoices.view(invoice) for invoice in past or ()],
        problem=problems[0] if problems else None,
        reason="The subscription has ended: no further invoice will be drawn."
        if ended
        else "There is nothing to invoice in this period so far.",
    )


def _answer(call: Callable[[], T], problems: list[str]) -> T | None:
    """Return the engine's answer; ``None`` if there is none, with its sentence in ``problems``."""
    try:
        return call()
    except EngineObjectMissing:
        # It ended at the engine, and the event that says so is still on its way.
        return None
    except BillingEngineError as error:
        problems.append(error.message)
        return None
