"""A change from a free plan, with everything about it at once: one effect, and no money lost."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from portal.extensions import db
from portal.flows import changing_free, payments
from portal.models import EngineSubscription, PlanChange, User
from portal.services.checkouts import ReturnUrls
from portal.web.unit_of_work import in_unit_of_work
from tests.functional.service.conftest import ACCOUNT, WEBHOOK, Sale
from tests.functional.service.test_races import OneAtATime

URLS = ReturnUrls(
    success="https://portal.example/?s={CHECKOUT_SESSION_ID}", cancel="https://x.example"
)


@pytest.fixture
def engine():
    from tests.support.memory_engine import MemoryBillingEngine

    return OneAtATime(MemoryBillingEngine())


@pytest.fixture
def change(app, engine, factories, browser):
    """A free subscription, and the paid plan that it is to change to."""
    from portal.services import subscribing

    free, bronze = factories.policy("Free"), factories.fixed_policy("9.99", name="Bronze")
    api = factories.api(None, free, bronze)
    factories.offer(api, bronze, engine, ACCOUNT)
    owner = factories.user("dana", "subscriber")
    application = factories.application(owner=owner)
    uuid = in_unit_of_work(lambda: subscribing.subscribe(owner, application, api, free).uuid)
    sale = Sale(app=app, engine=engine, uuid=uuid, browser=browser)
    wanted = (owner.user_id, bronze.uuid, bronze.current.policy_version_id)
    db.session.rollback()
    return sale, wanted


def together(app, *works):
    """Let each work begin at the same moment, in an app context of its own."""
    start = threading.Barrier(len(works))

    def run(work):
        with app.app_context():
            start.wait()
            try:
                return work()
            finally:
                db.session.remove()

    with ThreadPoolExecutor(len(works)) as pool:
        return [each.result() for each in [pool.submit(run, work) for work in works]]


@pytest.mark.all_databases
def test_many_presses_are_one_change_and_one_page(change):
    sale, (user_id, policy, version) = change

    def press():
        return changing_free.go_paid(
            sale.engine, sale.uuid, user_id, policy, version_id=version, urls=URLS
        )

    pages = together(sale.app, *[press] * 8)
    assert len(set(pages)) == 1
    assert db.session.query(PlanChange).count() == 1
    assert len(sale.engine.provider.pages) == 1
    assert sale.status == "TIER_UPDATE_PENDING"


@pytest.mark.all_databases
@pytest.mark.parametrize("round_", range(3))
def test_a_payment_and_every_way_to_hear_of_it_while_the_free_plan_is_kept(change, round_):
    sale, (user_id, policy, version) = change
    changing_free.go_paid(sale.engine, sale.uuid, user_id, policy, version_id=version, urls=URLS)
    session = next(reversed(sale.engine.provider.pages))
    events = sale.engine.provider.pay(session)

    def hear(event):
        header = {"Stripe-Signature": event.header}
        answer = sale.app.test_client().post(WEBHOOK, data=event.payload, headers=header)
        assert answer.status_code == 200

    together(
        sale.app,
        *(lambda each=event: hear(each) for event in events * 2),
        lambda: payments.settle(sale.engine, session),
        lambda: changing_free.keep_free(sale.engine_for, sale.uuid, actor="dana"),
    )
    row = sale.subscription
    assert (row.plan_name, row.billing, row.status) == ("Bronze", "PAID", "UNBLOCKED")
    assert sale.moves.count("GO_PAID") == 1
    assert db.session.query(EngineSubscription).count() == 1
    assert [each.state for each in db.session.query(PlanChange)] == ["DONE"]


@pytest.mark.all_databases
def test_the_end_of_the_paid_plan_and_its_event_at_once_go_free_once(change):
    sale, (user_id, policy, version) = change
    changing_free.go_paid(sale.engine, sale.uuid, user_id, policy, version_id=version, urls=URLS)
    session = next(reversed(sale.engine.provider.pages))
    sale.deliver(*sale.engine.provider.pay(session))
    engine_id = sale.subscription.engine_subscription_id
    user = db.session.get_one(User, user_id)
    api = sale.subscription.api
    free = next(each for each in api.policies if not each.is_commercial)
    wanted = (user.user_id, free.uuid, free.current.policy_version_id)
    db.session.rollback()
    told = len(sale.engine.provider.events)

    def press():
        return changing_free.go_free(
            sale.engine, sale.uuid, wanted[0], wanted[1], version_id=wanted[2], at_once=True
        )

    assert press()
    ended = sale.engine.provider.events[told:]
    assert ended
    together(sale.app, *(lambda each=event: sale.deliver(each) for event in ended * 4))
    row = sale.subscription
    assert (row.plan_name, row.billing, row.status) == ("Free", "NOT_REQUIRED", "UNBLOCKED")
    assert row.engine_subscription_id is None
    assert sale.moves.count("GO_FREE") == 1
    assert sale.engine.subscription(ACCOUNT, engine_id).status.is_over
