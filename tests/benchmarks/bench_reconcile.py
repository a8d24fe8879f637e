"""How long 100,000 subscriptions take to compare, against what Stripe's rate limit lets through.

    python -m tests.benchmarks.bench_reconcile [--subscriptions N] [--rate 25] [--pairs 2]
                                               [--database URL]

A stub gives canned pages of 100 out, ``--rate`` of them in a second: 25 is what Stripe lets each
endpoint do. The floor reads every page and does nothing with it. The product is the whole
comparison of a tenant whose every subscription agrees. Each runs in a process of its own, in turns;
its memory is how much the process has grown at its largest. Prints one JSON line. Who shares the
processors measures how busy they are: `product_cpu_seconds` says what the product itself needs, and
`chrt -r 5` before the command keeps others out of it.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import re
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

import sqlalchemy as sa
from cryptography.fernet import Fernet
from flask import Flask

from portal import clock, create_app
from portal.config import Settings
from portal.extensions import db
from portal.flows import reconciling
from portal.models import EngineSubscription, SharedCustomer, Subscription, TimelineEntry
from portal.models.subscription import FACTS
from portal.web.engines import engine_of
from tests.benchmarks import load_stub
from tests.support.factories import Factories

SUBSCRIPTIONS = 100_000
TARGET, MOST_MEGABYTES = 1.1, 64
_LAST = re.compile(rb'"id": "(sub_\d+)"')
_SPAWN = multiprocessing.get_context("spawn")


def main(arguments: list[str] | None = None) -> int:
    """Print the figures; 1 if a target is missed."""
    parser = argparse.ArgumentParser(prog="bench_reconcile", description=__doc__)
    parser.add_argument("--subscriptions", type=int, default=SUBSCRIPTIONS)
    parser.add_argument("--rate", type=float, default=25.0)
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--database", help="An empty one; by default SQLite in a new folder.")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        url = given.database or f"sqlite:///{folder}/portal.db"
        result = measure(url, Path(folder), given.subscriptions, given.rate, given.pairs)
    sys.stdout.write(json.dumps(result) + "\n")
    return 0 if result["ok"] else 1


def measure(url: str, folder: Path, total: int, rate: float, pairs: int) -> dict[str, Any]:
    """Alternate floor and product; return medians in seconds, their ratio, and the memory."""
    key = Fernet.generate_key().decode()
    engine = sa.create_engine(url)
    try:
        listed = _fill(url, folder, key, total)
        floors, products, work, grown, found = [], [], [], [], 0
        with _Stub(total, rate, listed) as base:
            for _ in range(pairs):
                floors.append(_apart(_floor, base))
                seconds, worked, megabytes, differ = _apart(_product, url, str(folder), key, base)
                products.append(seconds)
                work.append(worked)
                grown.append(megabytes)
                found += differ
    finally:
        db.Model.metadata.drop_all(engine)
        engine.dispose()
    ratio = median(products) / median(floors)
    return {
        "benchmark": "reconcile",
        "database": url.split(":", 1)[0],
        "subscriptions": total,
        "pages_per_second": rate,
        "floor_seconds": round(median(floors), 2),
        "product_seconds": round(median(products), 2),
        "product_cpu_seconds": round(median(work), 2),
        "ratio": round(ratio, 3),
        "target": TARGET,
        "grown_megabytes": max(grown),
        "most_megabytes": MOST_MEGABYTES,
        "differences": found,
        "load": os.getloadavg()[0],
        "ok": ratio <= TARGET and max(grown) <= MOST_MEGABYTES and found == 0,
    }


class _Stub:
    """The stub in a process of its own; its address inside the block."""

    def __init__(self, *values: Any) -> None:
        self._here, there = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=load_stub.serve, args=(*values, there), daemon=True)

    def __enter__(self) -> str:
        self._process.start()
        return f"http://127.0.0.1:{self._here.recv()}"

    def __exit__(self, *_problem: object) -> None:
        self._process.terminate()
        self._process.join()


def _apart(work: Any, *values: Any) -> Any:
    """Do something in a new process, whose memory is its own."""
    with _SPAWN.Pool(1) as pool:
        return pool.apply(work, values)


def _floor(base: str) -> float:
    """Read every page with nothing but a connection; return the seconds."""
    connection = http.client.HTTPConnection(base.removeprefix("http://"))
    start, after, is_more = time.perf_counter(), "", True
    while is_more:
        connection.request("GET", f"/v1/subscriptions?limit={load_stub.PAGE}{after}")
        body = connection.getresponse().read()
        is_more = body.find(b'"has_more": true', 0, 100) >= 0
        after = f"&starting_after={_LAST.findall(body)[-1].decode()}"
    connection.close()
    return time.perf_counter() - start


def _product(url: str, folder: str, key: str, base: str) -> tuple[float, float, float, int]:
    """Compare everything; return seconds, of them worked, megabytes grown, and what differs."""
    app = create_app(_settings(url, Path(folder), key, base))
    with app.app_context():
        db.session.execute(sa.select(Subscription.uuid).limit(1))
        db.session.rollback()
        before = _kilobytes("VmRSS")
        start, cpu = time.perf_counter(), time.process_time()
        differ = sum(1 for _ in reconciling.run(engine_of, grace=timedelta(0)))
        seconds = time.perf_counter() - start
        worked = time.process_time() - cpu
        return seconds, worked, round((_kilobytes("VmHWM") - before) / 1024, 1), differ


def _kilobytes(name: str) -> int:
    words = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.search(rf"^{name}:\s+(\d+) kB", words, re.MULTILINE)[1])  # type: ignore[index]


def _settings(url: str, folder: Path, key: str, base: str) -> Settings:
    return Settings(
        secret_key="a-secret-key-that-is-only-for-a-benchmark-012345",
        encryption_keys=(key,),
        database_url=url,
        stripe_api_base=base,
        sandbox_base_url="http://127.0.0.1:9",
        queue_url="memory",
        PORTAL_INSTANCE=folder / "instance",
        PORTAL_TESTING=True,
    )


def _fill(url: str, folder: Path, key: str, total: int) -> dict[str, list[dict[str, Any]]]:
    """Store as many paid subscriptions as the stub has; return what its other lists hold."""
    app = create_app(_settings(url, folder, key, "http://127.0.0.1:9"))
    with app.app_context():
        db.drop_all()
        db.create_all()
        tenant = Factories().tenant(key="sk_test_sandbox_load_0001")
        listed = _sell(app, total)
        assert tenant.platform_key
        db.session.remove()
        db.engine.dispose()
    return listed


def _sell(app: Flask, total: int) -> dict[str, list[dict[str, Any]]]:
    from tests.support.memory_engine import MemoryBillingEngine

    factories, engine = Factories(), MemoryBillingEngine()
    policy = factories.fixed_policy("9.99", name="Bronze")
    api = factories.api("Load", policy)
    offer = factories.offer(api, policy, engine, load_stub.ACCOUNT)
    price = offer.price
    price.plan_id, price.product_id = load_stub.PRICE, load_stub.PRODUCT
    offer.stripe_plan_id, offer.stripe_product_id = load_stub.PRICE, load_stub.PRODUCT
    application = factories.application()
    customer = SharedCustomer(
        application_id=application.application_id,
        api_provider="p",
        tenant_id=api.tenant_id,
        connected_account=load_stub.ACCOUNT,
        currency="usd",
        shared_customer_id="cus_load",
    )
    db.session.add(customer)
    db.session.flush()
    mark = {"apim_mapping_uuid": price.uuid, "apim_api_uuid": api.api_uuid}
    common = {
        "tenant_id": api.tenant_id,
        "api_id": api.api_id,
        "application_id": application.application_id,
        "policy_version_id": policy.current.policy_version_id,
        "connected_account": load_stub.ACCOUNT,
        "engine_status": "active",
        "period_start": clock.from_epoch(load_stub.START),
        "period_end": clock.from_epoch(load_stub.START + load_stub.MONTH),
    }
    record = {
        "subscribed_application_id": application.application_id,
        "subscribed_api_id": api.api_id,
        "tenant_id": api.tenant_id,
        "shared_customer_id": customer.id,
        "mapping_id": price.mapping_id,
        "connected_account": load_stub.ACCOUNT,
    }
    db.session.commit()
    for first in range(1, total + 1, 5_000):
        _store(range(first, min(first + 5_000, total + 1)), common, record)
    return {
        "/v1/prices": [_price(mark)],
        "/v1/products": [
            {"id": load_stub.PRODUCT, "object": "product", "active": True, "metadata": mark}
        ],
    }


def _store(numbers: range, common: dict[str, Any], record: dict[str, Any]) -> None:
    facts = dict(zip(FACTS, ("PAID", "NONE", "NOT_REQUIRED", False, False), strict=True))
    line = {"line": 1, "move": "SUBSCRIBE", "status_after": "UNBLOCKED", "because": "", "actor": ""}
    now = clock.now()
    db.session.execute(
        sa.insert(TimelineEntry),
        [
            {"subscription_uuid": load_stub.reference(n), "at": now, **line, **facts}
            for n in numbers
        ],
    )
    db.session.execute(
        sa.insert(Subscription),
        [
            {
                "subscription_id": n,
                "uuid": load_stub.reference(n),
                "live_key": f"load:{n}",
                "engine_subscription_id": load_stub.engine_id(n),
                **common,
                **facts,
            }
            for n in numbers
        ],
    )
    db.session.execute(
        sa.insert(EngineSubscription),
        [
            {"am_subscription_id": n, "subscription_id": load_stub.engine_id(n), **record}
            for n in numbers
        ],
    )
    db.session.commit()


def _price(mark: dict[str, str]) -> dict[str, Any]:
    return {
        "id": load_stub.PRICE,
        "object": "price",
        "active": True,
        "billing_scheme": "per_unit",
        "created": load_stub.START,
        "currency": "usd",
        "lookup_key": None,
        "metadata": mark,
        "product": load_stub.PRODUCT,
        "recurring": {"interval": "month", "interval_count": 1, "meter": None},
        "type": "recurring",
        "unit_amount": 999,
        "unit_amount_decimal": "999",
    }


if __name__ == "__main__":
    sys.exit(main())
