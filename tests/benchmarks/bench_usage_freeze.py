"""How long it takes to freeze 10 million metered calls into batches, against a plain GROUP BY.

    python -m tests.benchmarks.bench_usage_freeze [--subscriptions 10000] [--pairs 5]

Floor: the sum of calls by subscription over the hourly buckets of the period. Product: one batch
for each subscription, stored, with its tally moved on, in transactions of five thousand. Both
alternate on one database; on PostgreSQL also a floor that sums in one process, as freezing does.
The growth of memory is that of the freezing, and the same freezing is repeated after a hundred
times as many calls: it has to take as long. Prints one JSON line.
"""

from __future__ import annotations

import os
import re
import time
from hashlib import blake2b
from pathlib import Path
from statistics import median
from typing import Any

import sqlalchemy as sa

from portal import clock
from portal.extensions import db
from portal.models import Tenant, UsageBatch, UsageBucket
from portal.services import freezing
from portal.web.unit_of_work import in_unit_of_work
from tests.benchmarks import command, metered

TARGET, TARGET_MIB = 1.5, 32
CALLS = 10_000_000
HOURS_EACH = 100
_STATUS = Path("/proc/self/status")


def measure(url: str, folder: Path, subscriptions: int, pairs: int) -> dict[str, Any]:
    """Alternate floor and product; return medians in milliseconds and their ratio."""
    app, ids = metered.world(url, folder, subscriptions)
    with app.app_context():
        tenant_id = db.session.scalars(sa.select(Tenant.tenant_id)).one()
        buckets = _fill(ids, tenant_id)
        each = CALLS // subscriptions
        floors, singles, products, growths, by_cpu = [], [], [], [], []
        for number in range(pairs + 1):
            metered.call(each)
            began = time.process_time()
            floor = _floor()
            floor_cpu = time.process_time() - began
            single = _floor(in_one_process=True)
            before = _peak(reset=True)
            began = time.process_time()
            product = _product(tenant_id, subscriptions)
            product_cpu = time.process_time() - began
            if number:  # The first of each fills caches.
                by_cpu.append(product_cpu / floor_cpu)
                floors.append(floor)
                singles.append(single)
                products.append(product)
                growths.append((_peak() - before) / 1024)
        metered.call(each * 100)
        many = _product(tenant_id, subscriptions)
        _check(each * (pairs + 101) * subscriptions)
        db.session.remove()
        db.engine.dispose()
    ratio = median(b / a for a, b in zip(floors, products, strict=True))
    growth = max(growths)
    return {
        "benchmark": "usage_freeze",
        "database": url.partition(":")[0],
        "subscriptions": subscriptions,
        "calls": each * subscriptions,
        "buckets": buckets,
        "pairs": pairs,
        "floor_ms": round(median(floors) * 1000),
        "product_ms": round(median(products) * 1000),
        "hundred_times_the_calls_ms": round(many * 1000),
        "ratio": round(ratio, 2),
        "ratio_to_one_process": round(
            median(b / a for a, b in zip(singles, products, strict=True)), 2
        ),
        "ratio_of_this_process_cpu": round(median(by_cpu), 2),
        "target_ratio": TARGET,
        "memory_growth_mib": round(growth, 1),
        "target_memory_growth_mib": TARGET_MIB,
        "load": os.getloadavg()[0],
        "passed": ratio <= TARGET and growth <= TARGET_MIB,
    }


def _fill(ids: list[int], tenant_id: int) -> int:
    """Store the buckets that the calls are in: of each subscription a hundred busy hours."""
    now = clock.epoch(clock.now()) // 3600 * 3600
    start = clock.epoch(clock.now()) - 29 * 86_400
    calls = max(1, CALLS // (len(ids) * HOURS_EACH))
    count = 0
    for sub in ids:
        rows = [
            {
                "digest": blake2b(f"{sub}:{hour}".encode(), digest_size=16).hexdigest(),
                "tenant_id": tenant_id,
                "subscription_id": sub,
                "period_start": start,
                "starts_at": now - hour * 3600 * 6,
                "method": "GET",
                "resource": "/rates/{code}",
                "status": 200,
                "key_type": "PRODUCTION",
                "reason": "",
                "claim": 0,
                "calls": calls,
                "bytes": 500 * calls,
            }
            for hour in range(1, HOURS_EACH + 1)
        ]
        db.session.execute(sa.insert(UsageBucket), rows)
        count += len(rows)
        if sub % 100 == 0:
            db.session.commit()
    db.session.commit()
    if db.engine.dialect.name == "postgresql":
        db.session.execute(sa.text("ANALYZE"))
        db.session.commit()
    return count


def _floor(*, in_one_process: bool = False) -> float:
    """Sum once. PostgreSQL does it in several processes at once, unless it is told not to."""
    db.session.rollback()
    if in_one_process and db.engine.dialect.name == "postgresql":
        db.session.execute(sa.text("SET LOCAL max_parallel_workers_per_gather = 0"))
    until = clock.epoch(clock.now())
    began = time.perf_counter()
    query = (
        sa.select(UsageBucket.subscription_id, sa.func.sum(UsageBucket.calls))
        .where(
            UsageBucket.starts_at >= until - 30 * 86_400,
            UsageBucket.starts_at < until,
            UsageBucket.reason == "",
        )
        .group_by(UsageBucket.subscription_id)
    )
    rows = db.session.execute(query).all()
    seconds = time.perf_counter() - began
    if not rows:
        raise RuntimeError("There are no buckets.")
    db.session.rollback()
    return seconds


def _product(tenant_id: int, expected: int) -> float:
    began = time.perf_counter()
    total = 0
    while made := in_unit_of_work(lambda: freezing.freeze(tenant_id)):
        total += made
    seconds = time.perf_counter() - began
    if total != expected:
        raise RuntimeError(f"{total} batches were frozen, not {expected}.")
    return seconds


def _check(calls: int) -> None:
    frozen = db.session.scalar(sa.select(sa.func.sum(UsageBatch.quantity)))
    if frozen != calls:
        raise RuntimeError(f"{frozen} calls are frozen, not {calls}.")


def _peak(*, reset: bool = False) -> int:
    """Return the peak of resident memory in KB, since the last ``reset``."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    found = re.search(r"VmHWM:\s+(\d+)", _STATUS.read_text())
    if found is None:
        raise RuntimeError("This system does not tell the peak of memory.")
    return int(found[1])


if __name__ == "__main__":
    command.run(__doc__, measure, subscriptions=10_000, pairs=5)
