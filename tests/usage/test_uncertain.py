"""Batches that went out without an answer, or wait for long: billed once, on an invoice to come.

Stripe takes usage of a period whose invoice is drawn, says yes, and bills it to nobody.
"""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine

from portal.extensions import db
from portal.flows import publishing
from portal.models import KeyType, Subscription, UsageBatch
from portal.services import batches, parked
from portal.services.plan_rules import PlanDraft
from portal.web.unit_of_work import in_unit_of_work, unit_of_work
from tests.contract.worlds import SandboxWorld
from tests.usage.conftest import MONTH, Killed, MeterEngine, engine_for
from tests.usage.faulty import ManyAtOnce, moved, publish_with
from tests.usage.test_invoiced import START, Made, Sold

END = MONTH[1]
#: From then on the period's invoice takes nothing more, and then Stripe has counted what it got.
DRAWN, COUNTED = END + timedelta(minutes=59, seconds=30), END + timedelta(minutes=74, seconds=30)
BEFORE = END - timedelta(minutes=20)


def next_period(metered: Any) -> None:
    with unit_of_work():
        row = db.session.get_one(Subscription, metered.id)
        row.period_start, row.period_end = END, END + timedelta(days=30)


def _try(fault: str, engine: MeterEngine, publish: Any, factories: Any) -> None:
    engine.faults = [fault]
    if not fault.startswith("die"):
        publish()
        return
    run_id = publishing.start(factories.tenant(), "test").run_id
    with pytest.raises(Killed):
        publishing.run(engine_for(engine), run_id)
    db.session.remove()


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
    metered, engine, publish, travel, fault: str
) -> None:
    travel.move_to(BEFORE)
    metered.call(7)
    engine.faults = [fault]
    publish()
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
    metered, engine, publish, travel, fault: str
) -> None:
    travel.move_to(BEFORE)
    metered.call(7)
    engine.faults = [fault]
    publish()
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


# --- at the sandbox -----------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path: Path) -> Iterator[SandboxWorld]:
    with time_machine.travel(START, tick=False) as travel:
        made = SandboxWorld(travel, tmp_path)
        yield made
        made._app.extensions["sandbox"].store.close()


def _draft(cycle: str) -> PlanDraft:
    return PlanDraft(
        name="PerCall",
        quota="1000",
        billing_plan="COMMERCIAL",
        currency="USD",
        billing_cycle=cycle,
        monetization_plan="DYNAMICRATE",
        price_per_request="0.01",
    )


def _move(world: SandboxWorld, sold: Sold, moment: Any) -> None:
    world._traveller.move_to(moment)
    sold.follow()


def _called(sold: Sold, at: Any, calls: int) -> None:
    sold.record(Made(at, calls, timedelta(0), "/rates", 200, KeyType.PRODUCTION))


def _billed(sold: Sold) -> int:
    drawn = sold.world.engine.invoices(sold.world.account, sold.name)
    return sum(invoice.total for invoice in drawn)


@pytest.mark.slow
@pytest.mark.parametrize("arrives", [False, True])
def test_what_had_no_answer_before_the_invoice_is_billed_once(
    app: Any, factories: Any, world: SandboxWorld, *, arrives: bool
) -> None:
    sold = Sold(world, factories, _draft("month"))
    end = sold.row.period_end
    _move(world, sold, end - timedelta(minutes=20))
    _called(sold, end - timedelta(minutes=21), 500)
    if arrives:
        world.lose_next_answer()
    else:
        world._line.is_dead = True
    sold.publish()
    world._line.is_dead = False
    _move(world, sold, end + timedelta(minutes=90))
    sold.publish()
    for more in (timedelta(days=31), timedelta(days=31, hours=2)):
        _move(world, sold, end + more)

    assert [batch.state for batch in db.session.query(UsageBatch)] == ["ACKNOWLEDGED"]
    assert _billed(sold) == 500


@pytest.mark.slow
def test_a_yearly_plan_takes_calls_that_were_not_sent_for_forty_days(
    app: Any, factories: Any, world: SandboxWorld
) -> None:
    sold = Sold(world, factories, _draft("year"))
    _move(world, sold, START + timedelta(days=3))
    _called(sold, START + timedelta(days=3), 100)
    _move(world, sold, START + timedelta(days=43))
    sold.publish()

    assert [batch.state for batch in db.session.query(UsageBatch)] == ["ACKNOWLEDGED"]
    world.wait(hours=1)
    upcoming = world.engine.preview(world.account, sold.name)
    assert upcoming is not None
    assert upcoming.total == 100
