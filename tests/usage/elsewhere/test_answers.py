"""Odd answers of a source: each is refused with a sentence, and nothing of it is billed."""

from datetime import timedelta

import pytest
from werkzeug import Response

from portal import clock
from portal.analytics import strict
from portal.analytics.source import SourceUnavailable
from portal.errors import EngineUnavailable
from portal.extensions import db
from portal.flows import gathering, publishing
from portal.models import UsagePublisher, UsageSource
from portal.services import publishing as services
from portal.services import usage
from portal.services.outgoing import Bounds
from tests.support.fake_elasticsearch import HEADERS
from tests.usage.conftest import NOW, engine_for
from tests.usage.sources import HOUR, Choreo, Elastic, ids, problem, tenant_id

PAGE = "/admin/usage/source"
#: What is no answer: beyond what is read as JSON, or of another shape.
BODIES = [
    '{"data": {"x": ' + "9" * 5_000 + "}}",
    "[" * 200_000,
    '{"a":' * 50_000,
    "[1]",
    '"text"',
    "null",
    "\ufffe{",
    '{"_shards": [], "data": [], "hits": 7, "aggregations": "x"}',
]


def answers(httpserver, body):
    httpserver.clear()
    httpserver.expect_request("/token").respond_with_json({"access_token": "t"})
    odd = Response(body, headers=HEADERS, mimetype="application/json")
    for path in ("/query", "/apim_event_response/_search"):
        httpserver.expect_request(path).respond_with_response(odd)


@pytest.mark.parametrize("kind", [Elastic, Choreo])
@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_an_answer_that_is_none_is_said_and_not_an_error_page(
    kind, body, admin, chosen, metered, httpserver
):
    chosen(kind)
    answers(httpserver, body)
    admin.get(PAGE).submit("Test")
    assert "The source does not work: " in admin.text
    assert "unexpected" not in problem()


def buckets(source, change):
    """Let Elasticsearch tell the buckets changed."""
    reckon = source.fake._reckon

    def reckoned(body):
        answer = reckon(body)
        for bucket in answer.get("aggregations", {}).get("kinds", {}).get("buckets", []):
            change(bucket)
        return answer

    source.fake._reckon = reckoned


@pytest.mark.parametrize(
    "key",
    [
        {"status": "-"},
        {"status": "ok"},
        {"status": float("inf")},
        {"status": float("nan")},
        {"status": [1]},
        {"status": True},
        {"hour": 10**30},
        {"hour": -3_600_000},
        {"hour": "now"},
        {"api": 7},
        {"resource": ["/"]},
    ],
)
def test_a_bucket_of_elasticsearch_that_cannot_be_is_refused(key, chosen, metered, publish):
    source = chosen(Elastic)
    source.add(metered, NOW - HOUR, 1)
    buckets(source, lambda bucket: bucket["key"].update(key))
    run = publish()
    assert (run.status, run.calls, metered.recorded) == ("FAILED", 0, 0)
    assert "Elasticsearch's answer has " in run.error
    assert run.error.startswith(problem())


@pytest.mark.parametrize(
    "more",
    [
        {"doc_count": -1},
        {"doc_count": 10**25},
        {"doc_count": "7"},
        {"first": {"value": 0}},
        {"last": {"value": 4e12}},
        {"last": None},
    ],
)
def test_a_number_of_elasticsearch_that_cannot_be_is_refused(more, chosen, metered, publish):
    source = chosen(Elastic)
    source.add(metered, NOW - HOUR, 1)
    buckets(source, lambda bucket: bucket.update(more))
    run = publish()
    assert (run.status, metered.recorded) == ("FAILED", 0)
    assert "Elasticsearch's answer has " in run.error


def test_a_status_beyond_those_of_http_is_not_billed(chosen, metered, publish):
    source = chosen(Elastic)
    source.add(metered, NOW - HOUR, 2, targetResponseCode=10**12)
    source.add(metered, NOW - HOUR, 1, targetResponseCode=0)
    assert publish().status == "SUCCESSFUL"
    found = usage.summary(metered.id, None, None)
    assert {item.reason.name: item.calls for item in found.not_counted} == {"FAILED": 3}
    assert metered.total == 0


