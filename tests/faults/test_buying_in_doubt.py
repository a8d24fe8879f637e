"""F25 to F27 and F33: a payment and a cancellation that cross, two tabs, a forged return, an
account that is gone. Each ends with the invariants, on every database.
"""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
import time_machine

from portal import jobs
from portal.errors import Conflict, EngineUnavailable
from portal.extensions import db
from portal.flows import payments, reconciling
from portal.models import Api, Application, CheckoutAttempt, Policy, Subscription, User
from portal.services import subscribing
from portal.services.checkouts import ReturnUrls
from portal.web.unit_of_work import in_unit_of_work
from tests.functional.service.conftest import ACCOUNT, Sale, start_sale
from tests.functional.service.test_races import OneAtATime
from tests.support import invariants, memory_events
from tests.support.memory_engine import MemoryBillingEngine

pytestmark = pytest.mark.all_databases
START = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
AT_ONCE = 12
URLS = ReturnUrls(success="http://x/{CHECKOUT_SESSION_ID}", cancel="http://x/")


@pytest.fixture(autouse=True)
def clock():
    with time_machine.travel(START, tick=False) as traveller:
        yield traveller


@pytest.fixture
def engine() -> Any:
    """A provider that serialises its calls, as a real one does for one key."""
    return OneAtATime(MemoryBillingEngine())


def hold(sale: Sale, *told: Any) -> None:
    """The worker goes round, and everything holds."""
    db.session.remove()
    jobs.sweep()
    invariants.check(sale.engine_for, answered=[event.event_id for event in told])


def living(sale: Sale) -> int:
    return sum(not each.snapshot.status.is_over for each in sale.engine.provider.contracts.values())


@pytest.mark.parametrize("order", list(permutations(("paid", "ended", "told"))), ids="-".join)
def test_f25_a_payment_that_crosses_a_cancellation_is_never_kept_without_service(
    sale: Sale, clock, order: tuple[str, ...]
) -> None:
    """Paid at Stripe, ended here, and the event: in every order in which they can be tried."""
    provider, page = sale.engine.provider, sale.open_page()
    told: list[Any] = []

    def pay() -> None:
        if provider.pages[page].session.state == "open":
            told.extend(provider.pay(page))

    def end() -> None:
        payments.end(sale.engine_for, sale.uuid, actor="dana", because="Enough.")

    acts = {"paid": pay, "ended": end, "told": lambda: sale.deliver(*told)}
    for act in order:
        db.session.remove()
        acts[act]()
        clock.shift(timedelta(seconds=1))
    for event in told:
        header = memory_events.sign(event.payload, provider.webhook_secret)
        sale.deliver(type(event)(**{**vars(event), "header": header}))
    assert sale.status == "ENDED"
    assert living(sale) == 0
    assert sale.moves.count("END") == 1
    hold(sale, *told)


def open_unanswered(sale: Sale) -> str:
    """Open a page at the provider whose address does not arrive."""
    sale.deliver(*sale.engine.provider.expire(sale.open_page()))
    owner = sale.subscription.application.owner_id
    sale.engine.provider.lose_answers = 1
    with pytest.raises(EngineUnavailable):
        payments.try_again(sale.engine, sale.uuid, owner, URLS)
    return list(sale.engine.provider.pages)[-1]


def test_a_page_whose_address_was_lost_is_closed_with_its_subscription(sale: Sale) -> None:
    page = open_unanswered(sale)
    payments.end(sale.engine_for, sale.uuid, actor="dana", because="Enough.")
    assert sale.engine.provider.pages[page].session.state == "expired"
    assert sale.status == "ENDED"
    hold(sale)


def test_a_page_whose_address_was_lost_and_that_is_paid_all_the_same_is_paid_back(
    sale: Sale, monkeypatch
) -> None:
    page = open_unanswered(sale)
    with monkeypatch.context() as patch:
        # It is not in the list yet.
        patch.setattr(MemoryBillingEngine, "open_checkouts", lambda *_: iter(()))
        payments.end(sale.engine_for, sale.uuid, actor="dana", because="Enough.")
    told = sale.engine.provider.pay(page)
    sale.deliver(*told, *told)
    hold(sale, *told)
    assert (sale.status, living(sale)) == ("ENDED", 0)
    assert sale.moves[-3:] == ["END", "PAID_AFTER_END", "REFUNDED"]
    assert sum(sale.engine.provider.refunds.values()) == 999


