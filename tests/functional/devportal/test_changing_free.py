"""Between a free plan and a paid one, on one subscription: through Checkout, and by cancelling."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
import time_machine

from portal import clock, jobs
from portal.extensions import db
from portal.flows import reconciling
from portal.flows.reconciling import Usage
from portal.models import CheckoutAttempt, EngineSubscription, PlanChange, TimelineEntry, UsageBatch
from portal.services import usage_account, usage_report
from tests.functional.devportal.conftest import ACCOUNT
from tests.support.browser import Browser
from tests.support.buying import call, row_of

WEBHOOK = "/api/am/stripe/webhook?tenantDomain=carbon.super"


@pytest.fixture
def plans(market):
    """Two free ones, a fixed price, and one that pays for calls."""
    f = market.factories
    return {
        "Free": f.policy("Free"),
        "Tiny": f.policy("Tiny"),
        "Bronze": f.fixed_policy("9.99", name="Bronze"),
        "PerCall": f.dynamic_policy("0.0025", name="PerCall"),
    }


@pytest.fixture
def api(market, plans):
    return market.api("Weather", *plans.values())


@pytest.fixture
def application(market):
    return market.factories.application("Fleet", owner=market.developer)


@pytest.fixture
def free(market, api, plans, application):
    """A subscription that works on its free plan."""
    return market.subscribe(api, plans["Free"], application)


@pytest.fixture
def paid(market, api, plans, application):
    """Buy one of the paid plans."""
    return lambda name: market.bought(api, plans[name], application)


def path(uuid, plan):
    return f"/devportal/subscriptions/{uuid}/plan/{plan.uuid}"


def moves(uuid):
    db.session.rollback()
    found = sa.select(TimelineEntry.move).where(TimelineEntry.subscription_uuid == uuid)
    return list(db.session.scalars(found.order_by(TimelineEntry.line)))


def states():
    db.session.rollback()
    return list(db.session.scalars(sa.select(PlanChange.state).order_by(PlanChange.plan_change_id)))


def deliver(market, events):
    for event in events:
        answer = market.browser.client.application.test_client().post(
            WEBHOOK, data=event.payload, headers={"Stripe-Signature": event.header}
        )
        assert answer.status_code == 200, answer.get_data(as_text=True)


def ask(market, uuid, plan, *, expect=303):
    """Press Go to the payment page; return the page's id."""
    known = len(market.engine.provider.pages)
    market.browser.get(path(uuid, plan))
    form = {
        name: market.browser.soup.select_one(f"input[name={name}]")["value"]
        for name in ("version", "moment")
    }
    market.browser.post(path(uuid, plan), form, follow=False, expect=expect)
    return next(reversed(market.engine.provider.pages)) if market.engine.provider.pages else known


def standing(uuid):
    row = row_of(uuid)
    return row.plan_name, row.billing, row.status


@pytest.mark.all_databases
def test_a_free_plan_works_until_the_paid_one_is_paid_and_costs_what_was_shown(market, free, plans):
    browser = market.browser.get(f"/devportal/subscriptions/{free}")
    browser.get(browser.link("Change plan"))
    browser.get(path(free, plans["Bronze"]))
    assert "Due on the payment page 9.99 USD" in browser.text
    session = ask(market, free, plans["Bronze"])
    assert standing(free) == ("Free", "NOT_REQUIRED", "TIER_UPDATE_PENDING")
    browser.get(f"/devportal/subscriptions/{free}")
    assert "Bronze waits for its payment" in browser.text
    assert "Calls go on under Free until it is paid." in browser.text
    assert "Calls go through Yes" in browser.text
    events = market.engine.provider.pay(session)
    deliver(market, events * 2)
    assert standing(free) == ("Bronze", "PAID", "UNBLOCKED")
    bill = market.engine.invoices(ACCOUNT, row_of(free).engine_subscription_id)[0]
    assert (bill.total, bill.currency) == (999, "usd")
    assert moves(free) == ["SUBSCRIBE", "ASK_PLAN_CHANGE", "GO_PAID"]
    assert states() == ["DONE"]
    browser.get(f"/api/am/stripe/complete-session?session_id={session}")
    assert "The paid plan begins" in browser.text
    assert moves(free)[-1] == "GO_PAID"


