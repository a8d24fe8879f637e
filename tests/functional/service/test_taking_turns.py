"""The worker's sweeps where more than a page of what is due fails for good: others have a turn."""

from datetime import timedelta

import pytest
import time_machine
from pydantic import SecretStr

from portal import clock
from portal.errors import EngineUnavailable
from portal.extensions import db
from portal.flows import approving, changing_plan, payments, refreshing, refunding, stopping
from portal.flows.sweeping import PAGE, in_turn
from portal.models import (
    Api,
    Application,
    CheckoutAttempt,
    EnginePrice,
    PlanChange,
    Refund,
    SharedCustomer,
    Subscription,
)
from portal.services import checkouts, subscriptions
from portal.services.subscriptions import Cause, Move
from portal.web import queue
from portal.web.unit_of_work import unit_of_work
from tests.functional.service.conftest import ACCOUNT, Sale, start_sale

CAUSE = Cause(because="For a test.", actor="test")
MANY = PAGE + 1


class Out:
    """A tenant whose provider never answers, with more subscriptions than a page takes."""

    def __init__(self, factories, engine, **facts):
        self.tenant = factories.tenant("out.example")
        self.plan = factories.fixed_policy(tenant=self.tenant)
        self.api = factories.api(None, self.plan, provider=self._user(factories, "publisher"))
        factories.offer(self.api, self.plan, engine, ACCOUNT)
        self.owner = self._user(factories, "subscriber")
        with unit_of_work():
            numbers = [self._subscription(number, facts) for number in range(MANY)]
        chosen = Subscription.subscription_id.in_(numbers)
        self.rows = db.session.query(Subscription).filter(chosen).all()

    def _user(self, factories, role):
        return factories.user(None, role, tenant=self.tenant)

    def _subscription(self, number, facts):
        home, owner = self.tenant.tenant_id, self.owner.user_id
        application = Application(tenant_id=home, owner_id=owner, name=f"Out {number}")
        db.session.add(application)
        db.session.flush()
        row = Subscription(
            tenant_id=home,
            api_id=self.api.api_id,
            application_id=application.application_id,
            policy_version_id=self.plan.current.policy_version_id,
            billing="PAID",
            connected_account=ACCOUNT,
            engine_subscription_id=f"sub_out_{number}",
            **facts,
        )
        subscriptions.begin(row, CAUSE)
        return row.subscription_id

    @property
    def price(self):
        return db.session.query(EnginePrice).filter_by(api_id=self.api.api_id).one()

    def pages(self):
        """Give each an open payment page."""
        customer = SharedCustomer(
            application_id=self.rows[0].application_id,
            tenant_id=self.tenant.tenant_id,
            connected_account=ACCOUNT,
            api_provider="pat",
            currency="usd",
            shared_customer_id="cus_out",
        )
        db.session.add(customer)
        db.session.flush()
        db.session.add_all(self._page(customer, row) for row in self.rows)
        db.session.commit()

    def _page(self, customer, row):
        return CheckoutAttempt(
            session_id=f"cs_{row.subscription_id}",
            am_subscription_id=row.subscription_id,
            workflow_reference=str(row.subscription_id),
            subscriber_id=self.owner.user_id,
            tenant_id=self.tenant.tenant_id,
            api_uuid=self.api.api_uuid,
            connected_account=ACCOUNT,
            customer_id=customer.id,
            mapping_id=self.price.mapping_id,
            success_url="http://x/",
            cancel_url="http://x/",
            expires_at=clock.now() + checkouts.LIFETIME,
            open_key=row.uuid,
        )


@pytest.fixture
def out(factories, engine):
    return Out(factories, engine)


@pytest.fixture
def good(out, app, engine, factories, browser) -> Sale:
    """One whose provider answers; stored after all of those."""
    return start_sale(app, engine, factories, browser, factories.fixed_policy(name="Bronze"))


def engine_for(engine):
    def found(tenant):
        if tenant.tenant_domain == "out.example":
            raise EngineUnavailable("The payment provider does not answer.")
        return engine

    return found


def twice(sweep, sale):
    """Sweep two times: a page of what fails each time, and the good one behind it."""
    db.session.rollback()
    for _ in range(2):
        sweep(engine_for(sale.engine))
    db.session.rollback()


