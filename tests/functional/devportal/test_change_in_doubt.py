"""A change between two plans with a price for each call, whose answer was lost."""

from datetime import timedelta

import time_machine

from portal import clock, jobs
from portal.errors import EngineUnavailable
from portal.extensions import db
from portal.models import EnginePrice, UsageBatch
from portal.web.unit_of_work import unit_of_work
from tests.functional.devportal.conftest import ACCOUNT
from tests.support.buying import call, row_of


def test_calls_after_a_change_whose_answer_was_lost_are_for_the_new_plan(market, monkeypatch):
    made = market.factories
    old, new = made.dynamic_policy("0.01", name="Old"), made.dynamic_policy("0.02", name="New")
    application = made.application("Fleet", owner=market.developer)
    uuid = market.bought(market.api("Weather", old, new), old, application)
    call(uuid, 100)
    engine, change_plan = market.engine, market.engine.change_plan

    def lost(*args, **more):
        change_plan(*args, **more)
        raise EngineUnavailable("The answer was lost.")

    page = market.browser.get(f"/devportal/subscriptions/{uuid}/plan/{new.uuid}")
    with monkeypatch.context() as patch:
        patch.setattr(engine, "change_plan", lost)
        page.submit("Change plan")
    assert row_of(uuid).status == "TIER_UPDATE_PENDING"
    held = engine.subscription(ACCOUNT, row_of(uuid).engine_subscription_id)
    with time_machine.travel(clock.now() + timedelta(seconds=30)):
        call(uuid, 500)
        # Nobody knows yet which meter they are for, though the change's own event is here.
        with unit_of_work():
            row = row_of(uuid)
            row.period_start, row.period_end = held.period_start, held.period_end
            number = row.subscription_id
        jobs.flush(number)
        jobs.publish_all()
        assert db.session.query(UsageBatch).count() == 1
        db.session.rollback()
    with time_machine.travel(clock.now() + timedelta(minutes=2)):
        jobs.sweep()
        jobs.publish_all()
    assert row_of(uuid).plan_name == "New"

    query = db.session.query(EnginePrice).filter_by(plan_id=held.price_id)
    meter = query.one().meter_event_name
    _, later = db.session.query(UsageBatch).order_by(UsageBatch.batch_id)
    assert (later.quantity, later.state) == (500, "ACKNOWLEDGED")
    assert later.meter_event_name == meter
    assert later.stamp >= held.period_start
