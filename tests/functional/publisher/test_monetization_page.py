"""The Monetization page, as a publisher uses it."""

import pytest

from portal.errors import BillingEngineError
from portal.extensions import db
from portal.models import Offer

ACCOUNT = "acct_northwind"
FIELD = "properties-ConnectedAccountKey"


@pytest.fixture
def paula(factories):
    return factories.user("paula", "publisher")


@pytest.fixture
def api(factories, paula):
    bronze = factories.fixed_policy("9.99", name="Bronze")
    metered = factories.dynamic_policy("0.0025", name="Pay-as-you-go")
    return factories.api("Weather", bronze, metered, provider=paula)


@pytest.fixture
def page(browser, api):
    path = f"/publisher/apis/{api.api_uuid}/monetization"
    return browser.sign_in("paula").get(path)


def enable(page, account=ACCOUNT, **more):
    return page.submit("Save", {"enabled": "y", FIELD: account}, **more)


def table(page):
    rows = page.soup.select("table tbody tr")
    return {row.th.get_text(strip=True): row.get_text(" ", strip=True) for row in rows}


def test_enabling_marks_every_commercial_plan_as_monetized(page, api):
    assert all("Not Monetized" in row for row in table(page).values())
    enable(page)
    assert "Monetization is enabled. Bronze and Pay-as-you-go can be bought." in page.text
    rows = table(page)
    assert set(rows) == {"Bronze", "Pay-as-you-go"}
    assert all("Not Monetized" not in row and "Monetized" in row for row in rows.values())
    assert "9.99 USD per month" in rows["Bronze"]
    assert "0.0025 USD per Request" in rows["Pay-as-you-go"]
    assert page.soup.select_one("#enabled").has_attr("checked")
    assert page.soup.find(id=FIELD)["value"] == ACCOUNT


def test_saving_again_does_no_harm(page):
    enable(page)
    page.submit("Save")
    assert "Monetization is enabled." in page.text
    assert db.session.query(Offer).count() == 2


def test_a_required_attribute_is_enforced(page, factories):
    tenant = factories.tenant()
    tenant.monetization_attributes = [
        *tenant.monetization_attributes,
        {"name": "CostCentre", "display_name": "Cost centre", "required": True, "description": ""},
        {"name": "Note", "display_name": "Note", "required": False, "description": "For us."},
    ]
    factories.save(tenant)
    page.get(page.response.request.path)
    enable(page, expect=422)
    assert "Enter Cost centre." in page.soup.find(id="properties-CostCentre-error").get_text()
    page.submit("Save", {"enabled": "y", FIELD: ACCOUNT, "properties-CostCentre": "4711"})
    assert "Monetization is enabled." in page.text
    assert page.soup.find(id="properties-CostCentre")["value"] == "4711"


@pytest.mark.parametrize(
    ("account", "words"),
    [("", "Enter Connected account."), ("acct_gone", "cannot be used"), ("x" * 901, "at most 900")],
)
def test_a_wrong_connect_id_is_named_at_its_field(page, engine, account, words):
    engine.provider.disconnect("acct_gone")
    enable(page, account, expect=422)
    assert words in page.soup.find(id=f"{FIELD}-error").get_text()
    assert page.soup.find(id=FIELD)["value"] == account
    assert db.session.query(Offer).count() == 0


def test_an_account_that_cannot_charge_yet_is_refused(page, engine):
    engine.provider.account(ACCOUNT).charges_enabled = False
    enable(page, expect=422)
    assert "Complete its onboarding in Stripe" in page.text


def test_a_provider_that_is_down_is_said_and_pressing_again_works(page, engine):
    engine.provider.is_down = True
    enable(page, expect=503)
    assert "Nothing was changed: press Save again." in page.text
    assert page.soup.find(id=FIELD)["value"] == ACCOUNT
    engine.provider.is_down = False
    enable(page)
    assert "Monetization is enabled." in page.text


