"""Usage that other gateways report: once each, answered one by one, apart by tenant."""

import json
import threading
from datetime import timedelta

import pytest
import sqlalchemy as sa

from portal import clock
from portal.api import usage_intake
from portal.extensions import db
from portal.models import KeyType, UsageBucket
from portal.services import applications, intake, usage
from portal.web.unit_of_work import in_unit_of_work
from tests.support import statements
from tests.support.browser import Browser
from tests.support.rest import Rest

PATH = "/api/am/usage/v1/events"
ONE = "application/cloudevents+json"
MANY = "application/cloudevents-batch+json"


def post(rest, events, media_type=MANY):
    body = events if isinstance(events, str) else json.dumps(events)
    return rest("POST", "/events", data=body, content_type=media_type)


@pytest.fixture
def program(app, factories):
    """A program with an administrator's token."""
    return Rest(app, factories.user("root", "admin"), "usage/v1")


@pytest.fixture
def gateway(program):
    """Sends events and returns the answer."""

    def send(events, *, expect=200, media_type=MANY):
        answer = post(program, events, media_type)
        assert answer.status_code == expect, answer.get_data(as_text=True)
        return answer.get_json()

    return send


@pytest.fixture
def row(factories):
    return factories.subscription(created_at=clock.now() - timedelta(days=40))


def event(row, number=1, **changes):
    data = {
        "subscriptionId": row.uuid,
        "keyType": "PRODUCTION",
        "apiMethod": "GET",
        "apiResourceTemplate": "/rates/{code}",
        "targetResponseCode": 200,
    }
    data |= changes.pop("data", {})
    return {
        "specversion": "1.0",
        "type": "apim.event.response",
        "source": "kong-1",
        "id": f"call-{number}",
        "time": (clock.now() - timedelta(minutes=5)).isoformat(),
        "data": {name: value for name, value in data.items() if value is not None},
        **changes,
    }


def total(row):
    return usage.summary(row.subscription_id, None, None)


@pytest.mark.all_databases
def test_a_batch_is_counted_once_however_often_it_is_sent(gateway, row):
    batch = [event(row, number) for number in range(20)]
    first = gateway(batch)
    assert (first["accepted"], first["duplicates"], first["refused"]) == (20, 0, 0)
    again = gateway([*batch, event(row, 20)])
    assert (again["accepted"], again["duplicates"], again["refused"]) == (1, 20, 0)
    assert total(row).counted == 21


def test_the_same_event_twice_in_one_batch_is_one_call(gateway, row):
    answer = gateway([event(row), event(row)])
    assert [item["outcome"] for item in answer["items"]] == ["accepted", "duplicate"]
    assert total(row).counted == 1


def test_another_source_may_use_the_same_id(gateway, row):
    answer = gateway([event(row), event(row, source="kong-2")])
    assert answer["accepted"] == 2


def test_one_event_alone_is_taken_too(gateway, row):
    answer = gateway(event(row), media_type=ONE)
    assert answer["items"] == [
        {"index": 0, "id": "call-1", "source": "kong-1", "outcome": "accepted"}
    ]


def test_the_written_rule_decides_what_counts(gateway, row):
    gateway(
        [
            event(row, 1, data={"targetResponseCode": 404}),
            event(row, 2, data={"keyType": "SANDBOX"}),
            event(row, 3),
        ]
    )
    summary = total(row)
    assert summary.counted == 1
    assert {item.reason.name: item.calls for item in summary.not_counted} == {
        "FAILED": 1,
        "SANDBOX": 1,
    }


def test_a_call_is_found_by_its_api_and_application_or_key(gateway, row):
    key = in_unit_of_work(lambda: applications.generate_key(row.application, KeyType.SANDBOX)[1])
    nobody = {"subscriptionId": None}
    answer = gateway(
        [
            event(
                row,
                1,
                data=nobody | {"apiId": row.api.api_uuid, "applicationId": row.application.uuid},
            ),
            event(
                row, 2, data=nobody | {"apiId": row.api.api_uuid, "apiKey": key, "keyType": None}
            ),
        ]
    )
    assert answer["accepted"] == 2, answer
    summary = total(row)
    assert (summary.counted, summary.total) == (1, 2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"specversion": "0.3"}, "specversion"),
        ({"type": "else"}, "apim.event.response"),
        ({"id": ""}, "id has to be text"),
        ({"id": 5}, "id has to be text"),
        ({"source": "x" * 111}, "at most 110"),
        ({"time": "yesterday"}, "2026-05-01T12:00:00Z"),
        ({"time": "2026-05-01T12:00:00"}, "zone"),
        ({"time": "2999-05-01T12:00:00Z"}, "future"),
        ({"time": "2020-05-01T12:00:00Z"}, "34 days"),
        ({"data": {"subscriptionId": "nobody"}}, "subscriptionId is unknown"),
        ({"data": {"subscriptionId": None}}, "Name subscriptionId"),
        ({"data": {"subscriptionId": None, "apiId": "a", "apiKey": "k"}}, "apiKey is unknown"),
        (
            {"data": {"subscriptionId": None, "apiId": "a", "applicationId": "b"}},
            "no subscription to this API",
        ),
        ({"data": {"keyType": "BOTH"}}, "PRODUCTION or SANDBOX"),
        ({"data": {"targetResponseCode": "200"}}, "from 100 to 599"),
        ({"data": {"bytes": 2**40 + 1}}, "a whole number from 0 to 1,099,511,627,776."),
        ({"data": {"bytes": -1}}, "bytes has to be a whole number"),
        ({"data": {"bytes": 10**30}}, "bytes has to be a whole number"),
        ({"data": {"targetResponseCode": True}}, "from 100 to 599"),
        ({"data": {"apiMethod": "G\nT"}}, "readable"),
        ({"data": {"apiResourceTemplate": "\ud800"}}, "readable"),
    ],
)
def test_what_cannot_be_counted_is_refused_by_itself(gateway, row, changes, words):
    answer = gateway([event(row, 1), event(row, 2, **changes), event(row, 3)])
    assert [item["outcome"] for item in answer["items"]] == ["accepted", "refused", "accepted"]
    assert words in answer["items"][1]["reason"]