@pytest.mark.all_databases
def test_a_page_that_lapses_leaves_the_free_plan(market, free, plans):
    session = ask(market, free, plans["Bronze"])
    deliver(market, market.engine.provider.expire(session))
    assert standing(free) == ("Free", "NOT_REQUIRED", "UNBLOCKED")
    assert moves(free)[-2:] == ["ASK_PLAN_CHANGE", "SETTLE_PLAN_CHANGE"]
    assert states() == ["REFUSED"]
    market.engine.provider.pay(ask(market, free, plans["Bronze"]))
    assert states() == ["REFUSED", "WAITING"]


def test_a_lapse_that_nobody_told_of_is_found_by_the_worker(market, free, plans):
    ask(market, free, plans["Bronze"])
    with time_machine.travel(clock.now() + timedelta(hours=25), tick=False):
        jobs.sweep()
    assert standing(free) == ("Free", "NOT_REQUIRED", "UNBLOCKED")


def test_asking_twice_is_one_change_and_one_page(market, free, plans):
    first = ask(market, free, plans["Bronze"])
    change = db.session.scalars(sa.select(PlanChange)).one()
    form = {"version": change.to_version_id, "moment": clock.epoch(clock.now())}
    market.browser.post(path(free, plans["Bronze"]), form, follow=False, expect=303)
    market.browser.get(
        f"/api/am/stripe/checkout-url?subscriptionId={free}", expect=303, follow=False
    )
    assert list(market.engine.provider.pages) == [first]
    assert len(db.session.scalars(sa.select(CheckoutAttempt)).all()) == 1
    market.browser.post(path(free, plans["PerCall"]), form)
    assert "Keep the free plan" in market.browser.text
    assert states() == ["WAITING"]


@pytest.mark.all_databases
def test_keeping_the_free_plan_closes_the_page(market, free, plans):
    session = ask(market, free, plans["Bronze"])
    market.browser.get(f"/devportal/subscriptions/{free}").submit("Keep the free plan")
    assert "The free plan stays." in market.browser.text
    assert standing(free) == ("Free", "NOT_REQUIRED", "UNBLOCKED")
    assert market.engine.checkout(ACCOUNT, session).state == "expired"


def test_a_payment_that_is_quicker_than_keeping_the_free_plan_counts(market, free, plans):
    session = ask(market, free, plans["Bronze"])
    market.browser.get(f"/devportal/subscriptions/{free}")
    market.engine.provider.pay(session)
    market.browser.submit("Keep the free plan")
    assert "The payment was quicker" in market.browser.text
    assert standing(free) == ("Bronze", "PAID", "UNBLOCKED")
    assert states() == ["DONE"]


def test_a_withdrawn_page_that_a_crash_left_open_is_closed_by_the_worker(market, free, plans):
    session = ask(market, free, plans["Bronze"])
    market.browser.get(f"/devportal/subscriptions/{free}")
    market.engine.provider.is_down = True
    market.browser.submit("Keep the free plan")
    market.engine.provider.is_down = False
    assert standing(free) == ("Free", "NOT_REQUIRED", "UNBLOCKED")
    jobs.sweep()
    assert market.engine.checkout(ACCOUNT, session).state == "expired"


def test_a_page_that_does_not_open_is_opened_by_complete_payment(market, free, plans):
    market.browser.get(path(free, plans["Bronze"]))
    market.engine.provider.is_down = True
    market.browser.submit("Go to the payment page")
    assert "Press Complete Payment to try again." in market.browser.text
    market.engine.provider.is_down = False
    market.browser.get(
        f"/api/am/stripe/checkout-url?subscriptionId={free}", expect=303, follow=False
    )
    deliver(market, market.engine.provider.pay(next(reversed(market.engine.provider.pages))))
    assert standing(free) == ("Bronze", "PAID", "UNBLOCKED")


def test_unsubscribing_while_the_paid_plan_waits_closes_the_page(market, free, plans):
    session = ask(market, free, plans["Bronze"])
    market.browser.get(f"/devportal/subscriptions/{free}/unsubscribe").submit("Unsubscribe")
    assert row_of(free).status == "ENDED"
    assert market.engine.checkout(ACCOUNT, session).state == "expired"
    assert states() == ["REFUSED"]


@pytest.mark.all_databases
def test_calls_of_the_free_plan_are_never_billed(market, free, plans):
    call(free, 7)
    session = ask(market, free, plans["PerCall"])
    events = market.engine.provider.pay(session)
    call(free, 5)
    market.engine.provider.is_down = True
    deliver(market, events)
    call(free, 3)
    market.engine.provider.is_down = False
    jobs.catch_up()
    with time_machine.travel(clock.now() + timedelta(seconds=2)):
        call(free, 11)
        jobs.publish_all()
        report = usage_report.report(row_of(free))
        assert (report.version.policy.name, report.billed) == ("PerCall", 11)
        batches = db.session.scalars(sa.select(UsageBatch)).all()
        assert [(batch.quantity, batch.late) for batch in batches] == [(11, False)]
        bill = market.engine.preview(ACCOUNT, row_of(free).engine_subscription_id)
        assert bill.lines[0].quantity == 11


