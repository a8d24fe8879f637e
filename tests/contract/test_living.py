"""A subscription's life: renewals, arrears, cancellation, usage and invoices."""

from dataclasses import replace
from datetime import timedelta

import pytest

from portal import clock
from portal.billing.engine import EngineStatus, EventKind
from portal.errors import BillingEngineError, EngineObjectMissing, EngineUnavailable


def minute(moment):
    return moment.replace(second=0, microsecond=0)


def kinds(events):
    return [event.kind for event in events if event.kind]


# --- renewals and arrears -------------------------------------------------------------------------


def test_a_renewal_draws_an_invoice_and_starts_a_period(world, engine, seller):
    subscription = seller.bought()
    before = engine.subscription(world.account, subscription)
    world.renew(subscription)
    after = engine.subscription(world.account, subscription)
    assert after.status is EngineStatus.ACTIVE
    assert after.period_start > before.period_start
    bills = engine.invoices(world.account, subscription)
    assert [bill.billing_reason for bill in bills] == ["subscription_cycle", "subscription_create"]
    assert [bill.total for bill in bills] == [999, 999]
    assert {bill.status for bill in bills} == {"paid"}
    assert EventKind.PAYMENT_SUCCEEDED in kinds(world.events())


def test_a_declined_renewal_is_in_arrears_until_it_is_paid(world, engine, seller):
    subscription = seller.bought()
    world.fail_renewal(subscription)
    told = world.events()
    failed = next(event for event in told if event.kind is EventKind.PAYMENT_FAILED)
    assert failed.subscription_id == subscription
    assert (failed.invoice.status, failed.invoice.amount_remaining) == ("open", 999)
    assert failed.invoice.hosted_url.startswith("http")
    states = [event.subscription.status for event in told if event.subscription]
    assert states[-1] is EngineStatus.PAST_DUE
    assert engine.subscription(world.account, subscription).status.is_arrears
    world.wait(hours=1)
    world.pay_invoice(subscription)
    assert engine.subscription(world.account, subscription).status is EngineStatus.ACTIVE
    assert EventKind.PAYMENT_SUCCEEDED in kinds(world.events())
    assert engine.invoices(world.account, subscription)[0].status == "paid"


def test_a_card_that_asks_for_authentication_is_told(world, engine, seller):
    subscription = seller.bought()
    world.fail_renewal(subscription, asks=True)
    asked = [event for event in world.events() if event.kind is EventKind.PAYMENT_ACTION_REQUIRED]
    assert asked[0].invoice.needs_authentication
    assert asked[0].subscription_id == subscription
    assert engine.subscription(world.account, subscription).status is EngineStatus.PAST_DUE
    assert engine.invoices(world.account, subscription)[0].needs_authentication


def test_an_invoice_that_a_card_declined_does_not_ask_for_authentication(world, engine, seller):
    subscription = seller.bought()
    world.fail_renewal(subscription)
    newest = engine.invoices(world.account, subscription)[0]
    assert newest.status == "open"
    assert not newest.needs_authentication


# --- endings --------------------------------------------------------------------------------------


def test_cancelled_in_the_portal_it_goes_on_until_its_period_ends(world, engine, seller):
    subscription = seller.bought()
    world.cancel_at_period_end(subscription)
    found = engine.subscription(world.account, subscription)
    assert found.status is EngineStatus.ACTIVE
    assert found.cancel_at == found.period_end
    assert EventKind.SUBSCRIPTION_UPDATED in kinds(world.events())
    world.renew(subscription)
    ended = engine.subscription(world.account, subscription)
    assert ended.status is EngineStatus.CANCELED
    assert ended.ended_at is not None
    told = [event for event in world.events() if event.kind is EventKind.SUBSCRIPTION_DELETED]
    assert [event.subscription.status for event in told] == [EngineStatus.CANCELED]


def test_cancelling_ends_it_now_and_twice_counts_as_done(world, engine, seller):
    subscription = seller.bought()
    ended = engine.cancel_subscription(world.account, subscription)
    assert ended.status is EngineStatus.CANCELED
    assert ended.ended_at is not None
    assert engine.cancel_subscription(world.account, subscription) == ended
    assert engine.subscription(world.account, subscription) == ended
    assert EventKind.SUBSCRIPTION_DELETED in kinds(world.events())


def test_cancelling_after_a_lost_answer_counts_as_done(world, engine, seller):
    subscription = seller.bought()
    world.lose_next_answer()
    with pytest.raises(EngineUnavailable):
        engine.cancel_subscription(world.account, subscription)
    assert engine.cancel_subscription(world.account, subscription).status.is_over


def test_what_never_was_cannot_be_read_or_cancelled(world, engine):
    for call in (engine.subscription, engine.cancel_subscription):
        with pytest.raises(EngineObjectMissing):
            call(world.account, "sub_unknown")


def test_another_account_knows_nothing_of_a_subscription(world, engine, seller):
    subscription = seller.bought()
    for call in (engine.subscription, engine.cancel_subscription, engine.preview):
        with pytest.raises(EngineObjectMissing):
            call(world.other_account, subscription)
    assert engine.subscription(world.account, subscription).status.is_good


# --- usage ----------------------------------------------------------------------------------------


