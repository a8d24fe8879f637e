"""Ending with the period, taking it back, and what an end costs, said beforehand."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from portal import clock
from portal.extensions import db
from portal.flows import cancelling
from portal.models import TimelineEntry
from portal.web.engines import engine_of
from tests.functional.devportal.conftest import ACCOUNT
from tests.support.buying import call, row_of


@pytest.fixture
def application(market):
    return market.factories.application("Fleet", owner=market.developer)


@pytest.fixture
def fixed(market, application):
    """A running subscription at a fixed price."""
    plan = market.factories.fixed_policy()
    return market.bought(market.api("Currency", plan), plan, application)


@pytest.fixture
def metered(market, application):
    """A running subscription that pays for calls."""
    plan = market.factories.dynamic_policy()
    return market.bought(market.api("Weather", plan), plan, application)


def moves(uuid: str) -> list[tuple[str, str]]:
    lines = db.session.scalars(
        sa.select(TimelineEntry)
        .where(TimelineEntry.subscription_uuid == uuid)
        .order_by(TimelineEntry.line)
    )
    return [(line.move, line.actor) for line in lines]


@pytest.mark.all_databases
def test_ending_with_the_period_keeps_it_working_and_undo_restores_the_identical_state(
    market, fixed
):
    before = market.engine.subscription(ACCOUNT, row_of(fixed).engine_subscription_id)
    browser = market.browser.get(f"/devportal/subscriptions/{fixed}/unsubscribe")
    assert "Nothing more is charged." in browser.text
    browser.submit("End with the period")
    row = row_of(fixed)
    assert (row.status, row.cancel_at) == ("UNBLOCKED", row.period_end)
    assert "Press Keep the subscription to take it back." in browser.text
    assert moves(fixed)[-1][0] == "CANCEL_SCHEDULED"
    assert moves(fixed)[-1][1].startswith("dana")
    browser.submit("Keep the subscription")
    assert "The subscription goes on." in browser.text
    assert row_of(fixed).cancel_at is None
    after = market.engine.subscription(ACCOUNT, row_of(fixed).engine_subscription_id)
    assert after == before


def test_ending_with_the_period_twice_is_once(market, fixed):
    path = f"/devportal/subscriptions/{fixed}/unsubscribe"
    market.browser.get(path)
    for _ in range(2):
        market.browser.post(path, {"when": "later"})
    assert [move for move, _ in moves(fixed)].count("CANCEL_SCHEDULED") == 1


def test_one_that_ends_with_its_period_can_still_be_ended_now(market, fixed):
    path = f"/devportal/subscriptions/{fixed}/unsubscribe"
    market.browser.get(path).submit("End with the period")
    market.browser.get(path)
    assert "End with the period" not in market.browser.text
    market.browser.submit("Unsubscribe")
    assert row_of(fixed).status == "ENDED"


def test_the_last_invoice_is_shown_with_calls_that_nobody_has_reported(market, metered):
    call(metered, 25)
    browser = market.browser.get(f"/devportal/subscriptions/{metered}/unsubscribe")
    assert "25 calls that are reported next" in browser.text
    shown = cancelling.preview(engine_of(row_of(metered).api.tenant), row_of(metered))
    assert shown.now.total in browser.text
    browser.submit("Unsubscribe")
    engine_id = market.engine.provider.contracts
    last = market.engine.invoices(ACCOUNT, next(iter(engine_id)))[0]
    assert last.total == shown.now.invoice.total > 0
    assert last.lines[0].quantity == 25


def test_a_free_subscription_has_one_way_to_end(market, application):
    plan = market.factories.policy("Free")
    uuid = market.subscribe(market.api("Clock", plan), plan, application)
    browser = market.browser.get(f"/devportal/subscriptions/{uuid}/unsubscribe")
    assert "End with the period" not in browser.text
    browser.post(f"/devportal/subscriptions/{uuid}/unsubscribe", {"when": "later"})
    assert "Press Unsubscribe to end it now." in browser.text
    assert row_of(uuid).status == "UNBLOCKED"


def test_without_an_answer_nothing_is_guessed_and_unsubscribing_stays_possible(market, fixed):
    market.engine.provider.is_down = True
    browser = market.browser.get(f"/devportal/subscriptions/{fixed}/unsubscribe")
    assert "The last invoice is not known just now" in browser.text
    assert "Nothing more is charged" not in browser.text
    browser.submit("End with the period")
    assert row_of(fixed).cancel_at is None
    assert "does not answer" in browser.text


def test_keeping_what_has_ended_says_so(market, fixed):
    engine_id = row_of(fixed).engine_subscription_id
    market.engine.cancel_subscription(ACCOUNT, engine_id)
    market.browser.get(f"/devportal/subscriptions/{fixed}")
    market.browser.post(f"/devportal/subscriptions/{fixed}/keep")
    assert "ended" in market.browser.text


def test_somebody_else_can_neither_end_nor_keep_it(market, fixed):
    market.factories.user("eve", "subscriber")
    market.browser.get("/devportal/").post("/account/sign-out")
    market.browser.sign_in("eve").get("/devportal/")
    for what in ("keep", "unsubscribe"):
        market.browser.post(f"/devportal/subscriptions/{fixed}/{what}", expect=404)
    assert row_of(fixed).cancel_at is None
    assert row_of(fixed).period_end - clock.now() > timedelta(days=20)
