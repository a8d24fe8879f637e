"""The faults of metering and publishing, one test each; every one ends with I6 and I7.

I6: what the gateway let through = what is counted = what is in batches or open. I7: what the
provider counted of each batch is its quantity, once. Kills of gateway workers (F23) are in
``test_spool.py`` and ``tests/deploy/test_gateways.py``, random histories in ``test_crashes.py``.
"""

import multiprocessing
import os
import signal
import time
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from flask import Flask

from portal import clock, create_app
from portal.billing.engine import UsageReceipt, UsageReport
from portal.errors import Conflict, EngineAccessDenied, EngineBusy, EngineUnavailable
from portal.extensions import db
from portal.flows import publishing
from portal.models import Application, Subscription, Tenant, UsageBatch
from portal.services import parked
from portal.services import publishing as runs
from portal.web.unit_of_work import unit_of_work
from tests.usage.conftest import MEMORY, MONTH, NOW, Killed, MeterEngine, engine_for
from tests.usage.faulty import ManyAtOnce, conserved, moved, publish_with


@pytest.fixture
def many(travel) -> ManyAtOnce:
    return ManyAtOnce()


@pytest.fixture
def several(app: Flask, make_metered, engine):
    """Twelve subscriptions with calls."""
    some = [make_metered() for _ in range(12)]
    for number, each in enumerate(some):
        each.call(number % 3 + 1)
    return some


@pytest.mark.parametrize("at_once", [False, True])
def test_f15_a_provider_that_is_busy_gets_each_batch_once_and_the_job_ends(
    several, engine, factories, *, at_once: bool
) -> None:
    other = ManyAtOnce({1, 4, 5, 9})
    other.parallel = 4 if at_once else 1
    moved(engine, several, other)
    run = publish_with(other, factories)
    if not at_once:
        assert run.status == "UNSUCCESSFUL"
        run = publish_with(other, factories)

    assert run.status == "SUCCESSFUL"
    assert (other.most > 1) is at_once
    if at_once:
        assert {batch.attempts for each in several for batch in each.batches} == {1}
    conserved(*several)


@pytest.mark.parametrize("fault", ["lost", "down"])
@pytest.mark.parametrize("at_once", [False, True])
def test_f16_an_answer_that_is_missing_is_asked_for_with_the_same_identifier(
    several, engine, factories, fault: str, *, at_once: bool
) -> None:
    other = ManyAtOnce()
    other.parallel = 4 if at_once else 1
    moved(engine, several, other)
    other.faults = ["", fault, "", fault]
    assert publish_with(other, factories).status == "UNSUCCESSFUL"
    conserved_later = [batch.identifier for each in several for batch in each.batches]
    assert publish_with(other, factories).status == "SUCCESSFUL"

    assert [b.identifier for each in several for b in each.batches] == conserved_later
    conserved(*several)


def test_f16_a_provider_that_never_answers_ends_the_run_and_loses_nothing(
    several, engine, factories
) -> None:
    other = ManyAtOnce()
    moved(engine, several, other)
    other.faults = ["down"] * 500
    run = publish_with(other, factories)
    assert (run.status, other.reports < 12) == ("FAILED", True)
    other.faults = []
    assert publish_with(other, factories).status == "SUCCESSFUL"
    conserved(*several)


@pytest.mark.parametrize("later", [timedelta(0), timedelta(hours=23), timedelta(hours=25),
                                   timedelta(days=36)])  # fmt: skip
@pytest.mark.parametrize("fault", ["die before", "die after"])
def test_f17_killed_around_the_call_and_found_again_later(
    metered, engine, factories, travel, fault: str, later: timedelta
) -> None:
    metered.call(7)
    engine.faults = [fault]
    run_id = publishing.start(factories.tenant(), "test").run_id
    with pytest.raises(Killed):
        publishing.run(engine_for(engine), run_id)
    db.session.remove()
    travel.shift(max(later, runs.LEASE))
    publish_with(engine, factories)
    conserved(metered)
    assert metered.total == 7


def _run_in_a_process(settings, run_id: int, pipe) -> None:
    engine = _Slow(pipe)
    with create_app(settings).app_context():
        publishing.run(engine_for(engine), run_id)


class _Slow(MeterEngine):
    """Says that it was asked, and answers when it is told."""

    def __init__(self, pipe) -> None:
        super().__init__()
        self.pipe = pipe

    def report_usage(self, account: str, report: UsageReport) -> UsageReceipt:
        self.pipe.send(report.identifier)
        self.pipe.recv()
        return UsageReceipt(identifier=report.identifier, duplicate=False, request_id="req_slow")


