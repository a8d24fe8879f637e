"""What nginx as the gateway costs: decisions kept for a second, every call metered.

    python -m tests.benchmarks.bench_gateway_cached [--database URL] [--keys 100] [--pairs 5]

Floor (``direct``): the same nginx passing calls to the same back end, without a question, without
a log. Product: the configurations of ``deploy``, ``nginx-gateway.conf`` (``metered``) and
``nginx-gateway-lua.conf`` (``lua``), with the portal under gunicorn behind them, their log of
calls, and a ``flask usage tail --follow`` that counts the log at the same time: that has begun,
and has counted what there was, before the load begins. ``logged`` is the first one while nobody
counts the log, ``unmetered`` without the log, so that ``metering_ratio`` is what the log costs.
``question`` is the least that the first way costs: nginx asks the back end itself, keeps its 200
for a second by the key, takes nothing from it and logs nothing. All alternate. Prints one JSON
line; it has passed if one of the two has what is wanted.

Then the load runs once more on each while the counting process is killed (SIGKILL) again and
again by others that take over: every line of the logs has to be in the ledger once.
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from threading import Event, Thread
from typing import Any

import sqlalchemy as sa
from flask import Flask

from portal.cli.processes import Child, Running, Servers, flask_command, free_ports
from portal.extensions import db
from portal.flows import draining
from portal.models import UsageBucket
from portal.services import gateway_log
from tests.benchmarks import command, gateway
from tests.benchmarks.gateway import Load, Shop
from tests.support import nginx

TARGET, TARGET_OF_LOG = 0.75, 0.87
_NAMES = ("direct", "metered", "lua", "logged", "unmetered", "question")
#: Those whose calls are written down, and the front that each of them is.
_LOGGED = {"metered": "log", "logged": "log", "lua": "lua"}
#: Those whose log is counted while it is written.
COUNTED = ("metered", "lua")
_QUESTION = """
proxy_cache_path {memory}/question levels=1:2 keys_zone=question:10m use_temp_path=off;
access_log off;
proxy_http_version 1.1;
proxy_set_header Connection "";
upstream backend {{ server 127.0.0.1:{back}; keepalive 32; }}
server {{
    listen 127.0.0.1:{listen};
    location / {{ auth_request /question; proxy_pass http://backend; }}
    location = /question {{
        internal;
        proxy_cache question;
        proxy_cache_key $http_apikey;
        proxy_cache_valid 200 1s;
        proxy_cache_lock on;
        open_file_cache max=10000 inactive=20s;
        proxy_pass_request_body off;
        proxy_pass_request_headers off;
        proxy_pass http://backend;
    }}
}}"""


class Bench:
    """The servers of one run, and how each is loaded."""

    def __init__(
        self, servers: Servers, app: Flask, shop: Shop, folder: Path, memory: Path
    ) -> None:
        self.servers, self.app, self.shop, self.memory = servers, app, shop, memory
        self.logs = {name: folder / f"usage-{name}.log" for name in set(_LOGGED.values())}
        self.script = gateway.load_script(folder, "calls", [f"{shop.place}/x"], shop.keys)
        back, self.portal_port = free_ports(2)
        names = ("direct", "log", "lua", "none", "question")
        self.listen = dict(zip(names, free_ports(len(names)), strict=True))
        self.portal = servers.start(shop.portal(self.portal_port))
        self.backend = servers.start(gateway.backend(folder, back))
        direct = (
            f"access_log off; upstream backend {{ server 127.0.0.1:{back}; keepalive 32; }}"
            f"server {{ listen 127.0.0.1:{self.listen['direct']}; location / {{"
            ' proxy_http_version 1.1; proxy_set_header Connection "";'
            " proxy_pass http://backend; } }"
        )
        fronts = {
            "direct": direct,
            "log": self._gateway(back, "log", "nginx-gateway.conf"),
            "lua": self._gateway(back, "lua", "nginx-gateway-lua.conf"),
            "none": self._gateway(back, "none", "nginx-gateway.conf"),
            "question": _QUESTION.format(memory=memory, back=back, listen=self.listen["question"]),
        }
        self.fronts = {
            name: servers.start(gateway.nginx(folder, name, http)) for name, http in fronts.items()
        }
        portal = f"http://127.0.0.1:{self.portal_port}/healthz"
        gateway.wait_for(servers, self.portal, portal)

    def _gateway(self, back: int, name: str, template: str) -> str:
        words = {
            "GATEWAY_LISTEN": f"127.0.0.1:{self.listen[name]}",
            "PORTAL_ADDRESS": f"127.0.0.1:{self.portal_port}",
            "DECISIONS": f"{self.memory}/{name}",
            "USAGE_LOG": str(self.logs.get(name, "off")),
            "API": self.shop.place,
            "BACKEND": f"127.0.0.1:{back}",
            "SANDBOX_BACKEND": f"127.0.0.1:{back}",
        }
        http = nginx.filled(template, words)
        return http.replace("access_log off portal_usage", "access_log off")

    def load(self, name: str, seconds: float, *, counted: bool) -> Load:
        """Load one of them; every call has to go through.

        :param counted: whether somebody counts its log meanwhile
        """
        front = {"unmetered": "none", **_LOGGED}.get(name, name)
        tail = self._counting(name, self.logs[front]) if counted else None
        servers = [self.fronts[front], self.backend, self.portal, *([tail] if tail else [])]
        try:
            found = gateway.drive(
                f"http://127.0.0.1:{self.listen[front]}", self.script, seconds, servers
            )
        finally:
            self.servers.stop([tail.name] if tail else [])
        return found.whole(name)

    def _counting(self, name: str, log: Path) -> Running:
        """Start the process that counts the log, and let it count what nobody had counted yet."""
        tail = self.servers.start(self.tail(name, log))
        with self.app.app_context():
            for _ in range(600):
                db.session.rollback()
                if not log.stat().st_size:
                    break
                if gateway_log.is_whole(db.session.connection(), log):
                    break
                time.sleep(0.1)
            else:
                raise RuntimeError("The log is not counted.")
            db.session.remove()
        return tail

    def tail(self, name: str, log: Path) -> Child:
        """Describe the process that counts a log."""
        env = {**self.shop.portal(self.portal_port).env}
        return flask_command(f"tail-{name}", "usage", "tail", str(log), "--follow", env=env)

    def killed(self, name: str, seconds: float) -> tuple[Load, int]:
        """Load the gateway while whoever counts the log is killed; return how often that was."""
        going, kills = Event(), 0
        chance = random.Random(1)
        found: list[Load] = []
        loader = Thread(target=lambda: found.append(self.load(name, seconds, counted=False)))
        loader.start()
        while loader.is_alive():
            # Two count at the same time; each lives for a moment after it has begun to work.
            log = self.logs[_LOGGED[name]]
            pair = [self.servers.start(self.tail(f"{name}-{kills + n}", log)) for n in range(2)]
            for each in pair:
                going.wait(2 + chance.random() * 1.5)
                os.killpg(each.process.pid, signal.SIGKILL)
                kills += 1
            self.servers.stop([each.name for each in pair])
        loader.join()
        return found[0], kills


def measure(url: str, folder: Path, keys: int, pairs: int, seconds: float) -> dict[str, Any]:
    """Alternate floor and product; return medians and ratios."""
    app, shop = gateway.shop(url, folder, keys)
    found: dict[str, list[Load]] = {name: [] for name in _NAMES}
    answered = 0
    with _memory() as memory, Servers(folder / "logs") as servers:
        bench = Bench(servers, app, shop, folder, memory)
        for name in _NAMES:
            answered += _answered(bench.load(name, 2, counted=name in COUNTED), name)
        for _ in range(pairs):
            for name in _NAMES:
                load = bench.load(name, seconds, counted=name in COUNTED)
                answered += _answered(load, name)
                found[name].append(load)
        kills = 0
        for name in COUNTED:
            under_fire, died = bench.killed(name, seconds * 3)
            answered += under_fire.requests
            kills += died
        time.sleep(0.5)
        # A line that names nobody is of a caller who hung up before there was a decision.
        logs = [each.read_bytes() for each in bench.logs.values()]
        lines = sum(each.count(b"\n") - each.count(b'"sub":""') for each in logs)
        counted = _counted(app, bench.logs.values())
    rates = {name: median(each.rate for each in loads) for name, loads in found.items()}
    ratio, with_lua = (_ratio(found, name, "direct") for name in COUNTED)
    of_log = _ratio(found, "logged", "unmetered")
    # A call that is under way when the load ends is logged, and its answer not waited for.
    most_under_way = gateway.CONNECTIONS * (3 * pairs + 5)
    exact = counted == lines and 0 <= lines - answered <= most_under_way
    return {
        "benchmark": "gateway_cached",
        "database": url.partition(":")[0],
        "keys": keys,
        "pairs": pairs,
        **{f"{name}_per_second": round(rate) for name, rate in rates.items()},
        **{f"{name}_cpu_ms": round(median(e.cpu_ms for e in found[name]), 3) for name in _NAMES},
        **{f"{name}_added_p50_ms": _added(found, name) for name in COUNTED},
        "foreign_cpu_share": round(max(e.foreign for all_ in found.values() for e in all_), 2),
        "ratio": round(ratio, 2),
        "ratio_with_lua": round(with_lua, 2),
        "ratio_while_nobody_counts": round(_ratio(found, "logged", "direct"), 2),
        "target_ratio": TARGET,
        "ratio_of_the_question_alone": round(_ratio(found, "question", "direct"), 2),
        "metering_ratio": round(of_log, 2),
        "target_metering_ratio": TARGET_OF_LOG,
        "kills": kills,
        "answered": answered,
        "logged": lines,
        "counted": counted,
        "passed": max(ratio, with_lua) >= TARGET and of_log >= TARGET_OF_LOG and exact,
    }


@contextmanager
def _memory() -> Iterator[Path]:
    """Lend a folder in memory, where there is one: decisions stand in files."""
    shared = Path("/dev/shm")  # noqa: S108
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        yield Path(folder)


def _answered(load: Load, name: str) -> int:
    return load.requests if name in _LOGGED else 0


def _added(found: dict[str, list[Load]], name: str) -> float:
    mine, floor = (median(each.p50_ms for each in found[which]) for which in (name, "direct"))
    return round(mine - floor, 2)


def _ratio(found: dict[str, list[Load]], name: str, floor: str) -> float:
    return median(a.rate / b.rate for a, b in zip(found[name], found[floor], strict=True))


def _counted(app: Flask, logs: Iterable[Path]) -> int:
    with app.app_context():
        for each in logs:
            draining.drain_log(each)
        total = db.session.scalar(sa.select(sa.func.sum(UsageBucket.calls)))
        db.session.remove()
        db.engine.dispose()
    return int(total or 0)


if __name__ == "__main__":
    command.run(__doc__, measure, keys=100, pairs=5, seconds=5.0)
