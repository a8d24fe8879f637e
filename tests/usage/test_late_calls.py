"""Calls that come late, and ends of plans: what the page says, the estimate and the projection."""

from datetime import timedelta

import pytest

from portal.extensions import db
from portal.models import PlanChange, Subscription
from portal.services import estimates, plan_moves, subscriptions, usage_report
from portal.services.subscriptions import Cause, Move
from portal.web.unit_of_work import unit_of_work
from tests.support.browser import Browser
from tests.usage.conftest import MONTH, NOW

START, END = MONTH
CAUSE = Cause(because="test", actor="test")
TIERS = [
    {"up_to": 1000, "unit": "0", "flat": "5"},
    {"up_to": None, "unit": "0.0025", "flat": "0"},
]


@pytest.fixture
def sold(make_metered, travel):
    """A subscription that pays per call, sold when its period began."""
    travel.move_to(START)
    made = make_metered()
    travel.move_to(NOW)
    return made


def of(sold):
    db.session.rollback()
    return db.session.get_one(Subscription, sold.id)


def page_of(app, row, **asked):
    db.session.rollback()
    browser = Browser(app).sign_in(row.application.owner.username)
    address = f"/devportal/subscriptions/{row.uuid}/usage"
    return browser.get(address, query_string=asked).text


def end(sold):
    with unit_of_work():
        subscriptions.make(db.session.get_one(Subscription, sold.id), Move.END, CAUSE)


@pytest.mark.all_databases
def test_calls_that_no_invoice_can_have_cost_nothing_and_are_said_to_be_written_off(
    app, sold, publish, travel, factories
):
    sold.call(40)
    publish()
    end(sold)
    travel.move_to(END + timedelta(hours=5))
    sold.call(80, at=NOW - timedelta(minutes=30))
    publish()

    def check():
        found = usage_report.report(of(sold), NOW)
        assert (found.counted, found.billed, found.written_off) == (120, 40, 80)
        assert (found.billed_later, found.waiting) == (0, 0)
        assert sum(line.calls for line in found.lines) == sold.total == 40
        text = page_of(app, of(sold), period="2026-05-10")
        assert "Cost 0.10 USD" in text
        assert "The arithmetic for 40 billed calls" in text
        assert "80 written off" in text
        assert "80 late" not in text

    check()
    factories.user("root", "admin")
    admin = Browser(app).sign_in("root").get("/admin/usage")
    assert "of the calls until then, some wait for you below" in admin.text
    assert "Send again" not in admin.text
    admin = admin.submit("Write off")
    assert "The calls are written off: no invoice has them." in admin.text
    db.session.rollback()
    admin.get("/admin/usage")
    assert "Waiting for you" not in admin.text
    assert [(batch.state, batch.receipt) for batch in sold.batches] == [
        ("ACKNOWLEDGED", "req_1"),
        ("WRITTEN_OFF", "written off by root"),
    ]
    check()
    assert "80 written off" in admin.get("/admin/usage/subscriptions").text
    text = admin.get(f"/admin/usage/subscriptions/{sold.uuid}").text
    assert "WRITTEN_OFF" in text
    assert "late: on the next invoice" not in text


def come_late(sold, publish, travel, calls):
    """Let calls of May come three hours into June, when May's invoice is drawn."""
    travel.move_to(END + timedelta(hours=3))
    with unit_of_work():
        row = db.session.get_one(Subscription, sold.id)
        row.period_start, row.period_end = END, END + timedelta(days=30)
    sold.call(calls, at=END - timedelta(minutes=30))
    publish()


def tier(row):
    version = row.policy_version
    version.pricing_model, version.tiers, version.price_per_request = "GRADUATED", TIERS, None


def estimated(app, row):
    """What the developer's list of invoices, the page of the usage and the publisher say."""
    (estimate,) = estimates.of_developer(row.application.owner_id)
    assert str(estimates.of_subscriptions([row])[row.uuid]) == estimate.amount
    assert str(usage_report.report(row).rating.amount) == estimate.amount
    assert f"Cost so far {estimate.amount}" in page_of(app, row)
    db.session.rollback()
    words = Browser(app).sign_in(row.application.owner.username).get("/devportal/invoices").text
    assert f"{estimate.amount} Estimate" in words
    return estimate


@pytest.mark.all_databases
def test_the_estimate_has_late_calls_of_the_period_before(app, sold, publish, travel):
    come_late(sold, publish, travel, 40)
    sold.call(8)
    found = estimated(app, of(sold))
    assert (found.amount, found.reckoned_from) == ("0.12 USD", "48 calls so far")
    assert usage_report.report(of(sold), NOW).billed_later == 40


def test_the_estimate_of_a_trial_is_nothing_even_with_a_base_fee(app, sold):
    row = of(sold)
    tier(row)
    row.trial_start, row.trial_end = row.period_start, row.period_end
    db.session.commit()
    sold.call(8)
    found = estimated(app, of(sold))
    assert (found.amount, found.reckoned_from) == ("0.00 USD", "The free trial")


def test_a_projection_has_late_calls_once(app, sold, publish, travel):
    come_late(sold, publish, travel, 40)
    sold.call(1)
    found = usage_report.report(of(sold))
    assert (found.billed, found.projected.calls) == (41, 40 + 30 * 24 // 3)
    assert "if it goes on like this: 280 calls" in page_of(app, of(sold))


def test_what_has_ended_is_not_so_far_and_not_projected(app, sold, publish, travel):
    sold.call(40)
    publish()
    assert "Cost so far 0.10 USD" in page_of(app, of(sold))
    end(sold)
    travel.move_to(NOW + timedelta(days=1))
    text = page_of(app, of(sold))
    assert "Cost 0.10 USD" in text
    assert "Projected" not in text
    assert usage_report.report(of(sold)).projected is None


@pytest.mark.parametrize(("days", "calls"), [(10, 60), (0, 40), (-1, 40)])
def test_a_projection_goes_no_further_than_a_planned_end(sold, days, calls):
    row = of(sold)
    row.period_start = NOW - timedelta(days=20)
    row.cancel_at = NOW + timedelta(days=days)
    db.session.commit()
    sold.call(40)
    assert usage_report.report(of(sold)).projected.calls == calls


@pytest.mark.parametrize("portal", ["devportal", "publisher"])
def test_a_paid_period_keeps_its_amounts_when_a_free_plan_follows(
    app, sold, publish, travel, factories, portal
):
    sold.call(40, at=NOW - timedelta(hours=2))
    publish()
    free = factories.policy("Freely").current
    with unit_of_work():
        row = db.session.get_one(Subscription, sold.id)
        change = PlanChange(
            tenant_id=row.tenant_id,
            subscription_id=row.subscription_id,
            from_version_id=row.policy_version_id,
            to_version_id=free.policy_version_id,
            new_period=True,
            counted_from=NOW,
            asked_by="test",
            open_key=row.uuid,
        )
        db.session.add(change)
        subscriptions.make(row, Move.ASK_PLAN_CHANGE, CAUSE)
    with unit_of_work():
        assert plan_moves.go_free(db.session.get_one(Subscription, sold.id), CAUSE)
    travel.move_to(NOW + timedelta(days=2))
    row = of(sold)
    owner = row.application.owner if portal == "devportal" else row.api.provider
    address = f"/{portal}/subscriptions/{row.uuid}/usage"
    text = Browser(app).sign_in(owner.username).get(f"{address}?period=2026-05-10").text
    assert "Cost 0.10 USD" in text
    assert f"GET /x {row.application.name} 40 0.10 USD" in text
