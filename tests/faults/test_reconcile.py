"""``flask reconcile``: each kind of difference is found, told with both values, and repaired."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from portal import jobs
from portal.billing.engine import CheckoutState, EngineStatus
from portal.cli.reconcile import reconcile as command
from portal.errors import EngineUnavailable
from portal.extensions import db
from portal.models import (
    Api,
    CheckoutAttempt,
    EnginePrice,
    EngineSubscription,
    InboxEvent,
    Offer,
    Subscription,
    TimelineEntry,
    UsageBatch,
)
from portal.services import subscriptions
from portal.services.subscriptions import Cause, Move
from tests.functional.service.conftest import ACCOUNT, start_sale
from tests.support import statements

everywhere = pytest.mark.all_databases
NOW = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def travel():
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


@pytest.fixture
def reconcile(app):
    """Run the command; return its exit code, and what it printed as JSON."""

    def run(*options: str):
        db.session.remove()
        done = app.test_cli_runner().invoke(command, ["--json", *options])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.output
        return done.exit_code, json.loads(done.stdout)

    return run


@pytest.fixture
def paid(sale, travel):
    """A subscription that was paid ten minutes ago, and which both sides hold alike."""
    sale.pay()
    jobs.sweep()
    travel.shift(timedelta(minutes=10))
    return sale


def kinds(found):
    return sorted(found["by_kind"])


def alike(reconcile):
    code, found = reconcile()
    assert found["differences"] == []
    assert code == 0


def repaired(reconcile, *expected: str):
    """Find these kinds twice, the same, then repair them; nothing is left."""
    code, found = reconcile()
    assert (code, kinds(found)) == (1, sorted(expected)), found
    assert reconcile()[1]["by_kind"] == found["by_kind"], "looking changed something"
    code, done = reconcile("--repair")
    assert (code, done["left"]) == (0, 0), done
    alike(reconcile)
    return found["differences"][0]


def change(row: type, **values: object) -> None:
    db.session.rollback()
    for found in db.session.query(row):
        for name, value in values.items():
            setattr(found, name, value)
    db.session.commit()


def make_move(move: Move) -> None:
    """Change a fact as the portal does: with its line of the timeline."""
    db.session.rollback()
    row = db.session.query(Subscription).one()
    subscriptions.make(row, move, Cause(because="Made for a test.", actor="test"))
    db.session.commit()


def contract(sale):
    return next(iter(sale.engine.provider.contracts.values()))


# --- agreement ------------------------------------------------------------------------------


def test_before_anything_is_sold_both_agree(reconcile, factories):
    factories.tenant()
    alike(reconcile)


def test_a_payment_on_its_way_is_no_difference(sale, reconcile):
    page = sale.open_page()
    alike(reconcile)
    events = sale.engine.provider.pay(page)
    assert "paid_without_service" not in reconcile()[1]["by_kind"]
    sale.deliver(*events)
    alike(reconcile)


def test_what_a_person_reads(paid, app):
    change(Subscription, cancel_at=NOW)
    done = app.test_cli_runner().invoke(command)
    assert done.exit_code == 1
    assert "cancel_at  sub_mem" in done.output
    assert "  portal: 2026-11-03T12:00:00+00:00\n  engine: nothing\n" in done.output
    assert "--repair does this: Apply the engine's present state." in done.output
    assert done.output.endswith("1 difference, 0 repaired, 1 left.\n")
    db.session.remove()
    done = app.test_cli_runner().invoke(command, ["--repair"])
    assert (done.exit_code, done.output.splitlines()[-1]) == (
        0,
        "1 difference, 1 repaired, 0 left.",
    )
    done = app.test_cli_runner().invoke(command)
    assert done.output == "The portal and the billing engine agree.\n"


# --- subscriptions --------------------------------------------------------------------------


@everywhere
def test_a_renewal_that_failed_unheard(paid, reconcile):
    paid.engine.provider.fail_renewal(str(paid.subscription.engine_subscription_id))
    found = repaired(reconcile, "status", "period")
    assert (found["portal"], found["engine"]) == ("PAID", "past_due")
    assert found["age_seconds"] == 600
    assert paid.status == "BLOCKED"


def test_an_end_at_the_engine_that_was_never_told(paid, reconcile):
    paid.engine.provider.end(str(paid.subscription.engine_subscription_id))
    repaired(reconcile, "status")
    assert paid.status == "ENDED"


def test_a_cancellation_in_the_customer_portal_that_was_never_told(paid, reconcile):
    paid.engine.provider.cancel_at_period_end(str(paid.subscription.engine_subscription_id))
    repaired(reconcile, "cancel_at")
    assert paid.subscription.cancel_at is not None


@everywhere
def test_a_payment_that_nobody_told_is_found_by_the_page_that_was_paid(sale, reconcile, travel):
    sale.engine.provider.pay(sale.open_page())
    travel.shift(timedelta(minutes=10))
    code, found = reconcile()
    assert (code, kinds(found)) == (1, ["page_closed", "paid_without_service"])
    code, done = reconcile("--repair")
    assert (code, done["left"]) == (0, 0)
    alike(reconcile)
    assert sale.status == "UNBLOCKED"
    assert sale.moves == ["SUBSCRIBE", "PAY"]


def test_a_payment_for_what_we_believed_lapsed_gives_service(sale, reconcile, travel):
    """A backup from before the payment was restored, and its attempt was swept since."""
    sale.engine.provider.pay(sale.open_page())
    change(CheckoutAttempt, status="EXPIRED", open_key=None)
    make_move(Move.LAPSE)
    travel.shift(timedelta(minutes=10))
    found = repaired(reconcile, "paid_without_service")
    assert found["portal"] == "LAPSED, no billing record"
    assert sale.status == "UNBLOCKED"


def test_a_subscription_that_no_page_explains_is_cancelled(paid, reconcile):
    """Somebody copied ours in the dashboard: it takes money and gives nothing."""
    provider = paid.engine.provider
    twin = replace(contract(paid).snapshot, subscription_id="sub_twin")
    provider.contracts["sub_twin"] = replace(contract(paid), snapshot=twin)
    provider.bills["sub_twin"] = []
    repaired(reconcile, "paid_without_service")
    assert provider.contracts["sub_twin"].snapshot.status is EngineStatus.CANCELED
    assert paid.status == "UNBLOCKED"


def test_what_names_a_subscription_that_is_not_ours_is_shown_and_left_alone(paid, reconcile):
    """It may be another portal's on the same account: cancelling it would be worse."""
    provider = paid.engine.provider
    other = replace(
        contract(paid).snapshot, subscription_id="sub_other", reference="another portal's"
    )
    provider.contracts["sub_other"] = replace(contract(paid), snapshot=other)
    code, found = reconcile("--repair")
    assert (code, kinds(found), found["left"]) == (1, ["subscription_unknown"], 1)
    assert provider.contracts["sub_other"].snapshot.status is EngineStatus.ACTIVE


