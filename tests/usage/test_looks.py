"""Limits that are only looked at: read seldom, for many callers at once, and kept in an outage."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy import Connection

from portal.extensions import db
from portal.gateway.looks import LOOK_SECONDS, TOGETHER, Looks
from portal.services import quotas
from portal.services.quotas import PlanLimits
from tests.usage.conftest import NOW

PLAN = PlanLimits(
    quota_type="REQUESTCOUNTLIMIT",
    quota=1000,
    quota_unit=None,
    unit_time=1,
    time_unit="hours",
    rate_limit_count=100,
    rate_limit_time_unit="min",
    stop_on_quota_reach=True,
)


@dataclass
class Process:
    """What one process has seen, its clock, and how often it asked the database."""

    app: Flask
    now: float = 100.0
    away: bool = False
    asked: int = 0

    def __post_init__(self) -> None:
        self.looks = Looks(self.reading, lambda: self.now)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        self.asked += 1
        if self.away:
            raise sa.exc.OperationalError("connect", {}, Exception("away"))
        with db.engine.connect() as connection:
            yield connection

    def look(self, number: int, plan: PlanLimits = PLAN, now: datetime = NOW) -> list[int]:
        return [state.used for state in self.looks.look(number, plan, now)]


@pytest.fixture
def process(app: Flask) -> Process:
    return Process(app)


def _count(number: int, calls: int, plan: PlanLimits = PLAN, now: datetime = NOW) -> None:
    limits = quotas.limits_at(plan, now)
    quotas.add_many(db.session.connection(), {(number, limit): calls for limit in limits})
    db.session.commit()


def test_a_count_is_at_most_half_a_second_old(process, metered) -> None:
    assert process.look(metered.id) == [0, 0]
    _count(metered.id, 7)
    process.now += LOOK_SECONDS - 0.01
    assert process.look(metered.id) == [0, 0]
    process.now += 0.02
    assert process.look(metered.id) == [7, 7]
    assert process.asked == 2


@pytest.mark.all_databases
def test_what_is_used_up_is_refused_and_a_new_window_is_not(process, metered) -> None:
    plan = replace(PLAN, rate_limit_count=7)
    _count(metered.id, 7, plan)
    assert [state.refused for state in process.looks.look(metered.id, plan, NOW)] == [True, False]
    later = NOW + timedelta(minutes=1)
    states = process.looks.look(metered.id, plan, later)
    assert [(state.used, state.refused) for state in states] == [(0, False), (7, False)]


@pytest.mark.parametrize("every", [0.05, 1.0])
def test_those_who_are_asked_for_are_read_together(process, metered, every: float) -> None:
    """Once a second is as often as nginx asks, which keeps a decision for as long."""
    everybody = range(metered.id, metered.id + 100)
    for _ in range(10):
        for number in everybody:
            process.look(number)
            process.now += 0.001
        process.now += every
    # Each for the first time, and then all of them whenever one is due.
    assert 100 < process.asked < 112


def test_whoever_was_not_asked_for_lately_is_not_read(process, metered) -> None:
    for number in range(metered.id, metered.id + 100):
        process.look(number)
    values: list[int] = []
    sa.event.listen(
        db.engine,
        "before_cursor_execute",
        lambda _c, _k, _s, bound, _x, _m: values.append(len(bound)),
    )
    read = []
    for _ in range(8):
        process.now += 1.0
        process.look(metered.id)
        read.append(max(values))
        values.clear()
    assert read == [100] * 5 + [1] * 3


def test_more_than_are_read_together_are_read_in_turns(process, metered) -> None:
    everybody = range(metered.id, metered.id + 2 * TOGETHER)
    for _ in range(2):
        for number in everybody:
            process.look(number)
        process.now += 0.3
    asked = process.asked
    process.now += 0.3
    for number in everybody:
        process.look(number)
    assert process.asked - asked <= 3


def test_a_changed_plan_is_looked_at_at_once(process, metered) -> None:
    _count(metered.id, 7)
    assert process.look(metered.id) == [7, 7]
    states = process.looks.look(metered.id, replace(PLAN, quota=7), NOW)
    assert [state.refused for state in states] == [False, True]


def test_in_an_outage_what_was_seen_holds_for_a_minute(process, metered) -> None:
    _count(metered.id, 7)
    process.look(metered.id)
    process.away = True
    for _ in range(59):
        process.now += 1.0
        assert process.look(metered.id) == [7, 7]
        assert process.look(metered.id) == [7, 7], "asked once in half a second"
    assert process.asked == 60
    process.now += 2.0
    with pytest.raises(sa.exc.SQLAlchemyError):
        process.look(metered.id)
    process.away = False
    process.now += 0.6
    assert process.look(metered.id) == [7, 7]


def test_a_window_that_begins_in_an_outage_is_empty_and_what_is_spent_stays_so(
    process, metered
) -> None:
    plan = replace(PLAN, quota=7)
    _count(metered.id, 7, plan)
    process.look(metered.id, plan)
    process.away = True
    process.now += 1.0
    states = process.looks.look(metered.id, plan, NOW + timedelta(minutes=1))
    assert [(state.used, state.refused) for state in states] == [(0, False), (7, True)]


def test_in_an_outage_nobody_new_and_no_new_plan_is_let_in(process, metered) -> None:
    process.look(metered.id)
    process.away = True
    process.now += 1.0
    for number, plan in ((metered.id + 1, PLAN), (metered.id, replace(PLAN, quota=9))):
        with pytest.raises(sa.exc.SQLAlchemyError):
            process.look(number, plan)


def test_after_an_outage_all_are_read_together_again(process, metered) -> None:
    everybody = range(metered.id, metered.id + 50)
    for number in everybody:
        process.look(number)
    process.away = True
    for _ in range(4):
        process.now += 0.6
        for number in everybody:
            process.look(number)
    process.away, process.now, asked = False, process.now + 0.6, process.asked
    for number in everybody:
        process.look(number)
    assert process.asked - asked == 1


class Turn:
    """A lock that tells how many have come to it."""

    def __init__(self) -> None:
        self.came: list[int] = []
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self.came.append(1)
        self._lock.acquire()

    def __exit__(self, *_why: object) -> None:
        self._lock.release()


@pytest.mark.parametrize("away", [False, True])
@pytest.mark.parametrize("others", [0, 1])
def test_threads_that_ask_a_slow_database_at_once_do_not_ask_it_in_turn(
    process, metered, others: int, away: bool
) -> None:
    numbers = [metered.id + others * number for number in range(8)]
    for number in numbers if away else ():
        process.look(number)
    process.looks._turn = turn = Turn()
    before = process.asked
    seen: list[list[int]] = []
    reading, tick = process.looks._reading, process.now + 1 - time.monotonic()
    process.away, process.looks._tick = away, lambda: time.monotonic() + tick

    @contextmanager
    def slow() -> Iterator[Connection]:
        while len(turn.came) < len(numbers):
            time.sleep(0.01)
        time.sleep(LOOK_SECONDS + 0.1)
        with process.app.app_context(), reading() as connection:
            yield connection

    process.looks._reading = slow

    def ask(number: int) -> None:
        seen.append(process.look(number))

    threads = [threading.Thread(target=ask, args=(number,)) for number in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [[0, 0]] * 8
    # Whoever came while the first was reading waits for one more reading, and for no third.
    assert process.asked - before <= 2
