"""What the background does, and the commands that do the same in the foreground."""

from datetime import timedelta

import pytest
from flask import Flask

from portal import jobs
from portal.cli.usage import usage
from portal.cli.worker import worker
from portal.extensions import db
from portal.flows import publishing
from portal.models import PublishRun, Subscription, UsageSource
from portal.services import publishing as runs
from portal.web.unit_of_work import unit_of_work


def test_a_lost_run_is_resumed_by_the_sweep(metered, engine, factories, travel) -> None:
    metered.call(3)
    run_id = publishing.start(factories.tenant(), "admin").run_id
    jobs.sweep()
    assert metered.total == 0

    travel.shift(runs.LEASE)
    jobs.sweep()
    assert metered.total == 3
    run = db.session.get_one(PublishRun, run_id, populate_existing=True)
    assert (run.status, run.calls) == ("SUCCESSFUL", 3)


def test_the_schedule_publishes_where_there_is_something(make_metered, factories, travel) -> None:
    other = factories.tenant("other.example")
    factories.tenant("idle.example")
    mine, theirs = make_metered(), make_metered(tenant=other)
    mine.call(1)
    theirs.call(2)
    jobs.publish_all()
    travel.shift(timedelta(hours=1))
    jobs.publish_all()

    assert (mine.total, theirs.total) == (1, 2)
    assert [run.started_by for run in db.session.query(PublishRun)] == ["schedule", "schedule"]


class Remembers:
    """A queue that nobody works through."""

    def __init__(self) -> None:
        self.sent: list[tuple[object, ...]] = []

    def send(self, *arguments: object, **_more: object) -> None:
        self.sent.append(arguments)


@pytest.fixture
def remembered(app: Flask, engine, factories) -> Remembers:
    """Three tenants that have something to publish, and what is asked of the background."""
    for name in (None, "other.example", "third.example"):
        tenant = factories.tenant(name) if name else factories.tenant()
        factories.save(UsageSource(tenant_id=tenant.tenant_id, kind="choreo"))
    made = app.extensions["portal_queue"] = Remembers()
    return made


def _runs() -> list[PublishRun]:
    db.session.rollback()
    return db.session.query(PublishRun).order_by(PublishRun.run_id).all()


def test_the_schedule_has_one_run_at_a_time_until_each_tenant_had_its_own(
    remembered: Remembers,
) -> None:
    """So that slow sources never hold more than one of two workers."""
    jobs.publish_all()
    for number in range(1, 4):
        asked = [run.run_id for run in _runs()]
        assert remembered.sent == [("publish", run_id) for run_id in asked]
        assert len(asked) == number
        jobs.publish_all()
        assert len(_runs()) == number, "the next hour begins no others meanwhile"
        jobs.publish(asked[-1])
        jobs.publish(asked[-1])

    assert len({run.tenant_id for run in _runs()}) == len(remembered.sent) == 3
    assert all(run.finished_at for run in _runs())


def test_a_lost_run_of_the_schedule_is_asked_for_again_and_the_others_follow(
    remembered: Remembers, travel
) -> None:
    jobs.publish_all()
    travel.shift(runs.LEASE)
    jobs.sweep()
    assert [name for name, *_ in remembered.sent].count("publish") == 2
    assert not _runs()[0].finished_at, "the sweep itself waits for no source"
    while len(done := _runs()) < 3:
        jobs.publish(done[-1].run_id)
    assert len({run.tenant_id for run in done}) == 3


def test_a_run_that_somebody_asked_for_begins_no_others(remembered: Remembers, factories) -> None:
    run_id = publishing.request(factories.tenant(), "admin").run_id
    jobs.publish(run_id)
    assert remembered.sent == [("publish", run_id)]


def test_the_schedule_leaves_a_running_job_alone(metered, factories) -> None:
    metered.call(1)
    publishing.start(factories.tenant(), "admin")
    jobs.publish_all()

    assert metered.total == 0


def test_one_piece_of_the_sweep_that_fails_holds_up_no_other(
    metered, engine, factories, travel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_engine_for: object) -> int:
        raise RuntimeError("broken")

    monkeypatch.setattr(jobs.payments, "sweep", fail)
    metered.call(3)
    publishing.start(factories.tenant(), "admin")
    travel.shift(runs.LEASE)
    jobs.sweep()

    assert metered.total == 3


def test_a_queue_that_cannot_be_reached_only_delays(app, metered, factories, travel) -> None:
    class Broken:
        def send(self, *_arguments: object, **_more: object) -> None:
            raise OSError("unreachable")

    metered.call(3)
    app.extensions["portal_queue"] = Broken()
    run = publishing.request(factories.tenant(), "admin")
    assert run.status == "INPROGRESS"
    travel.shift(runs.LEASE)
    jobs.sweep()
    assert metered.total == 3


def test_what_is_marked_anew_is_read_again_a_few_times(
    app: Flask, metered, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[object, ...]] = []

    class Remembers:
        def send(self, *arguments: object, delay: float) -> None:
            sent.append((*arguments, delay))

    app.extensions["portal_queue"] = Remembers()
    jobs.catch_up()
    assert sent == []

    monkeypatch.setattr(jobs.refreshing, "refresh_due", lambda _engine_for: 0)
    with unit_of_work():
        db.session.get_one(Subscription, metered.id).refresh_due = True
    for again in range(6):
        jobs.catch_up(again)
    assert sent == [("wake", 1, 1.0), ("wake", 2, 2.0), ("wake", 3, 3.0), ("wake", 4, 4.0)]


# --- commands -------------------------------------------------------------------------------


def test_usage_publish_and_status_by_command(app: Flask, metered, engine, factories) -> None:
    factories.tenant("other.example")
    metered.call(3)
    runner = app.test_cli_runner()
    before = runner.invoke(usage, ["status"])
    done = runner.invoke(usage, ["publish"])
    after = runner.invoke(usage, ["status", "--tenant", "carbon.super"])

    assert "carbon.super: Nothing was ever published." in before.output
    assert done.exit_code == 0, done.output
    assert "SUCCESSFUL" in done.output
    assert "3 calls in 1 batches" in after.output
    assert metered.total == 3
    found = runner.invoke(usage, ["status", "--tenant", "carbon.super", "--json"])
    assert '"state": "COMPLETED"' in found.output
    assert runner.invoke(usage, ["status", "--tenant", "nobody"]).exit_code == 1


def test_usage_publish_fails_when_something_was_not_accepted(
    app: Flask, metered, engine, factories
) -> None:
    metered.call(3)
    engine.faults = ["refuse"]
    runner = app.test_cli_runner()
    assert runner.invoke(usage, ["publish"]).exit_code == 1

    publishing.start(factories.tenant(), "admin")
    busy = runner.invoke(usage, ["publish"])
    assert busy.exit_code == 1
    assert "A job is already running" in busy.output


def test_a_worker_without_a_queue_says_so(app: Flask) -> None:
    found = app.test_cli_runner().invoke(worker)
    assert found.exit_code == 1
    assert "nothing for a worker to do" in found.output
