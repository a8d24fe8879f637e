"""An application's subscriptions, their invoices, and their end."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from portal import clock
from portal.billing.engine import UsageReport
from portal.extensions import db
from portal.flows import invoicing
from portal.models import EnginePrice, KeyType
from portal.models.types import new_uuid
from portal.services import usage
from portal.web.unit_of_work import unit_of_work
from tests.functional.devportal.conftest import ACCOUNT
from tests.support.buying import row_of

LABELS = [
    "Description", "Paid", "Tax", "Invoice ID", "Account Name", "Next Payment Attempt",
    "Customer Email", "Currency", "Account Country", "Amount Remaining", "Period End", "Due Date",
    "Amount Due", "Total Tax Amounts", "Amount Paid", "Subtotal", "Total", "Period Start",
]  # fmt: skip


@pytest.fixture
def application(market):
    return market.factories.application("Fleet", owner=market.developer)


def pressable(browser) -> list[str]:
    return [" ".join(item.get_text(" ").split()) for item in browser.soup.select("td.actions .btn")]


def test_an_empty_list_leads_to_the_catalogue(market, application):
    browser = market.browser.get(f"/devportal/applications/{application.uuid}/subscriptions")
    assert "No subscriptions yet" in browser.text
    assert browser.link("Subscribe") == "/devportal/"


@pytest.mark.parametrize(
    ("facts", "buttons"),
    [
        ({"billing": "NOT_REQUIRED"}, ["Unsubscribe"]),
        ({"billing": "PENDING"}, ["Complete Payment", "View Invoice", "Unsubscribe"]),
        ({"billing": "LAPSED"}, ["Try again", "View Invoice", "Unsubscribe"]),
        (
            {"billing": "PAID", "engine_subscription_id": "sub_1"},
            ["View Invoice", "Customer Portal", "Unsubscribe"],
        ),
        (
            {"billing": "OVERDUE", "engine_subscription_id": "sub_1", "pay_url": "https://a.b/"},
            ["Pay now", "View Invoice", "Customer Portal", "Unsubscribe"],
        ),
    ],
)
def test_each_row_offers_what_its_state_needs(market, application, facts, buttons):
    free = facts["billing"] == "NOT_REQUIRED"
    plan = market.factories.policy() if free else market.factories.fixed_policy()
    market.factories.subscription(application=application, policy=plan, **facts)
    browser = market.browser.get(f"/devportal/applications/{application.uuid}/subscriptions")
    assert pressable(browser) == buttons


def test_what_ended_leaves_the_list_and_stays_as_history(market, application):
    plan = market.factories.policy("Free")
    api = market.api("Currency", plan)
    uuid = market.subscribe(api, plan, application)
    browser = market.browser.get(f"/devportal/subscriptions/{uuid}")
    browser.get(browser.link("Unsubscribe"))
    assert "refused at once" in browser.text
    browser.submit("Unsubscribe")
    assert "Unsubscribed from Currency" in browser.text
    assert "No subscriptions yet" in browser.text
    assert browser.soup.select_one("#ended")
    assert row_of(uuid).status == "ENDED"
    page = browser.get(f"/devportal/subscriptions/{uuid}")
    assert "The subscriber unsubscribed." in page.text
    assert "No: the subscription has ended" in page.text
    browser.get(f"/devportal/subscriptions/{uuid}/unsubscribe")
    assert browser.response.request.path == f"/devportal/subscriptions/{uuid}"
    again = market.subscribe(api, plan, application)
    assert row_of(again).status == "UNBLOCKED"


@pytest.mark.all_databases
def test_unsubscribing_cancels_at_the_engine(market, application):
    plan = market.factories.fixed_policy()
    uuid = market.bought(market.api("Currency", plan), plan, application)
    engine_id = row_of(uuid).engine_subscription_id
    browser = market.browser.get(f"/devportal/subscriptions/{uuid}/unsubscribe")
    assert "cancelled at Stripe at once" in browser.text
    browser.submit("Unsubscribe")
    assert row_of(uuid).status == "ENDED"
    assert market.engine.subscription(ACCOUNT, engine_id).status == "canceled"
    browser.get(f"/devportal/subscriptions/{uuid}/invoice")
    assert "no further invoice will be drawn" in browser.text
    assert browser.soup.select("table.data-table tbody tr")


def test_unsubscribing_before_paying_closes_the_payment_page(market, application):
    plan = market.factories.fixed_policy()
    uuid = market.subscribe(market.api("Currency", plan), plan, application)
    session_id = market.open_payment(uuid)
    browser = market.browser.get(f"/devportal/subscriptions/{uuid}/unsubscribe")
    assert "nothing will be charged" in browser.text
    browser.submit("Unsubscribe")
    assert row_of(uuid).status == "ENDED"
    assert market.engine.checkout(ACCOUNT, session_id).state == "expired"


def test_unsubscribing_while_the_engine_is_down_can_be_finished_later(market, application):
    plan = market.factories.fixed_policy()
    uuid = market.bought(market.api("Currency", plan), plan, application)
    market.engine.provider.is_down = True
    browser = market.browser.get(f"/devportal/subscriptions/{uuid}/unsubscribe")
    browser.submit("Unsubscribe")
    assert "Press Unsubscribe again to finish." in browser.text
    assert row_of(uuid).status == "DELETE_PENDING"
    market.engine.provider.is_down = False
    browser.get(browser.link("Unsubscribe")).submit("Unsubscribe")
    assert row_of(uuid).status == "ENDED"


def test_a_long_list_needs_no_more_queries_than_a_short_one(market, application, queries):
    f = market.factories
    plans = [f.policy(), f.fixed_policy(), f.dynamic_policy()]

    def fill(number: int) -> None:
        for n in range(number):
            ended = {"ended_at": clock.now()} if n % 2 else {}
            row = f.subscription(
                application=application,
                policy=plans[n % 3],
                billing="ENDED" if ended else "PENDING" if n % 3 else "NOT_REQUIRED",
                **ended,
            )
            with unit_of_work():
                row.live_key = None if ended else row.live_key

    home = f"/devportal/applications/{application.uuid}/subscriptions"
    fill(5)
    with queries() as few:
        market.browser.get(home)
    fill(45)
    with queries() as many:
        market.browser.get(home)
    assert len(many) == len(few)
    assert "of 26 subscriptions" in market.browser.text


def test_the_invoice_before_the_first_payment_says_why_it_is_empty(market, application):
    plan = market.factories.fixed_policy()
    uuid = market.subscribe(market.api("Currency", plan), plan, application)
    browser = market.browser.get(f"/devportal/subscriptions/{uuid}")
    browser.get(browser.link("View Invoice"))
    assert "Nothing has been paid yet." in browser.text
    assert "No invoice has been drawn yet." in browser.text


def test_a_free_subscription_has_no_invoice(market, application):
    uuid = market.factories.subscription(application=application).uuid
    market.browser.get(f"/devportal/subscriptions/{uuid}/invoice", expect=404)


def test_25_calls_at_a_quarter_of_a_cent_are_six_cents(market, application):
    plan = market.factories.dynamic_policy("0.0025", name="PayAsYouGo")
    uuid = market.bought(market.api("Currency", plan), plan, application)
    row = row_of(uuid)
    price = db.session.scalars(select(EnginePrice)).one()
    contract = market.engine.provider.contracts[row.engine_subscription_id]
    market.engine.report_usage(
        ACCOUNT,
        UsageReport(
            event_name=price.meter_event_name,
            customer_id=contract.snapshot.customer_id,
            quantity=25,
            identifier="batch-1",
            timestamp=clock.now(),
        ),
    )
    browser = market.browser.get(f"/devportal/subscriptions/{uuid}/invoice")
    assert "25 × 0.0025 USD" in browser.text
    assert "Total so far 0.06 USD" in browser.text
    assert f"{clock.now():%Y-%m-%d}" in browser.text
    table = browser.soup.select_one("details table")
    shown = {
        row.th.get_text(strip=True): row.td.get_text(strip=True) for row in table.select("tbody tr")
    }
    assert list(shown) == LABELS
    assert shown["Total"] == shown["Amount Due"] == "0.06 USD"
    assert shown["Paid"] == "false"
    assert shown["Period Start"].endswith(" UTC")


def test_past_invoices_are_listed_with_their_documents(market, application):
    plan = market.factories.fixed_policy("500", "JPY")
    uuid = market.bought(market.api("Currency", plan), plan, application)
    browser = market.browser.get(f"/devportal/subscriptions/{uuid}/invoice")
    [row] = browser.soup.select("#past")[0].find_all_next("table")[0].select("tbody tr")
    assert "500 JPY" in row.get_text()
    assert "Paid" in row.get_text()


def test_the_invoice_page_says_when_the_engine_does_not_answer(market, application):
    plan = market.factories.fixed_policy()
    uuid = market.bought(market.api("Currency", plan), plan, application)
    market.engine.provider.is_down = True
    market.engine.provider.calls.clear()
    browser = market.browser.get(f"/devportal/subscriptions/{uuid}/invoice")
    assert "The provider does not answer." in browser.text
    assert "Total so far" not in browser.text
    assert len(market.engine.provider.calls) == 1


def test_the_history_tells_what_happened_newest_first(market, application):
    plan = market.factories.fixed_policy()
    uuid = market.bought(market.api("Currency", plan), plan, application)
    browser = market.browser.get(f"/devportal/subscriptions/{uuid}")
    titles = [item.get_text() for item in browser.soup.select(".event-title")]
    assert titles == ["First payment confirmed", "Subscribed"]
    assert "ON_HOLD → UNBLOCKED" in browser.text


def test_an_attempt_that_is_over_promises_no_time(market, application):
    from portal.services import checkouts

    plan = market.factories.fixed_policy()
    uuid = market.subscribe(market.api("Currency", plan), plan, application)
    market.open_payment(uuid)
    attempt = checkouts.open_attempt(row_of(uuid))
    assert attempt.expires_at - attempt.created_at <= timedelta(hours=24)
    with unit_of_work():
        attempt.status, attempt.open_key = "EXPIRED", None
    assert "Can be paid until" not in market.browser.get(f"/devportal/subscriptions/{uuid}").text


def calls(row, number, *, key_type="PRODUCTION", status=200) -> None:
    for _ in range(number):
        call = usage.Call(
            event_id=new_uuid(),
            tenant_id=row.tenant_id,
            subscription_id=row.subscription_id,
            key_type=KeyType(key_type),
            method="GET",
            resource="/rates",
            status=status,
            at=clock.now(),
        )
        with unit_of_work():
            usage.record(db.session.connection(), call)


@pytest.mark.all_databases
def test_calls_are_shown_before_they_are_sent_and_what_they_cost(market, application):
    plan = market.factories.dynamic_policy("0.0025")
    uuid = market.bought(market.api("Currency", plan), plan, application)
    calls(row_of(uuid), 25)
    calls(row_of(uuid), 3, key_type="SANDBOX")
    calls(row_of(uuid), 2, status=500)
    text = market.browser.get(f"/devportal/subscriptions/{uuid}").text
    assert "Calls counted 25 since" in text
    assert "Cost of them 0.06 USD, before tax" in text
    assert "Not sent yet 25: the next Publish Usage takes them" in text
    assert "Not counted 3 made with a sandbox key" in text
    assert "Not counted 2 answered with an error" in text
    invoice = market.browser.get(f"/devportal/subscriptions/{uuid}/invoice").text
    assert "25 calls are counted and not sent yet" in invoice


def test_the_publisher_and_the_program_read_the_same_labels_and_amounts(market, application):
    plan = market.factories.fixed_policy("1234.50")
    uuid = market.bought(market.api("Currency", plan), plan, application)
    view = invoicing.current(market.engine, row_of(uuid)).upcoming
    assert list(view.properties) == LABELS
    assert view.properties["Total"] == "1234.50"
    assert view.properties["Currency"] == "usd"
    assert view.properties["Tax"] is None
    assert dict(view.rows)["Total"] == "1234.50 USD"
