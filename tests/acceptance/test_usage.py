"""What usage is measured by, one test for each sentence.

Each publishes through the REST API or the page as an administrator does, and compares with what
the provider has counted.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask

from portal.extensions import db
from portal.flows import publishing
from portal.models import PublishRun
from portal.services import publishing as runs
from tests.support.browser import Browser
from tests.support.rest import Rest
from tests.usage.conftest import (
    Killed,
    Metered,
    MeterEngine,
    engine,
    engine_for,
    make_metered,
    travel,
)

__all__ = ["engine", "make_metered", "travel"]

PUBLISH = "/monetization/publish-usage"


@pytest.fixture
def admin(app: Flask, factories, engine: MeterEngine) -> Rest:
    """A program with the administrator's token; the tenant's provider is the one for tests."""
    app.extensions["portal_engines"]._factory = lambda _settings: engine
    return Rest(app, factories.user("root", "admin"), "admin/v4")


def published(admin: Rest) -> dict[str, Any]:
    """Publish, and return the status afterwards."""
    assert admin.post(PUBLISH).status_code == 202
    status: dict[str, Any] = admin.get(f"{PUBLISH}/status").get_json()
    return status


def billed(*some: Metered) -> list[int]:
    """How many calls the provider has counted of each."""
    return [each.total for each in some]


@pytest.mark.parametrize("after", range(5))
def test_publish_interrupted_after_k_of_n_then_retried_bills_each_request_once(
    admin, engine, make_metered, factories, travel, after: int
) -> None:
    some = [make_metered() for _ in range(4)]
    for number, each in enumerate(some, start=1):
        each.call(number)
    engine.faults = ["" for _ in range(after)] + ["die after"]
    run_id = publishing.start(factories.tenant(), "test").run_id
    try:
        publishing.run(engine_for(engine), run_id)
    except Killed:
        db.session.remove()
    travel.shift(runs.LEASE)
    for each in some:
        each.call(1)
    engine.faults = []
    assert published(admin)["status"] == "SUCCESSFUL"
    assert billed(*some) == [2, 3, 4, 5]


def test_more_than_10_applications_are_billed(admin, make_metered) -> None:
    some = [make_metered() for _ in range(13)]
    for number, each in enumerate(some, start=1):
        each.call(number)
    published(admin)
    assert billed(*some) == list(range(1, 14))


def test_two_parallel_publish_calls_run_once(app: Flask, admin, make_metered, factories) -> None:
    other = Rest(app, factories.user("rose", "admin"), "admin/v4")
    metered = make_metered()
    metered.call(9)
    db.session.remove()
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(each.post, PUBLISH) for each in (admin, other)]
    codes = sorted(answer.result().status_code for answer in answers)
    assert codes in ([202, 202], [202, 409]), "one after the other, or one is told to wait"
    assert billed(metered) == [9]
    assert db.session.query(PublishRun).count() == codes.count(202)


def test_a_stale_running_recovers(admin, make_metered, factories, travel) -> None:
    metered = make_metered()
    metered.call(3)
    publishing.start(factories.tenant(), "a worker that dies")
    db.session.rollback()
    assert admin.post(PUBLISH).status_code == 409
    assert admin.get(f"{PUBLISH}/status").get_json()["state"] == "RUNNING"
    travel.shift(runs.LEASE)
    assert published(admin)["status"] == "SUCCESSFUL"
    assert billed(metered) == [3]


def test_no_usage_and_usage_that_could_not_be_read_are_told_apart(
    app: Flask, admin, engine, make_metered
) -> None:
    metered = make_metered()
    assert published(admin)["status"] == "SUCCESSFUL"
    metered.call(2)
    engine.faults = ["down"] * 50
    assert published(admin)["status"] == "UNSUCCESSFUL"
    page = Browser(app).sign_in("root").get("/admin/usage")
    assert "UNSUCCESSFUL" in page.text
    engine.faults = []
    assert published(admin)["status"] == "SUCCESSFUL"
    assert billed(metered) == [2]
