"""From choosing a plan to a subscription that works, and the page that waits for a payment."""

import pytest
import sqlalchemy as sa

from portal.extensions import db
from portal.models import Subscription
from portal.web.unit_of_work import unit_of_work
from tests.support.browser import Browser
from tests.support.buying import row_of


def count() -> int:
    db.session.rollback()
    return db.session.scalar(sa.select(sa.func.count(Subscription.subscription_id)))


@pytest.fixture
def application(market):
    return market.factories.application("Fleet", owner=market.developer)


def test_choosing_leads_to_a_page_that_says_what_happens(market, application):
    f = market.factories
    bronze = f.fixed_policy("9.99", name="Bronze")
    api = market.api("Currency", f.policy("Free"), bronze)
    browser = market.browser.get(f"/devportal/apis/{api.api_uuid}/subscribe")
    assert "9.99 USD per month" in browser.text
    browser.submit("Continue", {"application": application.uuid, "policy": bronze.uuid})
    assert browser.soup.h1.get_text() == "Confirm the subscription"
    assert "Due today 9.99 USD" in browser.text
    assert "stays open for 24 hours" in browser.text
    assert count() == 0


def test_a_metered_plan_says_that_nothing_is_due_today(market, application):
    plan = market.factories.dynamic_policy("0.0025")
    api = market.api("Currency", plan)
    text = market.browser.get(
        f"/devportal/apis/{api.api_uuid}/subscribe/confirm",
        query_string={"application": application.uuid, "policy": plan.uuid},
    ).text
    assert "Due today 0.00 USD" in text
    assert "Each month you are charged 0.0025 USD per Request" in text


def test_a_free_plan_works_at_once(market, application):
    plan = market.factories.policy("Free")
    api = market.api("Currency", plan)
    uuid = market.subscribe(api, plan, application)
    browser = market.browser
    assert "keys work for this API from now on" in browser.text
    assert "UNBLOCKED" in browser.text
    assert "Calls go through Yes" in browser.text
    assert row_of(uuid).status == "UNBLOCKED"
    words = [item.get_text(" ", strip=True) for item in browser.soup.select("main a, main button")]
    assert "Unsubscribe" in words
    assert not {"View Invoice", "Customer Portal", "Complete Payment"} & set(words)


def test_a_paid_plan_waits_for_its_payment(market, application):
    plan = market.factories.fixed_policy()
    api = market.api("Currency", plan)
    uuid = market.subscribe(api, plan, application)
    browser = market.browser
    assert "ON_HOLD" in browser.text
    assert "No: the first payment is not complete" in browser.text
    assert browser.link("Complete Payment") == f"/api/am/stripe/checkout-url?subscriptionId={uuid}"
    assert browser.link("View Invoice") == f"/devportal/subscriptions/{uuid}/invoice"
    assert not browser.soup.select("meta[http-equiv=refresh]")


def test_an_open_payment_says_on_every_page_until_when(market, application):
    plan = market.factories.fixed_policy()
    api = market.api("Currency", plan)
    uuid = market.subscribe(api, plan, application)
    market.open_payment(uuid)
    from portal.services import checkouts

    until = f"{checkouts.open_attempt(row_of(uuid)).expires_at:%Y-%m-%d %H:%M} UTC"
    for path in (
        f"subscriptions/{uuid}",
        f"applications/{application.uuid}/subscriptions",
        f"apis/{api.api_uuid}",
        f"apis/{api.api_uuid}/subscribe",
    ):
        assert until in market.browser.get(f"/devportal/{path}").text, path


def test_paying_brings_it_to_life(market, application):
    plan = market.factories.fixed_policy()
    api = market.api("Currency", plan)
    uuid = market.bought(api, plan, application)
    browser = market.browser.get(f"/devportal/subscriptions/{uuid}")
    assert "UNBLOCKED" in browser.text
    assert "First payment confirmed" in browser.text
    assert browser.link("Customer Portal").endswith("tenantDomain=carbon.super")
    assert "Complete Payment" not in browser.text


def test_the_waiting_page_asks_again_by_itself_until_the_payment_is_confirmed(market, application):
    plan = market.factories.fixed_policy()
    uuid = market.subscribe(market.api("Currency", plan), plan, application)
    session_id = market.open_payment(uuid)
    browser = market.browser.get(f"/devportal/subscriptions/{uuid}?waiting=1")
    assert "Confirming your payment" in browser.text
    again = browser.soup.select_one("noscript meta[http-equiv=refresh]")["content"]
    assert again == f"3; url=/devportal/subscriptions/{uuid}?waiting=2"
    ask = browser.soup.select_one("#subscription")["hx-get"]
    answer = browser.client.get(ask)
    assert answer.status_code == 200
    assert b"waiting=3" in answer.data
    market.engine.provider.pay(session_id)
    browser.get(f"/api/am/stripe/complete-session?session_id={session_id}")
    answer = browser.client.get(ask)
    assert answer.status_code == 286
    assert b"UNBLOCKED" in answer.data
    assert b"hx-get" not in answer.data
    assert not browser.get(f"/devportal/subscriptions/{uuid}?waiting=2").soup.select(
        "meta[http-equiv=refresh]"
    )


