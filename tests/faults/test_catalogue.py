"""The catalogue of planted faults: `flask reconcile` finds each, and nothing where nothing is.

Each fault is planted into a subscription of its own, in a connected account of its own; then the
portal and the provider are compared once, and repaired once. Whatever is not repaired is explained.
"""

import os
import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from portal import jobs
from portal.extensions import db
from portal.flows import publishing, reconciling
from portal.flows.reconciling import Difference, Usage
from portal.models import Tenant
from portal.services.subscriptions import Move
from tests.faults.planted import CATALOGUE, START, Fault
from tests.faults.world import Life, World
from tests.support import invariants

HISTORIES = int(os.environ.get("HEALTHY_HISTORIES", "4"))


@pytest.fixture(autouse=True)
def clock() -> Iterator[Any]:
    with time_machine.travel(START, tick=False) as traveller:
        yield traveller


@pytest.fixture
def world(app, engine, factories) -> World:
    return World(engine, factories)


def look(world: World, *, repair: bool = False) -> list[reconciling.Found]:
    """Compare both sides, usage too."""
    db.session.remove()
    return list(reconciling.run(world.engine_for, repair=repair, usage=Usage.ALL))


def of(life: Life, found: Difference) -> bool:
    """Whether a difference is about this subscription, its account or what belongs to them."""
    names = (life.uuid, f"evt_dead_{life.number}", f"evt_parked_{life.number}")
    batch = f"batch:{life.number}"
    return found.account == life.account or found.subject in (*names, batch)


@pytest.mark.all_databases
def test_every_planted_fault_is_found_and_repaired_or_explained(world: World, clock) -> None:
    assert len(CATALOGUE) >= 25
    lives = [_bought(world, number, fault) for number, fault in enumerate(CATALOGUE)]
    jobs.sweep()
    clock.shift(timedelta(hours=3))
    assert look(world) == []
    for life, fault in zip(lives, CATALOGUE, strict=True):
        db.session.remove()
        fault.plant(life)
    clock.shift(timedelta(hours=2))
    before = [each.difference for each in look(world)]
    again = [each.difference for each in look(world)]
    assert again == before, "looking changed something"
    for life, fault in zip(lives, CATALOGUE, strict=True):
        mine = [each for each in before if of(life, each)]
        assert {each.kind for each in mine} == set(fault.kinds), fault.name
        assert all(each.proposal and each.here and each.there for each in mine), fault.name
        assert all(bool(each.repair) == fault.repaired for each in mine), fault.name
    look(world, repair=True)
    left = [each.difference for each in look(world)]
    for life, fault in zip(lives, CATALOGUE, strict=True):
        kinds = {each.kind for each in left if of(life, each)}
        assert kinds == (set() if fault.repaired else set(fault.kinds)), fault.name


def _bought(world: World, number: int, fault: Fault) -> Life:
    make = world.factories
    policy = make.dynamic_policy if fault.metered else make.fixed_policy
    life = world.sell(f"acct_fault{number}", policy)
    if fault.paid:
        return life.pay()
    return life


# --- nothing where nothing is ---------------------------------------------------------------


class History:
    """A subscription that lives at random, with every event arriving in its time."""

    def __init__(self, world: World, life: Life, chance: random.Random, clock: Any) -> None:
        self.world, self.life, self.chance, self.clock = world, life, chance, clock

    def live(self) -> None:
        """Buy, or do not; then let things happen."""
        first = self.chance.random()
        if first < 0.1:
            self.life.end()
        elif first < 0.2:
            self.world.hear(self.world.provider.expire(self.life.open_page()))
        else:
            self.life.pay()
            for _ in range(self.chance.randint(0, 4)):
                self.pass_time()
                if self.life.row.ended_at is not None:
                    return
                self.chance.choice(self.steps())()

    def pass_time(self) -> None:
        """Let some of the month pass."""
        self.clock.shift(timedelta(hours=self.chance.randint(1, 200)))

    def steps(self) -> list[Callable[[], object]]:
        """Return what may happen next."""
        provider, name, hear = self.world.provider, self.life.engine_id, self.world.hear
        if self.life.row.billing == "OVERDUE":
            return [lambda: hear(provider.pay_invoice(name)), lambda: hear(provider.end(name))]
        return [
            lambda: hear(provider.renew(name)),
            lambda: hear(provider.fail_renewal(name)),
            lambda: hear(provider.require_action(name)),
            lambda: hear(provider.cancel_at_period_end(name)),
            lambda: self.life.move(Move.BLOCK_ALL),
            lambda: self.life.move(Move.UNBLOCK),
            lambda: self.life.call(self.chance.randint(1, 3)),
            self.life.end,
            lambda: None,
        ]


def test_nothing_is_found_in_healthy_histories(
    world: World, clock, record_property: Callable[[str, object], None]
) -> None:
    chance = random.Random(20261103)
    plans = [world.factories.fixed_policy(), world.factories.dynamic_policy()]
    apis = [world.api("acct_publisher1", plan) for plan in plans]
    offers = [(api.api_id, plan.policy_id) for api, plan in zip(apis, plans, strict=True)]
    for number in range(1, HISTORIES + 1):
        life = world.subscribe(*chance.choice(offers), "acct_publisher1")
        History(world, life, chance, clock).live()
        jobs.sweep()
        publish(world)
        if number % 5 == 0 or number == HISTORIES:
            clock.shift(timedelta(hours=2))
            assert look(world) == [], f"after history {number}"
    record_property("histories", HISTORIES)
    invariants.check(world.engine_for, answered=world.answered)


def publish(world: World) -> None:
    """Send what was counted, as the worker does."""
    tenant = db.session.get_one(Tenant, world.tenant_id)
    run = publishing.start(tenant, "test")
    run_id = run.run_id
    db.session.rollback()
    publishing.run(world.engine_for, run_id)
    db.session.remove()
