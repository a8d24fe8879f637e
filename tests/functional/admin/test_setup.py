"""Set-up and advanced configuration, through the pages."""

import pytest

from portal.billing.engine import EVENT_TYPES
from portal.extensions import db
from portal.models import Tenant

VARIABLE = "{CHECKOUT_SESSION_ID}"


@pytest.fixture
def tenant(factories):
    return factories.tenant()


@pytest.fixture
def admin(tenant, factories, browser):
    factories.user("admin", "admin")
    return browser.sign_in("admin")


def steps(page):
    page.get("/admin/")
    rows = page.soup.select("table tbody tr")
    return {row.th.get_text(strip=True): row.get_text(" ", strip=True) for row in rows}


def stored():
    db.session.rollback()
    return db.session.query(Tenant).filter_by(tenant_domain="carbon.super").one()


def test_the_page_names_exactly_what_stripe_must_be_told(admin):
    admin.get("/admin/")
    address = "http://127.0.0.1:8000/api/am/stripe/webhook?tenantDomain=carbon.super"
    assert admin.soup.select_one("#webhook-address").get_text() == address
    assert admin.soup.select_one("#webhook-scope").get_text() == "Connected accounts"
    assert admin.soup.select_one("#webhook-version").get_text() == "2026-04-22.dahlia"
    assert admin.soup.select_one("#webhook-events").get_text().split() == list(EVENT_TYPES)


def test_the_checklist_follows_what_is_really_there(admin, factories, tenant):
    tenant.platform_key = None
    tenant.webhook_secrets = []
    factories.save(tenant)
    assert all("To do" in row for row in steps(admin).values())
    tenant.platform_key = "sk_test_memory_1234"
    tenant.webhook_secrets = ["whsec_memory_secret_0001"]
    tenant_plan = factories.fixed_policy()
    api = factories.api("Weather", tenant_plan)
    api.is_monetization_enabled = True
    factories.save(tenant)
    factories.save(api)
    rows = steps(admin)
    assert "was not tested yet" in rows["Platform key"]
    assert "…0001 is stored" in rows["Webhook"]
    assert "1 commercial plan." in rows["A commercial plan"]
    assert "1 monetized API." in rows["A monetized API"]


def test_testing_the_key_says_whose_it_is_and_is_remembered(admin):
    admin.get("/admin/").submit("Test the key")
    assert "The key works. It belongs to acct_memory_platform, in test mode." in admin.text
    assert "…1234 works. It belongs to acct_memory_platform." in steps(admin)["Platform key"]


def test_a_wrong_key_is_said(admin, engine):
    engine.provider.refused_keys.add("sk_test_memory_1234")
    admin.get("/admin/").submit("Test the key")
    assert "The key does not work: The provider does not accept the key." in admin.text
    assert stored().key_tested_at is None


def test_registering_the_webhook_stores_its_secret(admin, engine, tenant, factories):
    tenant.webhook_secrets = []
    factories.save(tenant)
    admin.get("/admin/").submit("Register webhook")
    assert "is registered, and its secret is stored" in admin.text
    found = stored()
    assert found.webhook_secrets == [engine.provider.webhook_secret]
    assert found.webhook_endpoint_id in admin.text
    assert engine.provider.webhook_secret not in admin.response.get_data(as_text=True)


def test_a_lost_answer_is_repeated_under_the_same_name(admin, engine, monkeypatch):
    keys = []
    register = engine.register_webhook

    def noting(url, *, key):
        keys.append(key)
        return register(url, key=key)

    monkeypatch.setattr(engine, "register_webhook", noting)
    engine.provider.lose_answers = 1
    admin.get("/admin/").submit("Register webhook")
    assert "The webhook is not registered" in admin.text
    admin.submit("Register webhook")
    assert "is registered" in admin.text
    admin.submit("Register webhook")
    assert keys[0] == keys[1] != keys[2]


def test_without_a_key_there_is_nothing_to_register(admin, factories, tenant):
    tenant.platform_key = None
    factories.save(tenant)
    admin.get("/admin/")
    assert admin.soup.find("button", string="Register webhook") is None
    admin.post("/admin/register-webhook", {})
    assert "the platform key is missing" in admin.text
    admin.post("/admin/test-key", {})
    assert "the platform key is missing" in admin.text


def test_secrets_are_written_and_never_shown(admin):
    admin.get("/admin/configuration")
    assert "…1234" in admin.text
    admin.submit(
        "Save", {"platform_key": "sk_test_second_9876", "webhook_secret": "whsec_second_secret_42"}
    )
    assert "The configuration is saved." in admin.text
    assert "…9876" in admin.text
    html = admin.response.get_data(as_text=True)
    for secret in ("sk_test_second_9876", "whsec_second_secret_42", "whsec_memory_secret_0001"):
        assert secret not in html
    found = stored()
    assert found.platform_key == "sk_test_second_9876"
    assert found.webhook_secrets == ["whsec_second_secret_42", "whsec_memory_secret_0001"]
    assert "sk_test" not in found.platform_key_sealed