def test_a_subscription_of_the_publishers_own_is_none_of_our_business(paid, reconcile):
    provider = paid.engine.provider
    own = replace(contract(paid).snapshot, subscription_id="sub_own", reference=None)
    provider.contracts["sub_own"] = replace(contract(paid), snapshot=own)
    alike(reconcile)


def test_one_that_ended_here_and_lives_there_is_cancelled(paid, reconcile):
    """It takes money every month for nothing."""
    make_move(Move.END)
    repaired(reconcile, "lives_after_end")
    assert contract(paid).snapshot.status is EngineStatus.CANCELED


def test_one_that_the_engine_has_lost_is_for_a_person(paid, reconcile):
    paid.engine.provider.contracts.clear()
    code, found = reconcile("--repair")
    assert (code, kinds(found)) == (1, ["subscription_missing"])
    assert found["differences"][0]["engine"] == "nothing"
    assert paid.status == "UNBLOCKED"


def test_a_price_that_was_changed_at_the_engine_is_for_a_person(paid, reconcile):
    held = contract(paid)
    held.snapshot = replace(held.snapshot, price_id="price_cheaper")
    code, found = reconcile("--repair")
    assert (code, kinds(found)) == (1, ["price"])


# --- payment pages --------------------------------------------------------------------------


def test_a_page_that_expired_unheard(sale, reconcile):
    sale.engine.provider.expire(sale.open_page())
    repaired(reconcile, "page_closed")
    assert sale.status == "REJECTED"


