"""Freezing many billing periods by three statements: the same batches as one by one, and exact."""

from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from portal import clock
from portal.extensions import db
from portal.models import EngineSubscription, KeyType, Subscription, UsageBatch, UsageTally
from portal.models.types import moment_of
from portal.services import freezing, ledger
from portal.web.unit_of_work import in_unit_of_work, unit_of_work
from tests.usage.conftest import MONTH, NOW, Metered

START, END = (clock.epoch(each) for each in MONTH)
AT = ledger.millis(NOW) - 5_000
HOUR = 3_600
#: Period, first and last open call, and since when the subscription has its plan.
TALLIES = {
    "ordinary": (START, END, AT - 1, AT, 0),
    "one call": (START, END, AT, AT, START),
    "a clock that is fast": (START, END, AT, AT + 60_000, 0),
    "before the period": (START, END, START * 1000 - 2, START * 1000 - 1, 0),
    "no period known": (0, 0, AT, AT, 0),
    "ended within the hour": (START - 9 * HOUR, clock.epoch(NOW) - 60, AT, AT, 0),
    "its invoice is drawn": (START - 9 * HOUR, START, START * 1000 - 9, START * 1000 - 1, 0),
    "cut short": (START, END, AT, AT, START + 1),
    "cut short without an end": (0, 0, AT, AT, 7),
    "reckoned back from a change": (START, END, AT, AT, END),
    "changed after its end": (START, END, AT, AT, END + 1),
}


@pytest.mark.all_databases
@pytest.mark.parametrize("millis", [0, 1, 999, 1000, 1_779_278_400_000, 4_102_444_799_999])
def test_databases_turn_milliseconds_into_moments_exactly(app: Flask, millis: int) -> None:
    found = db.session.scalar(sa.select(moment_of(sa.literal(millis, sa.BigInteger()))))

    assert found == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=millis)


def _open(metered: Metered, kind: str, *, claimed: int = 3) -> None:
    start, end, since, until, plan_since = TALLIES[kind]
    with unit_of_work():
        db.session.execute(
            sa.update(Subscription)
            .where(Subscription.subscription_id == metered.id)
            .values(plan_since=plan_since)
        )
        db.session.add(
            UsageTally(
                subscription_id=metered.id,
                period_start=start,
                period_end=end,
                tenant_id=metered.tenant_id,
                counted=claimed + 40,
                claimed=claimed,
                batches=1,
                open_since=since,
                open_until=until,
            )
        )


def _rows() -> list[dict[str, Any]]:
    table = UsageBatch.__table__
    found = db.session.execute(sa.select(table).order_by(table.c.subscription_id)).mappings()
    return [{name: row[name] for name in row if name != "batch_id"} for row in found]


def _tallies() -> list[Any]:
    table = UsageTally.__table__
    return list(db.session.execute(sa.select(table).order_by(table.c.subscription_id)))


@pytest.mark.all_databases
def test_many_at_once_are_the_same_batches_as_one_by_one(make_metered, travel) -> None:
    some = {kind: make_metered() for kind in TALLIES}
    for kind, each in some.items():
        _open(each, kind)
    ids, tenant_id = [each.id for each in some.values()], next(iter(some.values())).tenant_id

    def one_by_one() -> tuple[Any, Any]:
        return [freezing.freeze_one(each) for each in ids], (_rows(), _tallies())

    made, expected = one_by_one()
    db.session.rollback()
    assert _rows() == []
    counts = [freezing.freeze(tenant_id, limit=4) for _ in range(5)]

    assert made == [1] * len(TALLIES)
    assert counts == [4, 2, 1, 4, 0], "the ordinary ones of each four; what is late comes last"
    assert (_rows(), _tallies()) == expected
    late = {kind for kind, row in zip(TALLIES, _rows(), strict=True) if row["late"]}
    assert late == {
        "its invoice is drawn",
        "cut short",
        "cut short without an end",
        "reckoned back from a change",
    }


