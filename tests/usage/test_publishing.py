"""From recorded calls to the provider's meter: once, in the right period, one by one."""

from datetime import UTC, datetime, timedelta

import pytest

from portal.errors import EngineUnavailable
from portal.extensions import db
from portal.flows import publishing
from portal.models import BatchState, KeyType, Subscription, Tenant, UsageBatch
from portal.services import parked, usage_days, usage_overview, usage_report
from portal.services.freezing import TOO_LATE
from portal.web.unit_of_work import unit_of_work
from tests.usage.conftest import MONTH, NOW, engine_for


def test_calls_reach_the_meter_once_with_a_receipt(metered, publish) -> None:
    metered.call(25)
    run = publish()

    assert metered.total == 25
    (batch,) = metered.batches
    assert batch.identifier == f"{metered.uuid}:{int(MONTH[0].timestamp())}:0"
    assert (batch.state, batch.receipt, batch.quantity) == ("ACKNOWLEDGED", "req_1", 25)
    assert (run.status, run.batches, run.calls, run.failures) == ("SUCCESSFUL", 1, 25, 0)

    again = publish()
    assert metered.total == 25
    assert (again.status, again.batches, again.calls) == ("SUCCESSFUL", 0, 0)


def test_only_counted_calls_are_published(metered, publish) -> None:
    metered.call(3)
    metered.call(2, key_type=KeyType.SANDBOX)
    metered.call(4, status=500)
    publish()

    assert metered.total == 3


def test_a_fixed_plan_publishes_nothing(app, factories, engine, publish) -> None:
    policy = factories.fixed_policy()
    api = factories.api(None, policy)
    factories.offer(api, policy, engine, "acct_publisher1")
    factories.subscription(api=api, policy=policy, billing="PAID")
    run = publish()

    assert (run.status, run.batches, engine.reports) == ("SUCCESSFUL", 0, 0)


def test_one_that_is_refused_holds_up_no_other_and_nothing_is_sent_twice(
    make_metered, engine, publish
) -> None:
    first, second, third = make_metered(), make_metered(), make_metered()
    for each in (first, second, third):
        each.call(10)
    engine.faults = ["", "refuse", ""]
    run = publish()

    assert (run.status, run.batches, run.failures) == ("UNSUCCESSFUL", 2, 1)
    assert [each.total for each in (first, second, third)] == [10, 0, 10]
    assert second.batches[0].state == BatchState.REFUSED
    assert "Not like this" in second.batches[0].error

    for each in (first, second, third):
        each.call(5)
    run = publish()
    assert [each.total for each in (first, second, third)] == [15, 5, 15]

    batch = second.batches[0]
    tenant = db.session.get_one(Tenant, batch.tenant_id)
    assert publish().status == "UNSUCCESSFUL", "a run is not successful while usage is parked"
    with unit_of_work():
        parked.decide(tenant, batch.batch_id, has_arrived=False, actor="admin")
    assert publish().status == "SUCCESSFUL"
    assert second.total == 15


def test_an_answer_that_is_lost_is_asked_for_with_the_same_batch(metered, engine, publish) -> None:
    metered.call(10)
    engine.faults = ["lost"]
    run = publish()
    assert (run.status, metered.batches[0].state) == ("UNSUCCESSFUL", BatchState.SENDING)

    metered.call(7)
    run = publish()
    assert metered.total == 17
    assert [batch.quantity for batch in metered.batches] == [10, 7]
    assert [batch.attempts for batch in metered.batches] == [2, 1]
    assert run.status == "SUCCESSFUL"


@pytest.mark.parametrize(("fault", "sent_again"), [("lost", 0), ("down", 1)])
def test_after_23_hours_the_engine_is_asked_and_nothing_is_sent_blindly(
    metered, engine, publish, travel, fault: str, sent_again: int
) -> None:
    metered.call(10)
    engine.faults = [fault]
    publish()
    travel.shift(timedelta(hours=25))
    before = engine.reports
    run = publish()

    assert engine.reports - before == sent_again
    assert metered.total == 10
    assert metered.batches[0].state == BatchState.ACKNOWLEDGED
    assert run.status == "SUCCESSFUL"


