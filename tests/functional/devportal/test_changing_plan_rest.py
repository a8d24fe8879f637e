"""Changing the plan over REST, by the subscriber and by the publisher."""

import json

import pytest

from portal.extensions import db
from portal.models import PlanChange, TimelineEntry
from tests.support.buying import row_of
from tests.support.rest import Rest


@pytest.fixture
def plans(market):
    f = market.factories
    return (
        f.fixed_policy("9.99", name="Bronze"),
        f.fixed_policy("29.99", name="Gold"),
        f.policy("Free"),
    )


@pytest.fixture
def bought(market, plans):
    """A subscription of Dana's, and programs of hers and of the publisher's."""

    def buy(number: int):
        owner = market.developer
        application = market.factories.application("Fleet", owner=owner)
        api = market.api("Weather", *plans)
        uuid = market.bought(api, plans[number], application)
        hers = Rest(market.browser.client.application, owner, "devportal/v3")
        his = Rest(market.browser.client.application, api.provider, "publisher/v4")
        body = {
            "applicationId": application.uuid,
            "apiId": api.api_uuid,
            "throttlingPolicy": plans[number].name,
            "status": "UNBLOCKED",
        }
        return uuid, hers, his, body

    return buy


def actors(uuid):
    """Return who made each move of a subscription since it was paid, in order."""
    rows = db.session.query(TimelineEntry).filter_by(subscription_uuid=uuid)
    moves = [(row.move, row.actor) for row in rows.order_by(TimelineEntry.line)]
    return moves[[move for move, _ in moves].index("PAY") + 1 :]


def plan_of(uuid):
    return row_of(uuid).plan_name


def test_the_subscriber_changes_the_plan_and_pays_for_it_at_once(market, bought):
    uuid, hers, _, body = bought(0)
    place = f"/subscriptions/{uuid}"
    tag = hers.get(place).headers["ETag"]
    wanted = body | {"requestedThrottlingPolicy": "gold"}
    answer = hers.put(place, wanted, match=tag)
    assert (answer.status_code, answer.json["throttlingPolicy"]) == (200, "Gold")
    assert plan_of(uuid) == "Gold"
    assert hers.put(place, wanted, match=tag).status_code == 412
    assert {who for _, who in actors(uuid)} == {market.developer.qualified_name}
    again = hers.put(place, body | {"throttlingPolicy": "Gold"})
    assert (again.status_code, again.json["throttlingPolicy"]) == (200, "Gold")


@pytest.mark.parametrize(
    ("changed", "status", "sentence"),
    [
        ({"status": None}, 400, "Request must contain status of the subscription"),
        ({"status": "BLOCKED"}, 400, "Cannot update subscriptions with provided or existing"),
        ({"throttlingPolicy": "Platinum"}, 404, "does not offer the plan Platinum"),
        ({"apiId": "00000000-0000-4000-8000-000000000000"}, 400, "keeps its application"),
    ],
    ids=str,
)
def test_what_cannot_be_changed_is_said(bought, changed, status, sentence):
    uuid, hers, _, body = bought(0)
    answer = hers.put(f"/subscriptions/{uuid}", body | changed)
    assert answer.status_code == status, answer.json
    assert sentence in answer.json["description"]
    assert plan_of(uuid) == "Bronze"


def test_a_paid_plan_after_a_free_one_waits_for_its_payment(market, plans):
    application = market.factories.application("Fleet", owner=market.developer)
    api = market.api("Weather", *plans)
    uuid = market.subscribe(api, plans[2], application)
    hers = Rest(market.browser.client.application, market.developer, "devportal/v3")
    his = Rest(market.browser.client.application, api.provider, "publisher/v4")
    body = {
        "applicationId": application.uuid,
        "apiId": api.api_uuid,
        "throttlingPolicy": "Gold",
        "status": "UNBLOCKED",
    }
    answers = [hers.put(f"/subscriptions/{uuid}", body) for _ in range(2)]
    for answer in answers:
        assert (answer.status_code, answer.json["status"]) == (202, "TIER_UPDATE_PENDING")
        assert answer.json["throttlingPolicy"] == "Free"
        assert answer.json["requestedThrottlingPolicy"] == "Gold"
    page = json.loads(answers[1].json["redirectionParams"])["redirectUrl"]
    (session,) = market.engine.provider.pages
    assert session in page
    query = {"subscriptionId": uuid, "businessPlan": "Gold"}
    refused = his.post("/subscriptions/change-business-plan", query_string=query)
    assert refused.status_code == 409
    market.engine.provider.pay(session)
    market.browser.get(f"/api/am/stripe/complete-session?session_id={session}")
    assert plan_of(uuid) == "Gold"
    assert hers.get(f"/subscriptions/{uuid}").json["redirectionParams"] is None


