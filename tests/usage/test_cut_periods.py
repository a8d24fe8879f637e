"""Whether a period that something ended is still to be invoiced: by two clocks, and three ends."""

from datetime import timedelta
from typing import Any

import pytest

from portal import clock, jobs
from portal.extensions import db
from portal.models import PlanChange, PlanChangeState, Subscription
from portal.services import plan_moves, subscriptions
from portal.services.subscriptions import Cause, Move
from portal.web.unit_of_work import unit_of_work
from tests.usage.conftest import MONTH, set_period

START, END = MONTH
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
CAUSE = Cause(because="For a test.", actor="stripe")


@pytest.fixture
def sold(metered, engine, travel):
    """A subscription whose last 50 calls were made shortly before its period's end."""
    set_period(metered, START, END)
    travel.move_to(END - 15 * SECOND)
    metered.call(50)
    return metered


def goes_free(metered: Any, factories: Any) -> None:
    """What was paid for has ended, and the free plan that was asked for follows."""
    free = factories.policy(name="Free").current.policy_version_id
    with unit_of_work():
        row = db.session.get_one(Subscription, metered.id)
        db.session.add(
            PlanChange(
                tenant_id=row.tenant_id,
                subscription_id=row.subscription_id,
                from_version_id=row.policy_version_id,
                to_version_id=free,
                new_period=True,
                at_period_end=True,
                counted_from=clock.now(),
                asked_by="test",
                open_key=row.uuid,
                period_start=row.period_start,
                state=PlanChangeState.WAITING,
            )
        )
        db.session.flush()
        assert plan_moves.go_free(row, CAUSE)


@pytest.mark.all_databases
@pytest.mark.parametrize("way", ["when the event comes", "in the hourly run"])
def test_a_paid_plan_that_ends_with_its_period_is_billed_to_its_end(
    sold, factories, travel, way
) -> None:
    travel.move_to(END + SECOND)
    goes_free(sold, factories)
    if way == "in the hourly run":
        jobs.publish_all()
    else:
        jobs.flush(sold.id)
    assert (sold.total, sold.batches[0].late) == (50, False)


@pytest.mark.parametrize("off", [-30 * SECOND, -SECOND / 2, SECOND])
def test_an_end_with_the_period_is_known_by_a_clock_that_is_not_the_engines(
    sold, travel, off
) -> None:
    travel.move_to(END + off)
    with unit_of_work():
        row = db.session.get_one(Subscription, sold.id)
        subscriptions.make(row, Move.END, CAUSE)
    jobs.flush(sold.id)
    assert (sold.total, sold.batches[0].late) == (50, False)


def test_what_had_no_answer_when_a_free_plan_followed_early_is_on_no_invoice(
    metered, engine, travel, factories, publish
) -> None:
    set_period(metered, START, END)
    travel.move_to(END - timedelta(days=10))
    metered.call(50)
    engine.faults = ["down"] * 4
    publish()
    engine.faults = []
    travel.shift(5 * MINUTE)
    goes_free(metered, factories)
    for _ in range(3):
        travel.shift(10 * MINUTE)
        publish()
    assert metered.total == 0
    assert metered.batches[0].state == "REFUSED"
