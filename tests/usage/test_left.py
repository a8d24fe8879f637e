"""Calls whose invoice may be drawn when they are sent, against the sandbox.

What is acknowledged is on an invoice; what can be on none says so.
"""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine

from portal import clock
from portal.extensions import db
from portal.flows import changing_plan, payments
from portal.models import KeyType, Tenant, UsageBatch
from portal.services import billing_events, usage_account, usage_report
from portal.services.freezing import TOO_LATE
from portal.services.plan_rules import PlanDraft
from portal.web.unit_of_work import in_unit_of_work
from tests.contract.worlds import SandboxWorld
from tests.usage.conftest import engine_for
from tests.usage.sold import START, Made, Sold

CHANGE = START + timedelta(days=10)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture
def world(app: Any, tmp_path: Path, travel: time_machine.Traveller) -> Iterator[SandboxWorld]:
    travel.move_to(START)
    made = SandboxWorld(travel, tmp_path)
    yield made
    made._app.extensions["sandbox"].store.close()


def draft(name: str, *, price: str = "", fee: str = "", cycle: str = "month") -> PlanDraft:
    """A plan of so much for a call, or of a fee."""
    rate = "FIXEDRATE" if fee else "DYNAMICRATE"
    return PlanDraft(
        name=name,
        quota="1000",
        billing_plan="COMMERCIAL",
        currency="USD",
        billing_cycle=cycle,
        trial_days="",
        monetization_plan=rate,
        price_per_request=price,
        fixed_price=fee,
    )


def called(sold: Sold, calls: int, at: Any) -> None:
    sold.record(
        Made(
            at=at,
            calls=calls,
            delay=timedelta(),
            resource="/rates",
            status=200,
            key_type=KeyType.PRODUCTION,
        )
    )


def batches(sold: Sold) -> list[tuple[int, str, str | None]]:
    db.session.rollback()
    query = db.session.query(UsageBatch).filter_by(subscription_id=sold.id)
    return [(each.quantity, each.state, each.error) for each in query.order_by("batch_id")]


def invoiced(sold: Sold) -> int:
    """What all invoices of the subscription come to."""
    drawn = sold.world.engine.invoices(sold.world.account, sold.name)
    return sum(each.total or 0 for each in drawn)


def deliver(sold: Sold) -> None:
    """Tell the portal what has happened at the sandbox."""
    tenant_id = sold.row.tenant_id
    for event in sold.world.events():
        in_unit_of_work(
            lambda event=event: billing_events.apply(db.session.get_one(Tenant, tenant_id), event)
        )


@pytest.mark.parametrize("later", [MINUTE, 10 * MINUTE, timedelta(days=1)])
def test_what_comes_after_the_last_invoice_is_not_sent_and_says_why(
    world: SandboxWorld, factories: Any, travel: time_machine.Traveller, later: timedelta
) -> None:
    sold = Sold(world, factories, draft("Calls", price="0.01"))
    travel.move_to(CHANGE)
    sold.follow()
    called(sold, 100, CHANGE - HOUR)
    payments.end(engine_for(world.engine), sold.row.uuid, actor="test", because="For a test.")
    travel.move_to(CHANGE + later)
    called(sold, 40, CHANGE - 2 * timedelta(seconds=1))
    sold.publish()
    travel.move_to(START + timedelta(days=60))
    world.signed()
    sold.publish()

    assert batches(sold) == [(100, "ACKNOWLEDGED", None), (40, "REFUSED", TOO_LATE)]
    assert invoiced(sold) == 100
    (row,) = usage_account.of_tenant(sold.row.tenant_id).items
    assert (row.counted, row.acknowledged, row.parked) == (140, 100, 40)


def test_what_was_not_sent_when_stripe_ended_it_is_written_off_visibly(
    world: SandboxWorld, factories: Any, travel: time_machine.Traveller
) -> None:
    sold = Sold(world, factories, draft("Calls", price="0.01"))
    travel.move_to(CHANGE)
    sold.follow()
    called(sold, 100, CHANGE)
    travel.shift(30 * MINUTE)
    world._api.v1.subscriptions.cancel(sold.name)
    deliver(sold)
    assert sold.row.ended_at is not None
    travel.shift(10 * MINUTE)
    sold.publish()
    assert batches(sold) == [(100, "REFUSED", TOO_LATE)]


@pytest.mark.parametrize("arrived", [False, True])
def test_what_had_no_answer_when_stripe_ended_it_is_asked_for(
    world: SandboxWorld, factories: Any, travel: time_machine.Traveller, arrived: bool
) -> None:
    sold = Sold(world, factories, draft("Calls", price="0.01"))
    travel.move_to(CHANGE)
    sold.follow()
    called(sold, 100, CHANGE)
    world._line.is_dead, world._line.loses = not arrived, arrived
    sold.publish()
    world._line.is_dead = False
    travel.shift(30 * MINUTE)
    world._api.v1.subscriptions.cancel(sold.name)
    deliver(sold)
    for _ in range(3):
        travel.shift(10 * MINUTE)
        world.signed()
        sold.publish()
    (found,) = batches(sold)
    assert found[:2] == (100, "ACKNOWLEDGED" if arrived else "REFUSED")


