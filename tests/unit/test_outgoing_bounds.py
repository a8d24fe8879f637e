"""Answers that are taken whole: bounded in time, whatever arrives meanwhile, and in size."""

import gzip
import socket
import threading
import time

import pytest
import requests
from pytest_httpserver import HTTPServer
from werkzeug import Response

from portal.analytics import choreo, elasticsearch, strict
from portal.analytics.source import SourceUnavailable
from portal.services import outgoing
from portal.services.outgoing import Bounds
from tests.unit.test_outgoing import ALLOWED, SCOPE, source

BOUNDS = Bounds(seconds=0.6, size=10_000)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
#: What comes at once -> what comes again and again, a piece each tenth of a second.
TRICKLES = {
    "body": (HEAD + b"Content-Length: 100000\r\n\r\n", b" "),
    "body to the end of the connection": (HEAD + b"\r\n{}", b" "),
    "pieces": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "fields": (HEAD, b"X-More: 1\r\n"),
    "half a line": (b"HTTP/1.1 2", b"0"),
    "informing": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@pytest.fixture
def server():
    with HTTPServer(host="127.0.0.1") as running:
        yield running


@pytest.fixture
def trickling():
    """Start servers that answer a little at a time, and return their ports."""
    ended = threading.Event()
    listening = []

    def serve(at_once, again, heard):
        caller, _ = heard.accept()
        with caller:
            caller.recv(65_536)
            try:
                caller.sendall(at_once)
                while not ended.wait(0.1):
                    caller.sendall(again)
            except OSError:
                pass

    def start(at_once, again):
        heard = socket.create_server(("127.0.0.1", 0))
        thread = threading.Thread(target=serve, args=(at_once, again, heard), daemon=True)
        thread.start()
        listening.append((heard, thread))
        return heard.getsockname()[1]

    yield start
    ended.set()
    for heard, thread in listening:
        thread.join(5)
        heard.close()


def bounded(bounds=BOUNDS, allowlist=ALLOWED):
    session = outgoing.guarded_session(allowlist)
    outgoing.guard(session, allowlist, bounds)
    return session


@pytest.mark.parametrize("kind", TRICKLES)
def test_a_server_that_trickles_is_left_when_the_time_is_over(kind, trickling):
    port = trickling(*TRICKLES[kind])
    began = time.monotonic()
    with bounded() as session, pytest.raises(requests.ReadTimeout):
        session.get(f"http://127.0.0.1:{port}/", timeout=5)
    assert time.monotonic() - began < 3


def test_a_proxy_that_trickles_is_left_too(trickling):
    port = trickling(*TRICKLES["body"])
    proxies = {"http": f"http://127.0.0.1:{port}"}
    with bounded() as session, pytest.raises(requests.ReadTimeout):
        session.get("http://es.example.com/", timeout=5, proxies=proxies)


def _keep(caller, ended, *, is_first):
    with caller:
        try:
            if is_first and caller.recv(65_536):
                caller.sendall(HEAD + b"Connection: keep-alive\r\nContent-Length: 2\r\n\r\n{}")
            if caller.recv(65_536):
                caller.sendall(HEAD + b"Content-Length: 60\r\n\r\n")
            while not ended.wait(0.1):
                caller.sendall(b" ")
        except OSError:
            pass


@pytest.fixture
def keeping():
    """Start a server that keeps connections, and trickles from its second answer on."""
    ended, accepted = threading.Event(), []
    heard = socket.create_server(("127.0.0.1", 0))

    def serve():
        while not ended.is_set():
            caller, _ = heard.accept()
            accepted.append(caller)
            first = {"is_first": len(accepted) == 1}
            threading.Thread(target=_keep, args=(caller, ended), kwargs=first, daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    port = heard.getsockname()[1]
    yield port, accepted
    ended.set()
    socket.create_connection(("127.0.0.1", port)).close()
    thread.join(5)
    heard.close()


@pytest.mark.parametrize("by_proxy", [False, True])
def test_a_connection_that_the_server_keeps_is_not_used_again(keeping, by_proxy):
    """It would be outside the time of the second call, which watches what it opens."""
    port, accepted = keeping
    address = "http://es.example.com/" if by_proxy else f"http://127.0.0.1:{port}/"
    proxies = {"http": f"http://127.0.0.1:{port}"} if by_proxy else {}
    with bounded() as session:
        assert session.get(address, timeout=5, proxies=proxies).content == b"{}"
        began = time.monotonic()
        with pytest.raises(requests.ReadTimeout):
            session.get(address, timeout=5, proxies=proxies)
    assert time.monotonic() - began < 3
    assert len(accepted) == 2


def test_a_greeting_that_never_ends_is_left_too(trickling):
    """TLS: the first bytes of a record, which is announced as long."""
    port = trickling(b"\x16\x03\x03\x40\x00", b"\x00")
    session = bounded(allowlist=["https://localhost"])
    with session, pytest.raises(requests.ReadTimeout):
        session.get(f"https://localhost:{port}/", timeout=5)


@pytest.mark.parametrize("packed", [False, True])
def test_an_answer_is_read_up_to_its_size_unpacked(server, packed):
    for size in (10_000, 10_001):
        body = gzip.compress(b" " * size) if packed else b" " * size
        fields = {"Content-Encoding": "gzip"} if packed else {}
        server.expect_request(f"/{size}").respond_with_response(Response(body, headers=fields))
    with bounded(Bounds(seconds=20.0, size=10_000)) as session:
        assert len(session.get(server.url_for("/10000"), timeout=5).content) == 10_000
        with pytest.raises(outgoing.TooLarge):
            session.get(server.url_for("/10001"), timeout=5)


def test_calls_within_their_bounds_are_as_ever(server):
    server.expect_request("/").respond_with_json({"a": 1})
    before = threading.active_count()
    with bounded(Bounds(seconds=20.0, size=10_000)) as session:
        for _ in range(3):
            assert session.get(server.url_for("/"), timeout=5).json() == {"a": 1}
    time.sleep(0.1)
    assert threading.active_count() <= before + 1


@pytest.mark.parametrize("kind", ["choreo", "elasticsearch"])
def test_sources_of_usage_hold_nobody_up(kind, trickling, monkeypatch):
    monkeypatch.setattr(strict, "BOUNDS", BOUNDS)
    monkeypatch.setattr(choreo, "TIMEOUT", (5.0, 5.0))
    monkeypatch.setattr(elasticsearch, "SECONDS", 5.0)
    port = trickling(*TRICKLES["body"])
    began = time.monotonic()
    with pytest.raises(SourceUnavailable, match="takes too long to answer"):
        source(kind, Trickling(port), ALLOWED).check(SCOPE)
    assert time.monotonic() - began < 3


class Trickling:
    """What the other test asks of a server."""

    def __init__(self, port):
        self.port = port

    def url_for(self, path):
        return f"http://127.0.0.1:{self.port}{path}"
