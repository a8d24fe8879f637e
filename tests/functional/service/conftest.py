"""A developer who has subscribed to an API that costs money, and a way for events to arrive."""

from dataclasses import dataclass
from typing import Any

import pytest
import time_machine
from flask import Flask

from portal import clock
from portal.extensions import db
from portal.models import InboxEvent, Subscription, Tenant, TimelineEntry
from portal.services import subscribing
from portal.web.unit_of_work import unit_of_work

ACCOUNT = "acct_publisher1"
WEBHOOK = "/api/am/stripe/webhook?tenantDomain=carbon.super"


@dataclass
class Sale:
    """A subscription under way, as the test sees it."""

    app: Flask
    engine: Any
    uuid: str
    browser: Any
    account: str = ACCOUNT

    @property
    def subscription(self) -> Subscription:
        db.session.rollback()
        return db.session.query(Subscription).filter_by(uuid=self.uuid).one()

    @property
    def status(self) -> str:
        return str(self.subscription.status)

    @property
    def moves(self) -> list[str]:
        db.session.rollback()
        rows = db.session.query(TimelineEntry).order_by(TimelineEntry.entry_id)
        return [row.move for row in rows if row.subscription_uuid == self.uuid]

    @property
    def outcomes(self) -> list[str]:
        db.session.rollback()
        rows = db.session.query(InboxEvent).order_by(InboxEvent.inbox_id)
        return [row.outcome for row in rows]

    def open_page(self) -> str:
        """Press Complete Payment; return the payment page's session id."""
        path = f"/api/am/stripe/checkout-url?subscriptionId={self.uuid}"
        self.browser.get(path, follow=False, expect=303)
        return next(reversed(self.engine.provider.pages))

    def deliver(self, *events: Any, expect: int = 200) -> None:
        """Deliver events as somebody else does: what this session has read is old afterwards."""
        for event in events:
            answer = self.app.test_client().post(
                WEBHOOK, data=event.payload, headers={"Stripe-Signature": event.header}
            )
            assert answer.status_code == expect, answer.get_data(as_text=True)
        db.session.rollback()

    def pay(self) -> str:
        """Pay, with every event arriving; return the engine's subscription id."""
        self.deliver(*self.engine.provider.pay(self.open_page()))
        return str(self.subscription.engine_subscription_id)

    def engine_for(self, _tenant: Any) -> Any:
        return self.engine


@pytest.fixture
def sale(app, engine, factories, browser) -> Sale:
    """A subscription to a plan of 9.99 USD a month that waits for its payment."""
    return start_sale(app, engine, factories, browser, factories.fixed_policy(name="Bronze"))


def start_sale(app, engine, factories, browser, policy, name="dana") -> Sale:
    api = factories.api(None, policy)
    factories.offer(api, policy, engine, ACCOUNT)
    owner = factories.user(name, "subscriber")
    application = factories.application(owner=owner)
    with unit_of_work():
        subscription = subscribing.subscribe(owner, application, api, policy)
        uuid = subscription.uuid
    browser.sign_in(name)
    return Sale(app=app, engine=engine, uuid=uuid, browser=browser)


@pytest.fixture
def mail_waits(monkeypatch):
    """Mail goes when the test says, and not with every sweep."""
    monkeypatch.setattr("portal.jobs._send_mail", lambda: None)


@pytest.fixture
def moving():
    """A clock that the test moves."""
    with time_machine.travel(clock.now(), tick=False) as traveller:
        yield traveller


@pytest.fixture
def policy():
    """Set the tenant's policy."""

    def change(days, reminders="3,1"):
        with unit_of_work():
            tenant = db.session.query(Tenant).one()
            tenant.grace_days, tenant.reminder_days = days, reminders

    return change


@pytest.fixture
def paid(sale, policy, moving):
    """A sale that has been paid, in a tenant that gives seven days of grace."""
    policy(7)
    sale.engine_id = sale.pay()
    moving.shift(60)
    return sale