@pytest.mark.all_databases
def test_a_subscription_that_was_sold_twice_is_reported_as_the_last_sale(
    metered, factories
) -> None:
    _open(metered, "ordinary")
    sold = db.session.query(EngineSubscription).one()
    values = {c.name: getattr(sold, c.name) for c in EngineSubscription.__table__.columns}
    again = values | {"id": None, "subscription_id": "sub_again", "connected_account": "acct_again"}
    factories.save(EngineSubscription(**again))

    assert in_unit_of_work(lambda: freezing.freeze(metered.tenant_id)) == 1
    assert [row["connected_account"] for row in _rows()] == ["acct_again"]


@pytest.mark.all_databases
def test_what_was_never_sold_is_left_open(metered) -> None:
    _open(metered, "ordinary")
    with unit_of_work():
        db.session.execute(sa.delete(EngineSubscription))

    assert in_unit_of_work(lambda: freezing.freeze(metered.tenant_id)) == 0
    assert _tallies()[0].open_since == AT - 1


@pytest.mark.all_databases
def test_bytes_that_come_after_the_batch_make_no_other_one(metered, publish, travel) -> None:
    call = ledger.Alike(metered.id, AT // ledger.HOUR_MS, "GET", "/x", 200, KeyType.PRODUCTION)
    for number, calls in enumerate((1, 0, 0, 1)):
        with unit_of_work():
            groups = {call: ledger.Group(calls, 70, AT + number, AT + number)}
            ledger.count(db.session.connection(), groups, ledger.splitter([]))
        publish()

    assert [(each.first, each.quantity) for each in metered.batches] == [(0, 1), (1, 1)]
    assert ledger.millis(metered.batches[1].first_at) == AT + 3
    assert metered.total == 2


@pytest.mark.all_databases
def test_a_call_that_is_being_counted_is_waited_for(app: Flask, make_metered, travel) -> None:
    if db.engine.dialect.name == "sqlite":
        pytest.skip("SQLite lets one write at a time.")
    first, second = make_metered(), make_metered()
    for each in (first, second):
        _open(each, "ordinary")
    made: list[int] = []

    def freeze() -> None:
        with app.app_context():
            made.append(in_unit_of_work(lambda: freezing.freeze(first.tenant_id)))

    table = UsageTally.__table__
    with db.engine.connect() as other:
        more = sa.update(table).where(table.c.subscription_id == second.id)
        other.execute(more.values(counted=table.c.counted + 2))
        thread = Thread(target=freeze)
        thread.start()
        thread.join(0.5)
        assert made == [], "the tally is locked"
        other.commit()
        thread.join(20)

    assert made == [2]
    db.session.rollback()
    assert [row["quantity"] for row in _rows()] == [40, 42]
    assert [(row.counted, row.claimed) for row in _tallies()] == [(43, 43), (45, 45)]


@pytest.mark.all_databases
def test_a_tally_that_is_opened_in_between_waits_for_the_next_time(make_metered, travel) -> None:
    if db.engine.dialect.name == "sqlite":
        pytest.skip("SQLite lets one write at a time.")
    some = [make_metered() for _ in range(3)]
    for each in some:
        _open(each, "ordinary")
    table = UsageTally.__table__
    middle = sa.update(table).where(table.c.subscription_id == some[1].id)
    with unit_of_work():
        db.session.execute(middle.values(counted=3, open_since=None, open_until=None))

    def open_it(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if statement.startswith("INSERT INTO am_usage_batch"):
            with db.engine.connect() as other:
                other.execute(middle.values(counted=9, open_since=AT, open_until=AT))
                # What was sold is read, and not locked: events go on changing it.
                other.execute(sa.update(EngineSubscription).values(cancelled_at=NOW))
                other.commit()

    sa.event.listen(db.engine, "after_cursor_execute", open_it)
    try:
        with unit_of_work():
            assert freezing.freeze(some[0].tenant_id) == 2
    finally:
        sa.event.remove(db.engine, "after_cursor_execute", open_it)
    assert [(row.counted, row.claimed) for row in _tallies()] == [(43, 43), (9, 3), (43, 43)]
    with unit_of_work():
        assert freezing.freeze(some[0].tenant_id) == 1
    assert [row["quantity"] for row in _rows()] == [40, 6, 40]
