"""Changing to another paid plan: what it costs, the change itself, and finishing it later."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from portal import clock
from portal.billing.engine import BillingEngine, SubscriptionSnapshot
from portal.billing.engine import PlanChange as Wanted
from portal.errors import BillingEngineError, EngineUnavailable
from portal.extensions import db
from portal.flows import changing, changing_free, publishing, sweeping
from portal.models import PlanChange, Subscription, Tenant, User
from portal.services import (
    checkouts,
    invoices,
    plan_changes,
    unfinished,
    usage_report,
)
from portal.services.invoices import InvoiceView
from portal.services.plan_changes import Target
from portal.web.unit_of_work import in_unit_of_work

EngineFor = Callable[[Tenant], BillingEngine]


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What a change costs, counted from ``moment``: the invoice that is drawn when it is made."""

    target: Target
    invoice: InvoiceView
    moment: datetime
    version_id: int
    new_period: bool

    @property
    def due_now(self) -> str:
        """What the card is charged at once."""
        return invoices.amount(max(self.invoice.invoice.amount_due, 0), self._currency)

    @property
    def credit(self) -> str | None:
        """What is kept for later invoices, if the change gives money back."""
        total = self.invoice.invoice.total
        return invoices.amount(-total, self._currency) if total < 0 else None

    @property
    def _currency(self) -> str:
        return self.invoice.invoice.currency


def preview(
    engine: BillingEngine, subscription: Subscription, user: User, policy_uuid: str
) -> Preview:
    """Ask what changing now would cost. Changes nothing.

    Calls that the engine has not heard of are added at the present price: they are reported
    before the change is made.

    :raise portal.errors.Conflict: if the plan cannot be changed now, or not to this one
    :raise portal.errors.BillingEngineError: if the engine does not say what it costs
    """
    target = plan_changes.target(subscription, user, policy_uuid)
    price = target.price
    assert price is not None  # noqa: S101 - a target without an obstacle has a price
    moment = clock.now().replace(microsecond=0)
    asked = plan_changes.wanted(subscription, price, moment)
    account = subscription.connected_account or ""
    engine_id = subscription.engine_subscription_id or ""
    version = subscription.policy_version
    calls = usage_report.report(subscription).billed if version.is_dynamic else 0
    used, version_id = version.price if version.is_dynamic else None, price.policy_version_id
    used_id = checkouts.price_of(subscription).plan_id
    db.session.rollback()
    drawn = engine.preview_change(account, engine_id, asked)
    if used is not None:
        drawn = invoices.with_calls(drawn, used_id, used, calls)
    return Preview(
        target=target,
        invoice=invoices.view(drawn),
        moment=moment,
        version_id=version_id,
        new_period=asked.new_period,
    )


def change(
    engine: BillingEngine,
    subscription_uuid: str,
    user_id: int,
    policy_uuid: str,
    *,
    version_id: int,
    moment: datetime,
    asked_by: str | None = None,
) -> bool:
    """Change the plan as it was previewed; return whether it is done.

    Without a certain answer the change stays pending, and the worker finishes it.

    :param user_id: the subscriber, who may have the plan and pays for it
    :param asked_by: who acts, where it is not the subscriber
    :raise portal.errors.Conflict: if it cannot be changed, or what was shown holds no more
    :raise portal.errors.PaymentDeclined: if what is due was not paid; the plan stays as it was
    :raise portal.errors.BillingEngineError: if the engine refused; the plan stays as it was
    """
    ask = partial(
        plan_changes.ask,
        policy_uuid=policy_uuid,
        version_id=version_id,
        moment=moment,
        asked_by=asked_by,
    )
    number = changing.stored(subscription_uuid, user_id, ask)
    return changing.is_certain(lambda: finish(engine, number))


@dataclass(frozen=True, kw_only=True)
class _Intent:
    subscription_id: int
    account: str
    engine_id: str
    key: str
    wanted: Wanted
    is_metered: bool


def finish(engine: BillingEngine, plan_change_id: int, *, again: bool = False) -> None:
    """Make a stored change at the engine and here. Any number of times it is made once.

    :param again: whether it was tried before, and may have been made
    :raise portal.errors.EngineUnavailable: if it is not certain what happened; call again
    :raise portal.errors.BillingEngineError: if the engine refused; the change is closed
    """
    if _is_to_free(plan_change_id):
        changing_free.finish(engine, plan_change_id)
        return
    intent = in_unit_of_work(lambda: _intent(plan_change_id))
    if intent is None:
        return
    if intent.is_metered and not (again and _is_made(engine, intent)):
        # What was called so far goes on the invoice that the change draws, at the old price.
        publishing.flush(engine, intent.subscription_id)
        _let_the_second_pass()
    changing.make(
        plan_change_id,
        lambda: engine.change_plan(intent.account, intent.engine_id, intent.wanted, key=intent.key),
        partial(_settle, plan_change_id),
    )


def _is_to_free(plan_change_id: int) -> bool:
    found = db.session.get_one(PlanChange, plan_change_id).is_to_free
    db.session.rollback()
    return found


def _is_made(engine: BillingEngine, intent: _Intent) -> bool:
    """Whether the engine sells at the new price already: no call is for the old meter then."""
    try:
        held = engine.subscription(intent.account, intent.engine_id)
    except EngineUnavailable:
        raise
    except BillingEngineError:
        # The change itself is refused for it, and closed.
        return False
    return held.price_id == intent.wanted.price_id


def _let_the_second_pass() -> None:
    """Wait until no reported call can be of the very second of the change.

    Stripe counts a metered item up to that second, without it, so such a call would be on neither
    side. Other calls of that second are late calls of the new plan.
    """
    time.sleep(1.05 - clock.now().microsecond / 1_000_000)


def _intent(plan_change_id: int) -> _Intent | None:
    found = changing.at_engine(plan_change_id)
    if found is None:
        return None
    row, subscription, engine_id = found
    price = row.price
    assert price is not None  # noqa: S101 - a change between paid plans has one
    return _Intent(
        subscription_id=subscription.subscription_id,
        account=subscription.connected_account or "",
        engine_id=engine_id,
        key=f"plan:{row.uuid}",
        wanted=Wanted(
            price_id=price.plan_id or "",
            usage_type=row.to_version.usage_type,
            new_period=row.new_period,
            at=row.counted_from,
        ),
        is_metered=row.from_version.is_dynamic,
    )


def _settle(plan_change_id: int, snapshot: SubscriptionSnapshot, asked_at: int) -> None:
    row = db.session.get_one(PlanChange, plan_change_id)
    plan_changes.settle(row, snapshot, asked_at=asked_at)


def sweep(engine_for: EngineFor) -> int:
    """Finish changes that a crash or a missing answer has left; return how many were tried."""
    left = partial(unfinished.plan_changes, clock.now() - timedelta(minutes=1))
    tried = sweeping.in_turn("plan changes", left, partial(_go_on, engine_for))
    return tried + changing_free.sweep(engine_for)


def _go_on(engine_for: EngineFor, plan_change_id: int) -> None:
    tenant_id = db.session.get_one(PlanChange, plan_change_id).tenant_id
    engine = engine_for(db.session.get_one(Tenant, tenant_id))
    db.session.rollback()
    finish(engine, plan_change_id, again=True)
