"""The portal's own gateway under gunicorn, and Debian's nginx with what deploy holds for it.

Each ends with I6: what the callers got is what the ledger holds, call by call.
"""

import os
import signal
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import pytest
import requests
from flask import Flask

from portal.cli.processes import Child, Running, Servers, free_ports
from portal.extensions import db
from portal.flows import draining
from portal.models import KeyType, Subscription, UsageSegment
from portal.services import (
    applications,
    evidence,
    gateway_log,
    log_lines,
    spool,
    spool_place,
    subscriptions,
    usage,
)
from portal.services.call_ids import Names
from portal.services.subscriptions import Cause, Move
from portal.web.unit_of_work import unit_of_work
from tests.support import nginx
from tests.support.factories import Factories

KILLS = int(os.environ.get("GATEWAY_KILLS", "3"))
BACKEND = """
def app(environ, start_response):
    status = environ["PATH_INFO"].rsplit("/", 1)[-1]
    seen = "apikey" if "HTTP_APIKEY" in environ or "HTTP_COOKIE" in environ else "ok"
    start_response(f"{status} Status", [("Content-Length", str(len(seen)))])
    return [seen.encode()]
"""


@dataclass
class Stack:
    """A portal under gunicorn with two workers, a back end, and somebody who may call."""

    servers: Servers
    portal: Running
    origin: str
    backend: str
    place: str
    key: str
    sandbox_key: str
    subscription: Subscription
    folder: Path
    #: Ids and statuses of the calls that were answered.
    answered: list[tuple[str, int]] = field(default_factory=list)

    def call(self, origin: str, status: int = 200, **headers: str) -> requests.Response:
        """Make one call that the back end answers with a status."""
        answer = requests.get(
            f"{origin}{self.place}/{status}", headers={"ApiKey": self.key, **headers}, timeout=30
        )
        if "X-Request-Id" in answer.headers and answer.text in ("ok", ""):
            self.answered.append((answer.headers["X-Request-Id"], answer.status_code))
        return answer

    def workers(self) -> list[int]:
        """Return the process ids of the portal's workers."""
        pid = self.portal.process.pid
        with suppress(FileNotFoundError):
            text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
            return [int(each) for each in text.split()]
        return []

    def block(self) -> float:
        """Block the subscription, and say when that was committed."""
        with unit_of_work():
            row = db.session.get_one(Subscription, self.subscription.subscription_id)
            subscriptions.make(row, Move.BLOCK_ALL, Cause(because="For a test.", actor="publisher"))
        db.session.rollback()
        return time.monotonic()


@pytest.fixture
def stack(app: Flask, settings, factories: Factories, tmp_path: Path) -> Iterator[Stack]:
    (tmp_path / "backend.py").write_text(BACKEND)
    port, back = free_ports(2)
    policy = factories.policy()
    policy.quota, policy.time_unit, policy.rate_limit_count = 100_000, "hours", None
    factories.save(policy)
    backend = f"http://127.0.0.1:{back}"
    api = factories.api(None, policy, endpoint_url=backend)
    application = factories.application()
    subscription = factories.subscription(api=api, application=application, policy=policy)
    with unit_of_work():
        _, key = applications.generate_key(application, KeyType.PRODUCTION)
        _, sandbox_key = applications.generate_key(application, KeyType.SANDBOX)
    place = api.gateway_path
    db.session.rollback()
    env = {
        "SECRET_KEY": settings.secret_key.get_secret_value(),
        "ENCRYPTION_KEYS": settings.encryption_keys[0].get_secret_value(),
        "DATABASE_URL": settings.database_url,
        "PORTAL_INSTANCE": str(settings.instance),
        "PORTAL_BASE_URL": f"http://127.0.0.1:{port}",
        "BACKEND_ALLOWLIST": "http://127.0.0.1",
        "STRIPE_API_BASE": "http://127.0.0.1:9",
        "PORTAL_BIND": f"127.0.0.1:{port}",
        "WEB_CONCURRENCY": "2",
        "NO_PROXY": "127.0.0.1",
    }
    command = [sys.executable, "-m", "gunicorn", "-c", str(nginx.DEPLOY / "gunicorn.conf.py")]
    with Servers(tmp_path / "logs") as servers:
        portal = servers.start(Child("portal", [*command, "wsgi:app"], env))
        behind = servers.start(
            Child(
                "backend",
                [*command, "backend:app"],
                {"PYTHONPATH": str(tmp_path), "PORTAL_BIND": f"127.0.0.1:{back}",
                 "WEB_CONCURRENCY": "1"},
            )
        )  # fmt: skip
        servers.wait_until_answers(behind, f"{backend}/200")
        servers.wait_until_answers(portal, f"http://127.0.0.1:{port}/healthz", 120)
        origin = f"http://127.0.0.1:{port}"
        keys = key, sandbox_key
        yield Stack(servers, portal, origin, backend, place, *keys, subscription, tmp_path)


def _ledger() -> list[tuple[str, int]]:
    """Return id and status of every call that the ledger holds."""
    db.session.rollback()
    found: list[tuple[str, int]] = []
    names = Names(spool_place.number_of(db.session.connection()))
    for segment in db.session.query(UsageSegment):
        if segment.format == gateway_log.FORMAT:
            lines = log_lines.parse(zlib.decompress(segment.records))
            found += [(line.call_id, line.status) for line in lines]
        else:
            data = evidence.unpacked(segment.records)
            found += [
                (names.of(UUID(entry.call_id)), entry.status) for entry in spool.entries(data)
            ]
    db.session.rollback()
    return found


