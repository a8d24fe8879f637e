"""dj-stripe in an environment of its own, for the same load as the portal's webhook.

It stores each event and, as its handler does by default, asks Stripe for the object and keeps that.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from portal.cli.processes import Child, Running, Servers, free_ports, gunicorn
from tests.benchmarks import stage
from tests.benchmarks.floors import SECRET

PACKAGES = ("dj-stripe==2.11.0", "Django==5.2.*", "psycopg[binary]==3.*", "gunicorn")
#: As in the app, which only its own environment can import.
ENDPOINT = "7b1f3c52-0c0b-4c50-9d8e-5a1d2f7e9c11"
SCHEMA = "djstripe"
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Peer:
    """dj-stripe, served."""

    running: Running
    port: int
    path: str


def environment_in(folder: Path) -> Path:
    """Return the Python of dj-stripe's environment, which is made if it is not there."""
    python = folder.resolve() / "bin" / "python"
    if not (folder / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *PACKAGES], check=True)
        (folder / "complete").touch()
    return python


@contextmanager
def served(folder: Path, url: str, servers: Servers, stripe_port: int) -> Iterator[Peer]:
    """Serve dj-stripe on a schema of its own in the database, which is dropped afterwards."""
    python = environment_in(folder)
    env = {
        "PEER_DATABASE": stage.raw(url),
        "PEER_STRIPE": f"http://127.0.0.1:{stripe_port}",
        "PEER_SECRET": SECRET,
        "PYTHONPATH": str(_HERE),
        "NO_PROXY": "127.0.0.1",
    }
    (port,) = free_ports(1)
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        connection.exec_driver_sql(f"CREATE SCHEMA {SCHEMA}")
    try:
        subprocess.run(
            [str(python), str(_HERE / "peer_djstripe_app.py")],
            env={**os.environ, **env},
            check=True,
        )
        made = gunicorn(
            "djstripe", "peer_djstripe_app:application", "127.0.0.1", port, env, workers=2
        )
        # The same options, but for the configuration that only the portal can import.
        options = [each for each in made.command[1:] if each != "--config=python:portal.cli"]
        child = Child(made.name, [str(python), *options], made.env)
        running = servers.start(child)
        servers.wait_until_answers(running, f"http://127.0.0.1:{port}/healthz", 60)
        yield Peer(running, port, f"/stripe/webhook/{ENDPOINT}/")
    finally:
        servers.stop(["djstripe"])
        with engine.connect() as connection:
            connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        engine.dispose()
