"""What may be entered: secrets that stay with their server, and only what HTTP and tables hold."""

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Response

from portal.extensions import db
from portal.models import UsageSource
from tests.support.fake_choreo import KEY, ON_PREM, SECRET, FakeChoreo
from tests.support.fake_elasticsearch import LOGIN, FakeElasticsearch
from tests.usage.sources import url

PAGE = "/admin/usage/source"


def elastic(server, **more):
    fake = FakeElasticsearch(server)
    return {
        "kind": "elasticsearch",
        "analytics_host": fake.host,
        "analytics_port": fake.port,
        "analytics_username": LOGIN[0],
        "analytics_password": LOGIN[1],
    } | more


def choreo(server, **more):
    FakeChoreo(server)
    return {
        "kind": "choreo",
        "analytics_query_api_endpoint": url(server, "query"),
        "analytics_access_token": ON_PREM,
        "choreo_token_endpoint": url(server, "token"),
        "choreo_insight_app_consumer_key": KEY,
        "choreo_insight_app_consumer_secret": SECRET,
    } | more


def stored(name):
    db.session.rollback()
    return db.session.query(UsageSource).one().secret(name)


def refused(admin, *names):
    return [name for name in names if admin.soup.select_one(f"#{name}-error")] == list(names)


# --- secrets ---------------------------------------------------------------------------------


@pytest.fixture
def other():
    """A server that notes what it is sent."""
    with HTTPServer(port=0) as server:
        server.expect_request("/").respond_with_handler(lambda _request: Response("{}", 500))
        yield server


def test_a_stored_password_goes_to_no_other_server(admin, httpserver, other):
    admin.get(PAGE).submit("Save", elastic(httpserver))
    assert "Enter it again when analytics_host or analytics_port" in admin.get(PAGE).text
    moved = {"analytics_port": str(other.port), "give_up_rest": "y"}
    admin.submit("Save", moved, expect=422)
    assert refused(admin, "analytics_password")
    assert "enter this again" in admin.text
    admin.get(PAGE).submit("Save", moved | {"analytics_username": ""})
    assert stored("analytics_password") == ""
    admin.get(PAGE).submit("Save", moved | {"analytics_username": LOGIN[0]})
    admin.submit("Test")
    sent = [request.authorization.password for request, _ in other.log]
    assert sent
    assert LOGIN[1] not in sent


def test_a_password_is_kept_while_its_server_stays(admin, httpserver):
    admin.get(PAGE).submit("Save", elastic(httpserver))
    for change in (
        {"analytics_index": "apim_*", "give_up_rest": "y"},
        {"analytics_host": "http://127.0.0.1/", "give_up_rest": "y"},
        {"kind": "portal", "give_up_rest": "y"},
    ):
        admin.get(PAGE).submit("Save", change)
    assert stored("analytics_password") == LOGIN[1]


@pytest.mark.parametrize(
    ("place", "secrets"),
    [
        (
            "analytics_query_api_endpoint",
            ["analytics_access_token", "choreo_insight_app_consumer_secret"],
        ),
        ("choreo_token_endpoint", ["choreo_insight_app_consumer_secret"]),
    ],
)
def test_choreos_secrets_stay_with_their_endpoints(admin, httpserver, other, place, secrets):
    admin.get(PAGE).submit("Save", choreo(httpserver))
    moved = {place: url(other, "x"), "give_up_rest": "y"}
    admin.get(PAGE).submit("Save", moved, expect=422)
    assert refused(admin, *secrets)
    again = {"analytics_access_token": ON_PREM, "choreo_insight_app_consumer_secret": SECRET}
    admin.get(PAGE).submit("Save", moved | {name: again[name] for name in secrets})
    assert stored("analytics_access_token") == ON_PREM


def test_another_path_of_the_same_server_needs_no_secret(admin, httpserver):
    admin.get(PAGE).submit("Save", choreo(httpserver))
    admin.get(PAGE).submit("Save", {"choreo_token_endpoint": url(httpserver, "oauth2/token")})
    assert stored("choreo_insight_app_consumer_secret") == SECRET


def test_a_secret_whose_endpoint_was_taken_away_is_forgotten(admin, httpserver, other):
    admin.get(PAGE).submit("Save", choreo(httpserver))
    none = {"choreo_token_endpoint": "", "choreo_insight_app_consumer_key": ""}
    admin.get(PAGE).submit("Save", none)
    assert stored("choreo_insight_app_consumer_secret") == ""
    moved = {"choreo_token_endpoint": url(other, "x"), "choreo_insight_app_consumer_key": KEY}
    admin.get(PAGE).submit("Save", moved, expect=422)
    assert refused(admin, "choreo_insight_app_consumer_secret")


# --- characters and lengths ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("analytics_access_token", "on\u2013prem"),
        ("analytics_access_token", "on-prem\u200b"),
        ("analytics_access_token", "k" * 4_001),
        ("choreo_insight_app_consumer_key", "k\u2013"),
        ("choreo_insight_app_consumer_key", "k\0"),
        ("choreo_insight_app_consumer_key", "k" * 256),
        ("choreo_insight_app_consumer_secret", "s\u00a0"),
        ("choreo_insight_app_consumer_secret", "s\0"),
        ("choreo_token_endpoint", "http://127.0.0.1/\0"),
    ],
)
def test_what_choreo_cannot_be_sent_is_refused_at_its_field(admin, httpserver, name, value):
    admin.get(PAGE).submit("Save", choreo(httpserver, **{name: value}), expect=422)
    assert refused(admin, name)
    assert db.session.query(UsageSource).count() == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("analytics_username", "a\u2013b"),
        ("analytics_password", "\u2013"),
        ("analytics_password", "\u200b"),
        ("analytics_password", "\u2003"),
        ("analytics_host", "https://" + ".".join(["a" * 60] * 6) + ".example.com"),
        ("analytics_host", "https://es\u200b.example.com"),
        ("analytics_port", "009200"),
        ("analytics_port", "9" * 5_000),
    ],
)
def test_what_elasticsearch_cannot_be_sent_is_refused_at_its_field(admin, httpserver, name, value):
    admin.get(PAGE).submit("Save", elastic(httpserver, **{name: value}), expect=422)
    assert refused(admin, name)
    assert db.session.query(UsageSource).count() == 0


@pytest.mark.all_databases
def test_the_longest_that_is_taken_is_stored(admin, httpserver):
    longest = choreo(
        httpserver,
        analytics_access_token="t" * 4_000,
        choreo_insight_app_consumer_key="k" * 255,
        choreo_insight_app_consumer_secret="~ " * 2_000,
    )
    admin.get(PAGE).submit("Save", longest)
    # Once more, with the secrets as they are: sealed they are longer than they may be entered.
    admin.get(PAGE).submit("Save", {})
    assert stored("analytics_access_token") == "t" * 4_000


def test_an_unknown_kind_is_refused(admin, httpserver):
    admin.get(PAGE)
    values = elastic(httpserver, csrf_token=admin._token(), kind="carrier pigeon")
    answer = admin.client.post(PAGE, data=values, headers={"Accept": "text/html"})
    assert answer.status_code == 422
