"""`flask tour` walks the whole main job on each database, and leaves nothing behind."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from portal.cli.demo import database
from tests.conftest import REQUIRE_ALL, SERVERS, _sibling_database
from tests.demo.test_demo import environment

SECONDS = 600
SEVEN = {
    "checkout.session.completed",
    "checkout.session.expired",
    "customer.subscription.deleted",
    "customer.subscription.updated",
    "invoice.payment_action_required",
    "invoice.payment_failed",
    "invoice.payment_succeeded",
}


def tour(folder: Path, *options: str, url: str = "") -> subprocess.CompletedProcess[str]:
    (folder / "temporary").mkdir()
    more = {"TMPDIR": str(folder / "temporary")} | ({"DATABASE_URL": url} if url else {})
    return subprocess.run(
        [sys.executable, "-m", "flask", "tour", *options],
        cwd=folder,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def fresh(kind: str) -> str:
    """Return a new database on a server of this kind; skip if there is none."""
    variable = SERVERS[kind]
    if variable not in os.environ:
        pytest.skip(f"{variable} is not set")
    try:
        return _sibling_database(os.environ[variable], "tour")
    except sa.exc.SQLAlchemyError as error:
        if REQUIRE_ALL:
            raise
        pytest.skip(f"{variable}: {type(error).__name__}")


@pytest.fixture(params=["sqlite", *SERVERS])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database of each kind; empty for the demo's own SQLite file."""
    if request.param == "sqlite":
        yield ""
        return
    url = fresh(request.param)
    yield url
    name = sa.make_url(url).database
    engine = sa.create_engine(os.environ[SERVERS[request.param]], isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name}")
    engine.dispose()


def test_every_step_passes_and_nothing_is_left(tmp_path, url):
    ended = tour(tmp_path, "--json", url=url)
    said = json.loads(ended.stdout)
    assert [step for step in said["steps"] if not step["passed"]] == []
    assert ended.returncode == 0
    assert said["failed"] == 0
    assert said["passed"] == len(said["steps"]) >= 60
    assert f"tour: {said['passed']} passed, 0 failed" in ended.stderr
    assert {event["type"] for event in said["events"]} == SEVEN
    assert list((tmp_path / "temporary").iterdir()) == []
    if url:
        assert database.tables(url) == set()


def test_a_database_that_is_not_empty_is_left_alone(tmp_path):
    url = f"sqlite:///{tmp_path / 'theirs.sqlite3'}"
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE theirs (id INTEGER)")
    engine.dispose()
    ended = tour(tmp_path, url=url)
    assert ended.returncode == 1
    assert "the tour uses only an empty one" in ended.stderr
    assert database.tables(url) == {"theirs"}


def test_the_whole_job_is_done_through_rest_alone(tmp_path):
    ended = tour(tmp_path, "--rest", "--json")
    said = json.loads(ended.stdout)
    assert [step for step in said["steps"] if not step["passed"]] == []
    assert ended.returncode == 0
    assert said["passed"] == len(said["steps"]) >= 25
    assert f"tour: {said['passed']} passed, 0 failed" in ended.stderr
    assert list((tmp_path / "temporary").iterdir()) == []
