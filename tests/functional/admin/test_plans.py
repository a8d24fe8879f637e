"""Business plans, through the pages of both portals."""

import pytest

from portal.extensions import db
from portal.models import Policy, PolicyVersion
from portal.services import policies
from portal.web.unit_of_work import unit_of_work
from tests.support import statements


@pytest.fixture
def admin(factories, browser):
    factories.user("admin", "admin")
    return browser.sign_in("admin")


def fill(**changes):
    return {"name": "Bronze", "quota": "1000", **changes}


BRONZE = {
    "billing_plan": "COMMERCIAL",
    "monetization_plan": "FIXEDRATE",
    "fixed_price": "9.99",
    "currency": "usd",
    "billing_cycle": "month",
}


def test_a_free_plan_needs_a_name_and_a_quota(admin):
    admin.get("/admin/plans")
    assert "No plans yet" in admin.text
    admin.get(admin.link("Add plan")).submit("Save", fill(name="Free"))
    assert "The plan Free is there." in admin.text
    assert "1,000 requests per minute" in admin.text
    plan = db.session.query(Policy).one()
    assert (plan.billing_plan, plan.current.number, plan.current.created_by) == ("FREE", 1, "admin")


def test_a_commercial_plan_shows_its_price_in_the_list(admin):
    admin.get("/admin/plans/new").submit("Save", fill(**BRONZE))
    assert "9.99 USD per month" in admin.text
    assert "Fixed Rate" in admin.text


def test_a_price_that_would_be_rounded_is_refused_beside_its_field(admin):
    admin.get("/admin/plans/new")
    admin.submit("Save", fill(**{**BRONZE, "fixed_price": "1.005"}), expect=422)
    assert "USD has 2 decimals" in admin.soup.select_one("#fixed_price-error").get_text()
    assert admin.soup.select_one("#fixed_price")["value"] == "1.005"
    assert db.session.query(Policy).count() == 0


def test_every_wrong_field_is_named_at_once(admin):
    admin.get("/admin/plans/new")
    admin.submit("Save", {"name": "two words", "quota": "x", "unit_time": "0"}, expect=422)
    for field in ("name", "quota", "unit_time"):
        assert admin.soup.select_one(f"#{field}-error") is not None
    assert "3 answers need another look" in admin.text


def test_a_name_that_is_taken_is_refused_in_any_case(admin, factories):
    factories.policy("Bronze")
    admin.get("/admin/plans/new").submit("Save", fill(name="bronze"), expect=422)
    assert "There is a plan called bronze already" in admin.text


def test_the_same_name_in_another_tenant_is_another_plan(admin, factories):
    factories.policy("Bronze", tenant=factories.tenant("acme.example"))
    admin.get("/admin/plans/new").submit("Save", fill())
    assert "The plan Bronze is there." in admin.text


@pytest.mark.all_databases
def test_two_who_take_the_same_name_at_the_same_moment_get_a_sentence(factories, monkeypatch):
    from portal.errors import Invalid
    from portal.services.plan_rules import PlanDraft

    tenant_id = factories.tenant().tenant_id
    factories.policy("Bronze")
    monkeypatch.setattr(policies, "_refuse_taken", lambda *_: None)
    with pytest.raises(Invalid, match="already"), unit_of_work():
        policies.create(tenant_id, PlanDraft(name="Bronze", quota="1"), actor="admin")
    assert db.session.query(Policy).count() == 1


def test_a_change_of_price_makes_a_version_and_other_changes_do_not(admin, factories):
    plan = factories.fixed_policy("9.99", name="Bronze")
    subscription = factories.subscription(policy=plan, billing="PAID")
    page = f"/admin/plans/{plan.uuid}/edit"
    admin.get(page).submit("Save", {"description": "For a start."})
    assert "Bronze is saved." in admin.text
    assert db.session.query(PolicyVersion).count() == 1
    admin.get(page).submit("Save", {"fixed_price": "12.50"})
    assert "as version 2" in admin.text
    db.session.refresh(plan)
    assert [version.price_words for version in plan.versions] == [
        "9.99 USD per month",
        "12.50 USD per month",
    ]
    db.session.refresh(subscription)
    assert subscription.policy_version.number == 1


def test_the_form_shows_what_is_stored(admin, factories):
    plan = factories.dynamic_policy("0.0025", "EUR", name="PayGo", cycle="week")
    admin.get(f"/admin/plans/{plan.uuid}/edit")
    soup = admin.soup
    assert soup.select_one("#price_per_request")["value"] == "0.0025"
    assert soup.select_one("#currency")["value"] == "EUR"
    assert soup.select_one("#billing_cycle option[selected]")["value"] == "week"
    assert soup.select_one("#name").has_attr("disabled")


def test_two_editors_of_one_plan_notice_each_other(admin, factories):
    plan = factories.fixed_policy("9.99", name="Bronze")
    admin.get(f"/admin/plans/{plan.uuid}/edit")
    with unit_of_work():
        found = db.session.get_one(Policy, plan.policy_id)
        draft = policies.draft_of(found)
        policies.update(
            found, type(draft)(**{**vars(draft), "fixed_price": "11"}), revision=None, actor="other"
        )
    admin.submit("Save", {"fixed_price": "12"}, expect=409)
    assert "Somebody else changed this plan" in admin.text
    assert db.session.query(PolicyVersion).count() == 2