@pytest.mark.parametrize("how", ["paused", "killed"])
def test_f18_a_publisher_that_was_stopped_is_fenced_out(
    make_metered, settings, engine, factories, travel, how: str
) -> None:
    """A real process, stopped inside its call past its lease, while another takes over."""
    some = [make_metered(), make_metered()]
    for each in some:
        each.call(3)
    tenant_id = factories.tenant().tenant_id
    run_id = publishing.start(factories.tenant(), "test").run_id
    db.session.remove()
    db.engine.dispose()
    forks = multiprocessing.get_context("fork")
    here, there = forks.Pipe()
    child = forks.Process(target=_run_in_a_process, args=(settings, run_id, there), daemon=True)
    child.start()
    assert here.poll(60)
    asked = here.recv()
    os.kill(child.pid, signal.SIGSTOP)
    with pytest.raises(Conflict):
        publishing.start(db.session.get_one(Tenant, tenant_id), "test")
    db.session.rollback()
    if how == "killed":
        child.kill()
    travel.shift(runs.LEASE + timedelta(seconds=1))
    assert publishing.run(engine_for(engine), run_id)
    if how == "paused":
        # It wakes up with its answer, as if nothing had been: its batch is settled already.
        os.kill(child.pid, signal.SIGCONT)
        here.send("go on")
        deadline = time.monotonic() + 30
        while child.is_alive() and time.monotonic() < deadline:
            if here.poll(0.1):
                here.recv()
                here.send("go on")
    child.join(30)

    assert asked in {batch.identifier for batch in some[0].batches}
    conserved(*some)


@pytest.mark.parametrize("how", ["refuse", "deny", "down"])
def test_f19_after_a_failure_in_part_the_next_run_sends_only_the_rest(
    several, engine, factories, how: str
) -> None:
    engine.faults = [""] * 6 + [how]
    publish_with(engine, factories)
    done = {report.identifier for _, _, report in engine.ledger}
    for each in several:
        each.call(2)
    with unit_of_work():
        for batch in parked.waiting(factories.tenant().tenant_id):
            if not batch.retryable:
                parked.decide(factories.tenant(), batch.batch_id, has_arrived=False, actor="admin")
    reports = engine.reports
    assert publish_with(engine, factories).status == "SUCCESSFUL"

    # One for each new batch, and one for each that did not arrive.
    assert engine.reports - reports == 12 + (12 - len(done))
    assert len(done & {report.identifier for _, _, report in engine.ledger[len(done) :]}) == 0
    conserved(*several)


@pytest.mark.parametrize(("minutes", "late"), [(59, False), (61, True), (40 * 24 * 60, True)])
def test_f20_calls_that_come_late_are_billed_with_their_period_or_marked(
    metered, engine, factories, travel, minutes: int, *, late: bool
) -> None:
    metered.call(5, at=MONTH[1] - timedelta(hours=2))
    travel.move_to(MONTH[1] - timedelta(minutes=30))
    publish_with(engine, factories)
    travel.move_to(MONTH[1] + timedelta(minutes=minutes))
    metered.call(2, at=MONTH[1] - timedelta(minutes=1))
    publish_with(engine, factories)

    first, second = metered.reports
    assert first.timestamp < MONTH[1]
    assert (second.timestamp < MONTH[1]) is not late
    assert [batch.late for batch in metered.batches] == [False, late]
    conserved(metered)


@pytest.mark.parametrize(
    "ends",
    ["2026-01-31T23:59:59", "2026-02-28T12:00:00", "2028-02-29T00:00:00", "2026-03-29T01:30:00"],
)
def test_f21_each_call_is_billed_in_the_period_of_its_own_time(
    make_metered, engine, factories, travel, ends: str
) -> None:
    end = datetime.fromisoformat(ends).replace(tzinfo=UTC)
    travel.move_to(end + timedelta(minutes=10))
    metered = make_metered(period=(end - timedelta(days=28), end))
    for seconds in (-3600, -1800, -1, 0, 1, 500):
        metered.call(1, at=end + timedelta(seconds=seconds))
    publish_with(engine, factories)

    before = [report.quantity for report in metered.reports if report.timestamp < end]
    assert (sum(before), metered.total) == (3, 6)
    conserved(metered)


def test_f22_a_refusal_that_comes_after_the_acknowledgement_is_seen_in_the_totals(
    metered, engine, factories, travel
) -> None:
    """Stripe answers 200 and refuses later: its own totals say so, and it can be sent again."""
    from portal.flows import reconciling
    from portal.flows.reconciling import Usage

    metered.call(4)
    publish_with(engine, factories)
    conserved(metered)
    taken = engine.ledger.pop()
    travel.shift(timedelta(hours=2))
    db.session.rollback()
    found = list(reconciling.differences(engine_for(engine), usage=Usage.ALL, grace=timedelta(0)))
    assert any("usage" in each.kind for each in found), [each.kind for each in found]
    engine.ledger.append(taken)