@pytest.mark.all_databases
def test_what_no_database_stores_is_replaced_and_billed(chosen, metered, publish):
    source = chosen(Elastic)
    source.add(metered, NOW - HOUR, 2, apiResourceTemplate="/a\0b\ud800")
    assert publish().status == "SUCCESSFUL"
    assert metered.total == 2


@pytest.mark.parametrize(
    "count", [10**25, "9" * 400, -1, "-1", "1_000", "1e3", 1.5e300, True, None, [], "\u0661"]
)
def test_a_count_of_choreo_that_cannot_be_is_refused(count, chosen, metered, publish):
    source = chosen(Choreo)
    api, application = ids(metered)
    source.fake._rows = lambda _asked: [
        {"apiId": api, "applicationId": application, "count": count}
    ]
    run = publish()
    assert (run.status, metered.recorded) == ("FAILED", 0)
    assert "a count that is no number of calls" in run.error


@pytest.mark.parametrize("kind", [Elastic, Choreo])
def test_an_answer_without_an_end_is_left(kind, chosen, metered, httpserver, monkeypatch):
    monkeypatch.setattr(strict, "BOUNDS", Bounds(seconds=20.0, size=10_000))
    chosen(kind)
    answers(httpserver, " " * 10_001 + "{}")
    with pytest.raises(SourceUnavailable, match="MB, which is not read"):
        gathering.gather(tenant_id(), NOW)


@pytest.mark.parametrize("kind", [Elastic, Choreo])
def test_a_run_is_held_while_its_source_is_read_and_ends_when_another_has_it(
    kind, chosen, metered, engine, factories, monkeypatch, travel
):
    def run():
        """Publish; return whether it was this worker that did."""
        run_id = publishing.start(factories.tenant(), "test").run_id
        db.session.rollback()
        return publishing.run(engine_for(engine), run_id)

    monkeypatch.setattr(gathering, "HEARTBEAT", 0.0)
    source = chosen(kind)
    source.add(metered, NOW - HOUR, 3)
    until = []
    renew = services.renew

    def slow(held):
        travel.shift(services.LEASE - timedelta(seconds=1))
        held_still = renew(held)
        until.append(db.session.query(UsagePublisher).one().lease_until - clock.now())
        return held_still

    monkeypatch.setattr(services, "renew", slow)
    assert (run(), metered.total) == (True, 3)
    assert until[0] == services.LEASE

    source.add(metered, NOW - timedelta(minutes=1), 4)
    monkeypatch.setattr(services, "renew", lambda held: False)
    travel.shift(HOUR)
    assert run() is False, "it is another worker's now"
    assert metered.recorded == 3


@pytest.mark.parametrize("kind", [Elastic, Choreo])
def test_answers_without_an_end_are_left(kind, chosen, metered, monkeypatch):
    monkeypatch.setattr(gathering, "LONGEST_READING", 0.0)
    source = chosen(kind)
    source.add(metered, NOW - HOUR, 1)
    with pytest.raises(SourceUnavailable, match="does not come to an end"):
        gathering.gather(tenant_id(), NOW)
    assert metered.recorded == 0


# --- what nobody thought of ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name"),
    [(Elastic, "analytics_password"), (Choreo, "analytics_access_token")],
)
def test_a_fault_of_the_portals_own_is_the_sources_too(
    kind, name, admin, chosen, metered, engine, publish, capfd
):
    """A secret of before such characters were refused."""
    source = chosen(kind)
    row = db.session.query(UsageSource).one()
    row.set_secret(name, "on\u2013prem")
    row.choreo_insight_app_consumer_key = ""
    db.session.commit()
    source.add(metered, NOW - HOUR, 1)
    admin.get(PAGE).submit("Test")
    assert "The source does not work: Something unexpected happened" in admin.text
    run = publish()
    assert (run.status, run.calls) == ("FAILED", 0)
    assert "Check the source's settings" in problem()
    assert "The source of usage does not work" in admin.get("/admin/plans").text
    with pytest.raises(EngineUnavailable, match="Nothing was cancelled"):
        publishing.flush(engine, metered.id)
    told = capfd.readouterr().err
    assert "UnicodeEncodeError" in told
    assert "prem" not in told
