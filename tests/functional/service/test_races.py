"""Many at once: one effect. Threads with connections of their own, on every database."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
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


def together(work, times):
    with ThreadPoolExecutor(AT_ONCE) as pool:
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

    answers = together(deliver, 100)

    assert set(answers) == {200}
    db.session.rollback()
    stored = db.session.query(InboxEvent).filter_by(event_id=events[1].event_id).one()
    assert stored.deliveries == 100
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


def test_many_subscribe_clicks_make_one_subscription(app, engine, factories):
    from portal.errors import Conflict
    from portal.models import Api, Application, Policy, User
    from portal.services import subscribing
    from portal.web.unit_of_work import in_unit_of_work

    policy = factories.fixed_policy()
    api = factories.api(None, policy)
    factories.offer(api, policy, engine, ACCOUNT)
    application = factories.application()
    ids = (application.owner_id, application.application_id, api.api_id, policy.policy_id)
    db.session.rollback()

    def click(_):
        with app.app_context():

            def work():
                rows = (
                    db.session.get_one(kind, number)
                    for kind, number in zip((User, Application, Api, Policy), ids, strict=True)
                )
                return subscribing.subscribe(*rows).uuid

            try:
                return in_unit_of_work(work)
            except Conflict as error:
                return error.message

    answers = together(click, 50)

    db.session.rollback()
    assert db.session.query(Subscription).count() == 1
    assert sum("already subscribed" in answer for answer in answers) == 49
