"""Ending a subscription: what was paid for nothing goes back, whatever arrives first."""

import pytest
import time_machine

from portal import clock, jobs
from portal.errors import EngineUnavailable
from portal.extensions import db
from portal.flows import payments
from portal.models import CheckoutAttempt, EngineSubscription, Refund
from portal.services import subscriptions
from portal.services.subscriptions import Cause, Move
from portal.web.unit_of_work import unit_of_work

pytestmark = pytest.mark.all_databases


def test_deleting_before_paying_closes_the_page(sale):
    session_id = sale.open_page()
    payments.end(sale.engine_for, sale.uuid, actor="dana", because="Unsubscribed.")

    assert sale.status == "ENDED"
    assert sale.engine.provider.pages[session_id].session.state == "expired"


def paid_back(sale):
    return sum(sale.engine.provider.refunds.values())


def test_a_payment_that_wins_the_race_against_deleting_is_paid_back_not_dropped(sale):
    session_id = sale.open_page()
    events = sale.engine.provider.pay(session_id)

    payments.end(sale.engine_for, sale.uuid, actor="dana", because="Unsubscribed.")
    sale.deliver(*events)

    record = db.session.query(EngineSubscription).one()
    assert sale.status == "ENDED"
    assert record.cancelled_at is not None
    assert sale.engine.provider.contracts[record.subscription_id].snapshot.status == "canceled"
    assert paid_back(sale) == 999
    assert db.session.query(Refund).one().amount_minor == 999
    assert sale.moves == ["SUBSCRIBE", "ASK_END", "PAID_WHILE_ENDING", "PAY", "REFUNDED", "END"]


def test_a_payment_after_the_end_is_cancelled_and_paid_back(sale):
    session_id = sale.open_page()
    sale.engine.provider.is_down = True
    with pytest.raises(EngineUnavailable):
        payments.end(sale.engine_for, sale.uuid, actor="dana", because="Unsubscribed.")
    sale.engine.provider.is_down = False
    with unit_of_work():
        subscriptions.make(sale.subscription, Move.END, Cause(because="Ended.", actor="test"))

    sale.deliver(*sale.engine.provider.pay(session_id))
    jobs.sweep()

    contract = next(iter(sale.engine.provider.contracts.values()))
    assert contract.snapshot.status == "canceled"
    assert paid_back(sale) == 999
    assert sale.status == "ENDED"
    assert sale.moves[-2:] == ["PAID_AFTER_END", "REFUNDED"]


def test_a_subscription_that_is_paid_on_two_pages_lives_once_and_one_payment_goes_back(sale):
    first = sale.open_page()
    attempt = db.session.query(CheckoutAttempt).one()
    attempt.status, attempt.open_key = "EXPIRED", None
    db.session.commit()
    second = sale.open_page()
    assert first != second

    sale.deliver(*sale.engine.provider.pay(first), *sale.engine.provider.pay(second))
    jobs.sweep()

    states = [each.snapshot.status for each in sale.engine.provider.contracts.values()]
    assert sorted(states) == ["active", "canceled"]
    kept = sale.engine.provider.contracts[sale.subscription.engine_subscription_id]
    assert kept.snapshot.status == "active"
    assert paid_back(sale) == 999
    assert sale.status == "UNBLOCKED"


def test_a_refund_waits_for_the_engine_and_is_made_once(sale):
    session_id = sale.open_page()
    events = sale.engine.provider.pay(session_id)
    payments.end(Failing(sale.engine, "refund"), sale.uuid, actor="dana", because="Unsubscribed.")
    assert sale.status == "ENDED"
    assert paid_back(sale) == 0

    sale.deliver(*events)
    for _ in range(2):
        jobs.sweep()

    assert paid_back(sale) == 999
    assert sale.moves.count("REFUNDED") == 1


def test_a_refund_that_the_engine_refuses_waits_for_a_person(sale):
    session_id = sale.open_page()
    sale.engine.provider.pay(session_id)
    sale.engine.provider.unrefundable |= set(sale.engine.provider.contracts)

    payments.end(sale.engine_for, sale.uuid, actor="dana", because="Unsubscribed.")

    refund = db.session.query(Refund).one()
    assert (refund.status, refund.error) == ("REFUSED", "This card takes nothing back.")


class Failing:
    """Engines that do not answer one of the calls."""

    def __init__(self, engine, name):
        self._engine, self._name = engine, name

    def __call__(self, _tenant):
        return self

    def __getattr__(self, name):
        if name == self._name:
            raise EngineUnavailable("No answer.")
        return getattr(self._engine, name)


def test_an_interrupted_ending_is_finished_by_the_worker(sale):
    sale.pay()
    sale.engine.provider.is_down = True
    with pytest.raises(Exception, match="does not answer"):
        payments.end(sale.engine_for, sale.uuid, actor="dana", because="Unsubscribed.")
    assert sale.status == "DELETE_PENDING"

    sale.engine.provider.is_down = False
    with time_machine.travel(clock.now().timestamp() + 120, tick=False):
        payments.sweep(sale.engine_for)

    assert sale.status == "ENDED"