def test_f26_two_tabs_and_many_clicks_make_one_subscription_and_one_page(sale: Sale) -> None:
    row = sale.subscription
    ids = (
        row.application.owner_id,
        row.application_id,
        row.api_id,
        row.policy_version.policy.policy_id,
    )
    cookie = sale.browser.client.get_cookie("portal_session").value
    path = f"/api/am/stripe/checkout-url?subscriptionId={sale.uuid}"
    db.session.remove()

    def click(number: int) -> str | None:
        if number % 2:
            client = sale.app.test_client()
            client.set_cookie("portal_session", cookie)
            return str(client.get(path).headers["Location"])
        with sale.app.app_context():
            with pytest.raises(Conflict, match="already"):
                in_unit_of_work(lambda: _subscribe(ids))
            return None

    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = set(pool.map(click, range(2 * AT_ONCE))) - {None}
    assert len(found) == 1
    assert db.session.query(Subscription).count() == 1
    assert db.session.query(CheckoutAttempt).count() == 1
    assert len(sale.engine.provider.pages) == 1
    told = sale.engine.provider.pay(sale.open_page())
    sale.deliver(*told)
    assert sale.status == "UNBLOCKED"
    hold(sale, *told)


def _subscribe(ids: tuple[int, ...]) -> Subscription:
    kinds = (User, Application, Api, Policy)
    rows = [db.session.get_one(kind, number) for kind, number in zip(kinds, ids, strict=True)]
    return subscribing.subscribe(*rows)


def test_f27_coming_back_gives_nothing_but_what_was_paid(
    app, engine, factories, browser, sale: Sale
) -> None:
    mine = sale.open_page()
    other = start_sale(app, engine, factories, type(browser)(app), factories.fixed_policy(), "eve")
    theirs = other.open_page()
    db.session.remove()
    told = engine.provider.pay(theirs)
    client = app.test_client()
    back = "/api/am/stripe/complete-session?session_id="
    assert client.get(f"{back}cs_test_made_up").status_code == 404
    assert client.get(back + mine).status_code == 402
    assert (sale.status, other.status) == ("ON_HOLD", "ON_HOLD")
    assert client.get(back + theirs).get_json() == {"status": "completed"}
    assert client.get(back + theirs).get_json() == {"status": "already_completed"}
    assert (sale.status, other.status) == ("ON_HOLD", "UNBLOCKED")
    sale.deliver(*told)
    assert other.moves.count("PAY") == 1
    hold(sale, *told)


def test_f33_an_account_that_is_gone_holds_up_nobody_else(
    app, engine, factories, browser, sale: Sale, clock
) -> None:
    sale.pay()
    plan = factories.fixed_policy()
    factories.offer(factories.api(None, plan), plan, engine, "acct_publisher2")
    other = _sold_through(app, engine, factories, browser, "acct_publisher2")
    jobs.sweep()
    clock.shift(timedelta(minutes=10))
    gone, there = (str(each.subscription.engine_subscription_id) for each in (sale, other))
    engine.provider.disconnect(ACCOUNT)
    for name in (gone, there):
        # A tie: both are to be read at the provider.
        told = [*engine.provider.fail_renewal(name), *engine.provider.pay_invoice(name)]
        sale.deliver(*reversed(told))
    db.session.remove()
    jobs.sweep()
    assert other.status == "UNBLOCKED"
    assert other.subscription.refresh_due is False
    assert sale.subscription.refresh_due is True
    db.session.remove()
    found = list(reconciling.differences(sale.engine_for))
    assert {each.account for each in found} == {ACCOUNT}
    assert "not_compared" in {each.kind for each in found}
    engine.provider.disconnected.clear()
    hold(sale, *engine.provider.events[-2:])
    assert sale.status == "UNBLOCKED"


def _sold_through(app, engine, factories, browser, account: str) -> Sale:
    from portal.web.unit_of_work import unit_of_work

    plan = factories.fixed_policy()
    api = factories.api(None, plan)
    factories.offer(api, plan, engine, account)
    owner = factories.user("erin", "subscriber")
    application = factories.application(owner=owner)
    with unit_of_work():
        uuid = subscribing.subscribe(owner, application, api, plan).uuid
    person = type(browser)(app)
    person.sign_in("erin")
    other = Sale(app=app, engine=engine, uuid=uuid, browser=person, account=account)
    other.pay()
    return other
