"""Explained usage: the parts add up to the line, whatever the price and wherever a period ends."""

import csv
import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portal import clock
from portal.extensions import db
from portal.models import KeyType, QuotaUse, Subscription
from portal.money import to_minor
from portal.services import usage, usage_report
from portal.web.unit_of_work import in_unit_of_work, unit_of_work
from tests.support import statements
from tests.support.browser import Browser
from tests.usage.conftest import NOW

START = datetime(2026, 5, 1, 9, 30, tzinfo=UTC)
END = datetime(2026, 6, 1, 9, 30, tzinfo=UTC)
TIERS = [
    {"up_to": 3, "unit": "0", "flat": "5"},
    {"up_to": 7, "unit": "0.0025", "flat": "0"},
    {"up_to": None, "unit": "0.333333333333", "flat": "1"},
]
#: What a version's price is, as the plan form stores it.
PRICES = {
    "per request": {"price_per_request": Decimal("0.00333333333")},
    "graduated": {"pricing_model": "GRADUATED", "tiers": TIERS, "price_per_request": None},
    "volume": {"pricing_model": "VOLUME", "tiers": TIERS, "price_per_request": None},
    "fixed": {
        "monetization_plan": "FIXEDRATE",
        "fixed_rate": Decimal(10),
        "price_per_request": None,
    },
}


@pytest.fixture
def row(factories):
    dana = factories.user("dana", "subscriber")
    return factories.subscription(
        policy=factories.dynamic_policy("0.0025"),
        application=factories.application("Shop", owner=dana),
        billing="PAID",
        period_start=START,
        period_end=END,
        created_at=START,
    )


def called(row, at, *, resource="/rates", status=200, key_type=KeyType.PRODUCTION, times=1):
    calls = [
        usage.Call(
            event_id=f"{at.isoformat()}-{resource}-{status}-{key_type}-{n}",
            tenant_id=row.tenant_id,
            subscription_id=row.subscription_id,
            key_type=key_type,
            method="GET",
            resource=resource,
            status=status,
            at=at,
        )
        for n in range(times)
    ]
    in_unit_of_work(lambda: usage.record_many(db.session.connection(), "test", calls))


def sum_of(text, currency):
    rows = list(csv.DictReader(io.StringIO(text)))
    return sum(to_minor(Decimal(row["amount"]), currency) for row in rows), rows


MOMENTS = st.lists(
    st.tuples(
        st.integers(-7200, int((END - START).total_seconds()) + 7200),
        st.sampled_from(["/a", "/b/{id}"]),
        st.sampled_from([200, 404]),
        st.sampled_from(list(KeyType)),
    ),
    min_size=1,
    max_size=12,
)


@pytest.mark.all_databases
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    MOMENTS, st.sampled_from(sorted(PRICES)), st.sampled_from(["USD", "JPY", "KWD"]), st.randoms()
)
def test_the_csv_adds_up_to_the_line_for_every_price_currency_and_period_bound(
    factories, moments, kind, currency, random
):
    policy = factories.dynamic_policy("0.0025", currency)
    for name, value in PRICES[kind].items():
        setattr(policy.versions[0], name, value)
    factories.save(policy)
    row = factories.subscription(
        policy=policy, billing="PAID", period_start=START, period_end=END, created_at=START
    )
    for number, (second, resource, status, key_type) in enumerate(moments):
        at = START + timedelta(seconds=second, milliseconds=number)
        called(row, at, resource=resource, status=status, key_type=key_type)
    expected = sum(
        0 <= second < (END - START).total_seconds()
        and status < 400
        and key_type is KeyType.PRODUCTION
        for second, _, status, key_type in moments
    )
    found = usage_report.report(row, START + timedelta(days=random.randint(0, 30)))
    assert (found.period.start, found.period.end) == (START, END)
    assert found.billed == expected
    total, rows = sum_of(usage_report.to_csv(found), currency)
    assert total == found.rating.minor
    if kind != "fixed":
        assert sum(int(each["calls"]) for each in rows) == expected


@pytest.mark.all_databases
def test_the_page_says_what_counted_what_not_and_why_and_what_it_costs(app, row):
    now = clock.now()
    row.period_start, row.period_end = now - timedelta(days=5), now + timedelta(days=25)
    row.created_at = row.period_start
    db.session.commit()
    at = now - timedelta(hours=30)
    called(row, at, times=25)
    called(row, at, resource="/other", status=404, times=2)
    called(row, at, key_type=KeyType.SANDBOX, times=3)
    browser = Browser(app).sign_in("dana")
    text = browser.get(f"/devportal/subscriptions/{row.uuid}/usage").text
    for words in (
        "Calls counted 25",
        "of 30 in all",
        "Cost so far 0.06 USD",
        "Not counted: made with a sandbox key 3",
        "Not counted: answered with an error 2",
        "25 × 0.0025 USD",
        "Exactly 0.0625 USD",
        "GET /rates",
        "25 counted and not sent yet",
    ):
        assert words in text, (words, text)
    assert text.count(f"{at:%Y-%m-%d}") >= 2
    total, _ = sum_of(
        browser.get(f"/devportal/subscriptions/{row.uuid}/usage.csv").response.get_data(
            as_text=True
        ),
        "USD",
    )
    assert total == 6


