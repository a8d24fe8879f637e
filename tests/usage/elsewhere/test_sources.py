"""Usage that is read from Elasticsearch and Choreo, through servers that speak as they do."""

import random
from datetime import timedelta

import pytest

from portal import clock
from portal.analytics import elasticsearch
from portal.analytics.source import SourceUnavailable
from portal.errors import EngineUnavailable
from portal.extensions import db
from portal.flows import gathering, publishing
from portal.models import Subscription, UsageSource, UsageSourceCount, UsageTally
from portal.services import usage
from tests.support.fake_choreo import ON_PREM, FakeChoreo
from tests.support.fake_elasticsearch import LOGIN, FakeElasticsearch
from tests.usage.conftest import MONTH, NOW
from tests.usage.sources import (
    HOUR,
    MILLISECOND,
    Choreo,
    Elastic,
    choose,
    ids,
    problem,
    tenant_id,
    url,
)

BROKEN = ["500", "503", "403", "cut off", "timed out", "a shard is missing", "stranger", "gone"]


# --- what holds for every source -------------------------------------------------------------


@pytest.mark.all_databases
@pytest.mark.parametrize("kind", [Elastic, Choreo])
def test_calls_of_a_source_are_billed_once_however_often_it_is_read(
    kind, chosen, metered, publish, travel
):
    source = chosen(kind)
    source.add(metered, NOW - 2 * HOUR, 20)
    source.add(metered, NOW - MILLISECOND, 4)
    source.add(metered, NOW, 1)
    assert publish().status == "SUCCESSFUL"
    assert metered.total == 24
    assert publish().calls == 0
    travel.move_to(NOW + HOUR)
    assert publish().calls == 1
    assert publish().calls == 0
    assert (metered.total, metered.recorded) == (25, 25)


@pytest.mark.parametrize("kind", [Elastic, Choreo])
def test_calls_before_the_choice_are_not_billed_a_second_time(kind, chosen, metered, publish):
    source = chosen(kind)
    metered.call(3, at=NOW - 4 * HOUR)
    source.add(metered, NOW - 4 * HOUR, 3)
    source.add(metered, NOW - 3 * HOUR - MILLISECOND, 2)
    source.add(metered, NOW - 3 * HOUR, 7)
    publish()
    assert metered.total == 10


@pytest.mark.parametrize("kind", [Elastic, Choreo])
def test_calls_that_a_source_learns_of_late_are_added(kind, chosen, metered, publish, travel):
    source = chosen(kind)
    source.add(metered, NOW - 2 * HOUR, 5)
    publish()
    travel.move_to(NOW + 5 * HOUR)
    source.add(metered, NOW - 2 * HOUR, 2)
    publish()
    assert metered.total == 7


@pytest.mark.all_databases
@pytest.mark.parametrize("kind", [Elastic, Choreo])
def test_an_hour_that_holds_the_end_of_a_period_is_told_apart(
    kind, chosen, metered, publish, travel
):
    source = chosen(kind)
    end = MONTH[1]
    source.add(metered, end - MILLISECOND, 3)
    source.add(metered, end, 5)
    travel.move_to(end + timedelta(minutes=20))
    publish()
    tallies = db.session.query(UsageTally).order_by(UsageTally.period_start)
    assert [(row.period_start, row.counted) for row in tallies] == [
        (clock.epoch(MONTH[0]), 3),
        (clock.epoch(end), 5),
    ]
    publish()
    assert metered.total == 8


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        *((Elastic, fault) for fault in ("500", "a shard is missing", "cut off")),
        *((Choreo, fault) for fault in ("500", "errors", "half")),
    ],
)
def test_an_outage_in_the_middle_publishes_nothing_and_loses_nothing(
    kind, fault, chosen, metered, engine, publish, monkeypatch
):
    monkeypatch.setattr(elasticsearch, "PAGE", 100)
    source = chosen(kind)
    if kind is Elastic:
        for number in range(120):
            source.add(metered, NOW - 2 * HOUR, apiResourceTemplate=f"/{number:04}")
    else:
        for number in range(3):
            source.add(metered, NOW - (number + 0.5) * HOUR, 40)
    source.fake.faults = ["", fault]
    run = publish()
    assert (run.status, run.calls, engine.reports) == ("FAILED", 0, 0)
    assert "Nothing new was billed" in run.error
    assert problem() is not None
    assert metered.recorded == 0
    assert publish().status == "SUCCESSFUL"
    assert (metered.total, problem()) == (120, None)


@pytest.mark.parametrize("kind", [Elastic, Choreo])
def test_no_usage_is_not_the_same_as_no_answer(kind, chosen, metered, publish):
    chosen(kind)
    run = publish()
    assert (run.status, run.calls, run.error) == ("SUCCESSFUL", 0, None)
    row = db.session.query(UsageSource).one()
    row.analytics_port, row.choreo_token_endpoint = "9", "http://127.0.0.1:9/token"
    db.session.commit()
    run = publish()
    assert run.status == "FAILED"
    assert run.error


