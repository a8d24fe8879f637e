"""What benchmarks stand on: an empty database, and the portal beside its floor, as served."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from cryptography.fernet import Fernet
from flask import Flask

from portal import create_app
from portal.cli.processes import Running, Servers, gunicorn
from portal.config import Settings
from portal.extensions import db

ROOT = Path(__file__).parents[2]
NOWHERE = "http://127.0.0.1:9"


def environment(url: str, folder: Path, **more: str) -> dict[str, str]:
    """Return the portal's environment: as an operator would set it, with keys of its own."""
    return {
        "SECRET_KEY": "a-secret-key-that-is-only-for-a-benchmark-012345",
        "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "DATABASE_URL": url,
        "STRIPE_API_BASE": NOWHERE,
        "SANDBOX_BASE_URL": NOWHERE,
        "PORTAL_INSTANCE": str(folder / "instance"),
        "PYTHONPATH": str(ROOT),
        "NO_PROXY": "127.0.0.1",
        **more,
    }


@contextmanager
def emptied(url: str, *also: str) -> Iterator[sa.Engine]:
    """Give a database with the portal's tables and nothing in them; empty it again afterwards.

    :param also: statements that make tables of the floor, whose names begin with ``floor_``
    """
    engine = sa.create_engine(url)
    _drop(engine)
    db.Model.metadata.create_all(engine)
    with engine.begin() as connection:
        for statement in also:
            connection.exec_driver_sql(statement)
    try:
        yield engine
    finally:
        _drop(engine)
        engine.dispose()


def _drop(engine: sa.Engine) -> None:
    found = [name for name in sa.inspect(engine).get_table_names() if name.startswith("floor_")]
    with engine.begin() as connection:
        for name in found:
            connection.exec_driver_sql(f"DROP TABLE {name}")
    db.Model.metadata.drop_all(engine)


@contextmanager
def filled(env: Mapping[str, str]) -> Iterator[Flask]:
    """Give the app in this process, for making rows; closed before it is served."""
    kept = {name: os.environ.get(name) for name in env}
    os.environ.update(env)
    try:
        app = create_app(Settings.from_environment())
        with app.app_context():
            yield app
            db.session.remove()
            db.engine.dispose()
    finally:
        for name, value in kept.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def serve(
    servers: Servers, name: str, app: str, port: int, env: Mapping[str, Any], *, workers: int = 2
) -> Running:
    """Serve an app as the portal is served; return once it answers ``/healthz``."""
    child = gunicorn(name, app, "127.0.0.1", port, env, workers=workers)
    running = servers.start(child)
    servers.wait_until_answers(running, f"http://127.0.0.1:{port}/healthz", 60)
    return running


def raw(url: str) -> str:
    """Return a PostgreSQL address as the driver itself takes it."""
    return url.replace("postgresql+psycopg://", "postgresql://", 1)
