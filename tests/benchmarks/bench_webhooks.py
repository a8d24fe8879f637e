"""How many webhook events a second are stored and applied, against the same job with nothing else.

    python -m tests.benchmarks.bench_webhooks --database postgresql+psycopg://… [--pairs 7]

The floor is a Flask app of one route that checks the signature and then, with psycopg and in one
transaction, inserts the event once, reads the subscription ``FOR UPDATE`` and updates it. The
product is the portal, ``wsgi:app``, with all its tables, rules and its worker. Both are served by
the same gunicorn options; requests come eight at a time with a new connection each, built and
signed before. All alternate in one run:

- ``ratio``: distinct renewals, product to floor, on a database that is emptied before and after;
- ``slow_stripe``: the portal whose Stripe takes 100 ms for each answer, to one whose Stripe
  answers at once, and how often Stripe was asked;
- ``duplicates``: one event again and again, to distinct events, 64 at a time;
- ``moves``: events by which a debt begins and is settled, each with its line in the timeline and
  its notice, to the floor, which has neither;
- ``round_trips``: how often one renewal waits for the database, counted on the wire.

``--djstripe FOLDER`` also measures dj-stripe's default handler on the same load, in an environment
of its own that is made in that folder, which costs a download. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import make_url

from portal.cli.processes import Running, Servers, free_ports
from tests.benchmarks import events, loading, stage
from tests.benchmarks.events import Sold
from tests.benchmarks.floors import TABLES
from tests.support.factories import Factories
from tests.support.gate import Counting

SUBSCRIPTIONS = 400
TARGET, DJSTRIPE_TARGET, STEADY = 0.8, 12.0, 0.95
MOST_ROUND_TRIPS = 4
PATH = "/api/am/stripe/webhook?tenantDomain=carbon.super"
FLOOR_PATH = "/webhook"


@dataclass(frozen=True)
class Measured:
    """Events a second, processor milliseconds for each, and how long the slow ones took."""

    rate: float
    cpu_ms: float
    p95_ms: float


@dataclass
class Side:
    """One of the servers that are compared, with what was measured of it."""

    running: Running
    port: int
    path: str

    def take(self, requests: Sequence[bytes], *, at_once: int = 8) -> Measured:
        """Send requests and measure."""
        pid = self.running.process.pid
        before = loading.processor_seconds(pid)
        load = loading.drive(self.port, requests, at_once=at_once).require(200)
        used = (loading.processor_seconds(pid) - before) / len(requests) * 1000
        return Measured(load.rate, used, load.percentile(0.95))


@dataclass
class Field:
    """Everything that one run needs."""

    floor: Side
    near: Side
    far: Side
    engine: sa.Engine
    quick: int
    """The port of the Stripe that answers at once."""
    slow: int
    """The port of the Stripe that takes its time."""
    env: dict[str, str]
    sold: list[Sold]
    count: int
    pairs: int

    def renew(self, side: Side, *, at_once: int = 8, most: int = 1_000_000) -> Measured:
        """Send a side distinct events that change no fact."""
        requests = events.renewals(self.sold, min(self.count, most), side.path)
        return side.take(requests, at_once=at_once)


def compare(
    field: Field,
    one: Callable[[], Measured],
    other: Callable[[], Measured],
    *,
    pairs: int | None = None,
) -> dict[str, Any]:
    """Alternate two measurements; return the medians and the median of the pairs' ratios.

    Every other pair begins with the other one: what comes second finds larger tables. After the
    first pair, which fills caches and is not counted, the tables are analysed, as PostgreSQL does
    by itself within a minute: else the connections that were used while they were empty go on
    with plans for empty tables.
    """
    rows = []
    for number in range((pairs or field.pairs) + 1):
        first, second = (one, other) if number % 2 else (other, one)
        row = first(), second()
        rows.append(row if number % 2 else row[::-1])
        if number == 0:
            with field.engine.begin() as connection:
                connection.exec_driver_sql("ANALYZE")
    rows = rows[1:]
    sides = list(zip(*rows, strict=True))
    ratios = [second.rate / first.rate for first, second in rows]
    return {
        "ratio": round(median(ratios), 2),
        "ratios": [round(ratio, 2) for ratio in ratios],
        "rates": [round(median(each.rate for each in side)) for side in sides],
        "cpu_ms": [round(median(each.cpu_ms for each in side), 2) for side in sides],
        "p95_ms": [round(median(each.p95_ms for each in side), 1) for side in sides],
    }


def measure(url: str, folder: Path, pairs: int, count: int, djstripe: Path | None) -> Any:
    """Run everything; return the result."""
    with stage.emptied(url, TABLES) as engine, Servers(folder / "logs") as servers:
        field = _set_up(url, folder, servers, engine, pairs, count)
        result = _all(field, url, servers)
        if djstripe is not None:
            from tests.benchmarks import peer_djstripe

            with peer_djstripe.served(djstripe, url, servers, field.quick) as peer:
                side = Side(peer.running, peer.port, peer.path)
                result["djstripe"] = _against(field, side)
    result["load"] = [round(each, 1) for each in os.getloadavg()]
    result["passed"] = _passed(result)
    return result


def _set_up(
    url: str, folder: Path, servers: Servers, engine: sa.Engine, pairs: int, count: int
) -> Field:
    floor, near, far, quick, slow = free_ports(5)
    env = stage.environment(url, folder, STRIPE_API_BASE=f"http://127.0.0.1:{quick}")
    with stage.filled(env):
        sold = events.sell(Factories(), SUBSCRIPTIONS)
    with engine.begin() as connection:
        connection.execute(
            sa.text("INSERT INTO floor_subscription VALUES (:name, 'active', 0, 0)"),
            [{"name": each.engine_id} for each in sold],
        )
    canned = "tests.benchmarks.canned_stripe:stripe()"
    here = {"PYTHONPATH": str(stage.ROOT)}
    stage.serve(servers, "stripe", canned, quick, here, workers=1)
    stage.serve(servers, "slow", canned, slow, {**here, "CANNED_DELAY": "100"}, workers=1)
    far_env = {**env, "STRIPE_API_BASE": f"http://127.0.0.1:{slow}"}
    floor_env = {**here, "FLOOR_DATABASE": stage.raw(url)}
    sides = [
        Side(stage.serve(servers, name, app, port, env_), port, path)
        for name, app, port, env_, path in (
            ("floor", "tests.benchmarks.floors:webhook()", floor, floor_env, FLOOR_PATH),
            ("near", "wsgi:app", near, env, PATH),
            ("far", "wsgi:app", far, far_env, PATH),
        )
    ]
    return Field(
        *sides, engine, quick=quick, slow=slow, env=env, sold=sold, count=count, pairs=pairs
    )


def _all(field: Field, url: str, servers: Servers) -> dict[str, Any]:
    return {
        "benchmark": "webhooks",
        "database": make_url(url).get_backend_name(),
        "events": field.count,
        "pairs": field.pairs,
        **compare(field, lambda: field.renew(field.floor), lambda: field.renew(field.far)),
        "target_ratio": TARGET,
        "slow_stripe": _slow(field),
        "duplicates": _duplicates(field),
        "moves": _moves(field),
        "round_trips": _round_trips(field, url, servers),
    }


def _slow(field: Field) -> dict[str, Any]:
    """Compare a portal whose Stripe is slow to one whose Stripe answers at once."""
    result = compare(field, lambda: field.renew(field.near), lambda: field.renew(field.far))
    address = f"http://127.0.0.1:{field.slow}/_calls"
    with urllib.request.urlopen(address) as answer:
        return {**result, "asked": json.load(answer)["count"]}


def _duplicates(field: Field) -> dict[str, Any]:
    """Compare one event again and again to distinct events."""

    def again() -> Measured:
        requests = events.renewals(field.sold, 1, field.near.path) * field.count
        return field.near.take(requests, at_once=64)

    return compare(field, lambda: field.renew(field.near, at_once=64), again)


def _moves(field: Field) -> dict[str, Any]:
    """Compare events of which each is a move to the floor."""
    fewer = min(field.count // 2, SUBSCRIPTIONS)
    turns = cycle(("past_due", "active"))

    def moves() -> Measured:
        # Each is due once: every other time debts begin, and every other time they are settled.
        path = field.near.path
        return field.near.take(events.renewals(field.sold, fewer, path, status=next(turns)))

    result = compare(field, lambda: field.renew(field.floor, most=fewer), moves)
    if field.pairs % 2 == 0:
        field.renew(field.near, most=fewer)  # Settles what is open.
    return result


def _round_trips(field: Field, url: str, servers: Servers) -> int:
    """Return how often one renewal waits for the database, once statements are prepared."""
    there = make_url(url)
    gate = Counting(str(there.host), int(there.port or 5432))
    (port,) = free_ports(1)
    behind = there.set(port=gate.port).render_as_string(hide_password=False)
    env = {**field.env, "DATABASE_URL": behind}
    stage.serve(servers, "gated", "wsgi:app", port, env, workers=1)
    try:
        costs = []
        for request in events.renewals(field.sold, 60, PATH):
            before = gate.turns
            loading.drive(port, [request]).require(200)
            costs.append(gate.turns - before)
        return int(median(costs[20:]))
    finally:
        servers.stop(["gated"])
        gate.close()


def _against(field: Field, peer: Side) -> dict[str, Any]:
    """Compare the portal to dj-stripe, both with a Stripe that answers at once."""
    fewer = max(60, field.count // 10)
    pairs = max(1, field.pairs // 2)
    result = compare(
        field,
        lambda: field.renew(peer, most=fewer),
        lambda: field.renew(field.near),
        pairs=pairs,
    )
    return {**result, "target_ratio": DJSTRIPE_TARGET}


def _passed(result: dict[str, Any]) -> bool:
    slow = result["slow_stripe"]
    return bool(
        result["ratio"] >= TARGET
        and slow["ratio"] >= STEADY
        and slow["asked"] == 0
        and result["duplicates"]["ratio"] >= 1
        and result["round_trips"] <= MOST_ROUND_TRIPS
        and ("djstripe" not in result or result["djstripe"]["ratio"] >= DJSTRIPE_TARGET)
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--database", required=True, help="PostgreSQL; everything in it is deleted")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--events", type=int, default=1_000)
    parser.add_argument("--djstripe", type=Path, help="a folder for dj-stripe's own environment")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(
            chosen.database, Path(folder), chosen.pairs, chosen.events, chosen.djstripe
        )
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
