"""How long a batch of 1,000 events takes, against a bare INSERT of as many rows.

    python -m tests.benchmarks.bench_usage_intake [--database URL] [--pairs 15]

The floor is one multi-row INSERT of the same events into the same table, committed. The product
is the whole request: token, JSON, checks, subscriptions, the record of each event, its bucket, and
the answer for each. Both alternate in one run on one database, which is emptied before and after.
Prints one JSON line.
"""

from __future__ import annotations

import json
import time
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from cryptography.fernet import Fernet
from flask import Flask

from portal import clock, create_app
from portal.config import Settings
from portal.extensions import db
from portal.models import Subscription, UsageBucket, UsageEvent
from tests.benchmarks import command
from tests.support.factories import Factories
from tests.support.rest import Rest

EVENTS = 1_000
SUBSCRIPTIONS = 40
TARGET = 3.0
_TYPE = "application/cloudevents-batch+json"


def measure(url: str, folder: Path, pairs: int) -> dict[str, Any]:
    """Alternate floor and product; return medians in milliseconds and their ratio."""
    engine = sa.create_engine(url)
    db.Model.metadata.drop_all(engine)
    db.Model.metadata.create_all(engine)
    app = create_app(_settings(url, folder))
    try:
        with app.app_context():
            return _alternate(app, pairs)
    finally:
        with app.app_context():
            db.session.remove()
            db.engine.dispose()
        db.Model.metadata.drop_all(engine)
        engine.dispose()


def _settings(url: str, folder: Path) -> Settings:
    return Settings(
        secret_key="a-secret-key-that-is-only-for-a-benchmark-012345",
        encryption_keys=(Fernet.generate_key().decode(),),
        database_url=url,
        stripe_api_base="http://127.0.0.1:9",
        sandbox_base_url="http://127.0.0.1:9",
        queue_url="memory",
        PORTAL_INSTANCE=folder / "instance",
        PORTAL_TESTING=True,
    )


def _alternate(app: Flask, pairs: int) -> dict[str, Any]:
    factories = Factories()
    since = clock.now() - timedelta(days=40)
    rows = [factories.subscription(created_at=since) for _ in range(SUBSCRIPTIONS)]
    rest = Rest(app, factories.user("root", "admin"), "usage/v1")
    floors, products, ratios = [], [], []
    for number in range(pairs + 1):
        floor, product = _floor(rows), _product(rest, rows)
        if number:  # The first of each fills caches.
            floors.append(floor)
            products.append(product)
            ratios.append(product / floor)
    _check(pairs + 1)
    return {
        "benchmark": "usage_intake",
        "database": db.engine.dialect.name,
        "events": EVENTS,
        "pairs": pairs,
        "floor_ms": round(median(floors) * 1000, 2),
        "product_ms": round(median(products) * 1000, 2),
        "ratio": round(median(ratios), 2),
        "events_per_second": round(EVENTS / median(products)),
        "target_ratio": TARGET,
        "passed": median(ratios) <= TARGET,
    }


def _floor(rows: list[Subscription]) -> float:
    now = clock.now()
    values = [
        {
            "source": "floor",
            "event_id": uuid4().hex,
            "tenant_id": rows[number % SUBSCRIPTIONS].tenant_id,
            "subscription_id": rows[number % SUBSCRIPTIONS].subscription_id,
            "key_type": "PRODUCTION",
            "method": "GET",
            "resource": "/rates/{code}",
            "status": 200,
            "at": now,
            "counted": True,
            "received_at": now,
        }
        for number in range(EVENTS)
    ]
    db.session.rollback()
    began = time.perf_counter()
    with db.engine.begin() as connection:
        connection.execute(sa.insert(UsageEvent.__table__), values)  # type: ignore[arg-type]
    return time.perf_counter() - began


def _product(rest: Rest, rows: list[Subscription]) -> float:
    at = clock.now().isoformat()
    events = [
        {
            "specversion": "1.0",
            "type": "apim.event.response",
            "source": "kong-1",
            "id": uuid4().hex,
            "time": at,
            "data": {
                "subscriptionId": rows[number % SUBSCRIPTIONS].uuid,
                "keyType": "PRODUCTION",
                "apiMethod": "GET",
                "apiResourceTemplate": "/rates/{code}",
                "targetResponseCode": 200,
            },
        }
        for number in range(EVENTS)
    ]
    body = json.dumps(events)
    db.session.rollback()
    began = time.perf_counter()
    answer = rest("POST", "/events", data=body, content_type=_TYPE)
    seconds = time.perf_counter() - began
    if answer.status_code != 200 or answer.get_json()["accepted"] != EVENTS:
        raise RuntimeError(answer.get_data(as_text=True)[:500])
    return seconds


def _check(batches: int) -> None:
    """Fail unless every event of the product was counted once."""
    db.session.rollback()
    counted = db.session.scalar(sa.select(sa.func.sum(UsageBucket.calls)))
    if counted != batches * EVENTS:
        raise RuntimeError(f"{counted} calls are counted, not {batches * EVENTS}.")


if __name__ == "__main__":
    command.run(__doc__, measure, pairs=15)