@pytest.mark.all_databases
def test_two_batches_of_the_largest_calls_stay_whole_numbers(app, gateway, row):
    for hours in (1, 2):
        at = (clock.now() - timedelta(hours=hours)).isoformat()
        largest = {"bytes": intake.MOST_BYTES}
        gateway([event(row, f"{hours}-{n}", time=at, data=largest) for n in range(1000)])
    sizes = db.session.scalars(sa.select(UsageBucket.bytes)).all()
    assert sizes == [1000 * 2**40] * 2
    subscriber = Browser(app).sign_in(row.application.owner.username)
    subscriber.get(f"/devportal/subscriptions/{row.uuid}/usage")


def test_eight_million_of_the_largest_calls_fit_one_number():
    assert intake.MOST_BYTES * 8_000_000 < 2**63


@pytest.mark.all_databases
def test_text_that_a_database_cannot_hold_is_refused_by_itself(gateway, row):
    odd = [event(row, f"good-{place}-\U0001f600", source="\u00df" * 110) for place in range(2)]
    for text in ("\0", "\ud800", "\u00df" * 300):
        odd[1:1] = [event(row, id=text), event(row, source=text)]
        odd[1:1] = [event(row, data={name: text}) for name in event(row)["data"]]
    some = {"apiId": "\u00df", "applicationId": "\U0001f600", "subscriptionId": None}
    odd[1:1] = [
        event(row, data={"apiMethod": "\u00df" * 10}),
        event(row, data={"subscriptionId": "\U0001f600"}),
        event(row, data=some),
        event(row, data=some | {"apiKey": "\u00df"}),
    ]
    answer = gateway(odd)
    assert [item["outcome"] for item in answer["items"][1:-1]] == ["refused"] * (len(odd) - 2)
    assert answer["items"][1]["reason"] == "apiMethod has to be a method such as GET."
    assert (answer["accepted"], total(row).total) == (2, 2)


def test_a_call_from_before_or_after_the_subscription_is_refused(gateway, factories):
    ended = factories.subscription(
        created_at=clock.now() - timedelta(days=3), ended_at=clock.now() - timedelta(days=1)
    )
    times = [clock.now() - timedelta(days=days) for days in (4, 2, 0)]
    answer = gateway([event(ended, day, time=at.isoformat()) for day, at in enumerate(times)])
    assert [item["outcome"] for item in answer["items"]] == ["refused", "accepted", "refused"]


def test_another_tenants_subscriptions_and_ids_are_out_of_reach(app, gateway, row, factories):
    other = factories.user("other", "admin", tenant=factories.tenant("other.com"))
    answer = post(Rest(app, other, "usage/v1"), [event(row)]).get_json()
    assert answer["items"][0]["reason"] == "subscriptionId is unknown."
    assert gateway([event(row)])["accepted"] == 1


def test_too_much_is_refused_whole(gateway, row):
    assert "1,000" in str(gateway([event(row)] * 1001, expect=400))
    gateway("[" + " " * 1_100_000 + "]", expect=413)
    gateway("{", expect=400)
    gateway("{", media_type=ONE, expect=400)
    gateway([], media_type="application/json", expect=415)
    assert total(row).total == 0


def test_when_busy_it_asks_to_send_the_same_again(gateway, program, row):
    for _ in range(usage_intake.AT_A_TIME):
        usage_intake.slots.acquire()
    try:
        answer = post(program, [event(row)])
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
    finally:
        for _ in range(usage_intake.AT_A_TIME):
            usage_intake.slots.release()
    assert gateway([event(row)])["accepted"] == 1


class Unfinished:
    """A body that does not come before it is let go on."""

    def __init__(self):
        self.awaited, self.goes_on = threading.Event(), threading.Event()

    def read(self, _size):
        self.awaited.set()
        assert self.goes_on.wait(30)
        return b"[]"


