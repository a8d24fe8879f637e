"""An API's subscribers: statuses, blocks, invoices."""

import pytest

from portal import clock
from portal.extensions import db
from portal.models import Subscription, TimelineEntry
from tests.support import statements


@pytest.fixture
def paula(factories):
    return factories.user("paula", "publisher")


@pytest.fixture
def bronze(factories):
    return factories.fixed_policy("9.99", name="Bronze")


@pytest.fixture
def api(factories, paula, bronze):
    return factories.api("Weather", bronze, provider=paula)


@pytest.fixture
def page(browser, api):
    return browser.sign_in("paula").get(f"/publisher/apis/{api.api_uuid}/subscriptions")


def buttons(page):
    return {" ".join(button.get_text().split()) for button in page.soup.select("main button")}


def test_an_api_without_subscribers_says_so(page):
    assert "No subscriptions yet" in page.text


@pytest.mark.parametrize(
    ("billing", "status"),
    [
        ("PENDING", "ON_HOLD"),
        ("PAID", "UNBLOCKED"),
        ("OVERDUE", "BLOCKED"),
        ("LAPSED", "REJECTED"),
    ],
)
def test_the_true_status_is_shown(page, api, bronze, factories, billing, status):
    factories.subscription(api=api, policy=bronze, billing=billing)
    page.get(f"/publisher/apis/{api.api_uuid}/subscriptions")
    assert status in page.text
    assert "9.99 USD per month" in page.text


def test_blocking_and_unblocking_follow_the_buttons(page, api, bronze, factories):
    subscription = factories.subscription(api=api, policy=bronze, billing="PAID")
    page.get(f"/publisher/apis/{api.api_uuid}/subscriptions")
    for button, status, left in (
        ("Block Production Only", "PROD_ONLY_BLOCKED", {"Block All", "Unblock"}),
        ("Block All", "BLOCKED", {"Block Production Only", "Unblock"}),
        ("Unblock", "UNBLOCKED", {"Block Production Only", "Block All"}),
    ):
        page.submit(button)
        assert status in page.text
        assert buttons(page) >= left
        assert button not in buttons(page)
    db.session.refresh(subscription)
    lines = db.session.query(TimelineEntry).order_by(TimelineEntry.entry_id).all()
    assert [line.move for line in lines] == [
        "SUBSCRIBE",
        "BLOCK_PRODUCTION",
        "BLOCK_ALL",
        "UNBLOCK",
    ]
    assert {line.actor for line in lines[1:]} == {"paula"}


def test_a_block_says_why_on_the_subscriptions_page(page, api, bronze, factories):
    subscription = factories.subscription(api=api, policy=bronze, billing="PAID")
    page.get(f"/publisher/subscriptions/{subscription.uuid}").submit("Block All")
    assert page.response.request.path == f"/publisher/subscriptions/{subscription.uuid}"
    assert "The publisher pressed Block All." in page.text
    assert "No: the publisher has blocked this subscription" in page.text


def test_an_unknown_move_changes_nothing(page, api, bronze, factories):
    subscription = factories.subscription(api=api, policy=bronze, billing="PENDING")
    page.get(f"/publisher/subscriptions/{subscription.uuid}")
    for move in ("", "PAY", "APPROVE", "nonsense"):
        page.post(f"/publisher/subscriptions/{subscription.uuid}/block", {"move": move}, expect=400)
    db.session.refresh(subscription)
    assert subscription.status == "ON_HOLD"


def test_an_ended_subscription_is_history_and_cannot_be_blocked(page, api, bronze, factories):
    subscription = factories.subscription(
        api=api, policy=bronze, billing="ENDED", ended_at=clock.now()
    )
    page.get(f"/publisher/apis/{api.api_uuid}/subscriptions")
    assert "Kept as history." in page.text
    page.get(f"/publisher/subscriptions/{subscription.uuid}")
    assert not buttons(page) & {"Block All", "Unblock", "Block Production Only"}
    page.post(f"/publisher/subscriptions/{subscription.uuid}/block", {"move": "BLOCK_ALL"})
    assert "Nothing was changed." in page.text
    assert db.session.get(Subscription, subscription.subscription_id).publisher_block == "NONE"


def test_view_invoice_stands_at_every_commercial_subscription(page, api, bronze, factories):
    subscription = factories.subscription(api=api, policy=bronze, billing="PENDING")
    free = factories.policy("Free")
    factories.subscription(api=api, policy=free)
    page.get(f"/publisher/apis/{api.api_uuid}/subscriptions")
    assert page.text.count("View Invoice") == 1
    page.get(page.link("View Invoice"))
    assert page.response.request.path == f"/publisher/subscriptions/{subscription.uuid}/invoice"
    assert "Nothing has been paid yet." in page.text


def test_a_free_subscription_has_no_invoice(page, api, factories):
    subscription = factories.subscription(api=api, policy=factories.policy("Free"))
    page.get(f"/publisher/subscriptions/{subscription.uuid}/invoice", expect=404)


def test_subscriptions_of_others_are_not_found(page, factories):
    acme = factories.tenant("acme.example")
    theirs = factories.api("Theirs", provider=factories.user("pat", "publisher", tenant=acme))
    for api in (factories.api("Others"), theirs):
        uuid = factories.subscription(api=api).uuid
        for path in ("", "/invoice"):
            page.get(f"/publisher/subscriptions/{uuid}{path}", expect=404)
        page.post(f"/publisher/subscriptions/{uuid}/block", {"move": "BLOCK_ALL"}, expect=404)
    assert {line.move for line in db.session.query(TimelineEntry)} == {"SUBSCRIBE"}


def test_the_list_asks_no_more_for_twenty_rows_than_for_five(page, api, bronze, factories):
    path = f"/publisher/apis/{api.api_uuid}/subscriptions"
    for _ in range(5):
        factories.subscription(api=api, policy=bronze, billing="PAID")
    few = statements.count(lambda: page.get(path))
    for _ in range(25):
        factories.subscription(api=api, policy=bronze, billing="PAID")
    assert statements.count(lambda: page.get(path)) == few
    page.get(f"{path}?page=2")
    assert "21 to 30 of 30" in page.text
    page.get(f"{path}?page=-7")
    page.get(f"{path}?page=99999999999999999999")