@pytest.mark.parametrize("kind", [Elastic, Choreo])
def test_what_was_frozen_before_an_outage_still_goes_out(kind, chosen, metered, engine, publish):
    source = chosen(kind)
    source.add(metered, NOW - HOUR, 6)
    engine.faults = ["down"]
    publish()
    source.fake.faults = ["500"] * 5
    assert publish().status == "FAILED"
    assert metered.total == 6


@pytest.mark.parametrize("kind", [Elastic, Choreo])
def test_the_last_calls_are_read_before_a_subscription_is_cancelled(kind, chosen, metered, engine):
    source = chosen(kind)
    source.add(metered, NOW - HOUR, 6)
    source.fake.faults = ["500"] * 5
    with pytest.raises(EngineUnavailable, match="Nothing was cancelled"):
        publishing.flush(engine, metered.id)
    source.fake.faults = []
    publishing.flush(engine, metered.id)
    assert metered.total == 6


@pytest.mark.parametrize("kind", [Elastic, Choreo])
def test_whatever_happens_in_whatever_order_each_call_counts_once(kind, chosen, metered, travel):
    source = chosen(kind)
    dice = random.Random(kind.__name__)
    now, made = NOW, 0
    for _ in range(25):
        now += timedelta(minutes=dice.randint(1, 90), milliseconds=dice.randint(0, 999))
        travel.move_to(now)
        times = dice.randint(1, 9)
        late = timedelta(seconds=dice.randint(0, 20 * 3600)) if dice.random() < 0.5 else 0 * HOUR
        source.add(metered, max(now - late, NOW - 3 * HOUR), times)
        made += times
        source.fake.faults = ["", "500"] if dice.random() < 0.3 else []
        try:
            gathering.gather(tenant_id(), now)
        except SourceUnavailable:
            continue
    source.fake.faults = []
    gathering.gather(tenant_id(), now + MILLISECOND)
    assert metered.recorded == made
    assert sum(row.calls for row in db.session.query(UsageSourceCount)) == made


# --- Elasticsearch ---------------------------------------------------------------------------


def test_elasticsearch_bills_every_api_and_application_and_not_ten_of_them(
    chosen, make_metered, publish, travel, monkeypatch
):
    monkeypatch.setattr(elasticsearch, "PAGE", 100)
    travel.move_to(MONTH[0])
    rows = [make_metered(account=f"acct_{number}") for number in range(36)]
    source = chosen(Elastic)
    for number, row in enumerate(rows):
        for resource in range(3):
            source.add(row, NOW - HOUR, number % 3 + 1, apiResourceTemplate=f"/{resource}")
    publish()
    pages = [body for body in source.fake.asked if "aggregations" in body or "aggs" in body]
    assert len(pages) == 3
    assert [row.total for row in rows] == [3 * (number % 3 + 1) for number in range(36)]


def test_elasticsearch_tells_what_counts_and_what_not_with_the_reason(chosen, metered, publish):
    source = chosen(Elastic)
    at = NOW - HOUR
    source.add(metered, at, 5)
    source.add(metered, at, 4, keyType="SANDBOX")
    source.add(metered, at, 3, targetResponseCode=500)
    source.add(metered, at, 2, targetResponseCode=-1)
    source.add(metered, at, 1, targetResponseCode=None)
    source.add(metered, at, 1, keyType=None)
    source.add(metered, at, 7, apiCreatorTenantDomain="other.example")
    source.fake.add(ids(metered)[0], "00000000-0000-0000-0000-000000000000", at, 6)
    publish()
    assert metered.total == 5
    found = usage.summary(metered.id, None, None)
    assert {item.reason.name: item.calls for item in found.not_counted} == {
        "SANDBOX": 5,
        "FAILED": 6,
    }
    assert db.session.query(UsageSource).one().nobody == 6


@pytest.mark.parametrize("fault", BROKEN)
def test_elasticsearch_says_what_is_wrong_and_what_to_do(fault, chosen, metered, factories):
    source = chosen(Elastic)
    gathering.gather(tenant_id(), NOW)
    source.fake.faults = [fault] * 4
    with pytest.raises(SourceUnavailable) as refused:
        gathering.gather(tenant_id(), NOW + HOUR)
    assert refused.value.message.endswith(".")
    assert LOGIN[1] not in refused.value.message
    assert problem() == refused.value.message


def test_an_index_that_is_not_there_yet_passes_nothing_over(chosen, metered, publish, travel):
    source = chosen(Elastic)
    source.fake.index = None
    assert publish().status == "SUCCESSFUL"
    assert "has no index" in problem()
    source.fake.index = "apim_event_response"
    source.add(metered, NOW - HOUR, 9)
    travel.move_to(NOW + HOUR)
    publish()
    assert (metered.total, problem()) == (9, None)
    source.fake.index = None
    assert publish().status == "FAILED"