def test_uploads_that_do_not_end_keep_nobody_else_waiting(app, gateway, row, factories):
    other = factories.user("other", "admin", tenant=factories.tenant("other.com"))
    answers = []

    def upload(rest, body):
        sent = {"wsgi.input": body, "CONTENT_LENGTH": "2"}
        answer = rest("POST", "/events", content_type=MANY, environ_overrides=sent)
        answers.append(answer.status_code)

    bodies = [Unfinished() for _ in range(usage_intake.AT_A_TIME)]
    rests = [Rest(app, other, "usage/v1") for _ in bodies]
    uploads = [
        threading.Thread(target=upload, args=pair) for pair in zip(rests, bodies, strict=True)
    ]
    for thread in uploads:
        thread.start()
    try:
        assert all(body.awaited.wait(30) for body in bodies)
        assert gateway([event(row)])["accepted"] == 1
    finally:
        for body in bodies:
            body.goes_on.set()
        for thread in uploads:
            thread.join()
    assert answers == [200] * len(bodies)


@pytest.mark.parametrize("media_type", [MANY, ONE])
@pytest.mark.parametrize("body", ["[" * 50_000, "[" * 50_000 + "]" * 50_000, '{"id":' * 50_000])
def test_what_is_nested_without_end_is_not_json(gateway, media_type, body):
    answer = gateway(body, media_type=media_type, expect=400)
    assert "The body has to be a JSON" in answer["description"]


def test_nested_names_are_refused_by_themselves(gateway, row):
    deep = json.loads("[" * 900 + "]" * 900)
    answer = gateway([event(row, id=deep, source=deep), event(row)])
    assert [item["outcome"] for item in answer["items"]] == ["refused", "accepted"]
    assert (answer["items"][0]["id"], answer["items"][0]["source"]) == ("", "")


def test_it_needs_a_token_with_its_own_scope(app, factories):
    assert app.test_client().post(PATH, data="[]", content_type=MANY).status_code == 401
    publisher = Rest(app, factories.user("pia", "publisher"), "usage/v1")
    assert post(publisher, []).status_code == 403
    narrow = Rest(app, factories.user("ann", "admin"), "usage/v1", "apim:admin_tier_view")
    assert post(narrow, []).status_code == 403


@pytest.fixture
def cost(program):
    """How many statements a batch costs that is taken in whole."""

    def counted(batch):
        answers = []
        sent = statements.sent(lambda: answers.append(post(program, batch).get_json()))
        assert answers[0]["accepted"] == len(batch), answers[0]
        db.session.rollback()
        return len(sent)

    return counted


@pytest.fixture
def rows(factories):
    plan = factories.policy()
    since = clock.now() - timedelta(days=1)
    return [factories.subscription(policy=plan, created_at=since) for _ in range(43)]


@pytest.mark.all_databases
def test_forty_owners_cost_as_many_statements_as_two(cost, rows):
    def of(some):
        return [event(row, row.subscription_id) for row in some]

    cost(of(rows[:1]))
    assert cost(of(rows[1:3])) == cost(of(rows[3:])) < 20


@pytest.mark.all_databases
def test_forty_sources_cost_as_many_statements_as_two(cost, row):
    def of(count, name):
        return [event(row, source=f"{name}-{number}") for number in range(count)]

    cost(of(1, "first"))
    assert cost(of(2, "few")) == cost(of(40, "many")) < 20


@pytest.mark.all_databases
def test_forty_keys_cost_as_many_statements_as_two(cost, rows):
    def keyed(row):
        made = in_unit_of_work(lambda: applications.generate_key(row.application, KeyType.SANDBOX))
        data = {"subscriptionId": None, "apiId": row.api.api_uuid, "apiKey": made[1]}
        return event(row, row.subscription_id, data=data | {"keyType": None})

    batch = [keyed(row) for row in rows]
    cost(batch[:1])
    assert cost(batch[1:3]) == cost(batch[3:]) < 20


@pytest.mark.all_databases
def test_what_is_known_of_many_sources_costs_few_statements(gateway, row):
    known = [event(row, source=f"kong-{number}") for number in range(40)]
    gateway(known)
    more = [event(row, 2, source=f"kong-{number}") for number in range(40)]
    answers = []
    sent = statements.sent(lambda: answers.append(gateway([*known, *more, *more])))
    assert (answers[0]["accepted"], answers[0]["duplicates"]) == (40, 80)
    assert len(sent) < 25
    assert total(row).counted == 80


def test_the_document_has_the_intake_with_its_bodies_and_the_pause(app):
    document = app.test_client().get("/api/openapi.json").get_json()
    told = document["paths"][PATH]["post"]
    assert set(told["requestBody"]["content"]) == {
        "application/cloudevents+json",
        "application/cloudevents-batch+json",
    }
    answers = told["responses"]
    assert set(answers) == {"200", "400", "401", "403", "413", "415", "429"}
    busy = document["components"]["responses"][answers["429"]["$ref"].rpartition("/")[2]]
    assert busy["headers"]["Retry-After"]["required"] is True
    assert "at most 1,099,511,627,776" in json.dumps(document)
    item = document["components"]["schemas"]["UsageItem"]
    assert set(item["properties"]) == {"index", "id", "source", "outcome", "reason"}
