"""What the fault tests share: a sale under way, and servers in processes of their own."""

import json
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine

from portal import jobs
from portal.cli.reconcile import reconcile as command
from portal.extensions import db
from tests.conftest import REQUIRE_ALL, SERVERS, server_url
from tests.faults.comparing import NOW
from tests.functional.service.conftest import sale
from tests.support import real as processes
from tests.support.real import KINDS, Real, Stack

__all__ = ["sale"]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, _empty_sqlite: Path) -> Iterator[Stack]:
    """The portal under gunicorn on every database that is there, and the sandbox."""
    folder = tmp_path_factory.mktemp("real")
    kinds = tuple(kind for kind in KINDS if kind == "sqlite" or SERVERS[kind] in os.environ)
    urls = processes.urls(folder, _empty_sqlite, server_url, kinds)
    with processes.stack(folder, urls) as running:
        yield running


@pytest.fixture(params=KINDS)
def real(request: pytest.FixtureRequest, stack: Stack) -> Iterator[Real]:
    """The portal in processes of its own, on an empty database of each kind."""
    if request.param not in stack.ports:
        assert not REQUIRE_ALL or SERVERS[request.param] not in os.environ
        pytest.skip(f"{SERVERS[request.param]} is not set")
    with processes.real(stack, request.param) as found:
        yield found


@pytest.fixture
def travel():
    """A clock that moves only when the test says so."""
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


@pytest.fixture
def reconcile(app):
    """Run the command; return its exit code, and what it printed as JSON."""

    def run(*options: str):
        db.session.remove()
        done = app.test_cli_runner().invoke(command, ["--json", *options])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.output
        return done.exit_code, json.loads(done.stdout)

    return run


@pytest.fixture
def paid(sale, travel):
    """A subscription that was paid ten minutes ago, and which both sides hold alike."""
    sale.pay()
    jobs.sweep()
    travel.shift(timedelta(minutes=10))
    return sale