@pytest.mark.all_databases
def test_calls_before_the_first_period_is_known_are_explained_in_it(make_metered):
    """Calls may go through as soon as the payment is known; the period is read a little later."""
    bought = make_metered(period=None)
    began = NOW.replace(minute=49, second=7)
    bought.call(3, at=began + timedelta(seconds=2))
    with unit_of_work():
        row = db.session.get_one(Subscription, bought.id)
        row.period_start, row.period_end = began, began + timedelta(days=30)
    bought.call(22, at=began + timedelta(seconds=9))

    found = usage_report.report(row, began + timedelta(minutes=1))

    assert (found.counted, found.waiting) == (25, 25)
    assert bought.recorded == 25


def test_without_a_call_the_page_shows_how_to_make_one(app, row):
    browser = Browser(app).sign_in("dana")
    text = browser.get(f"/devportal/subscriptions/{row.uuid}/usage").text
    assert "No calls in this period" in text
    assert "curl" in text


def test_calls_of_a_free_trial_cost_nothing_and_say_so(app, row):
    now = clock.now()
    row.period_start, row.period_end = now - timedelta(days=5), now + timedelta(days=9)
    row.trial_start, row.trial_end = row.period_start, row.period_end
    row.created_at = row.period_start
    db.session.commit()
    called(row, now - timedelta(hours=30), times=25)
    text = Browser(app).sign_in("dana").get(f"/devportal/subscriptions/{row.uuid}/usage").text
    assert "Not counted: made during the free trial 25" in text
    assert "Cost so far 0.00 USD" in text
    assert "Free trial until" in text
    assert "Explain this line" not in text
    assert usage_report.to_csv(usage_report.report(row)).count("\n") == 1


@pytest.mark.parametrize("stops", [True, False])
def test_a_bar_shows_the_quota_only_where_a_cap_exists(app, row, factories, stops):
    policy = row.policy_version.policy
    policy.stop_on_quota_reach, policy.quota, policy.time_unit = stops, 1000, "months"
    start = clock.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    factories.save(
        QuotaUse(
            subscription_id=row.subscription_id,
            kind="quota",
            used=850,
            window_start=clock.epoch(start),
        )
    )
    row.period_start, row.period_end = start, start + timedelta(days=40)
    db.session.commit()
    browser = Browser(app).sign_in("dana").get(f"/devportal/subscriptions/{row.uuid}/usage")
    bar = browser.soup.select_one("progress.meter-bar")
    assert (bar is not None) is stops
    if bar is not None:
        assert (bar["value"], bar["max"]) == ("850", "1000")
        assert "850 of 1,000 requests per month" in browser.text


def test_another_developer_does_not_see_it(app, row, factories):
    factories.user("eve", "subscriber")
    for address in ("usage", "usage.csv"):
        Browser(app).sign_in("eve").get(
            f"/devportal/subscriptions/{row.uuid}/{address}", expect=404
        )


def test_a_resource_cannot_become_a_formula_in_a_spreadsheet(row):
    called(row, START, resource="=HYPERLINK()")
    _, rows = sum_of(usage_report.to_csv(usage_report.report(row, START)), "USD")
    assert rows[0]["resource"] == "'=HYPERLINK()"


@pytest.mark.all_databases
def test_the_publisher_sees_each_subscriber_with_as_many_queries_for_five_as_for_fifty(
    app, row, factories
):
    root = factories.user("root", "admin")
    address = f"/publisher/apis/{row.api.api_uuid}/usage"
    browser = Browser(app).sign_in(root.username)

    def grow(count):
        for _ in range(count):
            made = factories.subscription(
                api=row.api,
                policy=row.policy_version.policy,
                period_start=START,
                period_end=END,
                created_at=START,
            )
            called(made, clock.now() - timedelta(minutes=1))

    grow(4)
    few = statements.count(lambda: browser.get(address))
    grow(12)
    assert statements.count(lambda: browser.get(address)) == few
    assert "Shop" in browser.text
    assert "0.00 USD" in browser.text
    browser.get(f"/publisher/subscriptions/{row.uuid}/usage")
