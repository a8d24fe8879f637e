"""``flask reconcile``: each kind of difference is found, told with both values, and repaired."""

from dataclasses import replace
from datetime import timedelta

import pytest

from portal.billing.engine import EngineStatus
from portal.cli.reconcile import reconcile as command
from portal.extensions import db
from portal.models import CheckoutAttempt, Subscription
from portal.services.subscriptions import Move
from tests.faults.comparing import (
    NOW,
    alike,
    change,
    contract,
    everywhere,
    kinds,
    make_move,
    repaired,
)

pytestmark = pytest.mark.usefixtures("travel")

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
