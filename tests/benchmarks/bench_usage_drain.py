"""How fast a gateway's spool file comes into the ledger, against a bare drain of the same file.

    python -m tests.benchmarks.bench_usage_drain [--database URL] [--records 1000000] [--pairs 5]

Floor: the file is read in the same portions, its records are counted by subscription and hour in a
dictionary, and each portion is added to a table of two keys and a number in the transaction that
moves the offset. Product: checksums, resource, status and key of each call, billing periods,
tallies, the compressed evidence, and the offset in the same transaction. Both alternate, each on a
file of its own with the same records. Prints one JSON line.
"""

from __future__ import annotations

import os
import random
import struct
import time
from pathlib import Path
from statistics import median
from typing import Any

import sqlalchemy as sa
from flask import Flask

from portal import clock
from portal.extensions import WRITES, db
from portal.flows import draining
from portal.models import Subscription, UsageBucket
from portal.services import call_ids, ledger, spool
from portal.services.records import CALL, call_record, route_record
from tests.benchmarks import command, gateway

TARGET = 0.5
SUBSCRIPTIONS = 200
ROUTES = 4
_FLOOR = struct.Struct("<4xI4xQ28x")
_bare = sa.Table(
    "bench_bare",
    sa.MetaData(),
    sa.Column("sub", sa.Integer, primary_key=True),
    sa.Column("hour", sa.Integer, primary_key=True),
    sa.Column("calls", sa.BigInteger),
)
_offset = sa.Table("bench_offset", _bare.metadata, sa.Column("at", sa.BigInteger))


def measure(url: str, folder: Path, records: int, pairs: int) -> dict[str, Any]:
    """Alternate floor and product; return records a second and their ratio."""
    app, _shop = gateway.shop(url, folder, SUBSCRIPTIONS)
    floors, products, by_cpu = [], [], []
    with app.app_context():
        ids = list(db.session.scalars(sa.select(Subscription.subscription_id)))
        _bare.metadata.create_all(db.engine)
        for number in range(pairs + 1):
            path = folder / f"file{number}.spool"
            _write(path, ids, records, number)
            marks = [time.process_time()]
            floor = _floor(path)
            marks.append(time.process_time())
            product = _product(path)
            marks.append(time.process_time())
            if number:  # The first of each fills caches.
                by_cpu.append((marks[1] - marks[0]) / (marks[2] - marks[1]))
                floors.append(records / floor)
                products.append(records / product)
            path.unlink()
        _check(app, records * (pairs + 1))
        db.session.remove()
        _bare.metadata.drop_all(db.engine)
        db.engine.dispose()
    ratio = median(a / b for a, b in zip(products, floors, strict=True))
    return {
        "benchmark": "usage_drain",
        "database": url.partition(":")[0],
        "records": records,
        "pairs": pairs,
        "floor_per_second": round(median(floors)),
        "product_per_second": round(median(products)),
        "ratio": round(ratio, 2),
        "ratio_of_this_process_cpu": round(median(by_cpu), 2),
        "target_ratio": TARGET,
        "load": os.getloadavg()[0],
        "passed": ratio >= TARGET,
    }


def _write(path: Path, ids: list[int], records: int, seed: int) -> None:
    """Write what a gateway would: a few callers make most of the calls, within some minutes."""
    chance = random.Random(seed)
    weights = [1 / (rank + 1) for rank in range(len(ids))]
    now = ledger.millis(clock.now())
    with path.open("wb") as file:
        for route in range(1, ROUTES + 1):
            file.write(route_record(route, "GET", f"/rates/{route}"))
        for start in range(0, records, 10_000):
            callers = chance.choices(ids, weights, k=min(10_000, records - start))
            file.write(
                b"".join(
                    call_record(
                        CALL,
                        0,
                        404 if sub % 10 == 0 else 200,
                        sub,
                        1 + number % ROUTES,
                        now + (start + number) // 5,
                        500,
                        call_ids.new().bytes,
                    )
                    for number, sub in enumerate(callers)
                )
            )


def _floor(path: Path) -> float:
    began = time.perf_counter()
    at = 0
    with path.open("rb") as file:
        while data := file.read(spool.PORTION):
            counts: dict[tuple[int, int], int] = {}
            for sub, moment in _FLOOR.iter_unpack(data):
                key = sub, moment // ledger.HOUR_MS
                counts[key] = counts.get(key, 0) + 1
            at += len(data)
            _store(counts, at)
    return time.perf_counter() - began


def _store(counts: dict[tuple[int, int], int], at: int) -> None:
    rows = [{"s": sub, "h": hour, "n": calls} for (sub, hour), calls in counts.items()]
    same = "ON DUPLICATE KEY UPDATE calls = calls + VALUES(calls)"
    if db.engine.dialect.name in ("sqlite", "postgresql"):
        same = "ON CONFLICT (sub, hour) DO UPDATE SET calls = bench_bare.calls + excluded.calls"
    statement = sa.text(f"INSERT INTO bench_bare (sub, hour, calls) VALUES (:s, :h, :n) {same}")  # noqa: S608
    with db.engine.connect().execution_options(**{WRITES: True}) as connection:
        connection.execute(statement, rows)
        connection.execute(sa.delete(_offset))
        connection.execute(sa.insert(_offset).values(at=at))
        connection.commit()


def _product(path: Path) -> float:
    began = time.perf_counter()
    draining.drain_file(path)
    return time.perf_counter() - began


def _check(app: Flask, records: int) -> None:
    db.session.rollback()
    counted = db.session.scalar(sa.select(sa.func.sum(UsageBucket.calls)))
    if counted != records:
        raise RuntimeError(f"{counted} calls are counted, not {records}.")


if __name__ == "__main__":
    command.run(__doc__, measure, records=1_000_000, pairs=5)