def test_a_free_plan_after_a_paid_one_follows_with_the_period_or_at_once(bought):
    uuid, hers, his, body = bought(0)
    wanted = body | {"requestedThrottlingPolicy": "Free"}
    answer = hers.put(f"/subscriptions/{uuid}", wanted)
    assert (answer.status_code, answer.json["status"]) == (202, "TIER_UPDATE_PENDING")
    assert answer.json["requestedThrottlingPolicy"] == "Free"
    assert row_of(uuid).cancel_at == row_of(uuid).period_end
    again = hers.put(f"/subscriptions/{uuid}", wanted | {"status": "UNBLOCKED"})
    assert again.status_code == 409
    query = {"subscriptionId": uuid, "businessPlan": "Free", "when": "NOW"}
    assert his.post("/subscriptions/change-business-plan", query_string=query).status_code == 409


def test_a_publisher_moves_a_subscriber_to_a_free_plan_at_once(bought):
    uuid, _, his, _ = bought(0)
    query = {"subscriptionId": uuid, "businessPlan": "Free", "when": "NOW"}
    moved = his.post("/subscriptions/change-business-plan", query_string=query)
    assert (moved.status_code, moved.json["throttlingPolicy"]) == (200, "Free")
    assert (plan_of(uuid), row_of(uuid).status) == ("Free", "UNBLOCKED")
    publisher = row_of(uuid).api.provider.qualified_name
    assert actors(uuid) == [("ASK_PLAN_CHANGE", publisher), ("GO_FREE", publisher)]
    assert db.session.query(PlanChange).one().asked_by == publisher


def test_a_publisher_moves_a_subscriber_from_one_free_plan_to_another(market):
    plans = [market.factories.policy(name) for name in ("Free", "Trial")]
    application = market.factories.application("Fleet", owner=market.developer)
    api = market.api("Weather", *plans)
    uuid = market.subscribe(api, plans[0], application)
    his = Rest(market.browser.client.application, api.provider, "publisher/v4")
    query = {"subscriptionId": uuid, "businessPlan": "Trial"}
    assert his.post("/subscriptions/change-business-plan", query_string=query).status_code == 200
    assert plan_of(uuid) == "Trial"
    rows = db.session.query(TimelineEntry).filter_by(subscription_uuid=uuid)
    who = [row.actor for row in rows.order_by(TimelineEntry.line)]
    subscriber, publisher = market.developer.qualified_name, api.provider.qualified_name
    assert who == [subscriber, publisher, publisher]


def test_a_publisher_cannot_make_a_subscriber_pay(bought):
    uuid, _, his, _ = bought(0)
    query = {"subscriptionId": uuid, "businessPlan": "Gold"}
    refused = his.post("/subscriptions/change-business-plan", query_string=query)
    assert refused.status_code == 409
    assert "only the subscriber can agree" in refused.json["description"]
    assert plan_of(uuid) == "Bronze"


def test_a_publisher_moves_a_subscriber_to_a_plan_that_costs_nothing_now(bought):
    uuid, _, his, _ = bought(1)
    query = {"subscriptionId": uuid, "businessPlan": "bronze"}
    moved = his.post("/subscriptions/change-business-plan", query_string=query)
    assert (moved.status_code, moved.json["throttlingPolicy"]) == (200, "Bronze")
    assert plan_of(uuid) == "Bronze"
    publisher = row_of(uuid).api.provider.qualified_name
    assert actors(uuid) == [("ASK_PLAN_CHANGE", publisher), ("SETTLE_PLAN_CHANGE", publisher)]