def test_a_refund_behind_a_page_that_fails_is_made(out, good):
    engine_id = good.pay()
    with unit_of_work():
        for row in [*out.rows, good.subscription]:
            db.session.add(
                Refund(
                    tenant_id=row.tenant_id,
                    am_subscription_id=row.subscription_id,
                    engine_subscription_id=row.engine_subscription_id,
                    connected_account=ACCOUNT,
                    because="For a test.",
                )
            )
            db.session.flush()

    twice(refunding.sweep, good)

    states = db.session.query(Refund.engine_subscription_id, Refund.status).all()
    assert [name for name, status in states if status == "DONE"] == [engine_id]
    assert len([name for name, status in states if status == "DUE"]) == MANY


def test_a_payment_page_behind_those_that_nobody_answers_for_is_looked_up(out, good):
    out.pages()
    good.open_page()

    with time_machine.travel(clock.now() + timedelta(hours=25), tick=False):
        twice(payments.sweep, good)

    assert good.status == "REJECTED"
    assert db.session.query(CheckoutAttempt).filter_by(status="PENDING").count() == MANY


def test_a_rejected_page_behind_those_that_cannot_be_closed_is_closed(
    app, engine, factories, browser
):
    out = Out(factories, engine, approval="REJECTED")
    out.pages()
    factories.tenant().subscriptions_need = "BOTH"
    db.session.commit()
    sale = start_sale(app, engine, factories, browser, factories.fixed_policy())
    session_id = sale.open_page()
    with unit_of_work():
        subscriptions.make(sale.subscription, Move.REJECT, CAUSE)

    twice(approving.sweep, sale)

    assert engine.provider.pages[session_id].session.state == "expired"


def test_an_ending_behind_those_that_cannot_be_finished_is_finished(out, good):
    good.pay()
    with unit_of_work():
        for row in [*out.rows, good.subscription]:
            subscriptions.make(row, Move.ASK_END, CAUSE)
            row.end_requested_at = clock.now() - timedelta(hours=1)

    twice(payments.sweep, good)

    assert good.status == "ENDED"
    ended = db.session.query(Subscription).filter(Subscription.ended_at.is_not(None))
    assert [row.uuid for row in ended] == [good.uuid]


def test_a_change_of_plan_behind_those_that_get_no_answer_is_made(out, good, factories):
    good.pay()
    free = factories.policy("Free")
    rows = [*out.rows, good.subscription]
    with unit_of_work():
        for row in rows:
            db.session.add(
                PlanChange(
                    tenant_id=row.tenant_id,
                    subscription_id=row.subscription_id,
                    from_version_id=row.policy_version_id,
                    to_version_id=free.current.policy_version_id,
                    at_period_end=True,
                    new_period=False,
                    counted_from=clock.now(),
                    asked_by="dana",
                    asked_at=clock.now() - timedelta(hours=1),
                )
            )
            db.session.flush()

    twice(changing_plan.sweep, good)

    assert good.subscription.cancel_at is not None
    assert db.session.query(PlanChange).filter_by(state="ASKED").count() == MANY


@pytest.mark.all_databases
def test_a_subscription_of_an_api_behind_those_that_cannot_be_ended_is_ended(
    app, engine, factories, browser
):
    """All of one API: what was sold through a disconnected account comes first."""
    out = Out(factories, engine)
    sale = start_sale(app, engine, factories, browser, factories.fixed_policy())
    sale.pay()
    with unit_of_work():
        row = sale.subscription
        for each in out.rows:
            db.session.merge(each).connected_account = "acct_gone"
        row.api_id, row.tenant_id = out.api.api_id, out.tenant.tenant_id
        api = db.session.get_one(Api, out.api.api_id)
        api.endings, api.endings_by = "NOW", "pat"
    engine.provider.disconnect("acct_gone")

    for _ in range(2):
        stopping.sweep(lambda _tenant: engine)

    assert sale.status == "ENDED"
    assert db.session.get_one(Api, out.api.api_id).endings == "NOW"