# --- and back -------------------------------------------------------------------------------


@pytest.mark.all_databases
def test_a_paid_plan_runs_until_its_period_ends_and_goes_on_as_free(market, paid, plans):
    uuid = paid("Bronze")
    engine_id = row_of(uuid).engine_subscription_id
    browser = market.browser.get(path(uuid, plans["Free"]))
    assert "The period is paid for. Nothing more is charged." in browser.text
    browser.submit("Change with the period")
    assert standing(uuid) == ("Bronze", "PAID", "TIER_UPDATE_PENDING")
    assert "The plan changes with the period" in browser.text
    assert row_of(uuid).cancel_at == row_of(uuid).period_end
    jobs.sweep()
    assert states() == ["WAITING"]
    events = market.engine.provider.renew(engine_id)
    deliver(market, events * 2)
    assert standing(uuid) == ("Free", "NOT_REQUIRED", "UNBLOCKED")
    assert moves(uuid)[-3:] == ["ASK_PLAN_CHANGE", "CANCEL_SCHEDULED", "GO_FREE"]
    assert states() == ["DONE"]
    assert db.session.scalars(sa.select(EngineSubscription.cancelled_at)).one() is not None
    browser.get(f"/devportal/subscriptions/{uuid}")
    assert "Plan Free" in browser.text
    browser.get("/devportal/invoices")
    assert browser.response.status_code == 200


def test_the_paid_plans_invoices_stay_when_the_plan_is_free(market, paid, plans):
    uuid = paid("Bronze")
    engine_id = row_of(uuid).engine_subscription_id
    number = market.engine.invoices(ACCOUNT, engine_id)[0].number
    market.browser.get(path(uuid, plans["Free"])).submit("Change now")
    assert standing(uuid) == ("Free", "NOT_REQUIRED", "UNBLOCKED")
    page = market.browser.get(f"/devportal/subscriptions/{uuid}")
    page.get(page.link("View Invoice"))
    assert "The plan is free now. These are the invoices of the paid plan before it." in page.text
    assert number in page.text
    publisher = row_of(uuid).api.provider.username
    his = Browser(market.browser.client.application).sign_in(publisher)
    listed = f"/publisher/apis/{row_of(uuid).api.api_uuid}/subscriptions"
    for place in (listed, f"/publisher/subscriptions/{uuid}"):
        his.get(his.get(place).link("View Invoice"))
        assert number in his.text


def test_a_plan_that_was_always_free_has_no_invoices(market, free):
    page = market.browser.get(f"/devportal/subscriptions/{free}")
    assert "View Invoice" not in page.text
    market.browser.get(f"/devportal/subscriptions/{free}/invoice", expect=404)


def test_keeping_the_subscription_takes_the_change_back(market, paid, plans):
    uuid = paid("Bronze")
    before = market.engine.subscription(ACCOUNT, row_of(uuid).engine_subscription_id)
    market.browser.get(path(uuid, plans["Free"])).submit("Change with the period")
    market.browser.submit("Keep the subscription")
    assert standing(uuid) == ("Bronze", "PAID", "UNBLOCKED")
    assert states() == ["REFUSED"]
    after = market.engine.subscription(ACCOUNT, row_of(uuid).engine_subscription_id)
    assert after == before
    deliver(market, market.engine.provider.end(after.subscription_id))
    assert row_of(uuid).status == "ENDED"


@pytest.mark.all_databases
def test_changing_now_draws_the_invoice_that_was_shown(market, paid, plans):
    uuid = paid("PerCall")
    engine_id = row_of(uuid).engine_subscription_id
    call(uuid, 1000)
    browser = market.browser.get(path(uuid, plans["Free"]))
    shown = browser.soup.select(".sum .num")[-1].get_text()
    browser.submit("Change now")
    assert standing(uuid) == ("Free", "NOT_REQUIRED", "UNBLOCKED")
    bill = market.engine.invoices(ACCOUNT, engine_id)[0]
    assert shown == f"{bill.total / 100:.2f} USD" == "2.50 USD"
    assert market.engine.subscription(ACCOUNT, engine_id).status.is_over
    call(uuid, 4)
    jobs.publish_all()
    assert [row.quantity for row in db.session.scalars(sa.select(UsageBatch))] == [1000]


