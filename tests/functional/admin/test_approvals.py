"""Admin > Approvals: what waits, and the two answers."""

import pytest

from portal.extensions import db
from portal.models import Need, Refund, Subscription, Tenant
from tests.functional.service.conftest import start_sale
from tests.support import statements
from tests.support.browser import Browser


@pytest.fixture
def admin(factories, browser):
    factories.user("olga", "admin")
    factories.tenant().subscriptions_need = Need.BOTH
    db.session.commit()
    return browser.sign_in("olga")


@pytest.fixture
def sale(app, engine, factories, admin):
    return start_sale(app, engine, factories, Browser(app), factories.fixed_policy(name="Bronze"))


def test_the_page_says_that_no_approval_is_asked_for(factories, browser):
    factories.user("olga", "admin")
    page = browser.sign_in("olga").get("/admin/approvals")
    assert "No approval is asked for" in page.text


def test_the_setting_stands_under_advanced_configuration(admin):
    admin.get("/admin/configuration").submit("Save", {"subscriptions_need": "APPROVAL"})
    db.session.rollback()
    assert db.session.query(Tenant).one().subscriptions_need == "APPROVAL"


def test_what_waits_is_listed_with_its_status_and_approved_with_one_press(sale, admin):
    sale.pay()
    admin.get("/admin/approvals")
    assert "Paid; waits for approval" in admin.text
    assert "Bronze" in admin.text

    admin.submit("Approve")

    assert sale.status == "UNBLOCKED"
    assert "Nothing waits" in admin.text
    assert sale.subscription.approval == "APPROVED"


def test_a_rejection_asks_why_and_pays_back(sale, admin):
    sale.pay()
    admin.get(f"/admin/approvals/{sale.uuid}/reject")
    assert "the whole payment goes back" in admin.text
    admin.submit("Reject", {"reason": " "}, expect=422)
    assert "Enter a reason." in admin.text

    admin.submit("Reject", {"reason": "Unknown company."})

    assert sale.status == "ENDED"
    page = sale.browser.get(f"/devportal/subscriptions/{sale.uuid}")
    assert "Not approved: Unknown company." in page.text
    assert "9.99 USD were paid back" in page.text


def test_a_second_decision_is_told_that_it_came_too_late(sale, admin):
    admin.get("/admin/approvals")
    other = Browser(sale.app).sign_in("olga").get("/admin/approvals")
    admin.submit("Approve")
    other.submit("Approve")
    assert "already been approved" in other.text


def test_a_refund_that_was_refused_waits_for_the_administrator(sale, admin):
    engine_id = sale.pay()
    sale.engine.provider.unrefundable.add(engine_id)
    admin.get(f"/admin/approvals/{sale.uuid}/reject").submit("Reject", {"reason": "No."})
    assert "This card takes nothing back." in admin.get("/admin/approvals").text

    admin.submit("Try again")
    assert "This card takes nothing back." in admin.text
    sale.engine.provider.unrefundable.clear()
    admin.submit("Try again")

    db.session.rollback()
    assert db.session.query(Refund).one().status == "DONE"
    assert sale.status == "ENDED"


def test_a_refund_that_was_made_by_hand_is_confirmed(sale, admin):
    engine_id = sale.pay()
    sale.engine.provider.unrefundable.add(engine_id)
    admin.get(f"/admin/approvals/{sale.uuid}/reject").submit("Reject", {"reason": "No."})

    admin.get("/admin/approvals").submit("It has been paid back")

    db.session.rollback()
    refund = db.session.query(Refund).one()
    assert refund.status == "DONE"
    assert "olga" in refund.because


def test_another_tenants_administrator_finds_nothing(sale, factories):
    tenant = factories.tenant("acme.example")
    factories.user("rival", "admin", tenant=tenant)
    rival = Browser(sale.app).sign_in("rival@acme.example")
    assert "Bronze" not in rival.get("/admin/approvals").text
    rival.get(f"/admin/approvals/{sale.uuid}/reject", expect=404)
    rival.post(f"/admin/approvals/{sale.uuid}/approve", expect=404)
    assert sale.subscription.approval == "PENDING"


def test_fifty_rows_cost_as_many_statements_as_five(admin, factories):
    def rows(count):
        for _ in range(count):
            policy = factories.fixed_policy()
            factories.subscription(
                api=factories.api(None, policy),
                policy=policy,
                billing="PENDING",
                approval="PENDING",
            )
        return statements.count(lambda: admin.get("/admin/approvals"))

    few = rows(5)
    assert rows(45) == few
    assert db.session.query(Subscription).count() == 50
