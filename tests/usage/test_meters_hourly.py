"""The worker compares usage with Stripe's meters, and what it found stays until it is settled."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from portal import clock, jobs
from portal.errors import BillingEngineError, Conflict, EngineObjectMissing, EngineUnavailable
from portal.extensions import db
from portal.flows import drifting
from portal.flows import reconciling as flow
from portal.flows.reconciling import Usage
from portal.models import (
    Drift,
    DriftCheck,
    DriftState,
    EngineSubscription,
    Subscription,
    UsageBatch,
)
from portal.services import drift as drifts
from portal.services import reconciling
from portal.web.unit_of_work import unit_of_work
from tests.support import statements
from tests.usage.conftest import MONTH, NOW, engine_for, set_period

pytestmark = pytest.mark.usefixtures("travel")

END = MONTH[1]
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)


@pytest.fixture
def compare(engine, travel) -> Callable[..., list[tuple[str, str, str]]]:
    """Let hours go by and compare in each, as the worker does; return what usage differs."""

    def run(metered: Any, hours: int = 24) -> list[tuple[str, str, str]]:
        for _ in range(hours):
            travel.shift(HOUR)
            db.session.rollback()
            assert drifting.check(engine_for(engine), metered.tenant_id)
        return usage()

    return run


def rows(kind: str = "usage") -> list[Drift]:
    db.session.rollback()
    return list(db.session.query(Drift).filter_by(kind=kind).order_by(Drift.drift_id))


def usage() -> list[tuple[str, str, str]]:
    return [(row.here, row.there, row.state) for row in rows()]


def settle(metered: Any) -> None:
    row = rows()[-1]
    number, here, there = row.drift_id, row.here, row.there
    db.session.rollback()
    drifting.settle(metered.tenant_id, number, here, there, "admin")


@pytest.mark.all_databases
def test_what_stripe_refused_afterwards_is_found_within_a_day(
    metered, engine, publish, compare
) -> None:
    metered.call(5)
    publish()
    known, engine.ledger = engine.ledger, []

    assert compare(metered) == [("5", "0", DriftState.OPEN)]
    (row,) = rows()
    (batch,) = metered.batches
    assert row.subject == f"{batch.meter_event_name} {metered.customer} {NOW:%Y-%m-%d}"
    assert f"subscription {metered.uuid} " in row.proposal
    assert not row.repairable
    engine.ledger = known
    # What is open is looked at in each hour.
    assert compare(metered, 1) == [("5", "0", DriftState.GONE)]


def test_it_stays_however_long_ago_it_was(metered, engine, publish, compare, travel) -> None:
    travel.move_to(END - 2 * HOUR)
    metered.call(3)
    publish()
    engine.ledger.clear()
    assert compare(metered, 1) == []
    assert compare(metered, 1) == [("3", "0", DriftState.OPEN)]
    set_period(metered, END, END + 30 * DAY)
    travel.shift(20 * DAY)

    assert compare(metered, 2) == [("3", "0", DriftState.OPEN)]


def test_a_person_says_that_it_is_settled_and_it_is_not_found_again(
    metered, engine, publish, compare
) -> None:
    metered.call(2)
    publish()
    engine.ledger.clear()
    compare(metered)
    number = rows()[0].drift_id
    db.session.rollback()
    with pytest.raises(Conflict, match="cannot repair"):
        drifting.repair(engine_for(engine), metered.tenant_id, number, "admin")
    settle(metered)

    assert compare(metered, 30) == [("2", "0", DriftState.SETTLED)]


def test_what_is_more_than_was_settled_is_found(metered, engine, publish, compare) -> None:
    metered.call(2)
    publish()
    engine.ledger.clear()
    compare(metered, 13)
    settle(metered)
    metered.call(7, at=NOW + MINUTE)
    publish()
    engine.ledger.clear()

    assert compare(metered, 13) == [("2", "0", DriftState.SETTLED), ("9", "0", DriftState.OPEN)]


def test_only_what_a_person_saw_is_settled(metered, engine, publish, compare) -> None:
    metered.call(2)
    publish()
    engine.ledger.clear()
    compare(metered)
    with pytest.raises(Conflict, match="has changed"):
        drifting.settle(metered.tenant_id, rows()[0].drift_id, "1", "0", "admin")
    assert usage() == [("2", "0", DriftState.OPEN)]


def test_a_loss_as_large_as_one_that_was_settled_and_made_good_is_found(
    metered, engine, publish, compare
) -> None:
    metered.call(2)
    publish()
    known, engine.ledger = engine.ledger, []
    compare(metered, 13)
    settle(metered)
    engine.ledger = known  # Somebody has sent them again.
    assert compare(metered, 12) == [("2", "0", DriftState.SETTLED)]
    engine.ledger = []

    assert compare(metered, 12) == [("2", "0", DriftState.SETTLED), ("2", "0", DriftState.OPEN)]


def test_what_cannot_be_settled_is_said(metered, factories) -> None:
    number = factories.difference("subscription_missing").drift_id
    db.session.rollback()
    with pytest.raises(Conflict, match="ends by itself"):
        drifting.settle(metered.tenant_id, number, "12", "10", "admin")


def test_the_last_usage_before_a_change_of_plan_is_compared(
    metered, make_metered, engine, publish, compare
) -> None:
    metered.call(4)
    publish()
    engine.ledger.clear()
    with unit_of_work():
        # Another price with a meter of its own, and a period that begins now.
        other = make_metered()
        mapping = db.session.query(EngineSubscription).filter_by(am_subscription_id=other.id).one()
        sold = db.session.query(EngineSubscription).filter_by(am_subscription_id=metered.id).one()
        sold.mapping_id = mapping.mapping_id
        db.session.get_one(Subscription, metered.id).engine_subscription_id = None
    set_period(metered, NOW + HOUR, NOW + 31 * DAY)

    assert compare(metered) == [("4", "0", DriftState.OPEN)]


def test_two_subscriptions_of_one_customer_on_one_meter_are_one_difference(
    metered, make_metered, engine, publish, compare
) -> None:
    other = make_metered()
    with unit_of_work():
        mine, its = (
            db.session.query(EngineSubscription).filter_by(am_subscription_id=each.id).one()
            for each in (metered, other)
        )
        its.mapping_id, its.shared_customer_id = mine.mapping_id, mine.shared_customer_id
    metered.call(5)
    other.call(1)
    publish()
    engine.ledger = [each for each in engine.ledger if each[2].quantity == 1]

    assert compare(metered) == [("6", "1", DriftState.OPEN)]


def _breaks(engine: Any, monkeypatch: Any, customer: str, error: BillingEngineError) -> None:
    ask = engine.usage_total

    def total(account: str, **what: Any) -> int:
        if what["customer_id"] == customer:
            raise error
        return int(ask(account, **what))

    monkeypatch.setattr(engine, "usage_total", total)


def test_a_customer_who_is_gone_hides_no_other_one(
    metered, make_metered, engine, publish, compare, monkeypatch
) -> None:
    others = [make_metered(), make_metered()]
    for each in (metered, *others):
        each.call(3)
    publish()
    engine.ledger.clear()
    gone = EngineObjectMissing("No such customer", engine_code="resource_missing")
    _breaks(engine, monkeypatch, metered.customer, gone)

    assert compare(metered) == [("3", "0", DriftState.OPEN)] * 2
    subjects = {row.subject for row in rows("not_compared")}
    assert any(metered.customer in each for each in subjects)


def test_meters_that_cannot_be_asked_keep_nothing_else_open(
    metered, engine, factories, publish, compare, monkeypatch
) -> None:
    metered.call(3)
    publish()
    factories.difference("price_archived", account=metered.account, open_key="k")
    _breaks(engine, monkeypatch, metered.customer, EngineUnavailable("No answer."))
    compare(metered)
    assert [row.state for row in rows("price_archived")] == [DriftState.GONE]
    assert "usage" in {row.subject for row in rows("not_compared")}


def test_what_is_acknowledged_while_the_meter_is_asked_is_no_difference(
    metered, engine, publish, compare, monkeypatch
) -> None:
    metered.call(1)
    publish()
    ask = engine.usage_total

    def total(account: str, **what: Any) -> int:
        found = int(ask(account, **what))
        if what["end"] <= NOW:
            return found
        with unit_of_work():
            db.session.query(UsageBatch).one().quantity += 7
        return found + 7

    monkeypatch.setattr(engine, "usage_total", total)
    assert compare(metered, 30) == []


@pytest.mark.all_databases
def test_each_has_two_hours_of_the_day_and_all_about_the_end_of_its_period(
    metered, publish, travel
) -> None:
    assert _due(metered) == []
    metered.call()
    publish()
    assert len(_due(metered)) == 2
    travel.shift(3 * DAY)
    assert _due(metered) == []
    travel.move_to(END - 12 * HOUR)
    metered.call()
    publish()
    assert {10, 11, 12, 13, 14} <= set(_due(metered))


def _due(metered: Any) -> list[int]:
    """Return the hours of the coming day in which something is compared."""
    found = []
    for hour in range(24):
        now = clock.now() + hour * HOUR
        days = reconciling.due(metered.tenant_id, metered.account, now, now + DAY)
        found += [hour] * bool(days)
    db.session.rollback()
    return found


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


def test_a_comparison_that_was_overtaken_changes_nothing(metered, engine, compare) -> None:
    compare(metered, 1)
    with unit_of_work():
        number = db.session.query(DriftCheck).one().number
        db.session.query(DriftCheck).one().number += 1
        db.session.query(DriftCheck).one().finished_at = None
    with unit_of_work():
        drifts.finish(metered.tenant_id, number, set())
    assert db.session.query(DriftCheck).one().finished_at is None
    seen = drifts.Seen(
        kind="usage", account="a", subject="s", here="1", there="0", since=None, risk="high",
        danger="", proposal="", repairable=False, repaired=False, problem=None,
    )  # fmt: skip
    with pytest.raises(Conflict, match="Another comparison"), unit_of_work():
        drifts.keep(metered.tenant_id, number, seen, "worker")


def test_while_one_comparison_goes_on_the_next_hour_begins_none(metered, travel) -> None:
    jobs.compare_all()
    db.session.rollback()
    first = db.session.query(DriftCheck).one().number
    with unit_of_work():
        check = db.session.query(DriftCheck).one()
        check.finished_at, check.started_at = None, clock.now()
    travel.shift(50 * MINUTE)
    jobs.compare_all()
    assert db.session.query(DriftCheck).one().number == first
    db.session.rollback()
    travel.shift(20 * MINUTE)
    jobs.compare_all()
    assert db.session.query(DriftCheck).one().number == first + 1
