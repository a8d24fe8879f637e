"""What the gateway's benchmarks share: nginx, load by wrk, servers with their CPU, many keys.

Needs nginx with its Lua module, and wrk (Debian: ``apt-get install nginx-light
libnginx-mod-http-lua wrk``).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import sqlalchemy as sa
from cryptography.fernet import Fernet
from flask import Flask

from portal import create_app
from portal.cli.processes import Child, Running, Servers
from portal.config import Settings
from portal.extensions import db
from portal.models import Application, ApplicationKey, KeyType, Subscription
from portal.services import subscriptions
from portal.services.applications import hash_of
from portal.services.subscriptions import Cause
from tests.support.factories import Factories
from tests.support.nginx import DEPLOY, absent, server

GUNICORN = (sys.executable, "-m", "gunicorn")
CONNECTIONS = 16
_PACKAGES = "apt-get install nginx-light libnginx-mod-http-lua wrk"
_TICKS = os.sysconf("SC_CLK_TCK")
_SECRET = "a-secret-key-that-is-only-for-a-benchmark-012345"
_KEY = Fernet.generate_key().decode()
#: Every request takes the next key of a shuffled list, so that all of them are equally hot.
_LUA = """
local paths = { %s }
local keys = { %s }
local at = math.random(#keys)
function request()
  at = at %% #keys + 1
  return wrk.format("GET", paths[(at - 1) %% #paths + 1], { ["ApiKey"] = keys[at] })
end
function done(summary, latency, requests)
  io.write(string.format("RESULT %%d %%d %%d %%d %%d %%d\\n", summary.requests, summary.duration,
    summary.errors.status, summary.errors.connect + summary.errors.read + summary.errors.write
    + summary.errors.timeout, latency:percentile(50), latency:percentile(95)))
end
"""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What one run of load came to."""

    rate: float
    requests: int
    p50_ms: float
    p95_ms: float
    refused: int
    broken: int
    cpu_ms: float
    """Processor time of the servers for each request."""
    foreign: float
    """Share of the processor that neither the servers nor the load used."""

    def whole(self, name: str) -> Load:
        """Return it.

        :raise RuntimeError: if a call of it did not go through
        """
        if self.refused or self.broken:
            raise RuntimeError(f"{name}: {self}")
        return self


def program(name: str) -> str:
    """Return the path of a program, or end with what to install."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        raise SystemExit(f"{name} is not installed (Debian: {_PACKAGES}).")
    return found


def load_script(folder: Path, name: str, paths: Sequence[str], keys: Sequence[str]) -> Path:
    """Write down which requests are made: every key in turn."""
    quoted = [", ".join(json.dumps(each) for each in some) for some in (paths, keys)]
    path = folder / f"{name}.lua"
    path.write_text(_LUA % tuple(quoted))
    return path


def drive(
    origin: str,
    script: Path,
    seconds: float,
    servers: Sequence[Running],
    *,
    connections: int = CONNECTIONS,
) -> Load:
    """Load an origin for some seconds; return what came of it.

    :raise RuntimeError: if wrk did not say
    """
    before, busy = [_cpu(each) for each in servers], _busy()
    own = _of_children()
    command = [program("wrk"), f"-t{min(2, connections)}", f"-c{connections}", f"-d{seconds:g}s",
               "-s", str(script), origin]  # fmt: skip
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not found:
        raise RuntimeError(done.stdout + done.stderr)
    count, micros, refused, broken, p50, p95 = map(int, found[0].split()[1:])
    used = sum(_cpu(each) for each in servers) - sum(before)
    total = _busy() - busy
    ours = used + _of_children() - own
    return Load(
        rate=count / micros * 1e6,
        requests=count,
        p50_ms=p50 / 1000,
        p95_ms=p95 / 1000,
        refused=refused,
        broken=broken,
        cpu_ms=used * 1000 / max(count, 1),
        foreign=max(0.0, total - ours) / (seconds * (os.cpu_count() or 1)),
    )


def _of_children() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _cpu(running: Running) -> float:
    """Return the seconds that a server and its children have used, ended ones included."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        # Every server is started in a session of its own: its workers are of the same one.
        if int(fields[3]) == running.process.pid:
            total += sum(int(each) for each in fields[11:15])
    return total / _TICKS


def _busy() -> float:
    """Return the seconds that all processors together have worked."""
    user, nice, system, _idle, _wait, irq, soft, *_ = map(
        int, Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    )
    return (user + nice + system + irq + soft) / _TICKS


def nginx(folder: Path, name: str, http: str) -> Child:
    """Describe an nginx with two workers and the ``http`` block given."""
    if missing := absent(http):
        raise SystemExit(f"{', '.join(missing)} is not installed (Debian: {_PACKAGES}).")
    return server(folder, name, f"keepalive_requests 10000000;\n{http}")


def backend(folder: Path, port: int) -> Child:
    """Describe a back end that answers at once: an nginx of its own."""
    answer = 'default_type text/plain; return 200 "ok";'
    return nginx(
        folder,
        "backend",
        f"access_log off; server {{ listen 127.0.0.1:{port}; location / {{ {answer} }} }}",
    )


def wait_for(servers: Servers, running: Running, url: str) -> None:
    """Wait until a server answers."""
    servers.wait_until_answers(running, url, 120)


# --- a portal with many keys ----------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Shop:
    """A portal's database with an API and keys that may call it."""

    settings: Settings
    place: str
    keys: list[str]
    uuids: list[str]

    def portal(self, port: int) -> Child:
        """Describe the portal under gunicorn, as ``deploy`` runs it."""
        env = {
            "SECRET_KEY": _SECRET,
            "ENCRYPTION_KEYS": _KEY,
            "DATABASE_URL": self.settings.database_url,
            "PORTAL_INSTANCE": str(self.settings.instance),
            "PORTAL_BASE_URL": f"http://127.0.0.1:{port}",
            "STRIPE_API_BASE": "http://127.0.0.1:9",
            "PORTAL_BIND": f"127.0.0.1:{port}",
            "WEB_CONCURRENCY": "2",
            "NO_PROXY": "127.0.0.1",
        }
        return Child("portal", [*GUNICORN, "-c", str(DEPLOY / "gunicorn.conf.py"), "wsgi:app"], env)


def shop(url: str, folder: Path, count: int) -> tuple[Flask, Shop]:
    """Fill an empty database with ``count`` applications, each with a key and a subscription."""
    settings = Settings(
        secret_key=_SECRET,
        encryption_keys=(_KEY,),
        database_url=url,
        stripe_api_base="http://127.0.0.1:9",
        sandbox_base_url="http://127.0.0.1:9",
        PORTAL_INSTANCE=folder / "instance",
        PORTAL_TESTING=True,
    )
    engine = sa.create_engine(url)
    db.Model.metadata.drop_all(engine)
    db.Model.metadata.create_all(engine)
    engine.dispose()
    app = create_app(settings)
    with app.app_context():
        place, keys, uuids = _fill(count)
        db.session.remove()
        db.engine.dispose()
    return app, Shop(settings=settings, place=place, keys=keys, uuids=uuids)


def _fill(count: int) -> tuple[str, list[str], list[str]]:
    factories = Factories()
    policy = factories.policy()
    policy.quota, policy.time_unit = 2_000_000_000, "hours"
    policy.rate_limit_count, policy.rate_limit_time_unit = 10_000_000, "min"
    api = factories.api("rates", factories.save(policy))
    owner = factories.user(None, "subscriber")
    keys, uuids = [], []
    for number in range(count):
        key, uuid = f"amp_live_{uuid4().hex}", str(uuid4())
        application = Application(
            tenant_id=owner.tenant_id, owner_id=owner.user_id, name=f"Caller {number}"
        )
        application.keys = [
            ApplicationKey(key_type=KeyType.PRODUCTION, key_hash=hash_of(key), prefix=key[:15])
        ]
        db.session.add(application)
        db.session.flush()
        row = Subscription(
            uuid=uuid,
            tenant_id=api.tenant_id,
            api_id=api.api_id,
            application_id=application.application_id,
            policy_version_id=policy.current.policy_version_id,
            billing="NOT_REQUIRED",
            live_key=f"{application.application_id}:{api.api_id}",
        )
        subscriptions.begin(row, Cause(because="Made for a benchmark.", actor="benchmark"))
        db.session.add(row)
        keys.append(key)
        uuids.append(uuid)
        if number % 500 == 499:
            db.session.commit()
            db.session.expunge_all()
            api, policy, owner = (db.session.merge(each) for each in (api, policy, owner))
    db.session.commit()
    return api.gateway_path, keys, uuids
