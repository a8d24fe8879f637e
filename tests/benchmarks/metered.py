"""Many subscriptions that pay per call, as rows: for the benchmarks of freezing and sending."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from flask import Flask

from portal import clock
from portal.extensions import db
from portal.models import (
    EnginePrice,
    EngineSubscription,
    PolicyVersion,
    SharedCustomer,
    Subscription,
    UsageTally,
)
from tests.benchmarks import gateway

ACCOUNT = "acct_benchmark1"
METER, EVENT_NAME = "mtr_benchmark", "apim_benchmark"


def world(url: str, folder: Path, count: int) -> tuple[Flask, list[int]]:
    """Fill an empty database with ``count`` metered subscriptions; return app and their ids."""
    app, _shop = gateway.shop(url, folder, count)
    with app.app_context():
        ids = _sell()
        db.session.commit()
        db.session.remove()
    return app, ids


def _sell() -> list[int]:
    rows = db.session.execute(
        sa.select(
            Subscription.subscription_id,
            Subscription.application_id,
            Subscription.api_id,
            Subscription.tenant_id,
            Subscription.policy_version_id,
        ).order_by(Subscription.subscription_id)
    ).all()
    first = rows[0]
    version = db.session.get_one(PolicyVersion, first.policy_version_id)
    version.monetization_plan, version.billing_cycle = "DYNAMICRATE", "month"
    price = EnginePrice(
        api_id=first.api_id,
        policy_uuid=version.policy.uuid,
        policy_version_id=version.policy_version_id,
        connected_account=ACCOUNT,
        meter_id=METER,
        meter_event_name=EVENT_NAME,
    )
    db.session.add(price)
    db.session.flush()
    now = clock.now()
    period = {"period_start": now - timedelta(days=29), "period_end": now + timedelta(days=1)}
    db.session.execute(sa.update(Subscription).values(connected_account=ACCOUNT, **period))
    shared: list[dict[str, Any]] = [
        {
            "id": number,
            "uuid": f"customer-{number}",
            "application_id": row.application_id,
            "api_provider": "publisher",
            "tenant_id": row.tenant_id,
            "connected_account": ACCOUNT,
            "currency": "USD",
            "shared_customer_id": f"cus_{number}",
            "created_at": now,
        }
        for number, row in enumerate(rows, start=1)
    ]
    sold = [
        {
            "am_subscription_id": row.subscription_id,
            "subscribed_application_id": row.application_id,
            "subscribed_api_id": row.api_id,
            "tenant_id": row.tenant_id,
            "subscription_id": f"sub_{number}",
            "shared_customer_id": number,
            "mapping_id": price.mapping_id,
            "connected_account": ACCOUNT,
            "created_at": now,
        }
        for number, row in enumerate(rows, start=1)
    ]
    db.session.execute(sa.insert(SharedCustomer), shared)
    db.session.execute(sa.insert(EngineSubscription), sold)
    start, end = (clock.epoch(each) for each in period.values())
    tallies = [
        {
            "subscription_id": row.subscription_id,
            "period_start": start,
            "period_end": end,
            "tenant_id": row.tenant_id,
            "counted": 0,
            "claimed": 0,
            "batches": 0,
        }
        for row in rows
    ]
    db.session.execute(sa.insert(UsageTally), tallies)
    return [row.subscription_id for row in rows]


def call(each: int) -> None:
    """Let every subscription have made so many more calls, an hour ago."""
    at = (clock.epoch(clock.now()) - 3600) * 1000
    db.session.execute(
        sa.update(UsageTally)
        .values(counted=UsageTally.counted + each, open_since=at, open_until=at + 60_000)
        .execution_options(synchronize_session=False)
    )
    db.session.commit()
