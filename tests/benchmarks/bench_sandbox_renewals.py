"""How long one advance of a test clock takes that renews many subscriptions.

    python -m tests.benchmarks.bench_sandbox_renewals [--subscriptions 10000]

Every renewal is drafted, finalized an hour later and charged, with its events queued for an
endpoint. Prints one JSON line. The same advance is also measured with a tenth of the
subscriptions, each in a process of its own: the peak of memory must not grow with their number.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from flask import Flask

from portal.sandbox import scheduler
from portal.sandbox.app import create_sandbox
from portal.sandbox.engine import cards, checkout, clocks, methods, subscriptions
from portal.sandbox.settings import SandboxSettings
from portal.sandbox.store import Db

TARGET_SECONDS = 60
_TOKEN = "benchmark-token"
_CHUNK = 500
_STATUS = Path("/proc/self/status")


def measure(count: int) -> dict[str, Any]:
    """Renew `count` subscriptions in one advance; return what it took."""
    with tempfile.TemporaryDirectory() as folder:
        settings = SandboxSettings(
            database=f"{folder}/sandbox.sqlite3", admin_token=_TOKEN, unlimited_clocks=True
        )
        app = create_sandbox(settings)
        key, account = _platform(app)
        clock, end = _fill(app, key, account, count)
        before = _peak(reset=True)
        began = time.monotonic()
        _api(app, key, account, f"/test_helpers/test_clocks/{clock}/advance",
             frozen_time=end + 3600)  # fmt: skip
        pieces = _run(app, clock)
        seconds = time.monotonic() - began
        return {
            "subscriptions": count,
            "seconds": round(seconds, 2),
            "per_second": round(count / seconds),
            "batches": pieces,
            "peak_growth_mb": round((_peak() - before) / 1024, 1),
            **_check(app, account, count),
        }


def _peak(*, reset: bool = False) -> int:
    """Return the peak of resident memory in KB, since the last `reset`."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    found = re.search(r"VmHWM:\s+(\d+)", _STATUS.read_text())
    if found is None:
        raise RuntimeError("This system does not tell the peak of memory.")
    return int(found[1])


def _post(app: Flask, path: str, headers: dict[str, str], **more: Any) -> dict[str, Any]:
    answer = app.test_client().post(path, headers=headers, **more)
    if answer.status_code >= 300:
        raise RuntimeError(answer.get_data(as_text=True))
    body: dict[str, Any] = answer.get_json()
    return body


def _api(app: Flask, key: str, account: str | None, path: str, **form: Any) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {key}"} | ({"Stripe-Account": account} if account else {})
    return _post(app, f"/v1{path}", headers, data=form)


def _platform(app: Flask) -> tuple[str, str]:
    headers = {"Authorization": f"Bearer {_TOKEN}"}
    made = _post(app, "/_sandbox/platforms", headers, json={"name": "Benchmark"})
    key = made["secret_key"]
    account = _post(app, "/_sandbox/accounts", headers, json={"platform": made["account"]})["id"]
    _api(app, key, None, "/webhook_endpoints", **{
        "url": "http://127.0.0.1:9/", "connect": "true", "enabled_events[0]": "*",
    })  # fmt: skip
    return key, account


def _fill(app: Flask, key: str, account: str, count: int) -> tuple[str, int]:
    """Store clock, price, customers with cards and their subscriptions; return clock and end."""
    product = _api(app, key, account, "/products", name="Rates API")["id"]
    price = _api(app, key, account, "/prices", **{
        "product": product, "currency": "usd", "unit_amount": "1500",
        "recurring[interval]": "month",
    })["id"]  # fmt: skip
    start = int(time.time())
    clock = _api(app, key, account, "/test_helpers/test_clocks", frozen_time=start)["id"]
    store, end = app.extensions["sandbox"].store, 0
    for begin in range(0, count, _CHUNK):
        with store.write() as db:
            for _ in range(min(_CHUNK, count - begin)):
                end = _subscribe(db, account, clock, price, start)
            db.execute("DELETE FROM deliveries")
    return clock, end


def _subscribe(db: Db, account: str, clock: str, price: str, start: int) -> int:
    customer = checkout.create_customer(db, account, now=start, _clock=clock, email="a@b.test")
    card = cards.parse("4242424242424242", "12/60", "123", "", now=start)
    method = methods.create(db, account, card, now=start)
    methods.attach(db, method, customer, now=start)
    made = subscriptions.build(
        db,
        account,
        customer,
        [{"price": price, "quantity": 1}],
        now=start,
        metadata={},
        default_payment_method=method["id"],
    )
    return int(made["items"][0]["current_period_end"])


def _run(app: Flask, clock: str) -> int:
    sandbox, batches = app.extensions["sandbox"], 0
    while True:
        batches += scheduler.run_due(sandbox.store, sandbox.clock.now() + 1)
        with sandbox.store.read() as db:
            status = db.find(clocks.KIND, clock)["status"]
        if status != "advancing":
            if status != "ready":
                raise RuntimeError(f"The clock is {status}.")
            return batches


def _check(app: Flask, account: str, count: int) -> dict[str, int]:
    """Return how much was done, and fail when anything is missing."""
    with app.extensions["sandbox"].store.read() as db:
        paid = db.execute(
            "SELECT count(*) FROM objects WHERE account = ? AND kind = 'invoice'"
            " AND status = 'paid' AND json_extract(body, '$.amount_paid') = 1500",
            account,
        ).fetchone()[0]
        events = db.execute("SELECT count(*) FROM deliveries").fetchone()[0]
    if paid != count:
        raise RuntimeError(f"{paid} of {count} renewals are paid.")
    return {"paid": paid, "events": events}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--subscriptions", type=int, default=10_000)
    count = parser.parse_args().subscriptions
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        small = pool.apply(measure, (max(count // 10, 1),))
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        whole = pool.apply(measure, (count,))
    result = {
        "benchmark": "sandbox_renewals",
        **whole,
        "peak_growth_mb_of_a_tenth": small["peak_growth_mb"],
        "target_seconds": TARGET_SECONDS,
        "passed": whole["seconds"] < TARGET_SECONDS * count / 10_000,
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
