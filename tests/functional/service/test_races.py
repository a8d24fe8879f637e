"""Many at once: one effect. Threads with connections of their own, on every database.

``DELIVERIES`` is how often one event is delivered at once.
"""

import os
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import select
from sqlalchemy.orm.attributes import set_committed_value

from portal.billing.engine import CheckoutState
from portal.extensions import db
from portal.models import (
    CheckoutAttempt,
    CheckoutStatus,
    EngineSubscription,
    InboxEvent,
    Refund,
    SharedCustomer,
    Subscription,
    TimelineEntry,
)
from portal.services import checkouts
from portal.services.subscriptions import Cause
from portal.web.unit_of_work import unit_of_work
from tests.functional.service.conftest import ACCOUNT, WEBHOOK

pytestmark = pytest.mark.all_databases
AT_ONCE = 16
DELIVERIES = int(os.environ.get("DELIVERIES", "100"))


class OneAtATime:
    """The memory engine behind a lock: a real provider serialises calls with the same key."""

    def __init__(self, engine):
        self._engine = engine
        self._lock = threading.RLock()

    def __getattr__(self, name):
        found = getattr(self._engine, name)
        if not callable(found):
            return found

        def call(*args, **kwargs):
            with self._lock:
                return found(*args, **kwargs)

        return call


@pytest.fixture
def engine():
    from tests.support.memory_engine import MemoryBillingEngine

    return OneAtATime(MemoryBillingEngine())


def together(work, times, at_once=AT_ONCE):
    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(work, range(times)))


def test_one_event_delivered_many_times_at_once_has_one_effect(sale):
    events = sale.engine.provider.pay(sale.open_page())
    db.session.rollback()

    def deliver(_):
        return (
            sale.app.test_client()
            .post(WEBHOOK, data=events[1].payload, headers={"Stripe-Signature": events[1].header})
            .status_code
        )

    answers = together(deliver, DELIVERIES)

    assert set(answers) == {200}
    db.session.rollback()
    stored = db.session.query(InboxEvent).filter_by(event_id=events[1].event_id).one()
    assert stored.deliveries == DELIVERIES
    assert db.session.query(TimelineEntry).filter_by(move="PAY").count() == 1
    assert db.session.query(EngineSubscription).count() == 1
    assert sale.status == "UNBLOCKED"


def test_the_webhook_and_the_browser_at_once_activate_once(sale):
    session_id = sale.open_page()
    events = sale.engine.provider.pay(session_id)
    db.session.rollback()

    def arrive(number):
        client = sale.app.test_client()
        if number % 2:
            return client.get(f"/api/am/stripe/complete-session?session_id={session_id}")
        event = events[(number // 2) % 2]
        return client.post(WEBHOOK, data=event.payload, headers={"Stripe-Signature": event.header})

    answers = together(arrive, 40)

    assert {answer.status_code for answer in answers} == {200}
    assert sale.moves == ["SUBSCRIBE", "PAY"]
    assert db.session.query(EngineSubscription).count() == 1


@pytest.mark.parametrize("late", ["paid", "expired"])
def test_what_was_read_before_a_payment_neither_pays_it_back_nor_undoes_it(sale, late):
    """The attempt as one reads it before, the subscription as one reads it after: both decide."""
    session_id = sale.open_page()
    sale.deliver(*sale.engine.provider.pay(session_id))
    page = sale.engine.checkout(ACCOUNT, session_id)
    if late == "expired":
        page = replace(page, state=CheckoutState.EXPIRED, is_paid=False, subscription_id=None)

    with unit_of_work():
        attempt = db.session.query(CheckoutAttempt).one()
        for name, before in (("status", CheckoutStatus.PENDING), ("open_key", sale.uuid)):
            set_committed_value(attempt, name, before)
        subscription = db.session.query(Subscription).one()
        assert not checkouts.apply(
            attempt, subscription, page, Cause(because="Late.", actor="stripe")
        )

    assert sale.moves == ["SUBSCRIBE", "PAY"]
    assert sale.status == "UNBLOCKED"
    assert db.session.query(Refund).count() == 0
    assert db.session.query(CheckoutAttempt).one().status == CheckoutStatus.COMPLETED


def test_many_presses_of_complete_payment_open_one_page(sale):
    db.session.rollback()
    path = f"/api/am/stripe/checkout-url?subscriptionId={sale.uuid}"
    cookie = sale.browser.client.get_cookie("portal_session")

    def press(_):
        client = sale.app.test_client()
        client.set_cookie("portal_session", cookie.value)
        return client.get(path).headers.get("Location")

    addresses = together(press, 30)

    assert len(set(addresses)) == 1
    db.session.rollback()
    assert db.session.query(CheckoutAttempt).count() == 1
    assert db.session.query(SharedCustomer).count() == 1
    assert len(sale.engine.provider.pages) == 1


def test_fifty_subscribe_clicks_make_one_subscription_and_one_payment_page(
    app, engine, factories, browser
):
    """Each in a tab of its own: Subscribe, and then Complete Payment."""
    policy = factories.fixed_policy()
    api = factories.api(None, policy)
    factories.offer(api, policy, engine, ACCOUNT)
    application = factories.application(owner=factories.user("dana", "subscriber"))
    page = f"/devportal/apis/{api.api_uuid}/subscribe/confirm"
    chosen = {"application": application.uuid, "policy": policy.uuid}
    browser.sign_in("dana").get(page, query_string=chosen)
    form = chosen | {"csrf_token": browser.soup.select_one("input[name=csrf_token]")["value"]}
    cookie = browser.client.get_cookie("portal_session").value
    db.session.remove()
    start = threading.Barrier(50, timeout=60)

    def click(_):
        client = app.test_client()
        client.set_cookie("portal_session", cookie)
        start.wait()
        answer = client.post(page, data=form, headers={"Accept": "text/html"})
        assert answer.status_code in (303, 409), answer.get_data(as_text=True)
        with app.app_context():
            (uuid,) = db.session.execute(select(Subscription.uuid)).scalars()
        paying = client.get(f"/api/am/stripe/checkout-url?subscriptionId={uuid}")
        return answer.status_code, paying.headers.get("Location")

    answers = together(click, 50, at_once=50)

    assert Counter(status for status, _ in answers) == {303: 1, 409: 49}
    assert {address for _, address in answers} == {
        each.session.url for each in engine.provider.pages.values()
    }
    assert len(engine.provider.pages) == 1
    db.session.rollback()
    for kind in (Subscription, CheckoutAttempt, SharedCustomer):
        assert db.session.query(kind).count() == 1
