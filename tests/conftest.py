"""Fixtures that everything shares: a closed network, a database of each kind, an app, rows."""

import os
import shutil
import signal
import socket
import socketserver
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import hypothesis
import pytest
import sqlalchemy as sa
import time_machine
from cryptography.fernet import Fernet
from flask import Flask, g
from flask_sqlalchemy import SQLAlchemy
from jinja2 import FileSystemBytecodeCache
from werkzeug.routing import Rule
from werkzeug.serving import BaseWSGIServer

from tests.support.browser import Browser
from tests.support.factories import Factories

# How long a draw or an example takes says how busy the machine is, and nothing of the portal.
hypothesis.settings.register_profile(
    "portal", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("portal")

REQUIRE_ALL = os.environ.get("REQUIRE_ALL_TESTS") == "1"
SERVERS = {"postgresql": "TEST_POSTGRESQL_URL", "mysql": "TEST_MYSQL_URL"}
LOOPBACK = {"127.0.0.1", "::1", "localhost"}


@pytest.fixture(autouse=True, scope="session")
def _closed_network() -> Iterator[None]:
    """Refuse every connection that leaves this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple) and address[0] not in LOOPBACK:
            raise AssertionError(f"A test tried to reach {address[0]}.")
        return connect(self, address)

    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", guarded)
    yield
    patch.undo()


@pytest.fixture(autouse=True, scope="session")
def _interruptible() -> Iterator[None]:
    """Take SIGINT though a shell that runs the tests in the background had it ignored.

    What is ignored here is ignored by every process that a test starts and interrupts.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def _own_time() -> Iterator[None]:
    """Blame a test that leaves the clock moved, and not the ones after it in this process."""
    yield
    assert not time_machine.escape_hatch.is_travelling(), "This test left the clock moved."


#: What takes longest, first: so no process is left with it while the others have nothing to do.
LONG = (
    "tests/demo/test_tour.py",
    "tests/browser/",
    "tests/demo/",
    "tests/faults/",
    "tests/deploy/",
    "tests/api/test_schemathesis.py",
    "tests/usage/",
    "tests/sandbox/",
    "tests/functional/service/",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest."""
    items.sort(key=lambda item: next((n for n, f in enumerate(LONG) if f in item.nodeid), 99))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that is marked all_databases on each of them, every other one on SQLite."""
    if "database_url" in metafunc.fixturenames:
        every = metafunc.definition.get_closest_marker("all_databases")
        kinds = ["sqlite", *SERVERS] if every else ["sqlite"]
        metafunc.parametrize("database_url", kinds, indirect=True, scope="function")


@pytest.fixture(scope="session")
def _empty_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with all tables, made once and copied for each test."""
    from portal.extensions import db

    path = tmp_path_factory.mktemp("schema") / "empty.sqlite3"
    engine = sa.create_engine(f"sqlite:///{path}")
    db.Model.metadata.create_all(engine)
    engine.dispose()
    return path


@pytest.fixture
def database_url(
    request: pytest.FixtureRequest, tmp_path: Path, _empty_sqlite: Path
) -> Iterator[str]:
    """The address of an empty database with all tables, of the kind that the test asks for."""
    if request.param == "sqlite":
        shutil.copy(_empty_sqlite, tmp_path / "portal.sqlite3")
        yield f"sqlite:///{tmp_path / 'portal.sqlite3'}"
        return
    url = server_url(request.param)
    engine = sa.create_engine(url)
    yield url
    with engine.begin() as connection:
        _empty(connection)
    engine.dispose()


_prepared: dict[str, str] = {}


def server_url(kind: str) -> str:
    """Return a database on a server of this kind, with all tables; skip if there is none."""
    variable = SERVERS[kind]
    if variable not in os.environ:
        pytest.skip(f"{variable} is not set")
    if kind not in _prepared:
        try:
            _prepared[kind] = _prepare(os.environ[variable])
        except sa.exc.SQLAlchemyError as error:
            if REQUIRE_ALL:
                raise
            pytest.skip(f"{variable}: {type(error).__name__}")
    return _prepared[kind]


def _prepare(url: str) -> str:
    from portal.extensions import db

    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker:
        url = _sibling_database(url, worker)
    engine = sa.create_engine(url)
    db.Model.metadata.drop_all(engine)
    db.Model.metadata.create_all(engine)
    if worker and engine.dialect.name == "postgresql":
        # A database of the tests' own. They end processes, never the server: what it has
        # committed need not be on the disk.
        with engine.begin() as connection:
            name = connection.dialect.identifier_preparer.quote(str(engine.url.database))
            connection.exec_driver_sql(f"ALTER DATABASE {name} SET synchronous_commit = off")
    engine.dispose()
    return url


def _sibling_database(url: str, worker: str) -> str:
    parts = urlsplit(url)
    name = f"{parts.path.lstrip('/')}_{worker}"
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name}")
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return urlunsplit(parts._replace(path=f"/{name}"))


def _empty(connection: sa.Connection) -> None:
    """Delete every row. TRUNCATE would cost more for a few rows in many tables."""
    from portal.extensions import db

    for table in reversed(db.Model.metadata.sorted_tables):
        connection.execute(sa.delete(table))


@pytest.fixture
def settings(database_url: str, tmp_path: Path):
    from portal.config import Settings

    return Settings(
        secret_key="a-secret-key-that-is-only-for-tests-0123456789",
        encryption_keys=(_KEY,),
        database_url=database_url,
        stripe_api_base="http://127.0.0.1:9",
        sandbox_base_url="http://127.0.0.1:9",
        backend_allowlist=("http://127.0.0.1",),
        queue_url="memory",
        PORTAL_INSTANCE=tmp_path / "instance",
        PORTAL_TESTING=True,
    )


_KEY = Fernet.generate_key().decode()


@pytest.fixture
def engine():
    """The in-memory billing engine that the app uses in most tests."""
    from tests.support.memory_engine import MemoryBillingEngine

    return MemoryBillingEngine()


@pytest.fixture(autouse=True, scope="session")
def _servers_that_stop() -> Iterator[None]:
    """Let servers that tests run in threads look often whether they are to stop.

    By themselves they look twice a second, and each test waits for that at its end.
    """
    patch = pytest.MonkeyPatch()
    for kind in (socketserver.BaseServer, BaseWSGIServer):
        assert kind.serve_forever.__defaults__ == (0.5,)
        patch.setattr(kind.serve_forever, "__defaults__", (0.02,))
    yield
    patch.undo()


@pytest.fixture(autouse=True, scope="session")
def _compiled_statements() -> Iterator[None]:
    """Compile a statement once for all engines on one kind of database, not once for each app.

    Each test has an app and an engine of its own, and compiling the statements anew for each of
    them took a third of the run.
    """
    make = SQLAlchemy._make_engine
    known: dict[tuple[str, str | None], sa.Engine] = {}

    def shared(self: SQLAlchemy, bind_key: str | None, options: dict, app: Flask) -> sa.Engine:
        engine = make(self, bind_key, options, app)
        kind = (engine.dialect.name, options.get("isolation_level"))
        first = known.get(kind)
        if first is None or getattr(first.dialect, "server_version_info", None) is None:
            known[kind] = engine  # A dialect is complete when its first engine has connected.
        else:
            engine.dialect = engine.pool._dialect = first.dialect
            engine._compiled_cache = first._compiled_cache
        return engine

    patch = pytest.MonkeyPatch()
    patch.setattr(SQLAlchemy, "_make_engine", shared)
    yield
    patch.undo()


@pytest.fixture(autouse=True, scope="session")
def _compiled_routes() -> Iterator[None]:
    """Compile each route once for all apps of a kind: they all have the same ones."""
    compile_rule = Rule.compile
    known: dict[tuple[Hashable, ...], dict[str, Any]] = {}

    def shared(self: Rule) -> None:
        assert self.map is not None
        kinds = tuple(self.map.converters.values())
        key = (self.rule, repr(self.defaults), self.subdomain, self.host, self.merge_slashes, kinds)
        if key not in known:
            before = set(vars(self))
            compile_rule(self)
            made = vars(self).keys() - before | {"_parts", "_trace", "_converters", "arguments"}
            known[key] = {name: vars(self)[name] for name in made}
            return
        vars(self).update(known[key])
        for name in ("_build", "_build_unknown"):
            setattr(self, name, known[key][name].__func__.__get__(self))

    patch = pytest.MonkeyPatch()
    patch.setattr(Rule, "compile", shared)
    yield
    patch.undo()


@pytest.fixture(scope="session")
def _compiled_templates(tmp_path_factory: pytest.TempPathFactory) -> FileSystemBytecodeCache:
    """Templates compiled once for all apps of this process, instead of once for each test."""
    return FileSystemBytecodeCache(str(tmp_path_factory.mktemp("templates")))


@pytest.fixture
def app(settings, engine, _compiled_templates) -> Iterator[Flask]:
    """A portal on an empty database whose every tenant is billed by the memory engine."""
    from portal import create_app
    from portal.extensions import db

    application = create_app(settings)
    application.jinja_env.bytecode_cache = _compiled_templates
    application.extensions["portal_engines"]._factory = lambda _settings: engine
    # Requests share the test's application context, and with it ``g``: each begins with none
    # of what Flask-Login and Flask-WTF kept there for the one before.
    application.before_request_funcs.setdefault(None, []).insert(0, _forget)
    with application.app_context():
        yield application
        db.session.remove()
        db.engine.dispose()


def _forget() -> None:
    for name in list(g):
        g.pop(name)


@pytest.fixture
def factories(app: Flask) -> Factories:
    """Makes rows in named states, each committed."""
    return Factories()


@pytest.fixture
def browser(app: Flask) -> Browser:
    """A person at a browser; every page it opens is checked for what holds on all pages."""
    return Browser(app)