def test_taking_it_back_before_the_answer_was_stored_holds(market, paid, plans):
    uuid = paid("Bronze")
    browser = market.browser.get(path(uuid, plans["Free"]))
    known = len(market.engine.provider.events)
    market.engine.provider.lose_answers = 1
    browser.submit("Change with the period")
    deliver(market, market.engine.provider.events[known:])
    assert states() == ["ASKED"]
    browser.get(f"/devportal/subscriptions/{uuid}").submit("Keep the subscription")
    assert states() == ["REFUSED"]
    with time_machine.travel(clock.now() + timedelta(minutes=2), tick=False):
        jobs.sweep()
    assert (row_of(uuid).status, row_of(uuid).cancel_at) == ("UNBLOCKED", None)


@pytest.mark.parametrize("when", ["Change with the period", "Change now"])
def test_without_an_answer_the_worker_finishes_it_once(market, paid, plans, when):
    uuid = paid("Bronze")
    browser = market.browser.get(path(uuid, plans["Free"]))
    market.engine.provider.lose_answers = 1
    browser.submit(when)
    assert "tried again by itself" in browser.text
    assert standing(uuid)[2] == "TIER_UPDATE_PENDING"
    with time_machine.travel(clock.now() + timedelta(minutes=2), tick=False):
        jobs.sweep()
        jobs.sweep()
    now = when == "Change now"
    assert states() == (["DONE"] if now else ["WAITING"])
    assert row_of(uuid).plan_name == ("Free" if now else "Bronze")


def test_an_unsubscribe_while_it_waits_ends_the_subscription(market, paid, plans):
    uuid = paid("Bronze")
    market.browser.get(path(uuid, plans["Free"])).submit("Change with the period")
    market.browser.get(f"/devportal/subscriptions/{uuid}/unsubscribe").submit("Unsubscribe")
    assert row_of(uuid).status == "ENDED"
    assert states() == ["REFUSED"]


def test_there_and_back_and_there_again_on_one_subscription(market, free, plans):
    market.engine.provider.pay(ask(market, free, plans["Bronze"]))
    first = next(reversed(market.engine.provider.pages))
    market.browser.get(f"/api/am/stripe/complete-session?session_id={first}")
    jobs.catch_up()
    old = row_of(free).engine_subscription_id
    market.browser.get(path(free, plans["Tiny"])).submit("Change now")
    assert standing(free) == ("Tiny", "NOT_REQUIRED", "UNBLOCKED")
    market.browser.get(path(free, plans["Free"])).submit("Change plan")
    assert standing(free) == ("Free", "NOT_REQUIRED", "UNBLOCKED")
    session = ask(market, free, plans["PerCall"])
    jobs.catch_up()
    assert market.engine.checkout(ACCOUNT, session).state == "open"
    deliver(market, market.engine.provider.pay(session))
    jobs.catch_up()
    assert standing(free) == ("PerCall", "PAID", "UNBLOCKED")
    assert row_of(free).engine_subscription_id != old
    assert states() == ["DONE"] * 4
    found = reconciling.run(lambda _tenant: market.engine, grace=timedelta(0), usage=Usage.ALL)
    assert [each.difference for each in found] == []


def test_usage_is_compared_with_the_present_meter_only(market, paid, plans):
    uuid = paid("PerCall")
    call(uuid, 3)
    jobs.publish_all()
    market.browser.get(path(uuid, plans["Free"])).submit("Change now")
    deliver(market, market.engine.provider.pay(ask(market, uuid, plans["PerCall"])))
    with time_machine.travel(clock.now() + timedelta(seconds=2)):
        call(uuid, 4)
        jobs.publish_all()
        (meter,) = usage_account.meters([row_of(uuid).subscription_id], clock.now())
        assert meter.expected in (4, 7)


def test_an_event_of_the_plan_before_changes_nothing(market, free, plans):
    deliver(market, market.engine.provider.pay(ask(market, free, plans["Bronze"])))
    old = row_of(free).engine_subscription_id
    market.browser.get(path(free, plans["Free"])).submit("Change now")
    late = market.engine.provider.events[-1]
    deliver(market, market.engine.provider.pay(ask(market, free, plans["PerCall"])))
    deliver(market, [late])
    assert standing(free) == ("PerCall", "PAID", "UNBLOCKED")
    assert row_of(free).engine_subscription_id != old