def test_a_total_that_fits_nothing_is_left_for_a_person(metered, engine, publish, travel) -> None:
    metered.call(10)
    engine.faults = ["lost"]
    publish()
    engine.ledger.append((NOW, metered.account, metered.reports[0]))
    travel.shift(timedelta(hours=25))
    run = publish()

    (batch,) = metered.batches
    assert batch.state == BatchState.UNKNOWN
    assert "counted 20 calls" in batch.error
    assert run.status == "UNSUCCESSFUL"


def test_two_unknown_batches_of_one_minute_are_settled_together(
    metered, engine, publish, travel
) -> None:
    for quantity in (3, 4):
        metered.call(quantity)
        engine.faults = ["lost"] * 2
        publish()
    travel.shift(timedelta(hours=25))
    publish()

    assert metered.total == 7
    assert [batch.state for batch in metered.batches] == ["ACKNOWLEDGED"] * 2


def test_a_refusal_after_a_lost_answer_does_not_make_it_certain(
    metered, engine, publish, travel
) -> None:
    metered.call(10)
    engine.faults = ["lost", "deny"]
    publish()
    publish()
    assert metered.batches[0].state == BatchState.REFUSED
    travel.shift(timedelta(days=2))
    publish()

    assert metered.total == 10
    assert metered.batches[0].state == BatchState.ACKNOWLEDGED


def test_an_account_that_denies_access_is_asked_once_and_others_go_on(
    make_metered, engine, publish
) -> None:
    lost = [make_metered(account="acct_gone") for _ in range(3)]
    kept = make_metered()
    for each in (*lost, kept):
        each.call(2)
    engine.provider.disconnect("acct_gone")
    run = publish()

    assert (run.status, run.batches, run.failures) == ("UNSUCCESSFUL", 1, 3)
    assert engine.reports == 2
    assert kept.total == 2

    engine.provider.disconnected.clear()
    run = publish()
    assert (run.status, run.batches) == ("SUCCESSFUL", 3)
    assert [each.total for each in lost] == [2, 2, 2]


def test_an_engine_that_is_down_ends_the_run_early(make_metered, engine, publish) -> None:
    all_of_them = [make_metered() for _ in range(6)]
    for each in all_of_them:
        each.call()
    engine.faults = ["down"] * 6
    run = publish()

    assert engine.reports == 3
    assert run.status == "FAILED"
    assert "does not answer" in (run.error or "")

    engine.faults = []
    assert publish().status == "SUCCESSFUL"
    assert [each.total for each in all_of_them] == [1] * 6


def test_a_batch_never_straddles_a_billing_period(metered, publish, travel) -> None:
    start, end = MONTH
    tick = timedelta(milliseconds=1)
    travel.move_to(start + timedelta(minutes=30))
    metered.call(2, at=start - tick)
    metered.call(3, at=start)
    publish()
    travel.move_to(end + timedelta(minutes=30))
    metered.call(5, at=end - tick)
    metered.call(6, at=end)
    publish()

    assert [(report.timestamp, report.quantity) for report in metered.reports] == [
        (start - tick, 2),
        (start, 3),
        (end - tick, 5),
        (end, 6),
    ]
    assert [batch.first for batch in metered.batches] == [0, 0, 3, 0]


@pytest.mark.parametrize(("after", "late"), [(59, False), (60, True)])
def test_a_call_is_on_its_periods_invoice_until_that_is_drawn_and_then_on_the_next(
    metered, publish, travel, after: int, late: bool
) -> None:
    travel.move_to(MONTH[1] + timedelta(minutes=after))
    made = MONTH[1] - timedelta(minutes=1)
    metered.call(2, at=made)
    publish()

    (batch,) = metered.batches
    assert batch.late is late
    assert [report.timestamp for report in metered.reports] == [
        MONTH[1] + timedelta(minutes=after) if late else made
    ]
    (row,) = usage_days.by_day({metered.id: (None, None)})
    assert (row.day.date(), row.calls, row.published, row.late) == (made.date(), 2, 2, late)
    _assert_both_pages_tell_the_same(metered.id, 2 if late else 0)


