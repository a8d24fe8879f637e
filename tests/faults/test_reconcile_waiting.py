"""`flask reconcile`: events, what waits too long, what cannot be asked, and what looking costs."""

from dataclasses import replace
from datetime import timedelta

import pytest

from portal import jobs
from portal.errors import EngineUnavailable
from portal.extensions import db
from portal.models import (
    CheckoutAttempt,
    EnginePrice,
    EngineSubscription,
    InboxEvent,
    Subscription,
    TimelineEntry,
    UsageBatch,
)
from portal.services import subscriptions
from portal.services.subscriptions import Cause, Move
from tests.faults.comparing import (
    NOW,
    alike,
    change,
    contract,
    everywhere,
    held,
    kinds,
    make_move,
    repaired,
)
from tests.functional.service.conftest import ACCOUNT, start_sale
from tests.support import statements

pytestmark = pytest.mark.usefixtures("travel")


def test_events_that_could_not_be_delivered_are_taken_in(paid, reconcile, travel):
    provider = paid.engine.provider
    events = provider.fail_renewal(str(paid.subscription.engine_subscription_id))
    provider.lost = {event.event_id for event in events}
    assert "event_undelivered" not in reconcile()[1]["by_kind"], "it may still be on its way"
    travel.shift(timedelta(minutes=10))
    code, found = reconcile()
    assert (code, found["by_kind"]["event_undelivered"]) == (1, 2)
    assert reconcile("--repair")[0] == 0
    alike(reconcile)
    assert paid.status == "BLOCKED"
    stored = db.session.query(InboxEvent.event_id)
    assert {event.event_id for event in events} <= {row[0] for row in stored}


@everywhere
def test_an_event_without_effect_and_an_ending_and_a_payment_that_take_too_long(
    sale, factories, reconcile, travel
):
    travel.shift(timedelta(hours=26))
    found = repaired(reconcile, "unpaid_too_long")
    assert found["portal"] == "ON_HOLD"
    assert sale.status == "REJECTED"

    make_move(Move.ASK_END)
    travel.shift(timedelta(hours=2))
    repaired(reconcile, "ending_unfinished")
    assert sale.status == "ENDED"

    factories.save(
        InboxEvent(
            tenant_id=factories.tenant().tenant_id,
            event_id="evt_dead",
            type="x",
            livemode=False,
            created=1,
            received_at=NOW,
            payload_zlib=b"",
            outcome="dead",
        )
    )
    code, found = reconcile("--repair")
    assert (code, kinds(found)) == (1, ["event_without_effect"])


def test_an_engine_that_does_not_answer_is_no_agreement(paid, reconcile):
    paid.engine.provider.is_down = True
    code, found = reconcile("--repair")
    assert (code, kinds(found)) == (1, ["not_compared"])
    assert found["by_kind"]["not_compared"] == 4


def test_a_repair_that_fails_says_why_and_leaves_the_difference(paid, reconcile, monkeypatch):
    change(Subscription, cancel_at=NOW)

    def refuse(*_args: object) -> None:
        raise EngineUnavailable("No answer just now.")

    from portal.flows import refreshing

    monkeypatch.setattr(refreshing, "refresh", refuse)
    code, found = reconcile("--repair")
    assert (code, found["left"]) == (1, 1)
    assert found["differences"][0]["problem"] == "No answer just now."


def test_another_tenant_can_be_left_out(paid, reconcile, factories):
    change(Subscription, cancel_at=NOW)
    factories.tenant("other.example")
    assert reconcile("--tenant", "other.example")[0] == 0
    assert reconcile("--tenant", "carbon.super")[0] == 1


@everywhere
def test_looking_costs_the_same_statements_for_few_and_for_many(app, paid, factories):
    from portal.flows import reconciling

    def cost() -> int:
        return statements.count(lambda: list(reconciling.differences(paid.engine_for)))

    before = cost()
    row, plan = paid.subscription, paid.subscription.policy_version
    attempt = db.session.query(CheckoutAttempt).one()
    snapshot = contract(paid).snapshot
    for number in range(40):
        more = Subscription(
            tenant_id=row.tenant_id,
            api_id=row.api_id,
            application_id=row.application_id,
            policy_version_id=plan.policy_version_id,
            billing="PAID",
            connected_account=ACCOUNT,
            engine_subscription_id=f"sub_{number}",
            period_end=row.period_end,
        )
        subscriptions.begin(more, Cause(because="Made for a test.", actor="test"))
        factories.save(more)
        factories.save(
            EngineSubscription(
                am_subscription_id=more.subscription_id,
                subscribed_application_id=row.application_id,
                subscribed_api_id=row.api_id,
                tenant_id=row.tenant_id,
                subscription_id=f"sub_{number}",
                shared_customer_id=attempt.customer_id,
                mapping_id=attempt.mapping_id,
                connected_account=ACCOUNT,
            )
        )
        twin = replace(snapshot, subscription_id=f"sub_{number}", reference=more.uuid)
        paid.engine.provider.contracts[f"sub_{number}"] = replace(contract(paid), snapshot=twin)
    assert cost() == before
    assert db.session.query(TimelineEntry).count() == 2 + 40


def test_usage_that_the_meter_has_not_counted_is_found_when_asked_for(
    app, engine, factories, browser, reconcile, travel
):
    sale = start_sale(app, engine, factories, browser, factories.dynamic_policy(name="PerCall"))
    sale.pay()
    jobs.sweep()
    held(sale).meters[next(iter(held(sale).meters))].active = True
    travel.shift(timedelta(minutes=10))
    row = sale.subscription
    factories.save(
        UsageBatch(
            tenant_id=row.tenant_id,
            subscription_id=row.subscription_id,
            number=1,
            identifier="batch:1",
            connected_account=ACCOUNT,
            engine_customer_id=contract(sale).snapshot.customer_id,
            meter_event_name=db.session.query(EnginePrice.meter_event_name).scalar(),
            quantity=7,
            first_at=NOW,
            last_at=NOW + timedelta(minutes=5),
            stamp=NOW + timedelta(minutes=5),
            state="ACKNOWLEDGED",
        )
    )
    travel.shift(timedelta(hours=2))
    alike(reconcile)
    code, found = reconcile("--usage", "--repair")
    (difference,) = found["differences"]
    assert (code, difference["kind"]) == (1, "usage")
    assert (difference["portal"], difference["engine"]) == ("7", "0")