def test_an_api_behind_those_of_which_nothing_can_be_ended_has_its_turn(
    app, engine, factories, browser
):
    out = Out(factories, engine)
    apis = [factories.api(None, out.plan, provider=out.api.provider) for _ in range(stopping.APIS)]
    sale = start_sale(app, engine, factories, browser, factories.fixed_policy())
    sale.pay()
    with unit_of_work():
        for row, api in zip(out.rows, apis, strict=False):
            db.session.merge(row).api_id = db.session.merge(api).api_id
        for api in [*apis, sale.subscription.api]:
            db.session.merge(api).endings = "NOW"

    twice(stopping.sweep, sale)

    assert sale.status == "ENDED"


@pytest.mark.all_databases
def test_a_denied_account_with_many_that_are_marked_holds_up_no_other(
    app, engine, factories, browser
):
    Out(factories, engine)
    sale = start_sale(app, engine, factories, browser, factories.fixed_policy())
    sale.pay()
    db.session.query(Subscription).update({"refresh_due": True})
    db.session.commit()

    assert refreshing.refresh_due(engine_for(engine), limit=MANY) == 1

    assert not sale.subscription.refresh_due
    left = db.session.query(Subscription).filter_by(refresh_due=True)
    assert left.count() == MANY
    assert len([row for row in left if row.refresh_failed_at]) == 1


def test_an_unexpected_error_at_one_that_is_marked_holds_up_no_other(sale, out, monkeypatch):
    sale.pay()
    db.session.query(Subscription).update({"refresh_due": True})
    db.session.commit()
    really = refreshing.refresh

    def refresh(engine_for, number):
        if number != sale.subscription.subscription_id:
            raise ValueError
        really(engine_for, number)

    monkeypatch.setattr(refreshing, "refresh", refresh)
    for _ in range(2):
        refreshing.refresh_due(sale.engine_for)
    assert not sale.subscription.refresh_due


def test_each_has_its_turn_before_anybody_has_a_second(app):
    due = list(range(1, 8))
    seen = []

    def page(after, limit):
        return [number for number in due if number > after][:limit]

    def fail(number):
        seen.append(number)
        raise EngineUnavailable("no answer") if number % 2 else ValueError("unexpected")

    for _ in range(4):
        in_turn("test", page, fail, page=3)

    assert seen == [1, 2, 3, 4, 5, 6, 7, 1, 2, 3, 4, 5]


def test_a_sweep_that_reaches_all_begins_at_the_front(app):
    seen = []

    def page(after, limit):
        return [number for number in (1, 2) if number > after][:limit]

    for _ in range(2):
        assert in_turn("test", page, seen.append, page=3) == 2

    assert seen == [1, 2, 1, 2]
    assert queue.recall("test") == 0


def test_a_queue_that_cannot_be_asked_costs_the_place_only(app, monkeypatch):
    def broken(*_arguments, **_more):
        raise OSError("gone")

    monkeypatch.setattr(queue.queue_of(app).huey, "get", broken)
    monkeypatch.setattr(queue.queue_of(app).huey, "put", broken)
    seen = []
    for _ in range(2):
        in_turn("test", lambda after, limit: [1, 2, 3][:limit], seen.append, page=2)
    assert seen == [1, 2, 1, 2]


@pytest.fixture
def queue_of_secret(app, settings, tmp_path):
    """Open the same queue in a file as a portal with this SECRET_KEY does."""

    def opened(secret):
        url = f"sqlite:///{tmp_path / 'queue.sqlite3'}"
        wanted = {"queue_url": url, "secret_key": SecretStr(secret)}
        return queue.Queue(app, settings.model_copy(update=wanted))

    return opened


def test_the_place_is_forgotten_with_another_secret_key(queue_of_secret):
    queue_of_secret("one").remember("refunds", 7)
    assert queue_of_secret("one").recall("refunds") == 7
    assert queue_of_secret("two").recall("refunds") == 0
    assert queue_of_secret("one").recall("refunds") == 0


def test_the_place_is_kept_in_a_queue_that_is_a_file(queue_of_secret):
    kept = queue_of_secret("one")
    assert kept.recall("refunds") == 0
    kept.remember("refunds", 7)
    kept.remember("refunds", 9)
    assert kept.recall("refunds") == 9
    kept.remember("refunds", 0)
    kept.remember("refunds", 0)
    assert kept.recall("refunds") == 0