def test_a_window_is_half_open_and_in_milliseconds(chosen, metered):
    source = chosen(Elastic)
    gathering.gather(tenant_id(), NOW + 123 * MILLISECOND)
    gathering.gather(tenant_id(), NOW + 456 * MILLISECOND)
    spans = [body["query"]["bool"]["filter"][0]["range"] for body in source.fake.asked]
    ends = [span["requestTimestamp"]["lt"] % 1000 for span in spans]
    assert ends == [123, 456]
    assert all(set(span["requestTimestamp"]) == {"gte", "lt", "format"} for span in spans)


# --- Choreo ----------------------------------------------------------------------------------


def test_choreo_gets_a_new_token_when_the_old_one_has_expired(chosen, metered, publish):
    source = chosen(Choreo)
    source.add(metered, NOW - HOUR, 3)
    source.fake.faults = ["", "expired"]
    publish()
    assert metered.total == 3
    assert len(source.fake.tokens) == 2
    assert source.fake.asked[0]["variables"]["onPremKey"] == ON_PREM


def test_choreo_without_an_application_takes_the_key_itself(
    app, factories, httpserver, metered, publish, travel
):
    fake = FakeChoreo(httpserver)
    travel.move_to(NOW - HOUR)
    choose(
        factories.tenant(),
        kind="choreo",
        analytics_query_api_endpoint=url(httpserver, "query"),
        analytics_access_token=ON_PREM,
    )
    travel.move_to(NOW)
    fake.add(*ids(metered), NOW - timedelta(minutes=5), 3)
    publish()
    assert metered.total == 3
    assert fake.tokens == []


# --- pages -----------------------------------------------------------------------------------


def fill(admin, fake, **more):
    values = {
        "kind": "elasticsearch",
        "analytics_host": fake.host,
        "analytics_port": fake.port,
        "analytics_username": LOGIN[0],
    }
    return admin.get("/admin/usage/source").submit("Save", values | more)


def test_a_source_is_chosen_tested_and_its_secret_never_shown(admin, metered, httpserver, travel):
    fake = FakeElasticsearch(httpserver)
    fill(admin, fake, analytics_password=LOGIN[1])
    assert "The source is saved." in admin.text
    stored = db.session.query(UsageSource).one()
    assert LOGIN[1] not in (stored.analytics_password_sealed or "")
    page = admin.get("/admin/usage/source")
    assert LOGIN[1] not in page.response.get_data(as_text=True)
    fake.add(*ids(metered), clock.now() - HOUR, 3)
    assert "The source works. apim_event_response answers: 3 events" in admin.submit("Test").text
    fake.faults = ["403"]
    assert "The source does not work: " in admin.submit("Test").text
    assert "refuses analytics_username and analytics_password" in admin.text
    fill(admin, fake)
    db.session.rollback()
    assert db.session.query(UsageSource).one().secret("analytics_password") == LOGIN[1]


def test_plans_by_use_warn_while_the_source_does_not_work(admin, chosen, metered, publish):
    source = chosen(Elastic)
    source.fake.faults = ["500"] * 4
    publish()
    row = db.session.get_one(Subscription, metered.id)
    for page in (
        "/admin/plans",
        "/admin/plans/new",
        f"/admin/plans/{row.policy_version.policy.uuid}/edit",
        f"/publisher/apis/{row.api.api_uuid}/monetization",
        "/admin/usage",
    ):
        assert "The source of usage does not work" in admin.get(page).text, page
    source.fake.faults = []
    publish()
    assert "does not work" not in admin.get("/admin/plans").text


def test_the_former_source_is_read_out_before_it_is_left(admin, chosen, metered, publish, travel):
    source = chosen(Elastic)
    source.add(metered, NOW - HOUR, 4)
    source.fake.faults = ["500"] * 4
    admin.get("/admin/usage/source").submit("Save", {"kind": "portal"}, expect=422)
    assert "would not be billed" in admin.text
    source.fake.faults = []
    admin.get("/admin/usage/source").submit("Save", {"kind": "portal"})
    publish()
    assert metered.total == 4


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("analytics_host", "http://10.0.0.7"),
        ("analytics_host", "https://metadata.internal"),
        ("analytics_host", "ftp://es.example.com"),
        ("analytics_host", ""),
        ("analytics_port", "99999"),
        ("analytics_index", "../_all"),
    ],
)
def test_a_setting_that_cannot_do_is_refused_at_its_field(admin, factories, name, value):
    factories.tenant()
    values = {"kind": "elasticsearch", "analytics_host": "https://es.example.com", name: value}
    admin.get("/admin/usage/source").submit("Save", values, expect=422)
    assert admin.soup.select_one(f"#{name}-error")
    assert db.session.query(UsageSource).count() == 0
