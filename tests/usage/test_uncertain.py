"""Batches that went out without an answer, or wait for long: billed once, on an invoice to come.

Stripe takes usage of a period whose invoice is drawn, says yes, and bills it to nobody.
"""

from datetime import timedelta
from typing import Any

import pytest

from portal.extensions import db
from portal.flows import publishing
from portal.models import Subscription
from portal.services import batches, parked
from portal.web.unit_of_work import in_unit_of_work, unit_of_work
from tests.usage.conftest import MONTH, Killed, MeterEngine, engine_for, set_period
from tests.usage.faulty import ManyAtOnce, moved, publish_with

END = MONTH[1]
#: From then on the period's invoice takes nothing more, and then Stripe has counted what it got.
DRAWN, COUNTED = END + timedelta(minutes=59, seconds=30), END + timedelta(minutes=74, seconds=30)
BEFORE = END - timedelta(minutes=20)


def next_period(metered: Any) -> None:
    set_period(metered, END, END + timedelta(days=30))


def _try(fault: str, engine: MeterEngine, publish: Any, factories: Any) -> None:
    engine.faults = [fault]
    if not fault.startswith("die"):
        publish()
        return
    run_id = publishing.start(factories.tenant(), "test").run_id
    with pytest.raises(Killed):
        publishing.run(engine_for(engine), run_id)
    db.session.remove()


@pytest.fixture
def tried(metered, engine, publish, travel):
    """Seven calls that a run had no certain answer about, shortly before their period's end."""

    def make(fault: str) -> None:
        travel.move_to(BEFORE)
        metered.call(7)
        engine.faults = [fault]
        publish()

    return make


@pytest.mark.parametrize("fault", ["down", "lost", "die before", "die after"])
@pytest.mark.parametrize("parallel", [1, 4])
def test_a_try_without_answer_is_asked_about_when_its_invoice_is_drawn(
    metered, engine, publish, factories, travel, fault: str, parallel: int
) -> None:
    engine.parallel = 1
    travel.move_to(BEFORE)
    metered.call(7)
    _try(fault, engine, publish, factories)
    other = ManyAtOnce()
    other.parallel = parallel
    moved(engine, [metered], other)
    other.ledger, metered.engine = engine.ledger, other

    travel.move_to(DRAWN)
    next_period(metered)
    assert publish_with(other, factories).status == "UNSUCCESSFUL"
    assert other.reports == 0, "what Stripe has not counted yet would be sent twice"
    assert "asked in some minutes" in metered.batches[0].error
    travel.move_to(COUNTED)
    assert publish_with(other, factories).status == "SUCCESSFUL"

    arrived = fault in ("lost", "die after")
    report, batch = metered.reports[0], metered.batches[0]
    assert metered.total == 7
    assert (report.timestamp < END) is arrived
    assert (batch.state, batch.late) == ("ACKNOWLEDGED", not arrived)
    assert publish_with(other, factories).batches == 0


def test_the_last_try_is_given_time_not_the_first(metered, engine, publish, travel) -> None:
    travel.move_to(BEFORE)
    metered.call(7)
    engine.faults = ["down", "lost"]
    publish()
    travel.move_to(DRAWN - timedelta(seconds=1))
    publish()
    travel.shift(timedelta(minutes=14))
    known, engine.ledger = engine.ledger, []  # Stripe's totals are behind.
    publish()
    engine.ledger = known
    travel.move_to(COUNTED)
    publish()

    assert (metered.total, len(metered.reports), engine.reports) == (7, 1, 2)


def test_a_day_without_an_answer_waits_for_the_last_try_too(
    metered, engine, publish, travel
) -> None:
    """More than 23 hours after the first try, and minutes after the last one."""
    travel.move_to(END - timedelta(hours=22, minutes=10))
    metered.call(7)
    engine.faults = ["down", "lost"]
    publish()
    travel.move_to(DRAWN - timedelta(minutes=10))
    publish()
    travel.move_to(DRAWN + timedelta(minutes=1))
    known, engine.ledger = engine.ledger, []
    publish()
    engine.ledger = known
    travel.move_to(COUNTED)
    publish()

    assert (metered.total, len(metered.reports)) == (7, 1)


