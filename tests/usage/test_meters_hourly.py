"""The worker compares usage with Stripe's meters, and what it found stays until it is settled."""

from datetime import timedelta
from typing import Any

import pytest

from portal import clock
from portal.errors import Conflict
from portal.extensions import db
from portal.flows import drifting
from portal.flows import reconciling as flow
from portal.flows.reconciling import Usage
from portal.models import Drift, DriftState, Subscription, UsageBatch
from portal.services import reconciling
from portal.web.unit_of_work import unit_of_work
from tests.support import statements
from tests.usage.conftest import MONTH, engine_for, set_period

pytestmark = pytest.mark.usefixtures("travel")

END = MONTH[1]
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@pytest.fixture
def compare(engine, travel) -> Any:
    """Let hours go by and compare in each, as the worker does; return what usage differs."""

    def run(metered: Any, hours: int = 24) -> list[tuple[str, str, str]]:
        for _ in range(hours):
            travel.shift(HOUR)
            db.session.rollback()
            assert drifting.check(engine_for(engine), metered.tenant_id)
        return usage()

    return run


def usage() -> list[tuple[str, str, str]]:
    db.session.rollback()
    rows = db.session.query(Drift).filter_by(kind="usage").order_by(Drift.drift_id)
    return [(row.here, row.there, row.state) for row in rows]


def _next(metered: Any) -> None:
    set_period(metered, END, END + 30 * DAY)


@pytest.mark.all_databases
def test_what_stripe_refused_afterwards_is_found_within_a_day(
    metered, engine, publish, compare
) -> None:
    metered.call(5)
    publish()
    known, engine.ledger = engine.ledger, []

    assert compare(metered) == [("5", "0", DriftState.OPEN)]
    (row,) = db.session.query(Drift).filter_by(kind="usage")
    assert row.subject == f"{metered.uuid} {MONTH[0]:%Y-%m-%dT%H:%MZ}"
    assert not row.repairable
    engine.ledger = known
    assert compare(metered) == [("5", "0", DriftState.GONE)]


def test_it_stays_when_the_period_is_over_and_nothing_compares_it_any_more(
    metered, engine, publish, compare, travel
) -> None:
    travel.move_to(END - 2 * HOUR)
    metered.call(3)
    publish()
    engine.ledger.clear()
    assert compare(metered, 1) == []
    assert compare(metered, 1) == [("3", "0", DriftState.OPEN)]
    _next(metered)

    assert compare(metered, 30) == [("3", "0", DriftState.OPEN)]


def test_a_person_says_that_it_is_settled_and_it_is_not_found_again(
    metered, engine, publish, compare
) -> None:
    metered.call(2)
    publish()
    engine.ledger.clear()
    compare(metered)
    (row,) = db.session.query(Drift).filter_by(kind="usage")
    number = row.drift_id
    db.session.rollback()
    with pytest.raises(Conflict, match="cannot repair"):
        drifting.repair(engine_for(engine), metered.tenant_id, number, "admin")
    drifting.settle(metered.tenant_id, number, "admin")

    assert compare(metered) == [("2", "0", DriftState.SETTLED)]
    metered.call(4)
    publish()
    # The same calls are missing, and no more than they.
    assert compare(metered) == [("2", "0", DriftState.SETTLED)]
    metered.call(7)
    publish()
    engine.ledger.clear()
    assert compare(metered) == [("2", "0", DriftState.SETTLED), ("13", "0", DriftState.OPEN)]


def test_what_cannot_be_settled_is_said(metered, compare) -> None:
    with unit_of_work():
        row = Drift(
            tenant_id=metered.tenant_id,
            kind="subscription_missing",
            subject="x",
            here="",
            there="",
            risk="high",
            danger="",
            proposal="",
            repairable=False,
            seen_by=0,
        )
        db.session.add(row)
    number = row.drift_id
    with pytest.raises(Conflict, match="ends by itself"):
        drifting.settle(metered.tenant_id, number, "admin")


def _due(metered: Any, travel: Any) -> list[int]:
    """Return the hours of the coming day in which a subscription is compared."""
    found = []
    for hour in range(24):
        now = clock.now() + hour * HOUR
        rows = reconciling.metered_due(metered.tenant_id, metered.account, 0, now)
        found += [hour for each in rows if each.number == metered.id]
    db.session.rollback()
    return found


@pytest.mark.all_databases
def test_each_has_its_hour_of_the_day_and_all_about_the_end_of_its_period(
    metered, publish, travel
) -> None:
    assert _due(metered, travel) == []
    metered.call()
    publish()
    assert len(_due(metered, travel)) == 1
    travel.shift(3 * DAY)
    assert _due(metered, travel) == []
    travel.move_to(END - 12 * HOUR)
    metered.call()
    publish()
    assert {10, 11, 12, 23} <= set(_due(metered, travel))
    _next(metered)
    travel.move_to(END)
    hours = _due(metered, travel)
    assert (hours[:3], len(hours) <= 4) == ([0, 1, 2], True)
    with unit_of_work():
        row = db.session.get_one(Subscription, metered.id)
        row.ended_at = END
    assert _due(metered, travel)[:3] == [0, 1, 2]


def test_a_comparison_asks_the_same_statements_for_many_as_for_few(
    make_metered, publish, travel, engine
) -> None:
    def cost(more: int) -> int:
        for each in [make_metered() for _ in range(more)]:
            each.call()
        publish()
        travel.move_to(END - HOUR)
        with unit_of_work():
            db.session.query(UsageBatch).update({"acknowledged_at": END - 2 * HOUR})
        every = flow.differences(engine_for(engine), usage=Usage.DUE)
        return statements.count(lambda: [each for each in every if each.kind == "usage"])

    few = cost(1)
    assert cost(20) == few
