"""The rules of events as a function: every order, without a database."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from portal.billing.values import (
    BillingEvent,
    EngineStatus,
    EventKind,
    SubscriptionSnapshot,
)
from portal.models.subscription import Billing, Facts, Status, status_of
from portal.services.event_rules import Local, agree, next_state

END_OF_PERIOD = datetime(2026, 6, 1, tzinfo=UTC)
PAID = Local(facts=Facts(billing=Billing.PAID), engine_at=100)


def snapshot(status=EngineStatus.ACTIVE, cancel_at=None):
    return SubscriptionSnapshot(
        subscription_id="sub_1",
        status=status,
        customer_id="cus_1",
        item_id="si_1",
        price_id="price_1",
        period_start=None,
        period_end=END_OF_PERIOD,
        cancel_at=cancel_at,
        ended_at=None,
        cancel_reason="payment_failed" if status.is_over else None,
        latest_invoice_id=None,
        reference=None,
    )


def event(kind, created, **more):
    return BillingEvent(
        event_id=f"evt_{kind}_{created}",
        type=kind.value,
        kind=kind,
        account="acct_1",
        livemode=False,
        created=created,
        **more,
    )


def updated(created, status=EngineStatus.ACTIVE, **more):
    seen = snapshot(status, **more)
    return event(EventKind.SUBSCRIPTION_UPDATED, created, subscription=seen)


def deleted(created):
    seen = snapshot(EngineStatus.CANCELED)
    return event(EventKind.SUBSCRIPTION_DELETED, created, subscription=seen)


FAILED = event(EventKind.PAYMENT_FAILED, 110)
ASKED = event(EventKind.PAYMENT_ACTION_REQUIRED, 110)
PAID_LATE = event(EventKind.PAYMENT_SUCCEEDED, 120)


def test_a_renewal_changes_the_period_and_writes_no_line():
    step = next_state(PAID, updated(110))
    assert step.local.period_end == END_OF_PERIOD
    assert step.local.facts == PAID.facts
    assert (step.lines, step.refresh) == ((), False)


def test_a_failure_blocks_with_one_line_and_is_checked():
    step = next_state(PAID, FAILED)
    assert status_of(step.local.facts) is Status.BLOCKED
    assert [line.name for line in step.lines] == ["FALL_BEHIND"]
    assert step.refresh


@pytest.mark.parametrize("kind", list(EventKind)[2:])
def test_nothing_moves_what_has_ended(kind):
    gone = replace(PAID, facts=Facts(billing=Billing.ENDED))
    seen = snapshot() if "subscription" in kind else None
    step = next_state(gone, event(kind, 200, subscription=seen))
    assert (step.local, step.lines) == (gone, ())


@pytest.mark.parametrize("one", [FAILED, ASKED, PAID_LATE, updated(130), deleted(140)])
def test_the_same_event_twice_is_the_same_as_once(one):
    first = next_state(PAID, one)
    again = next_state(first.local, one)
    assert again.local == first.local
    assert again.lines == ()


def test_an_end_forgets_the_date_on_which_it_would_have_ended():
    ending = next_state(PAID, updated(110, cancel_at=END_OF_PERIOD)).local
    assert ending.cancel_at == END_OF_PERIOD
    assert next_state(ending, deleted(120)).local.cancel_at is None


def test_each_order_ends_as_the_engine_says_once_its_answer_was_read():
    events = [FAILED, ASKED, PAID_LATE, updated(110, EngineStatus.PAST_DUE), updated(120)]
    for order in itertools.permutations(events):
        local, refresh = PAID, False
        for each in order:
            step = next_state(local, each)
            local, refresh = step.local, refresh or step.refresh
        if refresh:
            local, _, _ = agree(local, snapshot())
        assert local.facts == PAID.facts, [each.type for each in order]
        assert local.pay_url is None
        assert not local.needs_authentication


def test_whether_the_bank_still_asks_after_another_failure_is_checked():
    asked = replace(PAID, facts=Facts(billing=Billing.OVERDUE), needs_authentication=True)
    step = next_state(asked, event(EventKind.PAYMENT_FAILED, 200))
    assert (step.local.needs_authentication, step.refresh) == (True, True)


def test_a_line_tells_the_facts_before_and_after():
    step = next_state(PAID, updated(110, EngineStatus.UNPAID, cancel_at=END_OF_PERIOD))
    note, move = step.lines
    assert (note.name, note.move, note.before) == ("CANCEL_SCHEDULED", None, note.after)
    assert (move.before.billing, move.after.billing) == (Billing.PAID, Billing.OVERDUE)


def test_each_order_goes_on_as_free_once_where_that_was_asked_for():
    asked = Facts(billing=Billing.PAID, plan_change_pending=True)
    going = replace(PAID, facts=asked, goes_free=True)
    free = Facts(billing=Billing.NOT_REQUIRED)
    planned = updated(110, cancel_at=END_OF_PERIOD)
    behind = updated(125, EngineStatus.PAST_DUE)
    for order in itertools.permutations([planned, FAILED, PAID_LATE, behind, deleted(140)]):
        local, lines = going, []
        for each in order:
            step = next_state(local, each)
            local, lines = step.local, [*lines, *step.lines]
        assert local.facts == free, [each.type for each in order]
        assert [line.name for line in lines].count("GO_FREE") == 1
        assert "END" not in [line.name for line in lines]
    assert agree(going, snapshot(EngineStatus.CANCELED))[0].facts == free
