"""What a developer does at the browser to buy, and calls of what was bought."""

import sqlalchemy as sa

from portal import clock
from portal.extensions import db
from portal.models import Application, KeyType, Policy, Subscription
from portal.models.types import new_uuid
from portal.services import usage
from portal.web.unit_of_work import unit_of_work
from tests.support.browser import Browser


def subscribe(browser: Browser, api_uuid: str, policy: Policy, application: Application) -> str:
    """Subscribe through the pages; return the subscription's UUID. It is still to be paid."""
    browser.get(
        f"/devportal/apis/{api_uuid}/subscribe",
        query_string={"application": application.uuid, "policy": policy.uuid},
    )
    browser.submit("Subscribe")
    path = browser.response.request.path
    assert path.startswith("/devportal/subscriptions/"), path
    return path.rsplit("/", 1)[1]


def complete_payment(browser: Browser, uuid: str) -> None:
    """Press Complete Payment; the browser is sent to the payment page, and stays here."""
    path = f"/api/am/stripe/checkout-url?subscriptionId={uuid}"
    browser.get(path, follow=False, expect=303)


def row_of(uuid: str) -> Subscription:
    """Return a subscription as the database has it now."""
    db.session.rollback()
    return db.session.scalars(sa.select(Subscription).where(Subscription.uuid == uuid)).one()


def call(uuid: str, times: int) -> None:
    """Let a subscription's production key be used, without telling the engine."""
    row = row_of(uuid)
    calls = [
        usage.Call(
            event_id=new_uuid(),
            tenant_id=row.tenant_id,
            subscription_id=row.subscription_id,
            key_type=KeyType.PRODUCTION,
            method="GET",
            resource="/now",
            status=200,
            at=clock.now(),
        )
        for _ in range(times)
    ]
    with unit_of_work():
        usage.record_many(db.session.connection(), "gateway", calls)
