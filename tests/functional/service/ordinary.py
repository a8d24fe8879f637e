"""A shop whose subscriptions are in whatever state, and events about them."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from flask import Flask
from werkzeug.test import Client

from portal.billing.engine import EngineStatus, EventKind, Invoice, SubscriptionSnapshot
from portal.extensions import db
from portal.models import EnginePrice, EngineSubscription, SharedCustomer, Subscription, Tenant
from portal.services import inbox, subscriptions
from portal.services.subscriptions import Cause
from portal.web.unit_of_work import in_unit_of_work
from tests.functional.service.conftest import ACCOUNT, WEBHOOK
from tests.support import memory_events
from tests.support.factories import Factories

SECRET = "whsec_memory_secret_0001"
KNOWN_AT = 1_780_000_000
END = datetime(2026, 7, 1, tzinfo=UTC)


def snapshot(status: EngineStatus, cancel_at: datetime | None = None) -> SubscriptionSnapshot:
    return SubscriptionSnapshot(
        subscription_id="", status=status, customer_id="cus_1", item_id="si_1",
        price_id="price_1", period_start=None, period_end=END, cancel_at=cancel_at,
        ended_at=None, cancel_reason=None, latest_invoice_id=None, reference=None,
    )  # fmt: skip


def bill(**more: Any) -> Invoice:
    return Invoice(
        invoice_id="in_1", number="1", status="open", is_preview=False, currency="usd",
        subtotal=999, tax=0, total=999, amount_due=999, amount_paid=0, amount_remaining=999,
        period_start=END, period_end=END, due_date=None, next_payment_attempt=None, created=END,
        description=None, account_name=None, account_country=None, customer_email=None,
        hosted_url="https://pay.example/2", pdf_url=None, billing_reason=None,
        subscription_id="", lines=(), **more,
    )  # fmt: skip


RENEWED = (EventKind.SUBSCRIPTION_UPDATED, snapshot(EngineStatus.ACTIVE))
FAILED = (EventKind.PAYMENT_FAILED, bill())
#: What events say.
SAID: list[tuple[EventKind, Any]] = [
    *((EventKind.SUBSCRIPTION_UPDATED, snapshot(status)) for status in EngineStatus),
    (EventKind.SUBSCRIPTION_UPDATED, snapshot(EngineStatus.ACTIVE, END)),
    (EventKind.SUBSCRIPTION_DELETED, snapshot(EngineStatus.CANCELED)),
    (EventKind.PAYMENT_SUCCEEDED, bill()),
    (EventKind.PAYMENT_FAILED, bill()),
    (EventKind.PAYMENT_ACTION_REQUIRED, bill(needs_authentication=True)),
]


@dataclass
class Shop:
    """An API that is sold, and subscriptions to it in whatever state."""

    app: Flask
    engine: Any
    api: Any
    plan: Any
    price: EnginePrice
    owner: Any
    number: int = 0

    def subscription(self, state: dict[str, Any]) -> tuple[int, str]:
        """Store a subscription with its billing record; return its id, and the engine's."""
        self.number += 1
        engine_id = f"sub_{self.number}"
        application = Factories().application(owner=self.owner)
        row = Subscription(
            tenant_id=self.api.tenant_id, api_id=self.api.api_id,
            application_id=application.application_id,
            policy_version_id=self.plan.current.policy_version_id,
            live_key=f"{application.application_id}:{self.api.api_id}",
            connected_account=ACCOUNT, engine_subscription_id=engine_id, engine_at=KNOWN_AT,
            **state,
        )  # fmt: skip
        subscriptions.begin(row, Cause(because="Made for a test.", actor="test"))
        customer = SharedCustomer(
            application_id=row.application_id, api_provider="pat", tenant_id=row.tenant_id,
            connected_account=ACCOUNT, currency="USD",
        )  # fmt: skip
        db.session.add(customer)
        db.session.flush()
        db.session.add(
            EngineSubscription(
                am_subscription_id=row.subscription_id, subscription_id=engine_id,
                subscribed_application_id=row.application_id, subscribed_api_id=row.api_id,
                tenant_id=row.tenant_id, shared_customer_id=customer.id,
                mapping_id=self.price.mapping_id, connected_account=ACCOUNT,
            )
        )  # fmt: skip
        number = row.subscription_id
        db.session.commit()
        return number, engine_id

    def body(self, engine_id: str, said: tuple[EventKind, Any], age: int, name: str) -> bytes:
        kind, thing = said
        about = replace(thing, subscription_id=engine_id)
        return memory_events.write(name, kind, ACCOUNT, KNOWN_AT + age, about)

    def post(self, client: Client, body: bytes) -> int:
        """Deliver a body to whoever takes it first."""
        header = {"Stripe-Signature": memory_events.sign(body, SECRET)}
        return client.post(WEBHOOK, data=body, headers=header).status_code

    def long_way(self, body: bytes) -> None:
        """Let an event take the long way."""
        event = self.engine.translate_event(memory_events.parse(body))

        def receive() -> None:
            tenant = db.session.get_one(Tenant, self.api.tenant_id)
            inbox.receive(tenant, event, body)

        in_unit_of_work(receive)


def open_shop(app: Flask, engine: Any, factories: Factories) -> Shop:
    """Sell an API; nobody has subscribed yet."""
    plan = factories.fixed_policy(name="Gold")
    api = factories.api("Weather", plan)
    factories.offer(api, plan, engine, ACCOUNT)
    price = db.session.query(EnginePrice).one()
    return Shop(app, engine, api, plan, price, factories.user("dana", "subscriber"))
