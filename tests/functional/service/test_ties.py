"""Events of one second in any order, and events that overtake a reading of the present state."""

import itertools

import pytest
import time_machine

from portal import clock
from portal.flows import refreshing
from portal.services import billing_events
from portal.web.unit_of_work import unit_of_work
from tests.functional.service.conftest import start_sale

pytestmark = pytest.mark.all_databases


def later(seconds):
    return time_machine.travel(clock.now().timestamp() + seconds, tick=False)


def test_a_bank_that_asks_is_noticed_in_every_order_of_one_second(app, engine, factories, browser):
    for number, order in enumerate(itertools.permutations(range(2))):
        plan = factories.fixed_policy()
        sale = start_sale(app, engine, factories, type(browser)(app), plan, f"dev{number}")
        engine_id = sale.pay()
        with later(60):
            events = engine.provider.require_action(engine_id)
            sale.deliver(*(events[index] for index in order))
            refreshing.refresh_due(sale.engine_for)

        assert sale.status == "BLOCKED", order
        assert sale.subscription.needs_authentication, order


def test_there_is_a_page_to_pay_at_in_every_order_of_one_second(app, engine, factories, browser):
    for number, order in enumerate(itertools.permutations(range(2))):
        plan = factories.fixed_policy()
        sale = start_sale(app, engine, factories, type(browser)(app), plan, f"dev{number}")
        engine_id = sale.pay()
        with later(60):
            events = engine.provider.fail_renewal(engine_id)
            sale.deliver(*(events[index] for index in order))
            refreshing.refresh_due(sale.engine_for)

        assert sale.status == "BLOCKED", order
        assert sale.subscription.pay_url, order


class Overtaken:
    """An engine whose first answer about a subscription is overtaken by events."""

    def __init__(self, sale, happen):
        self.sale = sale
        self.happen = [happen]

    def __getattr__(self, name):
        return getattr(self.sale.engine, name)

    def subscription(self, account, engine_id):
        found = self.sale.engine.subscription(account, engine_id)
        while self.happen:
            self.sale.deliver(*self.happen.pop()(engine_id))
        return found


def test_an_answer_that_is_overtaken_in_its_own_second_does_not_lift_the_block(sale):
    sale.pay()
    with later(60):
        with unit_of_work():
            billing_events.mark_for_refresh(sale.subscription)
        overtaken = Overtaken(sale, sale.engine.provider.fail_renewal)
        refreshing.refresh_due(lambda _tenant: overtaken)

    assert sale.status == "BLOCKED"
    assert not sale.subscription.refresh_due


def test_an_answer_that_is_always_overtaken_is_asked_for_at_the_next_sweep(sale):
    sale.pay()

    class Restless(Overtaken):
        def subscription(self, account, engine_id):
            found = sale.engine.subscription(account, engine_id)
            with unit_of_work():
                billing_events.mark_for_refresh(sale.subscription)
            return found

    restless = Restless(sale, None)
    refreshing.refresh(lambda _tenant: restless, sale.subscription.subscription_id)

    assert sale.subscription.refresh_due


def test_an_older_state_with_a_later_stamp_does_not_lift_the_block(sale):
    """Servers' clocks differ: what happened first can carry the later second."""
    engine_id = sale.pay()
    provider = sale.engine.provider
    with later(61):
        rolled = provider.tell(
            "customer.subscription.updated", sale.account, provider.contracts[engine_id].snapshot
        )
    with later(60):
        sale.deliver(*provider.fail_renewal(engine_id))
        sale.deliver(rolled)
        refreshing.refresh_due(sale.engine_for)

    assert sale.status == "BLOCKED"
