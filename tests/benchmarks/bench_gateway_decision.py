"""How fast decisions are that nobody keeps: the portal, against a bare Flask dictionary look-up.

    python -m tests.benchmarks.bench_gateway_decision [--database URL] [--keys 100] [--pairs 5]

One nginx asks for every call (``auth_request``, nothing cached) and passes it on to a back end
that answers at once. Floor: a Flask app of one route, which looks the key up in a dictionary.
Product: the portal with its whole policy: key, application, API, tenant, plan, status, quota and
burst limit. Both run with two workers under gunicorn, the floor also as the plain ``sync`` worker
and without an access log (``floor_sync``). They alternate. Prints one JSON line; ``ratio`` is to
the faster floor.
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

from portal.cli.processes import Child, Servers, free_ports
from tests.benchmarks import command, gateway
from tests.benchmarks.gateway import DEPLOY, GUNICORN, Load, Shop

TARGET = 0.9
_FLOOR = """
import json
from flask import Flask, request
app = Flask(__name__)
KEYS = dict.fromkeys(json.load(open("{keys}")), "subscription")
@app.get("/gateway/authorize")
def decide():
    found = KEYS.get(request.headers.get("ApiKey", ""))
    if found is None:
        return "", 403
    return "", 200, {{"X-Subscription": found}}
@app.get("/healthz")
def healthz():
    return "ok"
"""
_SERVER = """
upstream {name} {{ server 127.0.0.1:{decisions}; keepalive 16; keepalive_requests 10000000; }}
server {{
    listen 127.0.0.1:{listen};
    access_log off;
    location = /healthz {{ return 204; }}
    location / {{ auth_request /_decision; proxy_http_version 1.1;
        proxy_set_header Connection ""; proxy_pass http://backend; }}
    location = /_decision {{
        internal; proxy_http_version 1.1; proxy_pass_request_body off;
        proxy_pass_request_headers off; proxy_set_header Connection "";
        proxy_set_header Content-Length ""; proxy_set_header ApiKey $http_apikey;
        proxy_set_header X-Original-URI $request_uri;
        proxy_pass http://{name}/gateway/authorize{query};
    }}
}}
"""


class Bench:
    """The servers of one run, and how each is loaded."""

    def __init__(self, servers: Servers, shop: Shop, folder: Path) -> None:
        self.servers = servers
        self.script = gateway.load_script(folder, "calls", [f"{shop.place}/x"], shop.keys)
        back, portal, threads, sync = free_ports(4)
        self.listen = dict(zip(("look", "count", "threads", "sync"), free_ports(4), strict=True))
        (folder / "keys.json").write_text(json.dumps(shop.keys))
        (folder / "floor.py").write_text(_FLOOR.format(keys=folder / "keys.json"))
        self.running = {
            "portal": servers.start(shop.portal(portal)),
            "threads": servers.start(_floor(folder, threads, "threads")),
            "sync": servers.start(_floor(folder, sync, "sync")),
        }
        servers.start(gateway.backend(folder, back))
        ports = {"look": portal, "count": portal, "threads": threads, "sync": sync}
        blocks = [
            _SERVER.format(
                name=name,
                decisions=ports[name],
                listen=port,
                query="?meter=log" if name == "look" else "",
            )
            for name, port in self.listen.items()
        ]
        upstream = f"upstream backend {{ server 127.0.0.1:{back}; keepalive 32; }}"
        self.front = servers.start(gateway.nginx(folder, "front", upstream + "".join(blocks)))
        for name, port in {"portal": portal, "threads": threads, "sync": sync}.items():
            gateway.wait_for(servers, self.running[name], f"http://127.0.0.1:{port}/healthz")

    def load(self, name: str, seconds: float) -> Load:
        """Load one of them; every call has to go through.

        Not measured from the first second: who has rested takes up its leases anew in it.
        """
        deciding = self.running["portal" if name in ("look", "count") else name]
        origin = f"http://127.0.0.1:{self.listen[name]}"
        gateway.drive(origin, self.script, 1, [])
        return gateway.drive(origin, self.script, seconds, [self.front, deciding]).whole(name)


def _floor(folder: Path, port: int, kind: str) -> Child:
    env = {"PYTHONPATH": str(folder), "PORTAL_BIND": f"127.0.0.1:{port}", "WEB_CONCURRENCY": "2"}
    if kind == "threads":
        options = ["-c", str(DEPLOY / "gunicorn.conf.py")]
    else:
        options = ["-w2", f"-b127.0.0.1:{port}", "--no-control-socket"]
    return Child(f"floor-{kind}", [*GUNICORN, *options, "floor:app"], env)


def measure(url: str, folder: Path, keys: int, pairs: int, seconds: float) -> dict[str, Any]:
    """Alternate floors and product; return medians and ratios."""
    _app, shop = gateway.shop(url, folder, keys)
    names = ("threads", "look", "sync", "count")
    found: dict[str, list[Load]] = {name: [] for name in names}
    with Servers(folder / "logs") as servers:
        bench = Bench(servers, shop, folder)
        for name in names:
            bench.load(name, 3)
        for _ in range(pairs):
            for name in names:
                found[name].append(bench.load(name, seconds))
    floors = [max(a.rate, b.rate) for a, b in zip(found["threads"], found["sync"], strict=True)]
    ratio = median(a.rate / floor for a, floor in zip(found["look"], floors, strict=True))
    counting = median(a.rate / floor for a, floor in zip(found["count"], floors, strict=True))
    return {
        "benchmark": "gateway_decision",
        "database": url.partition(":")[0],
        "keys": keys,
        "pairs": pairs,
        **{f"{name}_per_second": round(median(e.rate for e in found[name])) for name in names},
        **{f"{name}_p50_ms": median(e.p50_ms for e in found[name]) for name in names},
        **{f"{name}_cpu_ms": round(median(e.cpu_ms for e in found[name]), 3) for name in names},
        "foreign_cpu_share": round(max(e.foreign for all_ in found.values() for e in all_), 2),
        "ratio": round(ratio, 2),
        "ratio_counting_here": round(counting, 2),
        "target_ratio": TARGET,
        "passed": ratio >= TARGET,
    }


if __name__ == "__main__":
    command.run(__doc__, measure, keys=100, pairs=5, seconds=5.0)
