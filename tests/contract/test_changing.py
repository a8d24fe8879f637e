from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from portal import clock
from portal.billing.engine import EventKind, PlanChange
from portal.errors import BillingEngineError, EngineUnavailable, PaymentDeclined
from tests.contract.conftest import FIXED

GOLD = replace(FIXED, lookup_key="apim:weather:gold:1", nickname="Gold", unit_minor=Decimal(2999))


@pytest.fixture
def change(seller):
    """Return the change to a price, as it is stored before anything is sent."""

    def make(price, *, new_period=False):
        return PlanChange(
            price_id=seller.price(price, key=f"price:{price.lookup_key}"),
            usage_type=price.usage_type,
            new_period=new_period,
            at=clock.now().replace(microsecond=0),
        )

    return make


def newest(engine, world, subscription):
    return engine.invoices(world.account, subscription)[0]


def kinds(events):
    return [event.kind for event in events]


# --- ends -----------------------------------------------------------------------------------------


def test_an_end_is_planned_and_withdrawn_and_leaves_no_trace(world, engine, seller):
    subscription = seller.bought()
    before = engine.subscription(world.account, subscription)
    planned = engine.cancel_at_period_end(world.account, subscription)
    assert planned.cancel_at == before.period_end
    assert engine.cancel_at_period_end(world.account, subscription) == planned
    kept = engine.keep_subscription(world.account, subscription)
    assert kept == before
    assert engine.keep_subscription(world.account, subscription) == before
    assert EventKind.SUBSCRIPTION_UPDATED in kinds(world.events())


def test_an_end_that_was_planned_in_the_customer_portal_is_withdrawn(world, engine, seller):
    subscription = seller.bought()
    world.cancel_at_period_end(subscription)
    assert engine.keep_subscription(world.account, subscription).cancel_at is None


def test_what_has_ended_needs_no_plan_and_cannot_be_kept(world, engine, seller):
    subscription = seller.bought()
    engine.cancel_subscription(world.account, subscription)
    assert engine.cancel_at_period_end(world.account, subscription).status.is_over
    with pytest.raises(BillingEngineError, match=r"\bended\b"):
        engine.keep_subscription(world.account, subscription)


@pytest.mark.parametrize("at_once", [True, False])
def test_a_fixed_plan_ends_without_an_invoice(world, engine, seller, at_once):
    subscription = seller.bought()
    assert engine.preview_end(world.account, subscription, at_once=at_once) is None


def test_the_last_invoice_of_usage_is_known_beforehand(world, engine, seller):
    subscription = seller.bought(seller.metered())
    seller.use(25)
    now = engine.preview_end(world.account, subscription, at_once=True)
    later = engine.preview_end(world.account, subscription, at_once=False)
    assert (now.total, later.total) == (6, 6)
    engine.cancel_subscription(world.account, subscription)
    assert newest(engine, world, subscription).total == now.total


# --- plans ----------------------------------------------------------------------------------------


def test_a_dearer_plan_costs_the_difference_for_the_rest_of_the_period(
    world, engine, seller, change
):
    subscription = seller.bought()
    world.wait(days=10)
    before = engine.subscription(world.account, subscription)
    wanted = change(GOLD)
    preview = engine.preview_change(world.account, subscription, wanted)
    assert preview.is_preview
    assert sorted(line.amount_minor > 0 for line in preview.lines) == [False, True]
    world.wait(minutes=3)
    changed = engine.change_plan(world.account, subscription, wanted, key="change:1")
    assert changed.price_id == wanted.price_id
    assert (changed.period_start, changed.period_end) == (before.period_start, before.period_end)
    bill = newest(engine, world, subscription)
    assert (bill.total, bill.amount_paid) == (preview.total, preview.amount_due)
    assert 0 < bill.total < 2000
    assert EventKind.SUBSCRIPTION_UPDATED in kinds(world.events())


def test_a_cheaper_plan_costs_nothing_now(world, engine, seller, change):
    subscription = seller.bought(GOLD)
    world.wait(days=10)
    wanted = change(FIXED)
    preview = engine.preview_change(world.account, subscription, wanted)
    assert preview.total < 0
    assert preview.amount_due == 0
    engine.change_plan(world.account, subscription, wanted, key="change:1")
    assert newest(engine, world, subscription).total == preview.total


def test_usage_is_billed_at_the_old_price_when_the_new_plan_begins(world, engine, seller, change):
    subscription = seller.bought(seller.metered())
    seller.use(25)
    wanted = change(GOLD, new_period=True)
    preview = engine.preview_change(world.account, subscription, wanted)
    assert preview.total == 6 + 2999
    changed = engine.change_plan(world.account, subscription, wanted, key="change:1")
    assert newest(engine, world, subscription).total == preview.total
    assert abs(changed.period_start - clock.now()) < timedelta(seconds=2)


def test_a_fixed_plan_is_credited_when_a_metered_one_begins(world, engine, seller, change):
    subscription = seller.bought()
    wanted = change(seller.metered(), new_period=True)
    preview = engine.preview_change(world.account, subscription, wanted)
    assert -999 < preview.total < 0
    engine.change_plan(world.account, subscription, wanted, key="change:1")
    assert newest(engine, world, subscription).total == preview.total


def test_changing_twice_changes_once(world, engine, seller, change):
    subscription = seller.bought()
    wanted = change(GOLD)
    first = engine.change_plan(world.account, subscription, wanted, key="change:1")
    bills = len(engine.invoices(world.account, subscription))
    assert engine.change_plan(world.account, subscription, wanted, key="change:1") == first
    assert len(engine.invoices(world.account, subscription)) == bills


def test_a_change_whose_answer_was_lost_is_made_once(world, engine, seller, change):
    subscription = seller.bought()
    wanted = change(GOLD)
    world.lose_next_answer()
    with pytest.raises(EngineUnavailable):
        engine.change_plan(world.account, subscription, wanted, key="change:1")
    changed = engine.change_plan(world.account, subscription, wanted, key="change:1")
    assert changed.price_id == wanted.price_id
    assert len(engine.invoices(world.account, subscription)) == 2


def test_a_card_that_declines_leaves_everything_as_it_was(world, engine, seller, change):
    subscription = seller.bought()
    before = engine.subscription(world.account, subscription)
    world.decline(subscription)
    with pytest.raises(PaymentDeclined):
        engine.change_plan(world.account, subscription, change(GOLD), key="change:1")
    assert engine.subscription(world.account, subscription) == before
    assert len(engine.invoices(world.account, subscription)) == 1


def test_what_has_ended_cannot_be_changed(world, engine, seller, change):
    subscription = seller.bought()
    wanted = change(GOLD)
    engine.cancel_subscription(world.account, subscription)
    with pytest.raises(BillingEngineError):
        engine.change_plan(world.account, subscription, wanted, key="change:1")
    with pytest.raises(BillingEngineError):
        engine.preview_change(world.account, subscription, wanted)