def test_the_waiting_page_gives_up_after_two_minutes_and_says_what_to_do(market, application):
    plan = market.factories.fixed_policy()
    uuid = market.subscribe(market.api("Currency", plan), plan, application)
    browser = market.browser.get(f"/devportal/subscriptions/{uuid}?waiting=40")
    assert not browser.soup.select("meta[http-equiv=refresh]")
    assert "Still no confirmation" in browser.text
    assert (
        browser.client.get(f"/devportal/subscriptions/{uuid}/state?waiting=40").status_code == 286
    )
    for odd in ("-5", "x", "9" * 50):
        browser.get(f"/devportal/subscriptions/{uuid}?waiting={odd}")


def test_a_payment_that_lapsed_can_be_tried_again(market, application):
    plan = market.factories.fixed_policy()
    uuid = market.subscribe(market.api("Currency", plan), plan, application)
    first = market.open_payment(uuid)
    market.engine.provider.expire(first)
    market.browser.get(f"/api/am/stripe/complete-session?session_id={first}")
    browser = market.browser.get(f"/devportal/subscriptions/{uuid}")
    assert "REJECTED" in browser.text
    assert "Cancelled: not paid within 24 hours" in browser.text
    browser.submit("Try again", follow=False, expect=303)
    assert browser.location.endswith(f"/checkout-url?subscriptionId={uuid}")
    assert row_of(uuid).status == "ON_HOLD"
    second = market.open_payment(uuid)
    assert second != first
    market.engine.provider.pay(second)
    browser.get(f"/api/am/stripe/complete-session?session_id={second}")
    assert row_of(uuid).status == "UNBLOCKED"


def test_trying_again_what_has_not_lapsed_is_refused(market, application):
    uuid = market.factories.subscription(application=application).uuid
    market.browser.get(f"/devportal/subscriptions/{uuid}")
    market.browser.post(f"/devportal/subscriptions/{uuid}/try-again", expect=409)
    assert row_of(uuid).status == "UNBLOCKED"


@pytest.mark.all_databases
def test_a_second_subscription_to_the_same_api_is_refused_with_a_sentence(market, application):
    plan = market.factories.policy("Free")
    api = market.api("Currency", plan)
    page = f"/devportal/apis/{api.api_uuid}/subscribe/confirm"
    chosen = {"application": application.uuid, "policy": plan.uuid}
    market.subscribe(api, plan, application)
    market.browser.get(page, query_string=chosen)
    market.browser.submit("Subscribe", expect=409)
    assert "already subscribed to this API" in market.browser.text
    assert count() == 1
    browser = market.browser.get(f"/devportal/apis/{api.api_uuid}/subscribe")
    assert "Fleet is subscribed already" in browser.text
    assert "All of your applications are subscribed" in browser.text


def test_an_open_payment_is_continued_instead_of_started_twice(market, application):
    plan = market.factories.fixed_policy()
    api = market.api("Currency", plan)
    uuid = market.subscribe(api, plan, application)
    browser = market.browser.get(f"/devportal/apis/{api.api_uuid}/subscribe")
    assert browser.link("Complete Payment").endswith(uuid)


@pytest.mark.parametrize("missing", ["application", "policy"])
def test_choosing_only_half_is_asked_again(market, application, missing):
    plan = market.factories.policy()
    api = market.api("Currency", plan)
    chosen = {"application": application.uuid, "policy": plan.uuid} | {missing: ""}
    browser = market.browser.get(f"/devportal/apis/{api.api_uuid}/subscribe")
    browser.submit("Continue", chosen, expect=422)
    assert browser.soup.select_one(f"#{missing}-error")


def test_what_is_not_offered_cannot_be_subscribed_to(market, application):
    f = market.factories
    plan, elsewhere = f.policy("Free"), f.policy("Elsewhere")
    partners = f.policy("Partners", permission_type="ALLOW", permission_roles=["partner"])
    api = market.api("Currency", plan, partners)
    old = market.api("Old", plan, status="DEPRECATED")
    foreign = f.application("Foreign")
    market.browser.get(f"/devportal/apis/{api.api_uuid}")
    for target, app_uuid, plan_uuid, answer in (
        (api, application.uuid, elsewhere.uuid, 400),
        (api, application.uuid, partners.uuid, 400),
        (api, foreign.uuid, plan.uuid, 404),
        (api, "x" * 3000, plan.uuid, 404),
        (api, application.uuid, "", 404),
        (old, application.uuid, plan.uuid, 409),
    ):
        page = f"/devportal/apis/{target.api_uuid}/subscribe/confirm"
        market.browser.post(page, {"application": app_uuid, "policy": plan_uuid}, expect=answer)
    assert count() == 0