def test_a_plan_is_deleted_after_asking_and_its_name_is_free_again(admin, factories):
    plan = factories.policy("Bronze")
    admin.get("/admin/plans").get(f"/admin/plans/{plan.uuid}/delete").submit("Delete")
    assert "The plan Bronze is deleted." in admin.text
    admin.get(f"/admin/plans/{plan.uuid}/edit", expect=404)
    admin.get("/admin/plans/new").submit("Save", fill())
    assert "The plan Bronze is there." in admin.text


@pytest.mark.parametrize("reason", ["attached", "subscribed"])
def test_a_plan_in_use_is_not_deleted(admin, factories, reason):
    plan = factories.policy("Bronze")
    if reason == "attached":
        factories.api("Weather", plan)
    else:
        api = factories.api("Weather", factories.policy())
        factories.subscription(api=api, policy=plan)
    admin.get(f"/admin/plans/{plan.uuid}/delete").submit("Delete")
    words = "attached to Weather" if reason == "attached" else "1 running subscription"
    assert words in admin.text
    assert db.session.get(Policy, plan.policy_id).deleted_at is None


def test_another_tenants_plan_is_not_found(admin, factories):
    plan = factories.policy("Theirs", tenant=factories.tenant("acme.example"))
    for page in ("edit", "delete"):
        admin.get(f"/admin/plans/{plan.uuid}/{page}", expect=404)
        admin.post(f"/admin/plans/{plan.uuid}/{page}", fill(), expect=404)
    assert "Theirs" not in admin.get("/admin/plans").text


def test_publishers_see_plans_and_change_them_only_where_the_tenant_allows_it(factories, browser):
    tenant, plan = factories.tenant(), factories.policy("Bronze")
    factories.user("paula", "publisher")
    browser.sign_in("paula").get("/publisher/plans")
    assert "Your administrator looks after the plans" in browser.text
    assert browser.soup.find("a", string="Add plan") is None
    for page in ("new", f"{plan.uuid}/edit", f"{plan.uuid}/delete"):
        browser.get(f"/publisher/plans/{page}", expect=403)
    tenant.publishers_edit_plans = True
    factories.save(tenant)
    browser.get("/publisher/plans/new").submit("Save", fill(name="Silver", **BRONZE))
    assert "The plan Silver is there." in browser.text


@pytest.mark.parametrize("role", ["publisher", "subscriber"])
def test_only_administrators_enter_the_admin_portal(factories, browser, role):
    factories.user("somebody", role)
    browser.sign_in("somebody")
    for page in ("", "plans", "plans/new", "configuration", "usage", "events"):
        browser.get(f"/admin/{page}", expect=403)


def test_the_list_asks_no_more_for_fifty_plans_than_for_five(admin, factories):
    for number in range(5):
        factories.fixed_policy("1", name=f"P{number}")
    few = statements.count(lambda: admin.get("/admin/plans"))
    for number in range(5, 50):
        factories.fixed_policy("1", name=f"P{number}")
    assert statements.count(lambda: admin.get("/admin/plans")) == few


TIERED = {
    "billing_plan": "COMMERCIAL",
    "monetization_plan": "DYNAMICRATE",
    "pricing_model": "GRADUATED",
    "tiers": "1000 = 0 + 5.00\nmore = 0.004",
    "trial_days": "14",
    "takes_coupons": "y",
    "currency": "usd",
    "billing_cycle": "month",
}


def test_a_price_with_included_requests_is_said_in_words_and_kept_as_written(admin):
    admin.get("/admin/plans/new").submit("Save", fill(**TIERED))
    words = "5.00 USD per month with 1,000 Requests included, then 0.004 USD per Request"
    assert words in admin.text
    version = db.session.query(Policy).one().current
    assert version.tiers == [
        {"up_to": 1000, "unit": "0", "flat": "5"},
        {"up_to": None, "unit": "0.004", "flat": "0"},
    ]
    assert (version.trial_days, version.takes_coupons) == (14, True)
    assert version.price_per_request is None
    uuid = version.policy.uuid
    admin.get(f"/admin/plans/{uuid}/edit")
    assert admin.soup.select_one("#tiers").get_text().strip() == "1000 = 0 + 5\nmore = 0.004"
    admin.submit("Save")
    assert "is saved." in admin.text
    assert db.session.query(PolicyVersion).count() == 1


def test_another_tier_makes_another_version(admin):
    admin.get("/admin/plans/new").submit("Save", fill(**TIERED))
    uuid = db.session.query(Policy).one().uuid
    admin.get(f"/admin/plans/{uuid}/edit")
    admin.submit("Save", {"tiers": "1000 = 0 + 5.00\nmore = 0.003"})
    assert "as version 2" in admin.text


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("tiers", "1000 = 0.005", "at least 2 tiers"),
        ("tiers", "1000 = 0\nmore = 0.0000000000000001", "Line 2"),
        ("trial_days", "731", "up to 730"),
        ("trial_days", "-1", "up to 730"),
        ("pricing_model", "AUCTION", "Choose the price model"),
    ],
)
def test_a_wrong_tier_or_trial_is_refused_beside_its_field(admin, field, value, words):
    admin.get("/admin/plans/new")
    admin.submit("Save", fill(**{**TIERED, field: value}), expect=422)
    assert words in admin.soup.select_one(f"#{field}-error").get_text()
    assert db.session.query(Policy).count() == 0
