"""The end of a billing period: its last calls go out while their own invoice takes them."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from portal import clock, jobs
from portal.analytics.source import SourceUnavailable
from portal.extensions import db
from portal.flows import draining, gathering
from portal.gateway.process import gate_of
from portal.gateway.recorder import Line, Recorder
from portal.models import KeyType, Subscription, Tenant, UsageSource, UsageTally
from portal.services import closing, freezing, ledger, subscriptions
from portal.services.subscriptions import Cause, Move
from portal.web.unit_of_work import unit_of_work
from tests.usage.conftest import NOW, set_period
from tests.usage.faulty import conserved

#: Seconds after the run of each hour.
END = datetime(2026, 6, 1, 12, 7, 20, tzinfo=UTC)
START = END.replace(month=5)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


def _ends(metered: Any, end: datetime = END) -> None:
    set_period(metered, START, end)


def _rolls(metered: Any) -> None:
    set_period(metered, END, END + timedelta(days=30))


def _is_over(metered: Any) -> None:
    """As after ``customer.subscription.deleted``: it ended with its period."""
    with unit_of_work():
        row = db.session.get_one(Subscription, metered.id)
        subscriptions.make(row, Move.END, Cause(because="test", actor="stripe"))


@pytest.mark.parametrize("after", [_rolls, _is_over])
def test_what_came_after_the_last_run_is_on_its_own_invoice(
    metered, engine, travel, after: Any
) -> None:
    _ends(metered)
    travel.move_to(END - 15 * SECOND)
    jobs.publish_all()
    metered.call(50)
    travel.move_to(END + SECOND)
    after(metered)
    for _ in range(60):
        jobs.sweep()
        travel.shift(MINUTE)
    jobs.publish_all()

    assert (metered.total, len(metered.reports), engine.reports) == (50, 1, 1)
    assert metered.reports[0].timestamp < END
    assert not metered.batches[0].late
    conserved(metered)


@pytest.mark.parametrize(
    ("away", "is_sent"),
    [
        (-3 * MINUTE, False),
        (-2 * MINUTE, True),
        (58 * MINUTE, True),
        (timedelta(minutes=59, seconds=1), False),
    ],
)
def test_a_sweep_sends_for_periods_that_end_about_now(
    metered, engine, travel, away: timedelta, *, is_sent: bool
) -> None:
    _ends(metered)
    travel.move_to(END - timedelta(hours=1))
    metered.call(5)
    travel.move_to(END + away)
    jobs.sweep()
    assert metered.total == (5 if is_sent else 0)
    jobs.sweep()
    assert engine.reports == (1 if is_sent else 0), "nothing is new"


def test_what_a_sweep_could_not_bring_is_tried_until_the_invoice_is_drawn(
    metered, engine, publish, travel
) -> None:
    _ends(metered)
    travel.move_to(END - 15 * SECOND)
    metered.call(5)
    engine.faults = ["lost", "down"]
    publish()
    jobs.sweep()
    assert engine.reports == 1, "a run may be at it"
    travel.shift(closing.IDLE)
    jobs.sweep()
    jobs.sweep()

    assert (engine.reports, metered.total, metered.batches[0].state) == (3, 5, "ACKNOWLEDGED")
    jobs.sweep()
    assert engine.reports == 3


def test_a_provider_that_does_not_answer_is_left_alone(make_metered, engine, travel) -> None:
    some = [make_metered() for _ in range(6)]
    for each in some:
        _ends(each)
    travel.move_to(END)
    for each in some:
        each.call(1, at=END - SECOND)
    engine.faults = ["down"] * 3
    jobs.sweep()
    assert engine.reports == 3
    travel.shift(closing.IDLE)
    jobs.sweep()

    assert [each.total for each in some] == [1] * 6
    conserved(*some)


def test_a_tenant_without_an_answer_holds_up_no_other(
    make_metered, engine, factories, travel
) -> None:
    homes = [None, *(factories.tenant(f"{name}.example") for name in ("second", "third"))]
    some = [make_metered(tenant=home) if home else make_metered() for home in homes for _ in "123"]
    travel.move_to(END)
    for number, each in enumerate(some):
        _ends(each, END + number * SECOND)
        each.call(1, at=END - SECOND)
    engine.faults = ["down"] * 3
    jobs.sweep()
    assert [each.total for each in some] == [0] * 3 + [1] * 6

    for each in some:
        each.call(1, at=END - SECOND)
    engine.faults = ["down"] * 6
    before = engine.reports
    jobs.sweep()
    assert engine.reports == before + 6, "two have failed: the third is not tried"


def test_one_that_cannot_be_frozen_holds_up_no_other(
    make_metered, engine, travel, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = make_metered(), make_metered()
    for each in (first, second):
        _ends(each)
        each.call(1, at=END - timedelta(hours=1))
    travel.move_to(END)
    freeze_one = freezing.freeze_one

    def broken(number: int, *more: Any) -> int:
        if number == first.id:
            raise RuntimeError("broken")
        return freeze_one(number, *more)

    monkeypatch.setattr(freezing, "freeze_one", broken)
    jobs.sweep()
    assert (first.total, second.total) == (0, 1)
    monkeypatch.setattr(freezing, "freeze_one", freeze_one)
    jobs.sweep()
    assert first.total == 1


def test_a_tenant_without_a_key_is_passed_over(metered, engine, factories, travel) -> None:
    _ends(metered)
    travel.move_to(END)
    metered.call(5, at=END - SECOND)
    with unit_of_work():
        db.session.get_one(Tenant, metered.tenant_id).platform_key_sealed = None
    jobs.sweep()
    jobs.flush(metered.id)

    assert engine.reports == 0


@pytest.mark.all_databases
def test_those_whose_invoice_is_drawn_first_come_first(make_metered, factories, travel) -> None:
    other = factories.tenant("other.example")
    some = [make_metered(), make_metered(tenant=other), make_metered()]
    travel.move_to(END - timedelta(hours=2))
    for each, minutes in zip(some, (3, 1, 2), strict=True):
        _ends(each, END + minutes * MINUTE)
        each.call(1)
    travel.move_to(END + 30 * MINUTE)

    assert closing.due(clock.now(), 2) == {some[1].tenant_id: [some[1].id],
                                           some[2].tenant_id: [some[2].id]}  # fmt: skip
    assert closing.due(NOW, 9) == {}


# --- when an event says so ----------------------------------------------------------------------


def _write_down(app: Any, metered: Any, at: datetime) -> None:
    """Leave a call in a spool file, as the gateway of a busy machine does."""
    recorder = Recorder(gate_of(app).recorder._folder)
    line = Line(
        call_id=uuid4(), subscription_id=metered.id,
        key_type=KeyType.PRODUCTION, method="GET", resource="/x", status=200, at=ledger.millis(at),
    )  # fmt: skip
    recorder.append(line)
    recorder.close()


def test_an_event_has_what_is_open_sent_also_from_the_spool(app, metered, engine, travel) -> None:
    _ends(metered)
    travel.move_to(END)
    metered.call(2, at=END - SECOND)
    _write_down(app, metered, END - SECOND)
    _rolls(metered)
    jobs.flush(metered.id)
    jobs.flush(metered.id)

    assert (metered.total, engine.reports) == (3, 1)
    assert metered.reports[0].timestamp < END


def test_an_event_about_a_plan_without_a_meter_does_nothing(
    app, engine, factories, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = factories.subscription()
    monkeypatch.setattr(draining, "drain_here", lambda: pytest.fail("Nothing is to be read."))
    jobs.flush(row.subscription_id)

    assert engine.reports == 0
    assert db.session.query(UsageTally).count() == 0


# --- where a source tells of the calls ----------------------------------------------------------


@pytest.fixture
def source(metered, factories, monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """Give the tenant a source that has nothing new; up to when it was read each time."""
    readings: list[datetime] = []
    started = END - timedelta(hours=1)
    tenant_id = metered.tenant_id
    factories.save(UsageSource(tenant_id=tenant_id, kind="choreo", read_until=started))

    def gather(number: int, until: datetime) -> int:
        readings.append(until)
        with unit_of_work():
            db.session.get_one(UsageSource, number).read_until = until
        return 0

    monkeypatch.setattr(gathering, "gather", gather)
    return readings


@pytest.mark.parametrize("after", [_ends, _rolls, _is_over])
def test_one_reading_is_enough_for_all_whose_periods_have_ended(
    metered, make_metered, engine, travel, source: list[datetime], after: Any
) -> None:
    some = [metered, *(make_metered() for _ in range(4))]
    for each in some:
        _ends(each)
    travel.move_to(END + SECOND)
    for each in some:
        each.call(1, at=END - SECOND)
        after(each)
        jobs.flush(each.id)

    assert source == [END + SECOND]
    assert [each.total for each in some] == [1] * 5


def test_an_end_after_the_last_reading_waits_for_the_next_which_is_a_minute_later(
    app, metered, make_metered, engine, travel, source: list[datetime]
) -> None:
    sent: list[tuple[object, ...]] = []

    class Remembers:
        def send(self, *arguments: object, delay: float = 0.0) -> None:
            sent.append((*arguments, delay))

    app.extensions["portal_queue"] = Remembers()
    later = [make_metered() for _ in range(3)]
    _ends(metered)
    travel.move_to(END)
    jobs.flush(metered.id)
    for each in later:
        _ends(each, END + 10 * SECOND)
    travel.move_to(END + 20 * SECOND)
    for each in later:
        jobs.flush(each.id)
    assert (source, sent) == ([END], [("flush", each.id, 40.0) for each in later])

    travel.move_to(END + MINUTE)
    for each in later:
        each.call(1, at=END + 9 * SECOND)
        jobs.flush(each.id)
    assert (source, len(sent)) == ([END, END + MINUTE], 3)
    assert [each.total for each in later] == [1] * 3


def test_a_source_that_does_not_work_is_asked_once_a_minute(
    metered, engine, travel, source: list[datetime], monkeypatch: pytest.MonkeyPatch
) -> None:
    _ends(metered)

    def fails(tenant_id: int, until: datetime) -> int:
        source.append(until)
        with unit_of_work():
            row = db.session.get_one(UsageSource, tenant_id)
            row.problem, row.problem_at = "It is away.", until
        raise SourceUnavailable("It is away.")

    monkeypatch.setattr(gathering, "gather", fails)
    travel.move_to(END)
    for _ in range(3):
        metered.call(1, at=END - SECOND)
        jobs.flush(metered.id)
    assert (source, metered.total) == ([END], 3)
    travel.shift(MINUTE)
    jobs.flush(metered.id)
    assert len(source) == 2