def test_what_was_refused_is_named_and_the_rest_stays(page, engine, monkeypatch):
    sell = engine.ensure_price

    def refuse_bronze(account, spec, *, key):
        if spec.nickname == "Bronze":
            raise BillingEngineError("This amount is not taken.")
        return sell(account, spec, key=key)

    monkeypatch.setattr(engine, "ensure_price", refuse_bronze)
    enable(page)
    assert "Pay-as-you-go can be bought." in page.text
    assert "Bronze: This amount is not taken. Press Save to repeat it" in page.text
    assert "Not Monetized" in table(page)["Bronze"]
    monkeypatch.undo()
    page.submit("Save")
    assert "Not Monetized" not in table(page)["Bronze"]


def test_what_vanished_at_the_provider_is_made_again_by_save(page, engine):
    enable(page)
    account = engine.provider.account(ACCOUNT)
    account.prices.clear()
    page.submit("Save")
    assert len(account.prices) == 2


def test_a_missing_platform_key_is_said(page, factories):
    tenant = factories.tenant()
    tenant.platform_key = None
    factories.save(tenant)
    enable(page, expect=409)
    assert "An administrator enters it" in page.text


def test_disabling_works_twice_and_keeps_the_account_for_the_next_time(page, engine):
    enable(page)
    for _ in range(2):
        page.submit("Save", {"enabled": None})
        assert "Monetization is disabled." in page.text
    assert all("Not Monetized" in row for row in table(page).values())
    assert not any(price.active for price in engine.provider.account(ACCOUNT).prices.values())
    page.submit("Save", {"enabled": "y"})
    assert "Monetization is enabled." in page.text


@pytest.mark.parametrize("status", ["DEPRECATED", "RETIRED"])
def test_disabling_works_in_any_state_and_enabling_does_not(page, api, factories, status):
    enable(page)
    api.status = status
    factories.save(api)
    page.submit("Save", {"enabled": None})
    assert "Monetization is disabled." in page.text
    enable(page, expect=422)
    assert "Publish it first" in page.text


def test_a_changed_price_is_out_of_date_until_the_next_save(page, api, factories):
    enable(page)
    factories.user("admin", "admin")
    uuid = api.policies[0].uuid
    path = page.response.request.path
    page.post("/account/sign-out", {})
    page.sign_in("admin").get(f"/admin/plans/{uuid}/edit").submit("Save", {"fixed_price": "12"})
    assert "after Save on the Monetization page of Weather" in page.text
    page.get("/publisher/")
    assert "An API is out of date" in page.text
    assert [row for row in table(page).values() if "Update Bronze" in row]
    page.get(f"/admin/plans/{uuid}/edit")
    versions = [row.get_text(" ", strip=True) for row in page.soup.select("table tbody tr")]
    assert versions[0].startswith("2 12.00 USD per month")
    assert versions[1].startswith("1 Out of date 9.99 USD per month")
    assert "Weather, until Save on its Monetization page" in versions[1]
    page.get(path)
    assert "Out of date" in table(page)["Bronze"]
    page.submit("Save")
    assert table(page)["Bronze"].count("12.00 USD per month") == 2
    assert "Out of date" not in page.text
    assert "out of date" not in page.get("/publisher/").text


def test_who_has_which_version_is_counted(page, api, factories):
    enable(page)
    path = page.response.request.path
    for _ in range(2):
        factories.subscription(api=api, policy=api.policies[0], billing="PAID")
    rows = page.get(path).soup.select("table")[1].select("tbody tr")
    words = [row.get_text(" ", strip=True) for row in rows]
    assert words == ["Bronze 1 (present) 9.99 USD per month 2"]


def test_an_api_without_commercial_plans_says_so(browser, factories, paula):
    api = factories.api("Free", factories.policy("Free"), provider=paula)
    browser.sign_in("paula").get(f"/publisher/apis/{api.api_uuid}/monetization")
    assert "No commercial plans to monetize" in browser.text
    enable(browser, expect=422)
    assert "nothing to sell" in browser.text
