"""The catalogue and an API's page."""

import json

import pytest

from portal.web.unit_of_work import unit_of_work

DOCUMENT = {
    "openapi": "3.0.3",
    "info": {"title": "Currency", "version": "1.0"},
    "servers": [{"url": "http://10.0.0.5/internal"}],
    "paths": {
        "/currencies/{code}": {
            "get": {
                "summary": "One currency in any locale",
                "parameters": [
                    {"name": "code", "in": "path", "required": True, "example": "EUR"},
                    {"$ref": "#/components/parameters/locale"},
                ],
            }
        },
        "/convert": {"post": {"summary": "Convert <b>an</b> amount"}},
    },
    "components": {
        "parameters": {
            "locale": {
                "name": "locale",
                "in": "query",
                "required": True,
                "schema": {"type": "string", "default": "de DE"},
            }
        }
    },
}


def test_an_empty_catalogue_says_what_will_stand_there(market):
    page = market.browser.get("/devportal/")
    assert "No APIs yet" in page.text


def test_the_catalogue_shows_each_api_with_its_prices_in_words(market):
    f = market.factories
    market.api(
        "Currency",
        f.policy("Free"),
        f.fixed_policy("9.99"),
        f.dynamic_policy("0.0025"),
        f.fixed_policy("500", "JPY"),
        description="Names *and* signs.\n\nMore below.",
    )
    text = market.browser.get("/devportal/").text
    assert "Names and signs." in text
    assert "More below" not in text
    for words in ("Free", "9.99 USD per month", "0.0025 USD per Request", "500 JPY per month"):
        assert words in text


@pytest.mark.parametrize("status", ["CREATED", "DEPRECATED", "RETIRED"])
def test_only_published_apis_stand_in_the_catalogue(market, status):
    market.api("Hidden", market.factories.policy(), status=status)
    assert "Hidden" not in market.browser.get("/devportal/").text


@pytest.mark.all_databases
def test_search_finds_words_in_any_order_and_treats_wildcards_as_text(market):
    plan = market.factories.policy()
    market.api("Currency", plan, description="exact exchange rates")
    market.api("Calendar", plan, description="100% of the holidays")
    browser = market.browser
    assert "Currency" in browser.get("/devportal/?q=rates+EXCHANGE").text
    assert "Calendar" not in browser.text
    assert "Calendar" in browser.get("/devportal/?q=100%25").text
    assert "Currency" not in browser.text
    assert "No API matches “_urr_ncy”" in browser.get("/devportal/?q=_urr_ncy").text


@pytest.mark.all_databases
@pytest.mark.parametrize(
    "query",
    [
        "?q=%00",
        "?q=%ff%fe",
        "?q=" + "x" * 5000,
        "?q='%3B--",
        "?page=-1",
        "?page=0",
        "?page=9" + "9" * 40,
        "?page=abc",
        "?q=<script>alert(1)</script>",
    ],
)
def test_hostile_searches_get_a_page(market, query):
    market.api("Currency", market.factories.policy())
    assert "<script>alert" not in str(market.browser.get("/devportal/" + query).soup)


def test_the_catalogue_has_pages_and_a_search_keeps_its_place(market):
    plan = market.factories.policy()
    for number in range(14):
        market.api(f"Tide{number:02}", plan)
    browser = market.browser.get("/devportal/?q=tide")
    assert "1 to 12 of 14 APIs" in browser.text
    browser.get(browser.link("Next"))
    assert "13 to 14 of 14 APIs" in browser.text
    assert "Tide13" in browser.text


def test_a_full_catalogue_needs_no_more_queries_than_a_short_one(market, queries):
    f = market.factories
    plans = [f.policy(), f.fixed_policy(), f.dynamic_policy()]
    for number in range(2):
        market.api(f"First{number}", *plans)
    with queries() as few:
        market.browser.get("/devportal/")
    for number in range(10):
        market.api(f"Second{number}", *plans)
    with queries() as many:
        market.browser.get("/devportal/")
    assert len(many) == len(few)


def test_an_api_page_says_what_it_is_and_how_to_call_it(market):
    api = market.api(
        "Currency",
        market.factories.policy("Free"),
        description="# Rates\n\n<script>alert(1)</script> **exact**",
        definition=json.dumps(DOCUMENT),
    )
    browser = market.browser.get(f"/devportal/apis/{api.api_uuid}")
    assert browser.soup.select_one(".markdown h3").get_text() == "Rates"
    assert browser.soup.select_one(".markdown strong").get_text() == "exact"
    call = browser.soup.select_one("#first-call").get_text()
    assert 'curl -H "ApiKey: $API_KEY"' in call
    address = "'http://127.0.0.1:8000/gateway/currency/1.0/currencies/EUR?locale=de+DE'"
    assert address in call
    assert "One currency in any locale" in browser.text
    assert "Convert <b>an</b> amount" in browser.text


def test_the_document_names_the_gateway_and_never_the_back_end(market):
    api = market.api("Currency", market.factories.policy(), definition=json.dumps(DOCUMENT))
    answer = market.browser.client.get(f"/devportal/apis/{api.api_uuid}/openapi.json")
    assert answer.json["servers"] == [{"url": "http://127.0.0.1:8000/gateway/currency/1.0"}]
    assert b"10.0.0.5" not in answer.data