@everywhere
def test_a_page_that_can_be_paid_after_its_attempt_was_closed(sale, reconcile):
    page = sale.open_page()
    change(CheckoutAttempt, status="EXPIRED", open_key=None)
    repaired(reconcile, "page_orphaned")
    assert sale.engine.checkout(ACCOUNT, page).state is CheckoutState.EXPIRED


def test_a_page_whose_answer_was_lost_waits_for_its_attempt(sale, reconcile):
    sale.open_page()
    change(CheckoutAttempt, session_id=None)
    alike(reconcile)


def test_a_page_without_any_attempt_is_closed(sale, reconcile):
    page = sale.open_page()
    db.session.query(CheckoutAttempt).delete()
    db.session.commit()
    repaired(reconcile, "page_orphaned")
    assert sale.engine.checkout(ACCOUNT, page).state is CheckoutState.EXPIRED


# --- what is sold ---------------------------------------------------------------------------


def held(sale):
    return sale.engine.provider.account(ACCOUNT)


@everywhere
def test_a_price_that_is_not_for_sale_any_more_is_archived(paid, reconcile):
    db.session.query(Offer).delete()
    db.session.commit()
    repaired(reconcile, "price_not_withdrawn")
    assert [price.active for price in held(paid).prices.values()] == [False]
    assert db.session.query(EnginePrice).one().archived_at is not None


def test_a_price_that_somebody_is_still_to_pay_stays(sale, reconcile):
    db.session.query(Offer).delete()
    db.session.commit()
    alike(reconcile)


def test_a_price_whose_answer_was_lost_is_archived_until_it_is_saved_again(paid, reconcile):
    (price,) = held(paid).prices.values()
    marked = {"apim_mapping_uuid": db.session.query(EnginePrice).one().uuid}
    copy = replace(price.spec, lookup_key="another", metadata=marked)
    held(paid).prices["price_copy"] = replace(price, spec=copy)
    repaired(reconcile, "price_without_row")
    assert not held(paid).prices["price_copy"].active


def test_a_price_that_was_archived_or_deleted_or_changed_there_is_for_a_person(paid, reconcile):
    (price,) = held(paid).prices.values()
    price.active = False
    assert kinds(reconcile("--repair")[1]) == ["price_archived"]
    price.active, price.spec = True, replace(price.spec, unit_minor=price.spec.unit_minor + 1)
    found = reconcile("--repair")[1]["differences"][0]
    assert (found["portal"].split(": ")[1], found["engine"]) == (
        "999 usd per month",
        "1000 usd per month",
    )
    held(paid).prices.clear()
    assert kinds(reconcile("--repair")[1]) == ["price_missing"]


@everywhere
def test_a_product_that_sells_nothing_is_archived(paid, reconcile):
    (product,) = held(paid).products.values()
    marked = {"apim_api_uuid": db.session.query(Api).one().api_uuid}
    product.spec = replace(product.spec, metadata=marked)
    alike(reconcile)
    db.session.query(Offer).delete()
    db.session.commit()
    repaired(reconcile, "price_not_withdrawn", "product_not_withdrawn")
    assert not product.active


def test_a_meter_without_a_row_is_for_a_person(paid, reconcile):
    from portal.billing.engine import MeterSpec

    meter = MeterSpec(event_name="apim_lost", display_name="Lost")
    paid.engine.ensure_meter(ACCOUNT, meter, key="lost")
    assert kinds(reconcile("--repair")[1]) == ["meter_without_row"]


# --- events, and what waits -----------------------------------------------------------------


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