def test_empty_secrets_keep_what_is_stored(admin):
    admin.get("/admin/configuration").submit("Save", {"publishers_edit_plans": "y"})
    found = stored()
    assert found.platform_key == "sk_test_memory_1234"
    assert found.webhook_secrets == ["whsec_memory_secret_0001"]
    assert found.publishers_edit_plans


def test_the_older_secret_can_be_forgotten(admin):
    admin.get("/admin/configuration").submit("Save", {"webhook_secret": "whsec_second_secret_42"})
    admin.submit("Save", {"forget_older_secret": "y"})
    assert stored().webhook_secrets == ["whsec_second_secret_42"]


def test_a_new_key_counts_as_not_tested(admin):
    admin.get("/admin/").submit("Test the key")
    admin.get("/admin/configuration").submit("Save", {"platform_key": "sk_test_second_9876"})
    assert "was not tested yet" in steps(admin)["Platform key"]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("platform_key", "sk_live_1234567890", "live key"),
        ("platform_key", "rk_live_1234567890", "live key"),
        ("platform_key", "pk_test_1234567890", "not a secret key"),
        ("platform_key", "sk_test_ä", "no key has"),
        ("platform_key", "sk_test_" + "x" * 300, "too long"),
        ("webhook_secret", "sk_test_1234567890", "begins with whsec_"),
        ("webhook_secret", "whsec_short", "begins with whsec_"),
        ("checkout_success_url", "https://shop.example/done", VARIABLE),
        ("checkout_success_url", "https://shop.example/?s=%7BCHECKOUT_SESSION_ID%7D", VARIABLE),
        ("checkout_success_url", f"/done?s={VARIABLE}", "whole address"),
        ("checkout_success_url", f"data:text/html,{VARIABLE}", "whole address"),
        ("checkout_success_url", f"https://u:p@shop.example/?s={VARIABLE}", "user name"),
        ("checkout_cancel_url", "shop.example", "whole address"),
        ("checkout_cancel_url", "https://" + "x" * 2100, "whole address"),
    ],
)
def test_a_wrong_value_is_named_and_nothing_is_saved(admin, field, value, words):
    admin.get("/admin/configuration")
    admin.submit("Save", {"publishers_edit_plans": "y", field: value}, expect=422)
    assert words in admin.soup.select_one(f"#{field}-error").get_text()
    found = stored()
    assert found.platform_key == "sk_test_memory_1234"
    assert found.checkout_success_url is None
    assert not found.publishers_edit_plans
    if "key" in field or "secret" in field:
        assert value not in admin.response.get_data(as_text=True)


def test_the_addresses_are_prefilled_and_follow_the_base_url_until_changed(admin):
    admin.get("/admin/configuration")
    shown = admin.soup.select_one("#checkout_success_url")["value"]
    done = "http://127.0.0.1:8000/api/am/stripe/complete-session"
    assert shown == f"{done}?session_id={VARIABLE}"
    admin.submit("Save")
    assert stored().checkout_success_url is None
    own = f"https://shop.example/done?session_id={VARIABLE}"
    admin.submit(
        "Save", {"checkout_success_url": own, "checkout_cancel_url": "https://shop.example"}
    )
    found = stored()
    assert (found.checkout_success_url, found.checkout_cancel_url) == (own, "https://shop.example")


def test_monetization_attributes_are_added_and_removed(admin):
    admin.get("/admin/configuration")
    admin.submit(
        "Save",
        {
            "attributes-1-name": "CostCentre",
            "attributes-1-display_name": "Cost centre",
            "attributes-1-required": "y",
        },
    )
    names = [item["name"] for item in stored().monetization_attributes]
    assert names == ["ConnectedAccountKey", "CostCentre"]
    admin.submit("Save", {"attributes-1-name": "", "attributes-1-display_name": ""})
    assert [item["name"] for item in stored().monetization_attributes] == ["ConnectedAccountKey"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"attributes-0-name": "Other"}, "must stay"),
        ({"attributes-0-required": None}, "must stay, and stay required"),
        ({"attributes-1-name": "two words"}, "without spaces"),
        ({"attributes-1-name": "x" * 81}, "cannot be an attribute"),
        ({"attributes-1-name": "ConnectedAccountKey"}, "same name"),
        ({"attributes-1-display_name": "A label only"}, "cannot be an attribute"),
    ],
)
def test_wrong_attributes_are_refused(admin, fields, words):
    admin.get("/admin/configuration").submit("Save", fields, expect=422)
    assert words in admin.text
    assert [item["name"] for item in stored().monetization_attributes] == ["ConnectedAccountKey"]


def test_another_tenants_configuration_is_its_own(admin, factories, app):
    from tests.support.browser import Browser

    acme = factories.tenant("acme.example", key="sk_test_acme_5555")
    factories.user("admin", "admin", tenant=acme)
    admin.get("/admin/").submit("Sign out")
    other = Browser(app).sign_in("admin@acme.example").get("/admin/configuration")
    assert "…5555" in other.text
    other.submit("Save", {"platform_key": "sk_test_acme_6666"})
    assert stored().platform_key == "sk_test_memory_1234"