def test_an_api_without_a_document_still_has_a_page(market):
    api = market.api("Bare")
    text = market.browser.get(f"/devportal/apis/{api.api_uuid}").text
    assert "There is no OpenAPI document" in text
    assert "No plans yet" in text
    market.browser.get(f"/devportal/apis/{api.api_uuid}/openapi.json", expect=404)


def test_a_broken_document_does_not_break_the_page(market):
    for broken in ("{", "[]", '{"paths": {"/x": {"get": {"parameters": [5, {"$ref": "#/a"}]}}}}'):
        api = market.api(f"Odd{len(broken)}", definition=broken)
        market.browser.get(f"/devportal/apis/{api.api_uuid}")


def test_plans_show_price_quota_and_what_a_thousand_calls_cost(market):
    f = market.factories
    metered = f.dynamic_policy("0.0025")
    with unit_of_work():
        metered.quota, metered.time_unit, metered.stop_on_quota_reach = 5000, "days", False
        metered.rate_limit_count, metered.rate_limit_time_unit = 10, "sec"
    api = market.api("Currency", metered)
    text = market.browser.get(f"/devportal/apis/{api.api_uuid}").text
    for words in (
        "0.0025 USD per Request",
        "Requests 5,000 per day",
        "Rate limit 10 per second",
        "Calls go on",
        "10,000 cost 25.00 USD",
    ):
        assert words in text


def test_the_calculator_reckons_each_plan_for_a_number_of_calls(market):
    f = market.factories
    api = market.api("Rates", f.fixed_policy("9.99", name="Bronze"), f.dynamic_policy("0.0025"))
    browser = market.browser.get(f"/devportal/apis/{api.api_uuid}")
    text = browser.submit("Calculate", {"calls": "25"}).text
    assert "What 25 calls cost" in text
    assert "1 × 9.99 USD" in text
    assert "25 × 0.0025 USD" in text
    assert "0.0625 USD before rounding" in text
    assert "0.06 USD a month, before tax" in text


@pytest.mark.parametrize("calls", ["", "-1", "many", "1.5", "9" * 30])
def test_the_calculator_says_what_it_takes(market, calls):
    api = market.api("Rates", market.factories.dynamic_policy("0.0025"))
    browser = market.browser.get(f"/devportal/apis/{api.api_uuid}?calls={calls}")
    assert browser.soup.select_one(".form-error") is not None
    assert "before tax" not in browser.text


def test_a_plan_that_is_not_monetized_can_be_seen_but_not_bought(market):
    f = market.factories
    api = f.api("Currency", f.fixed_policy("9.99", name="Bronze"), account="acct_seller1")
    browser = market.browser.get(f"/devportal/apis/{api.api_uuid}")
    assert "Not for sale yet" in browser.text
    assert "Nothing to subscribe to yet" in browser.get(browser.link("Subscribe")).text


def test_a_price_is_the_one_that_is_sold_not_the_one_being_edited(market):
    f = market.factories
    plan = f.fixed_policy("9.99", name="Bronze")
    api = market.api("Currency", plan)
    from portal.models import PolicyVersion

    old = plan.current
    f.save(
        PolicyVersion(
            policy_id=plan.policy_id,
            number=2,
            billing_plan="COMMERCIAL",
            monetization_plan="FIXEDRATE",
            fixed_rate=old.fixed_rate * 2,
            currency="USD",
            billing_cycle="month",
        )
    )
    text = market.browser.get(f"/devportal/apis/{api.api_uuid}").text
    assert "9.99 USD per month" in text
    assert "19.98" not in text


def test_a_plan_for_other_roles_is_not_shown(market):
    f = market.factories
    secret = f.policy("Partners", permission_type="ALLOW", permission_roles=["partner"])
    api = market.api("Currency", f.policy("Open"), secret)
    assert "Partners" not in market.browser.get(f"/devportal/apis/{api.api_uuid}").text


def test_names_are_shown_as_text(market):
    f = market.factories
    evil = "<img src=x onerror=alert(1)>"
    plan = f.policy("Evil")
    with unit_of_work():
        plan.display_name, plan.description = evil, evil
    api = market.api("Evil", plan, description=evil)
    with unit_of_work():
        api.api_name = evil
    for path in ("/devportal/", f"/devportal/apis/{api.api_uuid}"):
        browser = market.browser.get(path)
        assert not browser.soup.select("img")
        assert evil in browser.text


def test_another_tenants_api_is_not_there(market):
    f = market.factories
    other = f.user("olga", "publisher", tenant=f.tenant("other.example"))
    api = f.api("Foreign", f.policy(tenant=other.tenant), provider=other)
    assert "Foreign" not in market.browser.get("/devportal/").text
    for path in ("", "/subscribe", "/openapi.json", "/subscribe/confirm"):
        market.browser.get(f"/devportal/apis/{api.api_uuid}{path}", expect=404)


def test_visitors_are_sent_to_sign_in(app, factories):
    api = factories.api("Currency", factories.policy())
    from tests.support.browser import Browser

    browser = Browser(app).get(f"/devportal/apis/{api.api_uuid}", expect=303, follow=False)
    assert browser.location.startswith("/account/sign-in?next=")
