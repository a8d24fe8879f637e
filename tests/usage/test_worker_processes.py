"""Background work on many machines: ``flask worker`` twice on one queue, with real processes."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from flask import Flask
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from portal import create_app
from portal.cli.processes import Servers, flask_command
from portal.config import Settings
from portal.extensions import db
from portal.flows import publishing
from portal.models import PublishRun, UsageBatch
from portal.web import queue

TENANTS = 8
PATIENCE = 60.0
#: Each run is put into the queue so often: a queue may deliver a message more than once.
DELIVERIES = 3


@pytest.fixture
def travel() -> None:
    """The real clock: the workers are processes of their own."""


class Stripe:
    """Takes meter events, slowly enough that both workers are busy at the same time."""

    def __init__(self, server: HTTPServer) -> None:
        self.calls: Counter[str] = Counter()
        server.expect_request("/v1/billing/meter_events").respond_with_handler(self._take)

    def _take(self, request: Request) -> Response:
        identifier = parse_qs(request.get_data(as_text=True))["identifier"][0]
        self.calls[identifier] += 1
        time.sleep(0.05)
        body = '{"object":"billing.meter_event","event_name":"e","payload":{},"identifier":"i"}'
        return Response(body, content_type="application/json", headers={"Request-Id": "req_1"})


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    found = HTTPServer(host="127.0.0.1", port=0, threaded=True)
    found.start()
    yield found
    found.stop()


@pytest.fixture
def redis(settings: Settings) -> Iterator[tuple[str, Flask]]:
    """The address of a queue in Redis, and an app that puts messages into it."""
    url = os.environ.get("TEST_REDIS_URL")
    if not url:
        pytest.skip("there is no redis server for tests")
    app = create_app(settings.model_copy(update={"queue_url": url}))
    storage = queue.queue_of(app).huey.storage
    storage.flush_all()
    yield url, app
    storage.flush_all()
    storage.close()
    with app.app_context():
        db.engine.dispose()


def _environment(settings: Settings, url: str, stripe: str, place: Path) -> dict[str, str]:
    return {
        "SECRET_KEY": settings.secret_key.get_secret_value(),
        "ENCRYPTION_KEYS": settings.encryption_keys[0].get_secret_value(),
        "DATABASE_URL": settings.database_url,
        # A machine has a folder of its own; only the database and the queue are shared.
        "PORTAL_INSTANCE": str(place),
        "PORTAL_BASE_URL": "http://127.0.0.1:9",
        "STRIPE_API_BASE": stripe,
        "QUEUE_URL": url,
        "NO_PROXY": "127.0.0.1",
    }


def _until(holds: Callable[[], bool], servers: Servers) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, [each.last_words() for each in servers.running]
        servers.watch(0.1)


@pytest.mark.all_databases
def test_two_workers_on_redis_do_each_job_once(
    redis: tuple[str, Flask], server: HTTPServer, settings, make_metered, factories, tmp_path: Path
) -> None:
    url, app = redis
    stripe = Stripe(server)
    tenants = [factories.tenant(f"tenant{number}.example") for number in range(TENANTS)]
    sold = [make_metered(tenant=tenant) for tenant in tenants for _ in range(3)]
    for number, each in enumerate(sold):
        each.call(number % 4 + 1)
    with app.app_context():
        run_ids = [publishing.request(tenant, "admin").run_id for tenant in tenants]
        for _ in range(DELIVERIES - 1):
            for run_id in run_ids:
                queue.enqueue("publish", run_id)
        db.session.remove()

    def finished() -> bool:
        db.session.rollback()
        runs = db.session.query(PublishRun).filter(PublishRun.finished_at.is_not(None))
        return runs.count() == TENANTS and queue.queue_of(app).huey.pending_count() == 0

    with Servers(tmp_path / "logs") as servers:
        for number in range(2):
            env = _environment(settings, url, server.url_for(""), tmp_path / f"machine{number}")
            servers.start(flask_command(f"worker{number}", "worker", "--workers", "2", env=env))
        _until(finished, servers)

    runs = db.session.query(PublishRun).all()
    assert {run.status for run in runs} == {"SUCCESSFUL"}, [run.error for run in runs]
    batches = db.session.query(UsageBatch).all()
    assert len(batches) == len(sold)
    assert stripe.calls == {batch.identifier: 1 for batch in batches}
    assert sum(batch.quantity for batch in batches) == sum(each.recorded for each in sold)
    db.session.rollback()
