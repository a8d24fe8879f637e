"""Limits that several processes share by leases: never passed, and used up to the last unit."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flask import Flask
from sqlalchemy import Connection

from portal.extensions import WRITES, db
from portal.gateway.leases import Leases
from portal.models import QuotaUse
from portal.services import quotas
from portal.services.quotas import Limit, PlanLimits
from tests.usage.conftest import NOW


def _limits(quota: int, **more: object) -> tuple[Limit, ...]:
    values = {
        "quota_type": "REQUESTCOUNTLIMIT",
        "quota": quota,
        "quota_unit": None,
        "unit_time": 1,
        "time_unit": "hours",
        "rate_limit_count": None,
        "rate_limit_time_unit": None,
        "stop_on_quota_reach": True,
    }
    return quotas.limits_at(PlanLimits(**(values | more)), NOW)


@pytest.fixture
def process(app: Flask):
    """Make what one process holds; its clock moves when it is told."""
    engine = db.engine
    opened: list[int] = []

    @contextmanager
    def writing() -> Iterator[Connection]:
        with engine.connect().execution_options(**{WRITES: True}) as connection:
            opened.append(1)
            yield connection
            connection.commit()

    def make(tick=lambda: 0.0) -> Leases:
        made = Leases(writing, tick)
        made.opened = opened
        return made

    return make


def _used() -> dict[str, int]:
    db.session.rollback()
    found = {row.kind: row.used for row in db.session.query(QuotaUse)}
    db.session.rollback()
    return found


def _passes(leases: Leases, number: int, limits: tuple[Limit, ...]) -> bool:
    return not leases.admit(number, limits)[-1].refused


@pytest.mark.all_databases
@pytest.mark.parametrize("quota", [25, 1000])
def test_processes_that_call_at_once_never_pass_a_limit_together(
    process, metered, quota: int
) -> None:
    limits = _limits(quota, rate_limit_count=5000, rate_limit_time_unit="min")
    passed: list[int] = []
    some = [process() for _ in range(4)]
    db.session.rollback()

    def call(leases: Leases) -> None:
        for _ in range(quota):
            if not _passes(leases, metered.id, limits):
                break
            passed.append(1)
        leases.give_back(everything=True)

    threads = [threading.Thread(target=call, args=(leases,)) for leases in some]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(passed) <= quota
    last = process()
    rest = quota - len(passed)
    assert [_passes(last, metered.id, limits) for _ in range(rest + 1)] == [True] * rest + [False]
    assert _used()["quota"] == quota


def test_a_busy_process_asks_the_database_seldom_and_gives_back_what_is_left(
    process, metered
) -> None:
    now = 0.0
    leases = process(lambda: now)
    limits = _limits(100_000)
    db.session.rollback()
    for _ in range(2000):
        assert _passes(leases, metered.id, limits)
        now += 0.001
    asked = len(leases.opened)

    assert asked < 60
    assert 2000 <= _used()["quota"] <= 3000
    now += 0.6
    assert leases.give_back() == 1
    assert _used()["quota"] == 2000
    assert leases.give_back() == 0


def test_a_quiet_process_takes_one_unit_at_a_time(process, metered) -> None:
    now = 0.0
    leases = process(lambda: now)
    for count in range(1, 6):
        now += 5.0
        states = leases.admit(metered.id, _limits(100_000))
        assert states[0].used == count
        assert _used()["quota"] == count


def test_of_a_very_large_limit_a_quiet_process_keeps_a_crumb(process, metered) -> None:
    now = 0.0
    leases = process(lambda: now)
    limits = _limits(5_000_000)
    db.session.rollback()
    for count in range(1, 41):
        now += 2.0
        assert leases.admit(metered.id, limits)[0].used == count
        leases.give_back()
    assert len(leases.opened) == 1
    assert _used()["quota"] == 50
    now += 11.0
    assert leases.give_back() == 1
    assert _used()["quota"] == 40


def test_what_is_left_of_a_window_that_is_over_costs_no_statement(process, metered, travel) -> None:
    leases = process()
    limits = _limits(5_000_000, rate_limit_count=1_000_000, rate_limit_time_unit="sec")
    db.session.rollback()
    leases.admit(metered.id, limits)
    asked = len(leases.opened)
    travel.shift(7200)
    assert leases.give_back(everything=True) == 0
    assert len(leases.opened) == asked


def test_what_a_process_holds_is_never_more_than_a_hundredth(process, metered) -> None:
    leases = process()
    limits = _limits(1000)
    for calls in range(1, 500):
        _passes(leases, metered.id, limits)
        assert _used()["quota"] - calls < 10


def test_a_refused_burst_uses_up_no_quota_and_the_other_way_round(process, metered) -> None:
    leases = process()
    limits = _limits(3, rate_limit_count=2, rate_limit_time_unit="sec")
    assert [_passes(leases, metered.id, limits) for _ in range(4)] == [True, True, False, False]
    assert _used() == {"burst": 2, "quota": 2}
    tight = _limits(2, rate_limit_count=4, rate_limit_time_unit="min")
    assert not _passes(process(), metered.id, tight)


def test_the_next_window_begins_anew_and_old_leases_are_nothing_then(process, metered) -> None:
    leases = process()
    now = _limits(1000)
    (limit,) = now
    later = (Limit(kind=limit.kind, amount=1000, start=limit.end, end=limit.end + 3600),)
    for _ in range(7):
        leases.admit(metered.id, now)
    assert leases.admit(metered.id, later)[0].used == 1
    leases.give_back(everything=True)
    assert _used()["quota"] == 1


def test_bytes_are_counted_when_they_are_known(process, metered) -> None:
    one, other = process(), process()
    limits = _limits(1, quota_type="BANDWIDTHLIMIT", quota_unit="KB")
    assert _passes(one, metered.id, limits)
    one.weigh(metered.id, limits[0], 700)
    assert one.admit(metered.id, limits)[0].remaining == 324
    assert _passes(other, metered.id, limits)
    other.weigh(metered.id, limits[0], 700)
    one.give_back(everything=True)

    assert not _passes(process(), metered.id, limits)
    assert _used()["quota"] == 1400
