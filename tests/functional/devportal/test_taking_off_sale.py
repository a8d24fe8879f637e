"""Disabling monetization: whom it touches is said first, and what runs is ended as was chosen."""

from datetime import timedelta

import pytest
import time_machine

from portal import clock, jobs
from portal.extensions import db
from portal.models import Api
from tests.functional.devportal.conftest import ACCOUNT
from tests.support.browser import Browser
from tests.support.buying import call, row_of
from tests.support.rest import Rest


@pytest.fixture
def shop(market):
    """Two who pay 9.99 a month, one who pays for calls, one who has not paid, one for free."""
    f = market.factories
    plans = {
        "Free": f.policy("Free"),
        "Bronze": f.fixed_policy("9.99", name="Bronze"),
        "PerCall": f.dynamic_policy("0.0025", name="PerCall"),
    }
    api = market.api("Weather", *plans.values())
    buyers = [f.application(f"App{number}", owner=market.developer) for number in range(5)]
    uuids = {
        "first": market.bought(api, plans["Bronze"], buyers[0]),
        "second": market.bought(api, plans["Bronze"], buyers[1]),
        "metered": market.bought(api, plans["PerCall"], buyers[2]),
        "waiting": market.subscribe(api, plans["Bronze"], buyers[3]),
        "free": market.subscribe(api, plans["Free"], buyers[4]),
    }
    call(uuids["metered"], 400)
    publisher = Browser(market.browser.client.application).sign_in(api.provider.username)
    publisher.get(f"/publisher/apis/{api.api_uuid}/monetization")
    return publisher, api.api_id, uuids


def statuses(uuids):
    return {name: str(row_of(uuid).status) for name, uuid in uuids.items()}


def held(api_id):
    db.session.rollback()
    return db.session.get_one(Api, api_id)


def test_who_is_touched_is_said_before_anything_changes(shop):
    publisher, api_id, uuids = shop
    before = statuses(uuids)
    publisher.submit("Save", {"enabled": None})
    assert "Nothing has been changed yet." in publisher.text
    assert "Subscriptions that are paid for 3" in publisher.text
    assert "19.98 USD per month" in publisher.text
    assert "400, reported before each ending" in publisher.text
    assert "Wait for a payment 1" in publisher.text
    assert held(api_id).is_monetization_enabled
    publisher.submit("Take it off sale", {"running": "GO_ON"})
    assert "Monetization is disabled." in publisher.text
    assert statuses(uuids) == before
    assert held(api_id).endings is None


@pytest.mark.all_databases
def test_all_are_ended_now_and_their_last_usage_is_billed(market, shop):
    publisher, api_id, uuids = shop
    engine_id = row_of(uuids["metered"]).engine_subscription_id
    publisher.submit("Save", {"enabled": None}).submit("Take it off sale", {"running": "NOW"})
    assert statuses(uuids) == {
        "first": "ENDED",
        "second": "ENDED",
        "metered": "ENDED",
        "waiting": "ENDED",
        "free": "UNBLOCKED",
    }
    assert market.engine.invoices(ACCOUNT, engine_id)[0].total == 100
    assert held(api_id).endings is None


@pytest.mark.all_databases
def test_each_ends_with_its_period_and_can_be_kept(market, shop):
    publisher, api_id, uuids = shop
    publisher.submit("Save", {"enabled": None}).submit("Take it off sale", {"running": "PERIOD"})
    for name in ("first", "second", "metered"):
        row = row_of(uuids[name])
        assert (row.status, row.cancel_at) == ("UNBLOCKED", row.period_end)
    assert row_of(uuids["waiting"]).status == "ENDED"
    assert held(api_id).endings is None
    market.browser.get(f"/devportal/subscriptions/{uuids['first']}")
    market.browser.submit("Keep the subscription")
    jobs.sweep()
    assert row_of(uuids["first"]).cancel_at is None


def test_what_an_outage_interrupts_the_worker_goes_on_with(market, shop):
    publisher, api_id, uuids = shop
    publisher.submit("Save", {"enabled": None})
    market.engine.provider.is_down = True
    publisher.submit("Take it off sale", {"running": "NOW"})
    assert "subscriptions are still to be ended" in publisher.text
    assert held(api_id).endings == "NOW"
    market.engine.provider.is_down = False
    with time_machine.travel(clock.now() + timedelta(minutes=2)):
        jobs.sweep()
    assert set(statuses(uuids).values()) == {"ENDED", "UNBLOCKED"}
    assert held(api_id).endings is None


def test_who_went_on_can_be_ended_later(market, shop):
    publisher, api_id, uuids = shop
    publisher.submit("Save", {"enabled": None}).submit("Take it off sale", {"running": "GO_ON"})
    assert "Press Save to say what becomes of them." in publisher.text
    publisher.submit("Save").submit("Take it off sale", {"running": "PERIOD"})
    assert row_of(uuids["first"]).cancel_at is not None
    assert held(api_id).endings is None


def test_enabling_again_lets_those_that_are_left_go_on(market, shop):
    publisher, api_id, uuids = shop
    publisher.submit("Save", {"enabled": None})
    market.engine.provider.is_down = True
    publisher.submit("Take it off sale", {"running": "PERIOD"})
    market.engine.provider.is_down = False
    publisher.submit("Save", {"enabled": "y"})
    assert held(api_id).endings is None
    jobs.sweep()
    assert row_of(uuids["first"]).cancel_at is None


def test_a_program_says_it_in_the_request(market, shop):
    _, api_id, uuids = shop
    api = held(api_id)
    his = Rest(market.browser.client.application, api.provider, "publisher/v4")
    body = {"enabled": False, "properties": {}, "runningSubscriptions": "PERIOD"}
    answer = his.post(f"/apis/{api.api_uuid}/monetize", body)
    assert (answer.status_code, answer.json["enabled"]) == (200, False)
    assert row_of(uuids["first"]).cancel_at is not None