def _assert_both_pages_tell_the_same(subscription_id: int, billed: int) -> None:
    found = db.session.get_one(Subscription, subscription_id)
    (row,) = usage_overview.of_api(found.api).items
    report = usage_report.report(found)
    assert report.billed == billed
    assert row.amount == str(report.rating.amount)


def test_a_batch_that_waited_beyond_its_invoice_is_sent_for_the_next(
    metered, engine, publish, travel
) -> None:
    metered.call(2)
    engine.provider.disconnect(metered.account)
    publish()
    engine.provider.disconnected.clear()
    travel.move_to(MONTH[1] + timedelta(hours=2))
    publish()

    (batch,) = metered.batches
    assert (batch.late, batch.state) == (True, "ACKNOWLEDGED")
    assert metered.reports[0].timestamp == MONTH[1] + timedelta(hours=2)


def test_calls_older_than_the_engine_takes_are_on_the_next_invoice(metered, publish) -> None:
    metered.call(4, at=NOW - timedelta(days=40))
    run = publish()

    assert (run.status, metered.total) == ("SUCCESSFUL", 4)
    assert metered.reports[0].timestamp == NOW


def test_a_late_call_joins_a_later_batch_with_its_own_time(metered, publish, travel) -> None:
    metered.call(2)
    publish()
    travel.move_to(MONTH[1] + timedelta(minutes=59))
    late = MONTH[1] - timedelta(minutes=1)
    metered.call(1, at=late)
    publish()

    assert [report.timestamp for report in metered.reports] == [NOW, late]


def test_without_a_known_period_all_calls_are_one_batch(make_metered, publish) -> None:
    metered = make_metered(period=None)
    metered.call(1, at=NOW - timedelta(days=20))
    metered.call(1)
    publish()

    assert [report.quantity for report in metered.reports] == [2]


def test_usage_that_comes_after_the_last_invoice_is_refused_with_its_reason(
    metered, publish
) -> None:
    from portal.models import Subscription
    from portal.services import subscriptions
    from portal.services.subscriptions import Cause, Move

    metered.call(4)
    with unit_of_work():
        row = db.session.get_one(Subscription, metered.id)
        subscriptions.make(row, Move.END, Cause(because="test", actor="test"))
    publish()

    assert metered.total == 0
    batch = db.session.query(UsageBatch).one()
    assert (batch.quantity, batch.state, batch.error) == (4, BatchState.REFUSED, TOO_LATE)


def test_flush_sends_one_subscription_now(make_metered, engine) -> None:
    mine, other = make_metered(), make_metered()
    mine.call(3)
    other.call(3)
    publishing.flush(engine, mine.id)
    publishing.flush(engine, mine.id)

    assert (mine.total, other.total) == (3, 0)


def test_flush_says_when_it_is_not_certain(metered, engine) -> None:
    metered.call(3)
    engine.faults = ["lost"]
    with pytest.raises(EngineUnavailable):
        publishing.flush(engine, metered.id)
    publishing.flush(engine, metered.id)

    assert metered.total == 3


def test_flush_during_a_run_sends_nothing_twice(metered, engine, factories) -> None:
    metered.call(3)
    run_id = publishing.start(factories.tenant(), "test").run_id
    publishing.flush(engine, metered.id)
    metered.call(2)
    publishing.run(engine_for(engine), run_id)

    assert metered.total == 5


# --- what is reported -----------------------------------------------------------------------


def test_the_time_stamp_is_the_last_calls_and_not_now(metered, publish, travel) -> None:
    metered.call(1, at=datetime(2026, 5, 20, 8, 0, tzinfo=UTC))
    metered.call(1, at=datetime(2026, 5, 20, 9, 0, tzinfo=UTC))
    publish()

    assert metered.reports[0].timestamp == datetime(2026, 5, 20, 9, 0, tzinfo=UTC)
    assert metered.batches[0].first_at == datetime(2026, 5, 20, 8, 0, tzinfo=UTC)