def test_the_last_hour_of_one_that_ends_with_its_period_is_on_its_last_invoice(
    world: SandboxWorld, factories: Any, travel: time_machine.Traveller
) -> None:
    sold = Sold(world, factories, draft("Calls", price="0.01"))
    end = sold.row.period_end
    assert end is not None
    world._api.v1.subscriptions.update(sold.name, {"cancel_at_period_end": True})
    travel.move_to(end - MINUTE)
    sold.follow()
    called(sold, 100, end - 2 * MINUTE)
    travel.move_to(end + timedelta(seconds=20))
    deliver(sold)
    assert sold.row.ended_at is not None
    travel.move_to(end + 20 * MINUTE)
    sold.publish()
    travel.move_to(end + 2 * HOUR)
    world.signed()
    assert batches(sold) == [(100, "ACKNOWLEDGED", None)]
    assert invoiced(sold) == 100


def change(sold: Sold) -> None:
    """Change to the other plan now."""
    row = sold.row
    uuid, user = row.uuid, row.application.owner_id
    ((policy, version),) = sold.others
    db.session.rollback()
    assert changing_plan.change(
        sold.world.engine, uuid, user, policy, version_id=version, moment=clock.now()
    )


PER_CALL, DEARER, FIXED = {"price": "0.01"}, {"price": "0.02"}, {"fee": "10"}


@pytest.mark.parametrize("later", [MINUTE, 10 * MINUTE, 2 * HOUR])
@pytest.mark.parametrize(
    ("now", "then", "on_invoices"),
    [(PER_CALL, DEARER, 400), (FIXED, DEARER, 0), (PER_CALL, FIXED, 0)],
    ids=["to another price", "from a fee", "to a fee"],
)
def test_late_calls_of_a_plan_that_was_left(
    world: SandboxWorld,
    factories: Any,
    travel: time_machine.Traveller,
    now: dict[str, str],
    then: dict[str, str],
    on_invoices: int,
    later: timedelta,
) -> None:
    sold = Sold(world, factories, draft("Before", **now), draft("After", **then))
    travel.move_to(CHANGE)
    sold.follow()
    change(sold)
    travel.move_to(CHANGE + later)
    called(sold, 400, CHANGE - 20 * MINUTE)
    sold.publish()
    end = sold.row.period_end
    assert end is not None
    for moment in (end + MINUTE, end + 62 * MINUTE):
        travel.move_to(moment)
        sold.follow()

    drawn = world.engine.invoices(world.account, sold.name)
    quantities = [line.quantity or 0 for each in drawn for line in each.lines]
    assert sum(each for each in quantities if each > 1) == on_invoices
    assert sum(quantity for quantity, state, _ in batches(sold) if state == "ACKNOWLEDGED") == (
        on_invoices
    )
    left = usage_report.report(sold.row, CHANGE - HOUR)
    assert left.waiting == 0
    if on_invoices:
        assert left.billed_later == 400
    else:
        assert left.counted == 0
        assert sum(calls for _, calls in left.not_counted) == 400


@pytest.mark.parametrize("arrives", [False, True])
def test_what_had_no_answer_before_the_invoice_is_billed_once(
    world: SandboxWorld, factories: Any, travel: time_machine.Traveller, arrives: bool
) -> None:
    sold = Sold(world, factories, draft("Calls", price="0.01"))
    end = sold.row.period_end
    assert end is not None
    travel.move_to(end - 20 * MINUTE)
    sold.follow()
    called(sold, 500, end - 21 * MINUTE)
    world._line.is_dead, world._line.loses = not arrives, arrives
    sold.publish()
    world._line.is_dead = False
    travel.move_to(end + 90 * MINUTE)
    sold.follow()
    sold.publish()
    for more in (timedelta(days=31), timedelta(days=31, hours=2)):
        travel.move_to(end + more)
        sold.follow()

    assert [state for _, state, _ in batches(sold)] == ["ACKNOWLEDGED"]
    assert invoiced(sold) == 500


def test_a_yearly_plan_takes_calls_that_were_not_sent_for_forty_days(
    world: SandboxWorld, factories: Any, travel: time_machine.Traveller
) -> None:
    sold = Sold(world, factories, draft("Calls", price="0.01", cycle="year"))
    travel.move_to(START + timedelta(days=3))
    sold.follow()
    called(sold, 100, START + timedelta(days=3))
    travel.move_to(START + timedelta(days=43))
    sold.follow()
    sold.publish()

    assert [state for _, state, _ in batches(sold)] == ["ACKNOWLEDGED"]
    world.wait(hours=1)
    upcoming = world.engine.preview(world.account, sold.name)
    assert upcoming is not None
    assert upcoming.total == 100