def test_a_form_without_its_token_changes_nothing(market, application):
    plan = market.factories.policy()
    api = market.api("Currency", plan)
    page = f"/devportal/apis/{api.api_uuid}/subscribe/confirm"
    chosen = {"application": application.uuid, "policy": plan.uuid, "csrf_token": "wrong"}
    market.browser.post(page, chosen, expect=400)
    assert count() == 0


def test_a_deprecated_api_has_a_page_but_nothing_to_press(market):
    api = market.api("Old", market.factories.policy(), status="DEPRECATED")
    browser = market.browser.get(f"/devportal/apis/{api.api_uuid}")
    assert "This version is deprecated" in browser.text
    assert "Subscribe" not in [item.get_text(strip=True) for item in browser.soup.select("a")]


@pytest.mark.parametrize("path", ["", "/state", "/invoice", "/unsubscribe"])
@pytest.mark.parametrize("whose", ["colleague", "other tenant"])
def test_somebody_elses_subscription_is_not_there(market, path, whose):
    f = market.factories
    tenant = f.tenant("other.example") if whose == "other tenant" else None
    owner = f.user("olga", "subscriber", tenant=tenant)
    row = f.subscription(application=f.application("Secret", owner=owner))
    home = f"/devportal/subscriptions/{row.uuid}"
    assert "Secret" not in market.browser.get(home + path, expect=404).text
    for act in ("/unsubscribe", "/try-again"):
        market.browser.post(home + act, expect=404)
    assert row_of(row.uuid).status == "UNBLOCKED"


def test_each_state_has_its_words_and_its_remedy(market, application):
    f = market.factories
    paid = f.fixed_policy()
    cases = [
        (
            {"billing": "OVERDUE", "pay_url": "https://invoice.stripe.com/i/1"},
            "A payment failed",
            "Pay now",
        ),
        (
            {
                "billing": "OVERDUE",
                "needs_authentication": True,
                "pay_url": "https://invoice.stripe.com/i/2",
            },
            "The bank wants the payment confirmed",
            "Authenticate payment",
        ),
        (
            {"billing": "PAID", "publisher_block": "ALL"},
            "Blocked by the publisher",
            "A payment does not lift this block.",
        ),
        (
            {"billing": "PAID", "publisher_block": "PRODUCTION"},
            "Only sandbox keys work",
            "Sandbox keys still work.",
        ),
        (
            {"billing": "NOT_REQUIRED", "approval": "PENDING"},
            "Waits for approval",
            "it opens as soon as it is approved",
        ),
        ({"billing": "LAPSED"}, "Cancelled: not paid within 24 hours", "Try again"),
    ]
    for facts, words, remedy in cases:
        row = f.subscription(application=application, policy=paid, **facts)
        text = market.browser.get(f"/devportal/subscriptions/{row.uuid}").text
        assert words in text
        assert remedy in text
        assert str(row.status) in text


def test_an_end_that_was_scheduled_is_named(market, application):
    from datetime import UTC, datetime

    row = market.factories.subscription(
        application=application,
        policy=market.factories.fixed_policy(),
        billing="PAID",
        cancel_at=datetime(2031, 5, 12, 8, tzinfo=UTC),
        period_start=datetime(2031, 4, 12, 8, tzinfo=UTC),
        period_end=datetime(2031, 5, 12, 8, tzinfo=UTC),
    )
    text = market.browser.get(f"/devportal/subscriptions/{row.uuid}").text
    assert "Works until 2031-05-12 08:00 UTC" in text
    assert "Ends on 2031-05-12 08:00 UTC" in text
    assert "Renews on" not in text


def test_the_provider_being_down_is_said_and_pressing_again_works(market, application):
    plan = market.factories.fixed_policy()
    uuid = market.subscribe(market.api("Currency", plan), plan, application)
    market.engine.provider.is_down = True
    link = market.browser.link("Complete Payment")
    assert "does not answer" in market.browser.get(link, expect=503).text
    assert row_of(uuid).status == "ON_HOLD"
    market.engine.provider.is_down = False
    market.pay(uuid)
    assert row_of(uuid).status == "UNBLOCKED"


def test_two_people_never_see_each_others_lists(app, market, application):
    plan = market.factories.policy("Free")
    api = market.api("Currency", plan)
    market.subscribe(api, plan, application)
    market.factories.user("erik", "subscriber")
    other = Browser(app).sign_in("erik")
    assert "Fleet" not in other.get(f"/devportal/apis/{api.api_uuid}").text
    assert "Fleet" not in other.get("/devportal/applications").text


def test_a_hostile_pay_address_is_no_link_to_a_script(market, application):
    row = market.factories.subscription(
        application=application, policy=market.factories.fixed_policy(), billing="OVERDUE"
    )
    with unit_of_work():
        row.pay_url = 'https://invoice.stripe.com/i/1"><script>alert(1)</script>'
    browser = market.browser.get(f"/devportal/subscriptions/{row.uuid}")
    assert not [tag for tag in browser.soup.select("script") if "alert" in tag.get_text()]