def _until_refused(stack: Stack, call: Callable[[], requests.Response], seconds: float) -> None:
    """Block, and assert that no call that begins ``seconds`` later goes through."""
    for _ in range(5):
        assert call().status_code == 200
    since = stack.block()
    late: list[int] = []
    while time.monotonic() < since + seconds + 0.5:
        began = time.monotonic()
        status = call().status_code
        if began > since + seconds:
            late.append(status)
    late.append(call().status_code)
    assert set(late) == {403}


def test_a_block_reaches_every_worker_of_the_portals_gateway_within_a_second(
    stack: Stack,
) -> None:
    _until_refused(stack, lambda: stack.call(stack.origin), 1.0)


def test_f23_killed_gateway_workers_lose_and_double_no_answered_call(stack: Stack) -> None:
    going = threading.Event()
    going.set()

    def caller() -> None:
        while going.is_set():
            with suppress(requests.RequestException):
                stack.call(stack.origin, 200)
                stack.call(stack.origin, 404)

    threads = [threading.Thread(target=caller) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(KILLS):
        before = len(stack.answered)
        deadline = time.monotonic() + 60
        while len(stack.answered) < before + 40 and time.monotonic() < deadline:
            time.sleep(0.02)
        found = stack.workers()
        assert found
        with suppress(ProcessLookupError):
            os.kill(found[number % len(found)], signal.SIGKILL)
    going.clear()
    for thread in threads:
        thread.join()
    stack.servers.stop()
    draining.drain_here()

    held = _ledger()
    assert len(stack.answered) >= 40 * KILLS
    assert len(held) == len(set(held)), "doubled"
    assert set(stack.answered) <= set(held), "lost"
    # A call that was written down and then not answered, at most one for each caller and kill.
    assert len(held) <= len(stack.answered) + 4 * KILLS
    counted = usage.summary(stack.subscription.subscription_id, None, None).counted
    assert counted == sum(status == 200 for _, status in held)


@pytest.fixture(params=nginx.GATEWAYS)
def front(stack: Stack, request: pytest.FixtureRequest) -> tuple[str, Path]:
    """nginx in front of the back end: its origin, and its log of calls."""
    (port,) = free_ports(1)
    log = stack.folder / "usage.log"
    words = {
        "GATEWAY_LISTEN": f"127.0.0.1:{port}",
        "PORTAL_ADDRESS": stack.origin.removeprefix("http://"),
        "DECISIONS": str(stack.folder / "decisions"),
        "USAGE_LOG": str(log),
        "API": stack.place,
        "BACKEND": stack.backend.removeprefix("http://"),
        # Nobody listens there.
        "SANDBOX_BACKEND": "127.0.0.1:9",
    }
    http = nginx.filled(request.param, words)
    nginx.needed(http)
    running = stack.servers.start(nginx.server(stack.folder, "nginx", http))
    origin = f"http://127.0.0.1:{port}"
    stack.servers.wait_until_answers(running, f"{origin}/healthz")
    return origin, log


def test_nginx_refuses_a_blocked_key_in_time_and_every_call_is_metered_once(
    stack: Stack, front: tuple[str, Path], app: Flask
) -> None:
    origin, log = front
    statuses = [200] * 20 + [404, 500, 204, 401, 403]
    for status in statuses:
        assert stack.call(origin, status).status_code == status
    calls = len(statuses)
    # The sandbox is away: its calls are written down, and go nowhere else.
    assert stack.call(origin, ApiKey=stack.sandbox_key).status_code == 502
    calls += 1
    ok = stack.call(origin)
    calls += 1
    assert ok.text == "ok", "the key and cookies stay at the gateway"
    assert ok.headers["RateLimit-Policy"].startswith('"quota";q=100000;w=3600')
    for headers in ({"ApiKey": "amp_live_unknown_unknown"}, {"ApiKey": ""}):
        refused = stack.call(origin, **headers)
        assert refused.status_code == 401
        assert refused.headers["Content-Type"] == "application/problem+json"
        assert refused.json()["code"] in (900901, 900902)

    draining.drain_log(log)
    log.rename(log.with_name("usage.log.1"))
    pid = int((stack.folder / "nginx" / "nginx.pid").read_text())
    os.kill(pid, signal.SIGUSR1)
    deadline = time.monotonic() + 20
    while not log.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    allowed: list[int] = []

    def call() -> requests.Response:
        answer = stack.call(origin)
        allowed.append(answer.status_code)
        return answer

    _until_refused(stack, call, 2.5)
    problem = stack.call(origin).json()
    assert (problem["code"], problem["type"].rpartition("/")[2]) == (900907, "blocked-by-publisher")
    calls += allowed.count(200)
    threads = [threading.Thread(target=_drain, args=(app, log)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    held = _ledger()
    assert len(held) == len(set(held)) == calls
    found = usage.summary(stack.subscription.subscription_id, None, None)
    assert (found.counted, found.total) == (calls - 5, calls)


def _drain(app: Flask, log: Path) -> None:
    with app.app_context():
        draining.drain_log(log)
        db.session.remove()