def total(world, engine, seller):
    return engine.usage_total(
        world.account,
        meter_id=seller.meter(),
        customer_id=seller.customer(),
        start=minute(clock.now()) - timedelta(hours=2),
        end=minute(clock.now()) + timedelta(minutes=1),
    )


def test_usage_is_counted_once_for_each_identifier(world, engine, seller):
    seller.bought(seller.metered())
    report = seller.use(25)
    again = engine.report_usage(world.account, report)
    assert again.duplicate
    assert again.identifier == report.identifier
    assert total(world, engine, seller) == 25
    seller.use(5, "batch:2")
    assert total(world, engine, seller) == 30


def test_new_usage_is_not_called_a_duplicate(world, engine, seller):
    seller.bought(seller.metered())
    report = replace(seller.use(1), identifier="batch:2")
    assert engine.report_usage(world.account, report).duplicate is False


def test_usage_whose_answer_was_lost_is_sent_again_and_counted_once(world, engine, seller):
    seller.bought(seller.metered())
    report = replace(seller.use(1), identifier="batch:2", quantity=24)
    world.lose_next_answer()
    with pytest.raises(EngineUnavailable):
        engine.report_usage(world.account, report)
    assert engine.report_usage(world.account, report).duplicate
    assert total(world, engine, seller) == 25


def test_an_identifier_never_stands_for_two_quantities(world, engine, seller):
    seller.bought(seller.metered())
    report = seller.use(25)
    with pytest.raises(BillingEngineError):
        engine.report_usage(world.account, replace(report, quantity=26))
    assert total(world, engine, seller) == 25


@pytest.mark.parametrize("age", [timedelta(days=36), timedelta(minutes=-10)])
def test_usage_from_too_long_ago_or_from_the_future_is_refused(world, engine, seller, age):
    seller.bought(seller.metered())
    report = replace(seller.use(1), identifier="batch:2", timestamp=clock.now() - age)
    with pytest.raises(BillingEngineError):
        engine.report_usage(world.account, report)


def test_usage_of_an_unknown_meter_is_refused(world, engine, seller):
    seller.bought(seller.metered())
    report = replace(seller.use(1), identifier="batch:2", event_name="apim_unknown")
    with pytest.raises(BillingEngineError):
        engine.report_usage(world.account, report)


def test_usage_is_added_up_between_whole_minutes_only(world, engine, seller):
    subscription_start = clock.now()
    seller.bought(seller.metered())
    with pytest.raises(BillingEngineError):
        engine.usage_total(
            world.account,
            meter_id=seller.meter(),
            customer_id=seller.customer(),
            start=subscription_start + timedelta(seconds=7),
            end=subscription_start + timedelta(hours=1),
        )


def test_usage_outside_the_asked_time_is_not_counted(world, engine, seller):
    seller.bought(seller.metered())
    seller.use(25)
    past = minute(clock.now()) - timedelta(hours=5)
    counted = engine.usage_total(
        world.account,
        meter_id=seller.meter(),
        customer_id=seller.customer(),
        start=past,
        end=past + timedelta(hours=1),
    )
    assert counted == 0


# --- invoices -------------------------------------------------------------------------------------


def test_a_metered_preview_shows_usage_to_the_cent(world, engine, seller):
    subscription = seller.bought(seller.metered())
    seller.use(25)
    preview = engine.preview(world.account, subscription)
    assert preview.is_preview
    assert preview.invoice_id is None
    assert (preview.total, preview.currency) == (6, "usd")
    assert [line.quantity for line in preview.lines] == [25]
    found = engine.subscription(world.account, subscription)
    assert (preview.period_start, preview.period_end) == (found.period_start, found.period_end)


def test_a_metered_renewal_bills_what_was_used(world, engine, seller):
    subscription = seller.bought(seller.metered())
    seller.use(25)
    world.renew(subscription)
    world.wait(minutes=1)
    bill = engine.invoices(world.account, subscription)[0]
    assert (bill.total, bill.lines[0].quantity) == (6, 25)
    assert engine.preview(world.account, subscription).total == 0


def test_cancelling_a_metered_subscription_bills_what_was_used(world, engine, seller):
    subscription = seller.bought(seller.metered())
    seller.use(25)
    engine.cancel_subscription(world.account, subscription)
    assert engine.invoices(world.account, subscription)[0].total == 6


def test_a_fixed_preview_shows_the_next_fee(world, engine, seller):
    subscription = seller.bought()
    preview = engine.preview(world.account, subscription)
    found = engine.subscription(world.account, subscription)
    assert preview.total == 999
    assert preview.period_start == found.period_end
    assert preview.subscription_id == subscription


def test_after_the_end_there_is_no_next_invoice(world, engine, seller):
    subscription = seller.bought()
    world.cancel_at_period_end(subscription)
    assert engine.preview(world.account, subscription) is None
    engine.cancel_subscription(world.account, subscription)
    assert engine.preview(world.account, subscription) is None


def test_invoices_stay_readable_after_the_end(world, engine, seller):
    subscription = seller.bought()
    engine.cancel_subscription(world.account, subscription)
    bills = engine.invoices(world.account, subscription)
    assert bills[-1].total == 999
    assert all(bill.invoice_id for bill in bills)
    assert not any(bill.is_preview for bill in bills)
