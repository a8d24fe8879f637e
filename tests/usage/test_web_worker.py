"""One gunicorn worker, as ``gunicorn wsgi:app`` starts it: it answers, and works behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from flask import Flask
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from portal.cli.processes import free_ports
from portal.extensions import db
from portal.models import Tenant
from portal.services import publishing
from portal.web.unit_of_work import unit_of_work

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 30.0


@pytest.fixture
def travel() -> None:
    """The real clock."""


@pytest.fixture
def thought() -> Iterator[threading.Event]:
    """What the billing provider waits for before it answers."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def provider(thought: threading.Event) -> Iterator[HTTPServer]:
    """A billing provider that thinks, for as long as the test wants, before it refuses."""
    server = HTTPServer(host="127.0.0.1", port=0, threaded=True)

    def think(_request: Request) -> Response:
        thought.wait(PATIENCE)
        return Response('{"error": {"message": "No.", "type": "invalid_request_error"}}', 400)

    server.expect_request("/v1/billing/meter_events").respond_with_handler(think)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def portal(app: Flask, settings, provider: HTTPServer, tmp_path: Path) -> Iterator[str]:
    """The address of a portal with one worker process, on the test's own database."""
    (port,) = free_ports(1)
    env = os.environ | {
        "SECRET_KEY": settings.secret_key.get_secret_value(),
        "ENCRYPTION_KEYS": settings.encryption_keys[0].get_secret_value(),
        "DATABASE_URL": settings.database_url,
        "PORTAL_INSTANCE": str(settings.instance),
        "STRIPE_API_BASE": provider.url_for(""),
        "PORTAL_BASE_URL": f"http://127.0.0.1:{port}",
    }
    log = (tmp_path / "gunicorn.log").open("wb")
    command = f"-m gunicorn --bind=127.0.0.1:{port} --workers=1 --worker-class=gthread --threads=4"
    process = subprocess.Popen(
        [sys.executable, *command.split(), "--no-control-socket", "wsgi:app"],
        env=env,
        cwd=ROOT,
        stdout=log,
        stderr=log,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(address)
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
        log.close()


def _wait(address: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            if requests.get(f"{address}/healthz", timeout=2).ok:
                return
        except (requests.ConnectionError, requests.Timeout):
            time.sleep(0.1)
    raise AssertionError("The portal did not start.")


def test_one_worker_accepts_before_the_provider_answers_and_answers_meanwhile(
    app: Flask, metered, factories, thought: threading.Event, portal: str
) -> None:
    with unit_of_work():
        tenant = db.session.get_one(Tenant, factories.tenant().tenant_id)
        tenant.platform_key = "sk_test_sandbox_0001"
    token = _token(portal, factories)
    metered.call(2)
    accepted = _ask(portal, "POST", "", token)
    busy = _ask(portal, "POST", "", token)

    assert accepted.status_code == 202
    assert busy.status_code == 409
    assert busy.json()["message"] == "A job is already running"
    assert _ask(portal, "GET", "/status", token).json()["state"] == "RUNNING"
    thought.set()
    deadline = time.monotonic() + PATIENCE
    while _ask(portal, "GET", "/status", token).json()["state"] == "RUNNING":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    db.session.rollback()
    found = publishing.status(factories.tenant())
    assert (found["status"], found["runs"][0]["failures"]) == ("UNSUCCESSFUL", 1)


def _token(portal: str, factories) -> str:
    factories.user("admin", "admin")
    client = requests.post(
        f"{portal}/client-registration/v0.17/register",
        json={
            "callbackUrl": "www.example.com",
            "clientName": "tests",
            "owner": "admin",
            "grantType": "password refresh_token",
            "saasApp": True,
        },
        auth=("admin", "open sesame"),
        timeout=10,
    ).json()
    answer = requests.post(
        f"{portal}/oauth2/token",
        data={
            "grant_type": "password",
            "username": "admin",
            "password": "open sesame",
            "scope": "apim:monetization_usage_publish",
        },
        auth=(client["clientId"], client["clientSecret"]),
        timeout=10,
    )
    return str(answer.json()["access_token"])


def _ask(portal: str, method: str, path: str, token: str) -> requests.Response:
    return requests.request(
        method,
        f"{portal}/api/am/admin/v4/monetization/publish-usage{path}",
        headers={"Authorization": f"Bearer {token}"},
        timeout=10,
    )