@pytest.mark.parametrize("fault", ["down", "lost"])
def test_access_that_is_taken_away_meanwhile_changes_nothing(
    metered, engine, publish, travel, tried, fault: str
) -> None:
    tried(fault)
    travel.shift(timedelta(minutes=30))
    engine.faults = ["deny"]
    publish()
    assert metered.batches[0].state == "REFUSED"
    travel.shift(timedelta(hours=3))
    next_period(metered)
    publish()

    assert metered.total == 7
    assert (metered.reports[0].timestamp < END) is (fault == "lost")
    assert metered.batches[0].state == "ACKNOWLEDGED"


@pytest.mark.parametrize("fault", ["down", "lost"])
def test_nothing_is_sent_for_a_subscription_that_has_ended_since(
    metered, engine, publish, travel, tried, fault: str
) -> None:
    tried(fault)
    with unit_of_work():
        db.session.get_one(Subscription, metered.id).ended_at = END
    travel.move_to(COUNTED)
    publish()

    batch = metered.batches[0]
    if fault == "lost":
        assert (batch.state, metered.total) == ("ACKNOWLEDGED", 7)
    else:
        assert (batch.state, batch.error, metered.total) == ("REFUSED", parked.TOO_LATE, 0)


# --- calls of long ago --------------------------------------------------------------------------

YEAR = (MONTH[0], MONTH[0].replace(year=2027))


@pytest.mark.parametrize("refused_before", [False, True])
def test_calls_of_long_ago_are_sent_as_of_now_inside_their_period(
    make_metered, engine, publish, travel, *, refused_before: bool
) -> None:
    metered = make_metered(period=YEAR, cycle="year")
    metered.call(3)
    if refused_before:
        engine.faults = ["refuse"]
        publish()
        in_unit_of_work(lambda: parked.reopen_refused(metered.tenant_id))
    travel.shift(timedelta(days=40))
    publish()

    batch = metered.batches[0]
    assert metered.total == 3
    assert metered.reports[0].timestamp == batch.last_at + timedelta(days=40)
    assert (batch.late, batch.closes_at) == (False, int(YEAR[1].timestamp()))


def test_a_period_that_has_just_ended_still_gets_its_calls_of_long_ago(
    make_metered, engine, publish, travel
) -> None:
    metered = make_metered(period=YEAR, cycle="year")
    metered.call(3)
    travel.move_to(YEAR[1] + timedelta(minutes=30))
    publish()

    assert metered.reports[0].timestamp == YEAR[1] - timedelta(seconds=1)
    assert not metered.batches[0].late


def test_calls_of_long_ago_that_may_have_arrived_are_asked_about_first(
    make_metered, engine, publish, travel
) -> None:
    metered = make_metered(period=YEAR, cycle="year")
    metered.call(3)
    engine.faults = ["lost"]
    publish()
    travel.shift(timedelta(days=40))
    publish()

    assert (metered.total, metered.batches[0].state) == (3, "ACKNOWLEDGED")


def test_calls_of_long_ago_of_an_ended_subscription_are_not_sent_to_nobody(
    make_metered, engine, publish, travel
) -> None:
    metered = make_metered(period=YEAR, cycle="year")
    metered.call(3)
    engine.faults = ["refuse"]
    publish()
    in_unit_of_work(lambda: parked.reopen_refused(metered.tenant_id))
    travel.shift(timedelta(days=40))
    with unit_of_work():
        db.session.get_one(Subscription, metered.id).ended_at = MONTH[1]
    publish()

    assert (metered.batches[0].error, metered.total) == (parked.TOO_LATE, 0)


def test_a_stamp_is_never_older_than_stripe_takes() -> None:
    assert timedelta(days=35) > batches.OLDEST
