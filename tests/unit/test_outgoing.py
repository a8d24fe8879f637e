"""Calls to addresses that people entered: where they may go, decided when they connect."""

import socket
from datetime import UTC, datetime

import pytest
import requests
from pytest_httpserver import HTTPServer

from portal.analytics.choreo import ChoreoSettings, ChoreoSource
from portal.analytics.elasticsearch import ElasticsearchSettings, ElasticsearchSource
from portal.analytics.source import Scope, SourceUnavailable
from portal.services import outgoing

SCOPE = Scope(
    tenant_domain="carbon.super",
    apis=("one",),
    start=datetime(2026, 11, 1, tzinfo=UTC),
    end=datetime(2026, 11, 2, tzinfo=UTC),
)
ALLOWED = ("http://127.0.0.1", "http://localhost")
#: Each leads inside: this machine, its network, a cloud's metadata, or IPv6 that wraps one.
INSIDE = [
    *("127.0.0.1", "127.1", "127.0.1", "0", "2130706433", "0x7f000001", "0177.0.0.1"),
    *("10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1"),
    *("169.254.169.254", "169.254.170.2", "168.63.129.16", "192.0.0.192", "198.18.0.1"),
    *("224.0.0.1", "240.0.0.1", "255.255.255.255", "[::1]", "[::]", "[::ffff:127.0.0.1]"),
    *("[::ffff:169.254.169.254]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b::a9fe:a9fe]"),
    *(
        "[64:ff9b:1::7f00:1]",
        "[2002:7f00:1::]",
        "[2002:a9fe:a9fe::]",
        "[fe80::1]",
        "[fc00::1]",
        "[fd00:ec2::254]",
    ),
    *("[ff02::1]", "[2001:0:7f00:1::]", "[2001:db8::1]", "localhost", "a.localhost"),
]


@pytest.fixture
def server():
    with HTTPServer(host="127.0.0.1") as running:
        yield running


@pytest.mark.parametrize("host", INSIDE)
def test_nothing_inside_is_reached(host, monkeypatch):
    monkeypatch.setattr(socket, "create_connection", unreachable)
    session = outgoing.guarded_session(())
    with pytest.raises((outgoing.ForbiddenAddress, requests.RequestException)):
        session.get(f"http://{host}/", timeout=1)


def unreachable(*_arguments, **_more):
    raise AssertionError("A socket was about to be opened.")


def test_a_name_is_connected_to_where_it_led_when_it_was_checked(server, monkeypatch):
    """DNS rebinding: the second look-up of the same name would lead inside."""
    asked = []

    def lookup(host, port, **_more):
        asked.append(host)
        address = "93.184.215.14" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    opened = []

    def connect(address, *_more):
        opened.append(address[0])
        raise OSError

    monkeypatch.setattr(outgoing.socket, "create_connection", connect)
    monkeypatch.setattr(
        outgoing,
        "permitted_addresses",
        lambda url, allowlist: backends_answer(url, allowlist, lookup),
    )
    session = outgoing.guarded_session(())
    for _ in range(2):
        with pytest.raises((requests.ConnectionError, outgoing.ForbiddenAddress)):
            session.get(f"http://rebind.example.com:{server.port}/", timeout=1)
    assert opened == ["93.184.215.14"]


def backends_answer(url, allowlist, lookup):
    from portal.services.backends import permitted_addresses

    return permitted_addresses(url, allowlist, lookup=lookup)


def test_a_redirect_is_not_followed(server):
    server.expect_request("/").respond_with_data("", 302, {"Location": "/secret"})
    session = requests.Session()
    outgoing.guard(session, ALLOWED)
    with session, pytest.raises(requests.TooManyRedirects):
        session.get(server.url_for("/"), timeout=5)
    assert [request.path for request, _ in server.log] == ["/"]


@pytest.mark.parametrize("kind", ["choreo", "elasticsearch"])
@pytest.mark.parametrize("trap", ["redirect", "inside"])
def test_sources_of_usage_go_nowhere_else_either(server, kind, trap):
    server.expect_request("/secret").respond_with_json({"access_token": "x"})
    to_secret = {"Location": server.url_for("/secret")}
    server.expect_request("/").respond_with_data("", 302, to_secret)
    server.expect_request("/index/_search").respond_with_data("", 302, to_secret)
    allowlist = ALLOWED if trap == "redirect" else ()
    with pytest.raises(SourceUnavailable):
        source(kind, server, allowlist).check(SCOPE)
    assert "/secret" not in [request.path for request, _ in server.log]
    if trap == "inside":
        assert server.log == []


def source(kind, server, allowlist):
    if kind == "elasticsearch":
        found = ElasticsearchSettings(
            url=f"http://127.0.0.1:{server.port}",
            username="",
            password="",
            index="index",
            allowlist=allowlist,
        )
        return ElasticsearchSource(found)
    return ChoreoSource(
        ChoreoSettings(
            query_endpoint=server.url_for("/"),
            on_prem_key="key",
            token_endpoint=server.url_for("/"),
            consumer_key="one",
            consumer_secret="two",
            allowlist=allowlist,
        )
    )
