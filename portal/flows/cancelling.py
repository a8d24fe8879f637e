"""Ending a subscription with its period, taking that back, and what either end would cost."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from portal import clock
from portal.billing.engine import BillingEngine, SubscriptionSnapshot
from portal.errors import BillingEngineError, Conflict
from portal.extensions import db
from portal.models import Subscription
from portal.services import billing_events, checkouts, invoices, subscriptions, usage_report
from portal.services.invoices import InvoiceView
from portal.web.unit_of_work import in_unit_of_work

ENDED = "The subscription has ended. Nothing is left to be cancelled."


@dataclass(frozen=True, kw_only=True)
class Ends:
    """What the last invoice would be as things stood at ``as_of``; ``None``: there is none."""

    as_of: datetime
    now: InvoiceView | None = None
    later: InvoiceView | None = None
    later_at: datetime | None = None
    """When the period ends; ``None`` where only an end at once is possible."""
    problem: str | None = None
    """A sentence for the reader, if the engine did not answer; nothing is guessed."""


def preview(engine: BillingEngine, subscription: Subscription) -> Ends:
    """Ask what ending now, or with the period, would be invoiced. Changes nothing.

    Calls that the engine has not heard of yet are added at the plan's price: they are reported
    before anything ends.
    """
    account, engine_id = subscription.connected_account, subscription.engine_subscription_id
    if account is None or engine_id is None or subscription.ended_at is not None:
        return Ends(as_of=clock.now())
    found = usage_report.report(subscription)
    version, calls, later_at = subscription.policy_version, found.billed, subscription.period_end
    bills_calls = version.is_dynamic and subscription.engine_status != "trialing"
    price = version.price if bills_calls else None
    price_id = checkouts.price_of(subscription).plan_id if bills_calls else None
    db.session.rollback()

    def last(*, at_once: bool) -> InvoiceView | None:
        drawn = engine.preview_end(account, engine_id, at_once=at_once)
        if drawn is not None and price is not None:
            drawn = invoices.with_calls(drawn, price_id, price, calls)
        return invoices.view(drawn) if drawn is not None and drawn.lines else None

    try:
        now = last(at_once=True)
        later = last(at_once=False)
    except BillingEngineError as error:
        return Ends(as_of=clock.now(), later_at=later_at, problem=error.message)
    return Ends(as_of=clock.now(), now=now, later=later, later_at=later_at)


def at_period_end(engine: BillingEngine, subscription_uuid: str, *, actor: str) -> datetime | None:
    """Let a subscription end with its period; return when that is. Pressed twice, it is once.

    :raise portal.errors.Conflict: if there is no period to wait for
    """
    return _change(engine, subscription_uuid, engine.cancel_at_period_end, actor=actor)


def keep(engine: BillingEngine, subscription_uuid: str, *, actor: str) -> None:
    """Take a planned end back, whoever planned it. Nothing planned counts as done.

    :raise portal.errors.Conflict: if it has ended already
    """
    _change(engine, subscription_uuid, engine.keep_subscription, actor=actor)


def _change(
    engine: BillingEngine,
    subscription_uuid: str,
    act: Callable[[str, str], SubscriptionSnapshot],
    *,
    actor: str,
) -> datetime | None:
    found = subscriptions.by_uuid(subscription_uuid)
    account, engine_id = found.connected_account, found.engine_subscription_id
    if found.ended_at is not None:
        raise Conflict(ENDED)
    if account is None or engine_id is None:
        raise Conflict("Nothing has been paid for yet. Press Unsubscribe to end it now.")
    number = found.subscription_id
    db.session.rollback()
    asked_at = clock.epoch(clock.now())
    snapshot = act(account, engine_id)

    def store() -> datetime | None:
        row = db.session.get_one(Subscription, number)
        if row.ended_at is None:
            billing_events.apply_snapshot(row, snapshot, asked_at, actor=actor)
        return row.cancel_at

    return in_unit_of_work(store)
