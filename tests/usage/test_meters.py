"""Acknowledged usage beside Stripe's meters: by the stamp that was sent, and past the end."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from portal import clock
from portal.extensions import db
from portal.flows import reconciling
from portal.flows.reconciling import Usage
from portal.models import Subscription
from portal.web.unit_of_work import unit_of_work
from tests.support import statements
from tests.usage.conftest import MONTH, engine_for, set_period

pytestmark = pytest.mark.usefixtures("travel")

END = MONTH[1]
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@pytest.fixture
def found(engine) -> Any:
    """Compare; return what was acknowledged and what was counted where that differs."""

    def compare() -> list[tuple[str, str]]:
        db.session.rollback()
        every = reconciling.differences(
            engine_for(engine),
            usage=Usage.ALL,
            grace=timedelta(0),
            account="acct_publisher1",
        )
        return [(each.here, each.there) for each in every if each.kind == "usage"]

    return compare


def _next(metered: Any) -> None:
    set_period(metered, END, END + timedelta(days=30))


def _come_late(metered: Any, publish: Any, travel: Any) -> None:
    """Publish two calls of a period when its invoice is drawn."""
    travel.move_to(END + 2 * HOUR)
    _next(metered)
    metered.call(2, at=END - MINUTE)
    publish()


def _hours(travel: Any, hours: int) -> Iterator[None]:
    for _ in range(hours):
        travel.shift(HOUR)
        yield


def test_a_late_batch_is_compared_where_its_stamp_is(metered, publish, found, travel) -> None:
    metered.call(5)
    _come_late(metered, publish, travel)
    travel.shift(3 * HOUR)

    assert {batch.late for batch in metered.batches} == {True}
    assert found() == []


def test_a_late_batch_that_was_refused_afterwards_is_found(
    metered, engine, publish, found, travel
) -> None:
    _come_late(metered, publish, travel)
    engine.ledger.clear()
    travel.shift(3 * HOUR)

    assert found() == [("2", "0")]


@pytest.mark.all_databases
def test_what_was_refused_in_the_last_hour_of_a_period_is_found(
    metered, engine, publish, found, travel
) -> None:
    travel.move_to(END - 40 * MINUTE)
    metered.call(1000)
    publish()
    engine.ledger.clear()
    travel.move_to(END + MINUTE)
    _next(metered)
    seen = [found() for _ in _hours(travel, 4)]

    assert [("1000", "0")] in seen
    assert seen[-1] == [], "a period is compared for some hours after its end"


def test_what_has_just_been_sent_for_a_period_that_is_over_is_under_way(
    metered, engine, publish, found, travel
) -> None:
    travel.move_to(END + 59 * MINUTE)
    _next(metered)
    metered.call(4, at=END - MINUTE)
    publish()
    known, engine.ledger = engine.ledger, []  # Stripe counts some time after it acknowledges.
    travel.shift(3 * MINUTE)
    assert found() == []
    travel.shift(20 * MINUTE)
    assert found() == [("4", "0")]
    engine.ledger = known
    assert found() == []


def test_a_subscription_that_has_ended_is_compared_for_some_hours(
    metered, engine, publish, found, travel
) -> None:
    travel.move_to(END - 10 * MINUTE)
    metered.call(6)
    publish()
    engine.ledger.clear()
    with unit_of_work():
        db.session.get_one(Subscription, metered.id).ended_at = END
    travel.move_to(END)
    seen = [found() for _ in _hours(travel, 5)]

    assert seen == [[("6", "0")], [("6", "0")], [], [], []]


def test_another_account_with_the_same_names_is_another_matter(
    metered, make_metered, publish, engine, found, travel
) -> None:
    metered.call(3)
    publish()
    with unit_of_work():
        metered.batches[0].connected_account = "acct_other"
    engine.ledger.clear()
    travel.shift(3 * HOUR)

    assert found() == []


@pytest.mark.all_databases
def test_many_are_read_by_the_same_statements_as_few(make_metered, publish, found, travel) -> None:
    def cost(more: int) -> int:
        some = [make_metered() for _ in range(more)]
        for number, each in enumerate(some):
            each.call(number + 1)
        publish()
        travel.move_to(max(clock.now(), END + 90 * MINUTE))
        for each in some:
            _next(each)
        return statements.count(lambda: found() == [] or pytest.fail("They agree."))

    assert cost(1) == cost(9)
