"""How long it takes to publish many batches, against the time that Stripe's rate limit allows.

    python -m tests.benchmarks.bench_usage_publish [--items 10000] [--rate 100] [--database URL]

A canned stub answers each meter event after 80 ms, and with 429 what comes faster than the limit
(a bucket as large as one second). Floor: the number of items divided by the limit. Product: one
whole publish run: freezing, claiming, sending, receipts. Every item has to be sent with exactly
one call. Then a run with nothing new: how long it takes, and that it calls nobody. ``--busy`` is
the share of calls that the stub answers with 429 for no reason, ``--failing`` with 500. Prints
one JSON line; ``--rate 25`` is the pace of test keys.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import sqlalchemy as sa

from portal.billing.engine import BillingEngine
from portal.billing.registry import EngineSettings
from portal.billing.stripe.engine import StripeBillingEngine
from portal.extensions import db
from portal.flows import publishing
from portal.models import BatchState, PublishRun, Tenant, UsageBatch
from tests.benchmarks import metered

TARGET, TARGET_IDLE_MS, TARGET_CPU_MS = 1.03, 50, 2.85
LATENCY = 0.08
EACH = 7


class Stub:
    """Answers meter events as they come, in a process of its own."""

    def __init__(self, pipe: Connection, rate: float, busy: float, failing: float) -> None:
        self.pipe, self.rate, self.busy, self.failing = pipe, rate, busy, failing
        self.tokens, self.at = rate, time.monotonic()
        self.chance = random.Random(1)
        self.calls = self.refused = self.taken = 0
        self.known: set[str] = set()

    async def serve(self) -> None:
        """Answer until the pipe says that it is enough."""
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.pipe.send(server.sockets[0].getsockname()[1])
        loop = asyncio.get_running_loop()
        while await loop.run_in_executor(None, self.pipe.recv) == "count":
            self.pipe.send((self.calls, self.refused, self.taken))
        server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lower = head.lower()
                at = lower.index(b"content-length:")
                body = await reader.readexactly(int(lower[at + 15 : lower.index(b"\r", at)]))
                status = self._judge(body.decode())
                await asyncio.sleep(LATENCY)
                writer.write(_answer(status))
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError, ValueError):
            pass
        finally:
            writer.close()

    def _judge(self, body: str) -> int:
        self.calls += 1
        now = time.monotonic()
        self.tokens = min(self.rate, self.tokens + (now - self.at) * self.rate)
        self.at = now
        drawn = self.chance.random()
        if self.tokens < 1 or drawn < self.busy:
            self.refused += 1
            return 429
        self.tokens -= 1
        if drawn < self.busy + self.failing:
            return 500
        identifier = next(part for part in body.split("&") if part.startswith("identifier="))
        self.taken += identifier not in self.known
        self.known.add(identifier)
        return 200


def _answer(status: int) -> bytes:
    body = b'{"object":"billing.meter_event","event_name":"e","payload":{},"identifier":"i"}'
    if status != 200:
        body = b'{"error":{"type":"api_error","message":"Not now."}}'
    head = (
        f"HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\nRequest-Id: req_1\r\n"
        f"Stripe-Should-Retry: false\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _run_stub(pipe: Connection, rate: float, busy: float, failing: float) -> None:
    asyncio.run(Stub(pipe, rate, busy, failing).serve())


def measure(url: str, folder: Path, chosen: argparse.Namespace) -> dict[str, Any]:
    """Publish everything once, and then nothing; return how long both took."""
    here, there = multiprocessing.get_context("spawn").Pipe()
    arguments = (there, chosen.rate, chosen.busy, chosen.failing)
    stub = multiprocessing.get_context("spawn").Process(target=_run_stub, args=arguments)
    stub.start()
    port = here.recv()
    try:
        app, _ids = metered.world(url, folder, chosen.items)
        settings = EngineSettings(
            secret_key="sk_test_benchmark0001",
            api_base=f"http://127.0.0.1:{port}",
        )
        engine = StripeBillingEngine(settings)
        engine.calls_per_second = chosen.rate
        with app.app_context():
            metered.call(EACH)
            found = _publish(engine, here, chosen)
            found |= _nothing_new(engine, here)
            db.session.remove()
            db.engine.dispose()
    finally:
        here.send("end")
        stub.join()
    found["database"] = url.partition(":")[0]
    found["load"] = os.getloadavg()[0]
    return found


def _count(pipe: Connection) -> tuple[int, int, int]:
    pipe.send("count")
    counted: tuple[int, int, int] = pipe.recv()
    return counted


def _publish(engine: BillingEngine, pipe: Connection, chosen: argparse.Namespace) -> dict[str, Any]:
    cpu, began = time.process_time(), time.monotonic()
    runs = 1
    status = _run(engine)
    while status != "SUCCESSFUL" and runs < 5:
        runs += 1
        status = _run(engine)
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    calls, refused, taken = _count(pipe)
    sent = db.session.scalar(
        sa.select(sa.func.count()).where(UsageBatch.state == BatchState.ACKNOWLEDGED)
    )
    db.session.rollback()
    floor = chosen.items / chosen.rate
    faults = chosen.busy + chosen.failing > 0
    exact = sent == taken == chosen.items and (faults or calls == chosen.items)
    target = 1.2 if faults else TARGET
    return {
        "benchmark": "usage_publish",
        "items": chosen.items,
        "limit_per_second": chosen.rate,
        "floor_s": round(floor, 2),
        "product_s": round(seconds, 2),
        "ratio": round(seconds / floor, 3),
        "target_ratio": target,
        "runs": runs,
        "calls_per_item": round(calls / chosen.items, 4),
        "refused_by_the_limit": refused,
        "counted_once": exact,
        "cpu_ms_per_item": round(cpu / chosen.items * 1000, 2),
        "target_cpu_ms_per_item": TARGET_CPU_MS,
        "passed": exact and seconds / floor <= target,
    }


def _run(engine: BillingEngine) -> str:
    tenant = db.session.scalars(sa.select(Tenant)).one()
    run_id = publishing.start(tenant, "benchmark").run_id
    publishing.run(lambda _tenant: engine, run_id)
    status: str = db.session.get_one(PublishRun, run_id, populate_existing=True).status
    db.session.rollback()
    return status


def _nothing_new(engine: BillingEngine, pipe: Connection) -> dict[str, Any]:
    before, _, _ = _count(pipe)
    times = []
    for _ in range(7):
        began = time.monotonic()
        _run(engine)
        times.append(time.monotonic() - began)
    after, _, _ = _count(pipe)
    return {
        "nothing_new_ms": round(median(times) * 1000, 1),
        "target_nothing_new_ms": TARGET_IDLE_MS,
        "nothing_new_calls": after - before,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--database", default="", help="an empty one; SQLite in a file by default")
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=100)
    parser.add_argument("--busy", type=float, default=0)
    parser.add_argument("--failing", type=float, default=0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = chosen.database or f"sqlite:///{folder}/portal.sqlite3"
        result = measure(url, Path(folder), chosen)
    result["passed"] &= result["nothing_new_ms"] <= TARGET_IDLE_MS
    result["passed"] &= result["nothing_new_calls"] == 0
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
