"""What the fault tests share: a sale under way, and servers in processes of their own."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REQUIRE_ALL, SERVERS, server_url
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
