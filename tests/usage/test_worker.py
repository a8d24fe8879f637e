"""The embedded worker: on each kind of queue, and taken over when its process dies."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from portal import create_app, jobs
from portal.config import Settings
from portal.extensions import db
from portal.flows import publishing
from portal.models import PublishRun
from portal.web import queue

PATIENCE = 20.0


@pytest.fixture
def travel() -> None:
    """The real clock: other threads and processes wait here."""


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "It did not happen in time."
        time.sleep(0.05)


def _with_queue(settings: Settings, url: str, engine: object) -> Flask:
    app = create_app(settings.model_copy(update={"queue_url": url}))
    app.extensions["portal_engines"]._factory = lambda _settings: engine
    return app


# Huey leaves the connections on which its threads listen to PostgreSQL to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", ["sqlite", "redis", "postgresql"])
def test_an_embedded_worker_does_what_is_requested(
    kind: str, settings, engine, metered, factories, tmp_path: Path
) -> None:
    app = _with_queue(settings, _queue_url(kind, tmp_path), engine)
    metered.call(3)
    jobs.start_embedded(app)
    try:
        with app.app_context():
            run_id = publishing.request(factories.tenant(), "admin").run_id
            db.session.remove()

            def finished() -> bool:
                db.session.rollback()
                return db.session.get_one(PublishRun, run_id).finished_at is not None

            _until(finished)
        assert metered.total == 3
    finally:
        _stop(app)


def _queue_url(kind: str, tmp_path: Path) -> str:
    if kind == "sqlite":
        return str(tmp_path / "queue.sqlite3")
    if kind == "redis":
        url = os.environ.get("TEST_REDIS_URL")
    else:
        url = (os.environ.get("TEST_POSTGRESQL_URL") or "").replace("+psycopg", "")
    if not url:
        pytest.skip(f"there is no {kind} server for tests")
    return url


def _stop(app: Flask) -> None:
    jobs.stop_embedded()
    for thread in threading.enumerate():
        if thread.name == "portal-worker":
            thread.join(PATIENCE)
            assert not thread.is_alive()
    storage = queue.queue_of(app).huey.storage
    storage.flush_all()
    storage.close()
    with app.app_context():
        db.engine.dispose()


def test_a_task_for_later_runs_later(app: Flask, settings, engine, tmp_path: Path) -> None:
    other = _with_queue(settings, str(tmp_path / "queue.sqlite3"), engine)
    done: list[tuple[str, float]] = []
    queue.queue_of(other).task("note", lambda text: done.append((text, time.monotonic())))
    jobs.start_embedded(other)
    began = time.monotonic()
    try:
        with other.app_context():
            queue.enqueue("note", "later", delay=1.0)
            queue.enqueue("note", "now")
        _until(lambda: len(done) == 2)
    finally:
        _stop(other)

    assert [text for text, _ in done] == ["now", "later"]
    assert done[1][1] - began >= 1.0


def test_another_process_takes_over_when_the_worker_is_killed(
    settings, engine, metered, factories, tmp_path: Path
) -> None:
    app = _with_queue(settings, str(tmp_path / "queue.sqlite3"), engine)
    program = textwrap.dedent(
        """
        import fcntl, sys, time
        lock = open(sys.argv[1], "a")
        fcntl.flock(lock, fcntl.LOCK_EX)
        print("held", flush=True)
        time.sleep(60)
        """
    )
    lock = Path(app.instance_path) / jobs.LOCK
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(lock)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    metered.call(2)
    jobs.start_embedded(app)
    try:
        with app.app_context():
            publishing.request(factories.tenant(), "admin")
            db.session.remove()
        time.sleep(0.5)
        assert metered.total == 0
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        holder.stdout.close()
        _until(lambda: metered.total == 2)
    finally:
        _stop(app)
