"""Runs of the publish job: one at a time for each tenant, taken over, and what is told of them."""

from datetime import timedelta

import pytest

from portal.errors import Conflict
from portal.extensions import db
from portal.flows import publishing
from portal.models import PublishRun, Tenant, UsagePublisher
from portal.services import publishing as runs
from portal.web.unit_of_work import unit_of_work
from tests.usage.conftest import NOW, engine_for


def test_a_second_start_is_refused_in_the_seeds_words(app, factories) -> None:
    publishing.start(factories.tenant(), "one")

    with pytest.raises(Conflict, match=r"^A job is already running$"):
        publishing.start(factories.tenant(), "two")


def test_each_tenant_has_a_job_of_its_own(app, factories) -> None:
    publishing.start(factories.tenant(), "one")
    publishing.start(factories.tenant("other.example"), "one")

    assert db.session.query(PublishRun).count() == 2


def test_a_run_whose_worker_has_gone_is_taken_over(metered, engine, factories, travel) -> None:
    metered.call(3)
    first = publishing.start(factories.tenant(), "one").run_id
    travel.shift(runs.LEASE)
    second = publishing.start(factories.tenant(), "two").run_id

    assert db.session.get_one(PublishRun, first).status == "FAILED"
    assert not publishing.run(engine_for(engine), first)
    assert metered.total == 0
    assert publishing.run(engine_for(engine), second)
    assert metered.total == 3


def test_a_worker_that_slept_through_its_lease_stops(
    make_metered, engine, factories, travel
) -> None:
    one, two = make_metered(), make_metered()
    one.call()
    two.call()
    run_id = publishing.start(factories.tenant(), "one").run_id
    taken: list[int] = []

    def oversleep(done: int, _total: int) -> None:
        if done == 1:
            travel.shift(runs.LEASE + timedelta(seconds=1))
            taken.append(publishing.start(factories.tenant(), "two").run_id)

    assert not publishing.run(engine_for(engine), run_id, oversleep)
    assert engine.reports == 1
    assert publishing.run(engine_for(engine), taken[0])
    assert (one.total, two.total) == (1, 1)


def test_the_same_run_delivered_twice_runs_once(metered, engine, factories) -> None:
    metered.call(3)
    run_id = publishing.start(factories.tenant(), "one").run_id

    assert publishing.run(engine_for(engine), run_id)
    assert not publishing.run(engine_for(engine), run_id)
    assert metered.total == 3


def test_the_status_speaks_wso2s_words(metered, publish, factories, engine) -> None:
    tenant = factories.tenant()
    assert runs.status(tenant)["state"] == "NOT_STARTED"

    metered.call(3)
    publish()
    millis = str(int(NOW.timestamp() * 1000))
    found = runs.status(tenant)
    assert {name: found[name] for name in ("state", "status", "startedTime")} == {
        "state": "COMPLETED",
        "status": "SUCCESSFUL",
        "startedTime": millis,
    }
    assert found["lastPublsihedTime"] == found["lastPublishedTime"] == millis
    assert (found["runs"][0]["calls"], found["runs"][0]["batches"]) == (3, 1)


def test_the_time_of_the_last_publish_moves_only_with_success(
    metered, publish, factories, engine, travel
) -> None:
    publish()
    travel.shift(timedelta(hours=1))
    metered.call()
    engine.faults = ["refuse"]
    publish()

    found = runs.status(factories.tenant())
    assert found["status"] == "UNSUCCESSFUL"
    assert found["lastPublsihedTime"] == str(int(NOW.timestamp() * 1000))
    assert found["startedTime"] == str(int((NOW + timedelta(hours=1)).timestamp() * 1000))


def test_a_crashed_run_is_not_shown_as_running(app, factories, travel) -> None:
    publishing.start(factories.tenant(), "one")
    assert runs.status(factories.tenant())["state"] == "RUNNING"
    travel.shift(runs.LEASE)

    found = runs.status(factories.tenant())
    assert (found["state"], found["status"]) == ("COMPLETED", "FAILED")


def test_without_a_key_the_run_says_where_to_enter_it(app, factories) -> None:
    tenant = factories.tenant()
    with unit_of_work():
        db.session.get_one(Tenant, tenant.tenant_id).platform_key = None
    run = publishing.request(tenant, "admin")

    assert run.status == "FAILED"
    assert "Advanced configuration" in (run.error or "")


def test_a_request_is_worked_through_in_the_background(metered, factories) -> None:
    metered.call(3)
    run = publishing.request(factories.tenant(), "admin")

    assert metered.total == 3
    assert (run.started_by, run.status) == ("admin", "SUCCESSFUL")
    held = db.session.get_one(UsagePublisher, "carbon.super")
    assert (held.state, held.lease_until) == ("COMPLETED", None)


def test_tenants_publish_only_their_own(make_metered, publish, factories) -> None:
    other = factories.tenant("other.example")
    mine, theirs = make_metered(), make_metered(tenant=other)
    mine.call(1)
    theirs.call(2)
    publish()
    assert (mine.total, theirs.total) == (1, 0)

    publish(other)
    assert theirs.total == 2
