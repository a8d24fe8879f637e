"""Changing the plan: what it costs is said beforehand, and it happens once or not at all."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
import time_machine
from sqlalchemy.orm.attributes import set_committed_value

from portal import clock, jobs
from portal.extensions import db
from portal.models import EngineSubscription, PlanChange, TimelineEntry, UsageBatch
from portal.services import plan_changes, usage_report
from portal.web.unit_of_work import unit_of_work
from tests.functional.devportal.conftest import ACCOUNT
from tests.support.buying import call, row_of


@pytest.fixture
def application(market):
    return market.factories.application("Fleet", owner=market.developer)


@pytest.fixture
def plans(market):
    """Bronze and gold at a fixed price, and one that pays for calls."""
    f = market.factories
    return (
        f.fixed_policy("9.99", name="Bronze"),
        f.fixed_policy("29.99", name="Gold"),
        f.dynamic_policy("0.0025", name="PerCall"),
    )


@pytest.fixture
def bought(market, plans, application):
    """Buy one of the three plans of one API."""

    def buy(number: int) -> str:
        return market.bought(market.api("Weather", *plans), plans[number], application)

    return buy


def path(uuid: str, plan) -> str:
    return f"/devportal/subscriptions/{uuid}/plan/{plan.uuid}"


def moves(uuid: str) -> list[str]:
    db.session.rollback()
    found = sa.select(TimelineEntry.move).where(TimelineEntry.subscription_uuid == uuid)
    return list(db.session.scalars(found.order_by(TimelineEntry.line)))


def newest(market, uuid):
    return market.engine.invoices(ACCOUNT, row_of(uuid).engine_subscription_id)[0]


@pytest.mark.all_databases
def test_plan_change_changes_the_price_at_stripe_and_costs_what_was_shown(market, plans, bought):
    uuid = bought(0)
    browser = market.browser.get(f"/devportal/subscriptions/{uuid}")
    browser.get(browser.link("Change plan"))
    assert "Gold" in browser.text
    assert "PerCall" in browser.text
    browser.get(path(uuid, plans[1]))
    assert "Unused time on Bronze" in browser.text
    browser.submit("Change plan")
    assert "The plan is Gold now." in browser.text
    row = row_of(uuid)
    assert (row.plan_name, row.status, row.plan_since) == ("Gold", "UNBLOCKED", 0)
    held = market.engine.subscription(ACCOUNT, row.engine_subscription_id)
    change = db.session.scalars(sa.select(PlanChange)).one()
    assert held.price_id == change.price.plan_id
    record = db.session.scalars(sa.select(EngineSubscription)).one()
    assert record.mapping_id == change.mapping_id
    assert moves(uuid)[-2:] == ["ASK_PLAN_CHANGE", "SETTLE_PLAN_CHANGE"]


def test_what_is_due_is_what_was_shown(market, plans, bought):
    uuid = bought(0)
    browser = market.browser.get(path(uuid, plans[1]))
    shown = browser.soup.select(".sum .num")[1].get_text()
    browser.submit("Change plan")
    bill = newest(market, uuid)
    assert shown == f"{bill.total / 100:.2f} USD"
    assert bill.status == "paid"


def test_pressing_twice_changes_once(market, plans, bought):
    uuid = bought(0)
    browser = market.browser.get(path(uuid, plans[1]))
    assert browser.soup.title.get_text().startswith("Change Weather 1.0")
    assert browser.link("Change plan").endswith("/plan")
    form = {
        "version": browser.soup.select_one("input[name=version]")["value"],
        "moment": browser.soup.select_one("input[name=moment]")["value"],
    }
    browser.submit("Change plan")
    bills = len(market.engine.invoices(ACCOUNT, row_of(uuid).engine_subscription_id))
    browser.post(path(uuid, plans[1]), form)
    assert "The plan stays as it was." in browser.text
    assert len(market.engine.invoices(ACCOUNT, row_of(uuid).engine_subscription_id)) == bills


def test_a_card_that_declines_leaves_the_plan_and_says_so(market, plans, bought):
    uuid = bought(0)
    market.engine.provider.declining.add(row_of(uuid).engine_subscription_id)
    market.browser.get(path(uuid, plans[1])).submit("Change plan")
    assert "The plan stays as it was." in market.browser.text
    assert (row_of(uuid).plan_name, row_of(uuid).status) == ("Bronze", "UNBLOCKED")
    assert db.session.scalars(sa.select(PlanChange.state)).all() == ["REFUSED"]
    market.engine.provider.declining.clear()
    market.browser.get(path(uuid, plans[1])).submit("Change plan")
    assert row_of(uuid).plan_name == "Gold"


@pytest.mark.all_databases
def test_without_an_answer_it_is_pending_and_the_worker_finishes_it_once(market, plans, bought):
    uuid = bought(0)
    browser = market.browser.get(path(uuid, plans[1]))
    market.engine.provider.lose_answers = 1
    browser.submit("Change plan")
    assert "tried again by itself" in browser.text
    assert (row_of(uuid).status, row_of(uuid).plan_name) == ("TIER_UPDATE_PENDING", "Bronze")
    with time_machine.travel(clock.now() + timedelta(minutes=2), tick=False):
        jobs.sweep()
        jobs.sweep()
    assert (row_of(uuid).status, row_of(uuid).plan_name) == ("UNBLOCKED", "Gold")
    bills = market.engine.invoices(ACCOUNT, row_of(uuid).engine_subscription_id)
    assert [bill.billing_reason for bill in bills].count("subscription_update") == 1


def test_a_change_that_was_read_before_somebody_settled_it_is_settled_once(market, plans, bought):
    uuid = bought(0)
    market.browser.get(path(uuid, plans[1])).submit("Change plan")
    before = moves(uuid)
    with unit_of_work():
        change = db.session.query(PlanChange).one()
        set_committed_value(change, "state", "ASKED")
        plan_changes.refuse(change, "An answer that came late.")
    assert (row_of(uuid).plan_name, moves(uuid)) == ("Gold", before)
    assert db.session.scalars(sa.select(PlanChange.state)).all() == ["DONE"]


def test_calls_until_the_change_are_billed_at_the_old_price_and_later_ones_at_the_new(
    market, plans, bought
):
    uuid = bought(2)
    call(uuid, 1000)
    market.browser.get(path(uuid, plans[0]))
    assert "1,000 calls that are reported next" in market.browser.text
    market.browser.submit("Change plan")
    bill = newest(market, uuid)
    assert bill.lines[0].quantity == 1000
    assert bill.lines[0].amount_minor == 250
    assert row_of(uuid).plan_since == clock.epoch(row_of(uuid).period_start)
    assert row_of(uuid).plan_name == "Bronze"
    before = row_of(uuid).period_start - timedelta(seconds=1)
    old = usage_report.report(row_of(uuid), before)
    assert (old.version.policy.name, old.period.end) == ("PerCall", row_of(uuid).period_start)
    assert old.rating is not None
    now = usage_report.report(row_of(uuid))
    assert (now.version.policy.name, now.billed) == ("Bronze", 0)


def test_calls_of_the_very_change_go_to_the_new_plan_and_are_marked(
    market, plans, application, bought
):
    dearer = market.factories.dynamic_policy("0.01", name="PerCallPlus")
    api = market.api("Weather", *plans, dearer)
    uuid = market.bought(api, plans[2], application)
    call(uuid, 10)
    browser = market.browser.get(path(uuid, dearer))
    engine, change_plan = market.engine, market.engine.change_plan

    def while_it_is_made(*values, **more):
        call(uuid, 3)
        return change_plan(*values, **more)

    engine.change_plan = while_it_is_made
    browser.submit("Change plan")
    assert row_of(uuid).plan_name == "PerCallPlus"
    jobs.publish_all()
    batches = db.session.scalars(sa.select(UsageBatch).order_by(UsageBatch.batch_id)).all()
    assert [(batch.quantity, batch.late) for batch in batches] == [(10, False), (3, True)]
    assert batches[0].meter_event_name != batches[1].meter_event_name
    assert newest(market, uuid).lines[0].quantity == 10


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"publisher_block": "ALL"}, "The subscription is BLOCKED"),
        ({"end_requested": True}, "The subscription has ended"),
        ({"billing": "OVERDUE"}, "The subscription is BLOCKED"),
        ({"plan_change_pending": True}, "A change of plan is under way"),
        ({"engine_status": "trialing"}, "when the free trial is over"),
        ({"cancel_at": clock.from_epoch(2_000_000_000)}, "Keep the subscription first"),
    ],
)
def test_a_refusal_says_why(market, plans, application, facts, words):
    api = market.api("Weather", *plans)
    row = market.factories.subscription(
        api=api,
        application=application,
        policy=plans[0],
        **{"billing": "PAID", "connected_account": ACCOUNT, **facts},
    )
    market.browser.get(f"/devportal/subscriptions/{row.uuid}/plan")
    assert words in market.browser.text
    market.browser.get(path(row.uuid, plans[1]))
    assert words in market.browser.text


def test_another_currency_cannot_be_changed_to(market, plans, application):
    euro = market.factories.fixed_policy("9.99", "EUR", name="Euro")
    uuid = market.bought(market.api("Weather", *plans, euro), plans[0], application)
    market.browser.get(f"/devportal/subscriptions/{uuid}/plan")
    assert "It is sold in EUR" in market.browser.text
    market.browser.get(path(uuid, euro))
    assert "It is sold in EUR" in market.browser.text


def test_an_old_preview_or_another_price_is_shown_again(market, plans, bought):
    uuid = bought(0)
    market.browser.get(path(uuid, plans[1]))
    version = market.browser.soup.select_one("input[name=version]")["value"]
    old = clock.epoch(clock.now()) - 16 * 60
    for form in ({"version": version, "moment": old}, {"version": "999", "moment": old + 960}):
        market.browser.post(path(uuid, plans[1]), form)
        assert "Look at it again" in market.browser.text
    for form in ({}, {"version": "x", "moment": "9" * 30}):
        market.browser.post(path(uuid, plans[1]), form, expect=400)
    assert row_of(uuid).plan_name == "Bronze"


def test_somebody_elses_plan_cannot_be_changed(market, plans, bought):
    uuid = bought(0)
    market.factories.user("eve", "subscriber")
    market.browser.get("/devportal/").post("/account/sign-out")
    market.browser.sign_in("eve").get("/devportal/")
    market.browser.get(f"/devportal/subscriptions/{uuid}/plan", expect=404)
    market.browser.get(path(uuid, plans[1]), expect=404)
    market.browser.post(path(uuid, plans[1]), expect=404)
