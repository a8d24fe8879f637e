"""Killed anywhere, started twice, failing at random: every call is billed exactly once."""

import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy import event

from portal.errors import Conflict
from portal.extensions import db
from portal.flows import publishing
from portal.models import PublishRun, Tenant, UsageBatch, UsageBucket, UsageTally
from portal.services import parked
from portal.services import publishing as runs
from tests.usage.conftest import Killed, Metered, MeterEngine, engine_for

HISTORIES = int(os.environ.get("USAGE_HISTORIES", "25"))
PAUSES = [timedelta(minutes=3), timedelta(hours=1), timedelta(days=1), timedelta(days=3)]


@contextmanager
def killed_at(number: int) -> Iterator[None]:
    """Kill the process when it begins its n-th transaction."""
    seen = 0

    def count(_connection: object) -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            raise Killed

    event.listen(db.engine, "begin", count)
    try:
        yield
    finally:
        event.remove(db.engine, "begin", count)


def _run_killed(engine: MeterEngine, tenant_id: int, number: int) -> bool:
    """Run until the n-th transaction; return whether the run was killed."""
    try:
        with killed_at(number):
            run_id = publishing.start(db.session.get_one(Tenant, tenant_id), "test").run_id
            publishing.run(engine_for(engine), run_id)
    except Killed:
        db.session.remove()
        return True
    return False


def test_killed_before_any_transaction_nothing_is_lost_or_doubled(
    make_metered, engine, publish, factories, travel
) -> None:
    two = [make_metered(), make_metered()]
    tenant_id = factories.tenant().tenant_id
    number, survived = 0, False
    while not survived:
        number += 1
        for each in two:
            each.call(2)
        db.session.rollback()
        survived = not _run_killed(engine, tenant_id, number)
        travel.shift(runs.LEASE)
    publish()

    assert number > 15
    assert [each.total for each in two] == [each.recorded for each in two]


@pytest.mark.parametrize("fault", ["die before", "die after"])
@pytest.mark.parametrize("later", [timedelta(minutes=5), timedelta(hours=23), timedelta(days=3)])
def test_killed_during_the_call(
    metered, engine, publish, factories, travel, fault: str, later: timedelta
) -> None:
    metered.call(10)
    engine.faults = [fault]
    run_id = publishing.start(factories.tenant(), "test").run_id
    with pytest.raises(Killed):
        publishing.run(engine_for(engine), run_id)
    db.session.remove()
    travel.shift(later)
    metered.call(1)
    publish()

    assert metered.total == 11
    assert {batch.state for batch in metered.batches} == {"ACKNOWLEDGED"}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(HISTORIES))
def test_random_histories_bill_every_call_once(
    make_metered, engine, factories, travel, seed: int
) -> None:
    chance = random.Random(seed)
    # Every other history is sent by several threads at once.
    engine.parallel, engine.calls_per_second = 1 + seed % 2 * 2, 1e6
    tenant_id = factories.tenant().tenant_id
    some = [make_metered() for _ in range(3)]
    for _ in range(12):
        for each in some:
            each.call(chance.randrange(4))
        engine.faults = chance.choices(
            ["", "down", "lost", "busy", "refuse", "deny", "die before", "die after"],
            [10, 2, 2, 2, 1, 1, 1, 1],
            k=4,
        )
        _attempt(engine, tenant_id, chance)
        travel.shift(chance.choice(PAUSES))
    engine.faults = []
    for _ in range(3):
        _reopen()
        _attempt(engine, tenant_id, None)
        travel.shift(timedelta(hours=1))

    assert [each.total for each in some] == [each.recorded for each in some]
    assert db.session.query(UsageBatch).filter(UsageBatch.state != "ACKNOWLEDGED").count() == 0
    _is_conserved()


def _attempt(engine: MeterEngine, tenant_id: int, chance: random.Random | None) -> None:
    db.session.rollback()
    try:
        if chance is not None and chance.random() < 0.3:
            _run_killed(engine, tenant_id, chance.randrange(1, 25))
            return
        run_id = publishing.start(db.session.get_one(Tenant, tenant_id), "test").run_id
        publishing.run(engine_for(engine), run_id)
    except (Killed, Conflict):
        db.session.remove()


def _reopen() -> None:
    db.session.rollback()
    for batch in db.session.query(UsageBatch).filter_by(state="REFUSED").all():
        tenant = db.session.get_one(Tenant, batch.tenant_id)
        parked.decide(tenant, batch.batch_id, has_arrived=False, actor="admin")
    db.session.commit()


def _is_conserved() -> None:
    """Every batch holds exactly the calls that it claimed."""
    db.session.rollback()
    claimed = {
        (row.subscription_id, row.period_start, row.claim): int(row.calls)
        for row in db.session.execute(
            sa.select(
                UsageBucket.subscription_id,
                UsageBucket.period_start,
                UsageBucket.claim,
                sa.func.sum(UsageBucket.calls).label("calls"),
            )
            .where(UsageBucket.reason == "")
            .group_by(UsageBucket.subscription_id, UsageBucket.period_start, UsageBucket.claim)
        )
    }
    for batch in db.session.query(UsageBatch):
        place = (batch.subscription_id, batch.period_start, batch.first)
        assert batch.quantity == claimed.pop(place)
    for tally in db.session.query(UsageTally):
        place = (tally.subscription_id, tally.period_start, tally.claimed)
        assert tally.counted - tally.claimed == claimed.pop(place, 0)
    assert claimed == {}


# --- at the same time -----------------------------------------------------------------------


def _together(app: Flask, work: Callable[[int], None], count: int) -> list[BaseException]:
    """Run ``work`` in threads that begin at the same moment; return what they raised."""
    begin, failed = threading.Barrier(count), []

    def one(number: int) -> None:
        with app.app_context():
            begin.wait()
            try:
                work(number)
            except BaseException as error:
                failed.append(error)
            finally:
                db.session.remove()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failed


@pytest.mark.all_databases
def test_of_many_that_press_the_button_one_wins(
    app: Flask, metered: Metered, engine, factories
) -> None:
    metered.call(20)
    tenant_id = factories.tenant().tenant_id
    db.session.rollback()

    def press(_number: int) -> None:
        run_id = publishing.start(db.session.get_one(Tenant, tenant_id), "test").run_id
        publishing.run(engine_for(engine), run_id)

    failed = _together(app, press, 6)
    assert all(isinstance(error, Conflict) for error in failed), failed
    assert metered.total == 20
    assert db.session.query(PublishRun).count() == 6 - len(failed)


@pytest.mark.all_databases
def test_publishers_that_ignore_the_lease_still_bill_once(
    app: Flask, metered: Metered, engine
) -> None:
    metered.call(20)
    db.session.rollback()
    failed = _together(app, lambda _n: publishing.flush(engine, metered.id), 4)

    assert failed == []
    assert metered.total == 20
    assert sum(batch.quantity for batch in metered.batches) == 20


@pytest.mark.all_databases
def test_calls_that_arrive_while_batches_are_frozen_are_in_exactly_one(
    app: Flask, metered: Metered, engine
) -> None:
    db.session.rollback()

    def work(number: int) -> None:
        for _ in range(5):
            if number % 2:
                metered.call(3)
            else:
                publishing.flush(engine, metered.id)

    failed = _together(app, work, 4)
    publishing.flush(engine, metered.id)
    assert failed == []
    assert metered.recorded == 30
    assert metered.total == 30
    _is_conserved()
