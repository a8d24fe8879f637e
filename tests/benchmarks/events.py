"""Subscriptions that are paid, and the events that a renewal of each sends, signed and ready."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

from portal.extensions import db
from portal.models import EnginePrice, EngineSubscription, SharedCustomer, Subscription
from tests.benchmarks import loading
from tests.benchmarks.floors import SECRET
from tests.support.factories import Factories

ACCOUNT = "acct_benchmark01"
_RECORDED = Path(__file__).parents[1] / "data" / "stripe-events"
_second = count(1_800_000_000)


@dataclass(frozen=True)
class Sold:
    """A subscription that is paid, by the names of both sides."""

    number: int
    uuid: str
    engine_id: str


def sell(factories: Factories, how_many: int) -> list[Sold]:
    """Store subscriptions that have been paid, each with its billing record."""
    tenant = factories.tenant()
    tenant.webhook_secrets = [SECRET]
    plan = factories.fixed_policy(name="Gold")
    api = factories.api("Weather", plan)
    price = factories.save(_price(api.api_id, plan))
    owner = factories.user("dana", "subscriber")
    found = []
    for number in range(how_many):
        application = factories.application(owner=owner)
        engine_id = f"sub_1Benchmark{number:06d}"
        row = factories.subscription(
            api=api, application=application, policy=plan, billing="PAID",
            connected_account=ACCOUNT, engine_subscription_id=engine_id, engine_status="active",
        )  # fmt: skip
        _record(row, price, engine_id)
        found.append(Sold(row.subscription_id, row.uuid, engine_id))
    db.session.commit()
    return found


def _price(api_id: int, plan: Any) -> EnginePrice:
    return EnginePrice(
        api_id=api_id, policy_uuid=plan.uuid, connected_account=ACCOUNT,
        policy_version_id=plan.current.policy_version_id, product_id="prod_1", plan_id="price_1",
    )  # fmt: skip


def _record(row: Subscription, price: EnginePrice, engine_id: str) -> None:
    customer = SharedCustomer(
        application_id=row.application_id, api_provider="pat", tenant_id=row.tenant_id,
        connected_account=ACCOUNT, currency="USD", shared_customer_id=f"cus_{engine_id}",
    )  # fmt: skip
    db.session.add(customer)
    db.session.flush()
    db.session.add(
        EngineSubscription(
            am_subscription_id=row.subscription_id, subscribed_application_id=row.application_id,
            subscribed_api_id=row.api_id, tenant_id=row.tenant_id, subscription_id=engine_id,
            shared_customer_id=customer.id, mapping_id=price.mapping_id,
            connected_account=ACCOUNT,
        )
    )  # fmt: skip


def renewals(
    sold: Sequence[Sold], how_many: int, path: str, *, status: str = "active"
) -> list[bytes]:
    """Return requests with distinct events, each newer than what its subscription has seen."""
    template = json.loads((_RECORDED / "customer.subscription.updated.json").read_text())
    requests = []
    for number in range(how_many):
        body = updated(template, sold[number % len(sold)], status)
        requests.append(loading.post(path, body, signed(body)))
    return requests


def updated(template: dict[str, Any], one: Sold, status: str = "active") -> bytes:
    """Return the body of an event that says how a subscription stands, in a new period."""
    at = next(_second)
    seen = template["data"]["object"]
    item = {
        **seen["items"]["data"][0],
        "current_period_start": at,
        "current_period_end": at + 2_592_000,
        "subscription": one.engine_id,
    }
    shown = {
        **seen,
        "id": one.engine_id,
        "status": status,
        "items": {**seen["items"], "data": [item]},
        "metadata": {**seen["metadata"], "apim_subscription_uuid": one.uuid},
    }
    return json.dumps(
        {
            **template,
            "id": f"evt_1{uuid4().hex[:24]}",
            "account": ACCOUNT,
            "created": at,
            "data": {**template["data"], "object": shown},
        }
    ).encode()


def signed(body: bytes) -> dict[str, str]:
    """Return the headers that Stripe sends with a body."""
    at = int(time.time())
    mac = hmac.new(SECRET.encode(), b"%d." % at + body, hashlib.sha256).hexdigest()
    return {"Stripe-Signature": f"t={at},v1={mac}", "Content-Type": "application/json"}
