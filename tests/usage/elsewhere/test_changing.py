"""Changing the source: each call before the change is of the former one, each after of the new."""

from datetime import timedelta

import pytest

from portal import clock
from portal.extensions import db
from portal.flows import gathering
from portal.models import UsageSource
from tests.support.browser import Browser
from tests.support.fake_elasticsearch import LOGIN, FakeElasticsearch
from tests.usage.conftest import NOW
from tests.usage.sources import HOUR, MILLISECOND, Choreo, Elastic, ids, problem, tenant_id

PAGE = "/admin/usage/source"
INDEX = "apim_event_response"


def fill(app, fake, *, expect=200, **more):
    values = {
        "kind": "elasticsearch",
        "analytics_host": fake.host,
        "analytics_port": fake.port,
        "analytics_username": LOGIN[0],
        "analytics_password": LOGIN[1],
        "analytics_index": INDEX,
    }
    browser = Browser(app).sign_in("root")
    return browser.get(PAGE).submit("Save", values | more, expect=expect)


def chosen_at():
    db.session.rollback()
    return db.session.query(UsageSource).one().chosen_at


@pytest.mark.all_databases
def test_correcting_an_index_of_which_nothing_was_read_loses_no_calls(
    app, admin, metered, publish, httpserver, travel
):
    fake = FakeElasticsearch(httpserver)
    httpserver.expect_request("/wrong/_search", method="POST").respond_with_data(
        '{"error": {"type": "index_not_found_exception"}}',
        404,
        {"X-Elastic-Product": "Elasticsearch", "Content-Type": "application/json"},
    )
    fill(app, fake, analytics_index="wrong")
    first = chosen_at()
    fake.add(*ids(metered), NOW - HOUR, 1)
    fake.add(*ids(metered), NOW + HOUR, 1000)
    travel.move_to(NOW + 5 * HOUR)
    publish()
    assert "has no index wrong" in problem()
    fill(app, fake, analytics_password="")
    # Another choice, so that an answer to the former one is not taken for one to this.
    assert first < chosen_at() < first + MILLISECOND
    travel.move_to(NOW + 6 * HOUR)
    publish()
    assert (metered.total, problem()) == (1000, None)


def test_giving_up_a_host_that_never_answered_loses_no_calls(
    app, admin, metered, publish, httpserver, travel
):
    fake = FakeElasticsearch(httpserver)
    fill(app, fake, analytics_port="9")
    fake.add(*ids(metered), NOW + HOUR, 12)
    travel.move_to(NOW + 5 * HOUR)
    assert publish().status == "FAILED"
    fill(app, fake, expect=422)
    fill(app, fake, give_up_rest="y")
    publish()
    assert metered.total == 12


def test_calls_before_a_choice_after_the_portal_are_the_portals(
    app, admin, metered, publish, httpserver, travel
):
    fake = FakeElasticsearch(httpserver)
    fill(app, fake, analytics_port="9")
    fill(app, fake, kind="portal", give_up_rest="y")
    travel.move_to(NOW + 2 * HOUR)
    fake.add(*ids(metered), NOW + HOUR, 5)
    fill(app, fake)
    fake.add(*ids(metered), NOW + 3 * HOUR, 7)
    travel.move_to(NOW + 4 * HOUR)
    publish()
    assert metered.total == 7


def second_index(source):
    """Return a setting that another source is, and the same calls are found in."""
    both = f"{INDEX},{INDEX}_2"
    source.fake.server.expect_request(f"/{both}/_search", method="POST").respond_with_handler(
        source.fake.search
    )
    return {"analytics_index": both}


def test_calls_that_are_made_while_the_former_source_is_read_are_the_new_ones(
    admin, chosen, metered, publish, travel, monkeypatch
):
    source = chosen(Elastic)
    another = second_index(source)
    source.add(metered, NOW - HOUR, 4)
    source.add(metered, NOW + timedelta(seconds=20), 7)
    reckon = source.fake._reckon

    def slow(body):
        answer = reckon(body)
        travel.move_to(NOW + timedelta(seconds=40))
        return answer

    monkeypatch.setattr(source.fake, "_reckon", slow)
    admin.get(PAGE).submit("Save", another)
    monkeypatch.setattr(source.fake, "_reckon", reckon)
    travel.move_to(NOW + HOUR)
    publish()
    assert metered.total == 11


def test_what_another_run_read_meanwhile_is_not_read_a_second_time(
    admin, chosen, metered, publish, travel, monkeypatch
):
    source = chosen(Elastic)
    another = second_index(source)
    source.add(metered, NOW + timedelta(seconds=20), 7)
    read_out = gathering.gather

    def gather(tenant, until, *beat):
        """Read out, and be overtaken by a run that reads a minute more."""
        calls = read_out(tenant, until)
        travel.move_to(NOW + timedelta(minutes=1))
        return calls + read_out(tenant, clock.now())

    monkeypatch.setattr(gathering, "gather", gather)
    admin.get(PAGE).submit("Save", another)
    monkeypatch.setattr(gathering, "gather", read_out)
    assert chosen_at() == NOW + timedelta(minutes=1)
    travel.move_to(NOW + HOUR)
    publish()
    assert metered.total == 7


def test_an_answer_to_a_former_choice_is_not_taken_for_the_present_ones(
    app, admin, metered, httpserver, travel, monkeypatch
):
    fake = FakeElasticsearch(httpserver)
    wrong = FakeElasticsearch(httpserver, "wrong")
    fill(app, fake, analytics_index="wrong")
    wrong.add(*ids(metered), NOW + MILLISECOND, 3)
    fake.add(*ids(metered), NOW + HOUR, 5)
    travel.move_to(NOW + 2 * HOUR)
    reckon = wrong._reckon

    def corrected_meanwhile(body):
        fill(app, fake, give_up_rest="y")
        return reckon(body)

    monkeypatch.setattr(wrong, "_reckon", corrected_meanwhile)
    assert gathering.gather(tenant_id(), clock.now()) == 0
    assert gathering.gather(tenant_id(), clock.now()) == 5
    assert metered.recorded == 5


def test_the_page_says_what_is_lost_by_leaving_a_source_and_how_to_lose_none(admin, chosen):
    assert "may be lost" not in admin.get(PAGE).text
    chosen(Choreo)
    text = admin.get(PAGE).text
    assert "calls of the last hour before you press Save may be lost" in text
    assert "press it when no call was made for an hour" in text