@pytest.mark.parametrize("step", [timedelta(minutes=-10), timedelta(minutes=10)])
def test_f24_a_clock_that_jumps_makes_no_second_publisher_and_no_negative_time(
    metered, engine, factories, travel, step: timedelta
) -> None:
    metered.call(3)
    run_id = publishing.start(factories.tenant(), "test").run_id
    db.session.rollback()
    travel.shift(step)
    assert publishing.run(engine_for(engine), run_id)
    metered.call(2)
    run = publish_with(engine, factories)
    assert run.finished_at >= run.started_at
    assert all(batch.first_at <= batch.last_at for batch in metered.batches)
    conserved(metered)


def test_f32_an_application_that_is_deleted_is_still_billed_for_what_it_called(
    metered, engine, factories
) -> None:
    metered.call(6)
    with unit_of_work():
        row = db.session.get_one(Subscription, metered.id)
        db.session.get_one(Application, row.application_id).deleted_at = clock.now()
    publish_with(engine, factories)
    assert metered.total == 6
    conserved(metered)


def test_f33_an_account_that_left_parks_its_own_and_the_others_go_on(
    make_metered, engine, factories
) -> None:
    gone, stays = [make_metered(account="acct_gone1") for _ in range(3)], make_metered()
    other = _Deauthorized("acct_gone1")
    moved(engine, [*gone, stays], other)
    for each in (*gone, stays):
        each.call(2)
    run = publish_with(other, factories)
    assert run.status == "UNSUCCESSFUL"
    assert stays.total == 2
    assert sum(each.total for each in gone) == 0
    for each in gone:
        conserved(each, parked_calls=2)
    other.gone = ""
    assert publish_with(other, factories).status == "SUCCESSFUL"
    conserved(*gone, stays)


class _Deauthorized(ManyAtOnce):
    """Answers 403 for one account."""

    def __init__(self, gone: str) -> None:
        super().__init__()
        self.gone = gone

    def report_usage(self, account: str, report: UsageReport) -> UsageReceipt:
        if account == self.gone:
            raise EngineAccessDenied("This account is not connected.")
        return super().report_usage(account, report)


def test_f34_a_database_of_yesterday_sends_nothing_again(
    metered, engine, factories, travel, settings, tmp_path
) -> None:
    """Restored from a backup: the same calls get the same identifiers, which are known."""
    metered.call(5)
    db.session.remove()
    db.engine.dispose()
    path = settings.database_url.removeprefix("sqlite:///")
    with sa.create_engine(settings.database_url).connect() as connection:
        connection.exec_driver_sql(f"VACUUM INTO '{tmp_path / 'backup.sqlite3'}'")
    publish_with(engine, factories)
    assert metered.total == 5
    db.session.remove()
    db.engine.dispose()
    for suffix in ("-wal", "-shm"):
        if os.path.exists(path + suffix):
            os.remove(path + suffix)
    os.replace(tmp_path / "backup.sqlite3", path)
    assert metered.batches == []
    travel.shift(timedelta(hours=2))
    assert timedelta(hours=2) < MEMORY
    publish_with(engine, factories)
    assert metered.total == 5
    conserved(metered)


def test_nothing_new_costs_no_call_and_a_handful_of_statements(metered, engine, factories) -> None:
    metered.call(1)
    publish_with(engine, factories)
    seen: list[str] = []

    def note(_conn: object, _cursor: object, statement: str, *_rest: object) -> None:
        seen.append(statement)

    sa.event.listen(db.engine, "before_cursor_execute", note)
    try:
        assert not publishing.is_waiting(metered.tenant_id)
    finally:
        sa.event.remove(db.engine, "before_cursor_execute", note)
    assert len(seen) <= 5
    assert engine.reports == 1
    assert db.session.query(UsageBatch).count() == 1


def test_a_provider_that_hangs_is_an_unknown_outcome_and_not_a_second_bill(
    metered, engine, factories
) -> None:
    metered.call(3)
    engine.faults = ["lost"]
    assert publish_with(engine, factories).status == "UNSUCCESSFUL"
    assert [batch.state for batch in metered.batches] == ["SENDING"]
    assert issubclass(EngineBusy, EngineUnavailable)
    publish_with(engine, factories)
    conserved(metered)
    assert metered.batches[0].attempts == 2
    assert metered.batches[0].first_sent_at >= NOW
