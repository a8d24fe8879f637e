"""nginx keeps a decision for its own key and API, for a second, and passes calls on as they are."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from portal.cli.processes import Servers, free_ports
from tests.support import nginx

FIRST, SECOND = "/first/1.0.0", "/t/second.example/other/2.0.0"
YES = {
    "X-Subscription": "11111111-2222-4333-8444-555555555555",
    "X-Key-Type": "PRODUCTION",
    "RateLimit": '"quota";r=9;t=60',
    "RateLimit-Policy": '"quota";q=10;w=60',
}
SANDBOX = {**YES, "X-Key-Type": "SANDBOX"}
NO = {"X-Refusal": "quota-reached", "Retry-After": "7"}
PROBLEM = {"type": "about:blank", "title": "No more calls."}


@dataclass
class Scene:
    """nginx between a portal and a back end that are made up."""

    origin: str = ""
    log: Path = Path()
    lua: bool = False
    #: What the portal answers, by API and key; 401 to everybody else.
    answers: dict[tuple[str, str], tuple[int, dict[str, str]]] = field(default_factory=dict)
    #: When it was asked, by API and key.
    asked: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    #: Is released by each slow call when it has reached the back end.
    begun: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def call(self, place: str, key: str, path: str = "/x", **more: Any) -> requests.Response:
        """Make one call."""
        method = more.pop("method", "GET")
        headers = {"ApiKey": key, **more.pop("headers", {})}
        return requests.request(
            method, f"{self.origin}{place}{path}", headers=headers, timeout=30, **more
        )

    def lines(self, count: int) -> list[dict[str, str]]:
        """Return what nginx wrote down about so many calls, which it does after the answer."""
        until = time.monotonic() + 10
        while True:
            found = [json.loads(line) for line in self.log.read_text().splitlines()]
            if len(found) >= count or time.monotonic() > until:
                return found
            time.sleep(0.02)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    scene: Scene

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class _Portal(_Handler):
    def do_GET(self) -> None:
        if "problem=" in self.path:
            named = self.path.partition("problem=")[2]
            body = json.dumps({**PROBLEM, "type": named}).encode()
            self.answer(429, {"Content-Type": "application/problem+json"}, body)
            return
        assert self.path.startswith("/gateway/authorize?meter=log&refuse=403")
        assert "Content-Length" not in self.headers
        about = (self.headers["X-Original-URI"].rstrip("/"), self.headers.get("ApiKey", ""))
        self.scene.asked.setdefault(about, []).append(time.monotonic())
        status, fields = self.scene.answers.get(about, (401, {"X-Refusal": "unknown-key"}))
        if self.path.endswith("&sandbox=403") and status == 200 and fields == SANDBOX:
            status = 403
        self.answer(status, fields)


class _Backend(_Handler):
    name = "production"

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/slow":
            self.scene.begun.release()
            time.sleep(0.3)
        seen = {
            "backend": self.name,
            "method": self.command,
            "path": self.path,
            "size": len(body),
            "sum": sum(body),
            "fields": sorted(name.lower() for name in self.headers),
        }
        self.answer(200, {"Content-Type": "application/json"}, json.dumps(seen).encode())

    do_POST = do_HEAD = do_DELETE = do_GET  # noqa: N815


class _Sandbox(_Backend):
    name = "sandbox"


@pytest.fixture(params=nginx.GATEWAYS)
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    (listen,) = free_ports(1)
    found = Scene(f"http://127.0.0.1:{listen}", tmp_path / "usage.log", "lua" in request.param)
    all_ = (_Portal, _Backend, _Sandbox)
    kinds = [type(each.__name__, (each,), {"scene": found}) for each in all_]
    behind = [ThreadingHTTPServer(("127.0.0.1", 0), each) for each in kinds]
    portal, backend, sandbox = (f"127.0.0.1:{each.server_port}" for each in behind)
    threads = [threading.Thread(target=each.serve_forever) for each in behind]
    for thread in threads:
        thread.start()
    words = {
        "GATEWAY_LISTEN": f"127.0.0.1:{listen}",
        "PORTAL_ADDRESS": portal,
        "BACKEND": backend,
        "SANDBOX_BACKEND": sandbox,
        "DECISIONS": str(tmp_path / "decisions"),
        "USAGE_LOG": str(found.log),
        "API": FIRST,
    }
    http = nginx.filled(request.param, words)
    # As its comment tells: the block of an API once more for the next one.
    begin = http.index(f"    location {FIRST}/ {{")
    block = http[begin : http.index("    location = /_portal_decision {")]
    http = http.replace(block, block + block.replace(FIRST, SECOND))
    nginx.needed(http)
    try:
        with Servers(tmp_path / "logs") as servers:
            running = servers.start(nginx.server(tmp_path, "nginx", http))
            servers.wait_until_answers(running, f"{found.origin}/healthz")
            yield found
    finally:
        for server in behind:
            server.shutdown()
            server.server_close()
        for thread in threads:
            thread.join()


def test_a_key_is_asked_for_once_in_a_second_however_many_call(scene: Scene) -> None:
    about = (FIRST, "busy")
    scene.answers[about] = (200, YES)
    assert scene.call(FIRST, "busy").status_code == 200
    until = time.monotonic() + 3.2

    def caller(_: int) -> int:
        calls = 0
        while time.monotonic() < until:
            assert scene.call(FIRST, "busy").status_code == 200
            calls += 1
        return calls

    with ThreadPoolExecutor(8) as pool:
        calls = sum(pool.map(caller, range(8)))

    asked = scene.asked[about]
    assert calls > len(asked) >= 2
    again = [later - sooner for sooner, later in pairwise(asked)]
    assert sum(seconds > 0.9 for seconds in again) <= 3
    # What is over, nginx's own way renews for some callers at once; the other one for one of them,
    # and for another one if that takes longer than a quarter of a second.
    assert len(asked) <= (6 if scene.lua else 1 + 8 * 3)
    lines = scene.lines(calls + 1)
    assert len(lines) == calls + 1
    assert {(each["sub"], each["key"], each["status"]) for each in lines} == {
        (YES["X-Subscription"], "PRODUCTION", "200")
    }
    assert len({each["id"] for each in lines}) == len(lines)


def test_a_decision_is_for_its_own_api_and_key_only(scene: Scene) -> None:
    scene.answers[FIRST, "mine"] = (200, YES)
    for _ in range(2):
        assert scene.call(FIRST, "mine").status_code == 200
        assert scene.call(SECOND, "mine").status_code == 429
        assert scene.call(FIRST, "min").status_code == 429
        assert scene.call(FIRST, "", headers={"Authorization": "Bearer mine"}).status_code == 429
        assert scene.call(FIRST, "mine\tmine").status_code == 429
    assert len(scene.lines(2)) == 2


def test_the_caller_gets_the_limits_and_the_refusal_as_the_portal_says_it(scene: Scene) -> None:
    scene.answers[FIRST, "mine"] = (200, YES)
    limits = {name: YES[name] for name in ("RateLimit", "RateLimit-Policy")}
    scene.answers[FIRST, "over"] = (403, {**NO, **limits})
    for _ in range(3):
        allowed, refused = scene.call(FIRST, "mine"), scene.call(FIRST, "over")
        assert {name: allowed.headers[name] for name in limits} == limits
        assert {name: refused.headers[name] for name in limits} == limits
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "7")
        assert refused.json() == {**PROBLEM, "type": "quota-reached"}
    assert len(scene.asked[FIRST, "over"]) <= 2
    assert len(scene.lines(3)) == 3


def test_what_the_portal_cannot_decide_is_not_let_through_and_not_kept(scene: Scene) -> None:
    scene.answers[FIRST, "mine"] = (500, {})
    answer = scene.call(FIRST, "mine")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert answer.headers["Content-Type"] == "application/problem+json"
    scene.answers[FIRST, "mine"] = (200, YES)
    assert scene.call(FIRST, "mine").status_code == 200


def test_calls_reach_the_back_end_as_they_were_made(scene: Scene) -> None:
    scene.answers[SECOND, "mine"] = (200, YES)
    # Bodies that fit into nginx's memory and one that it writes to a file; asked for, and kept.
    for size in (0, 9_000, 900_000, 900_000):
        answer = scene.call(
            SECOND, "mine", "/a/b%20c?x=1&y=%2F", method="POST", data=b"\1" * size,
            headers={"Cookie": "session=1"},
        )  # fmt: skip
        seen = answer.json()
        assert (seen["method"], seen["path"]) == ("POST", "/a/b%20c?x=1&y=%2F")
        assert (seen["size"], seen["sum"]) == (size, size)
        assert not {"apikey", "cookie", "authorization"} & set(seen["fields"])
        assert {"x-request-id", "x-forwarded-for"} <= set(seen["fields"])
    for method in ("HEAD", "DELETE"):
        assert scene.call(SECOND, "mine", method=method).status_code == 200
    methods = sorted(each["method"] for each in scene.lines(6))
    assert methods == ["DELETE", "HEAD"] + ["POST"] * 4


def test_a_refusal_reaches_a_busy_key_though_its_yes_was_kept(scene: Scene) -> None:
    scene.answers[FIRST, "mine"] = (200, YES)
    assert scene.call(FIRST, "mine").status_code == 200
    scene.answers[FIRST, "mine"] = (403, NO)
    since = time.monotonic()
    late: list[int] = []
    with ThreadPoolExecutor(4) as pool:

        def caller(_: int) -> None:
            while (began := time.monotonic()) < since + 2.6:
                status = scene.call(FIRST, "mine").status_code
                if began > since + 2.1:
                    late.append(status)

        list(pool.map(caller, range(4)))
    assert set(late) == {429}


def test_a_sandbox_key_reaches_the_sandbox_and_nothing_else(scene: Scene) -> None:
    for place in (FIRST, SECOND):
        scene.answers[place, "mine"] = (200, YES)
        scene.answers[place, "test"] = (200, SANDBOX)
    scene.answers[FIRST, "over"] = (403, NO)
    for _ in range(2):
        for place in (FIRST, SECOND):
            assert scene.call(place, "mine").json()["backend"] == "production"
            answer = scene.call(place, "test", method="POST", data=b"\1" * 900_000)
            seen = answer.json()
            assert (seen["backend"], seen["method"], seen["path"]) == ("sandbox", "POST", "/x")
            assert (seen["size"], answer.headers["RateLimit"]) == (900_000, YES["RateLimit"])
            assert not {"apikey", "cookie", "authorization"} & set(seen["fields"])
            assert {"x-request-id", "x-forwarded-for"} <= set(seen["fields"])
        assert scene.call(FIRST, "over").status_code == 429
    lines = scene.lines(8)
    kinds = sorted((each["key"], each["status"]) for each in lines)
    assert kinds == [("PRODUCTION", "200")] * 4 + [("SANDBOX", "200")] * 4
    assert len({each["id"] for each in lines}) == 8
    assert scene.call(FIRST, "test", method="HEAD").status_code == 200


#: As they stand in a request's first line; most programs that call tidy them up before.
PATHS = (
    *("/", "/?", "/?a=b&c=%2F%3F#", "/a%2Fb", "/a//b/", "/a/../b/./c", "/x/%2e%2e/a"),
    *("/a%3Fb?c=d?e", "/a%0Ab", "/a%0A", "/a%0D%0AX:1", "/a%25b%2525", "/%C3%A4%FF", "/a%20+b;c=d"),
    *("/a%23b", "/%22%3C%3E%5C%5E%60%7B%7C%7D", "/$1/$uri", "/x/first/1.0.0/y"),
)


def test_both_back_ends_see_a_path_in_the_same_way(scene: Scene) -> None:
    scene.answers[FIRST, "mine"] = (200, YES)
    scene.answers[FIRST, "test"] = (200, SANDBOX)
    for path in PATHS:
        seen = [_raw(scene, key, path) for key in ("mine", "test")]
        assert [each["backend"] for each in seen] == ["production", "sandbox"]
        assert seen[0]["path"] == seen[1]["path"], path


def _raw(scene: Scene, key: str, path: str) -> dict[str, Any]:
    with _sent(scene, "GET", key, path) as connection:
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    return dict(json.loads(answer.partition(b"\r\n\r\n")[2]))


def _sent(scene: Scene, method: str, key: str, path: str) -> socket.socket:
    place = urlsplit(scene.origin)
    connection = socket.create_connection((place.hostname, place.port), 30)
    head = f"{method} {FIRST}{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nApiKey: {key}\r\n"
    connection.sendall(f"{head}Content-Length: 0\r\n\r\n".encode())
    return connection


def test_a_caller_who_hangs_up_has_called(scene: Scene) -> None:
    scene.answers[FIRST, "mine"] = (200, YES)
    scene.answers[FIRST, "test"] = (200, SANDBOX)
    keys = ["mine", "test"] * 3
    for key in keys:
        with _sent(scene, "POST", key, "/slow"):
            assert scene.begun.acquire(timeout=20)
    assert [each["status"] for each in scene.lines(len(keys))] == ["200"] * len(keys)
