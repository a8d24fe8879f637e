"""A back end that says something before its answer: the caller gets the answer, and pays for it."""

import socket
from collections.abc import Iterator
from contextlib import suppress
from threading import Thread

import pytest

from portal.services import usage
from tests.functional.gateway.conftest import Caller, MakeCaller

HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </s.css>; rel=preload\r\nContent-Length: 5\r\n\r\n"
BEFORE = {
    "/hint": HINTS,
    "/more": HINTS + b"HTTP/1.1 100 Continue\r\n\r\n" + b"HTTP/1.1 102 Processing\r\n\r\n" + HINTS,
    "/endless": HINTS * 1000,
    "/other": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\nConnection: Upgrade\r\n\r\n",
}


class Backend:
    """Answers each path with its name, after what comes before it."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.origin = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.connections = 0
        Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self.connections += 1
                Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines, suppress(OSError):
            while words := lines.readline().split(b" "):
                if len(words) < 2:
                    return
                while lines.readline() not in (b"\r\n", b""):
                    pass
                connection.sendall(BEFORE.get(words[1].decode(), b""))
                size = b"Content-Length: %d" % len(words[1])
                connection.sendall(b"HTTP/1.1 200 OK\r\n" + size + b"\r\n\r\n" + words[1])

    def close(self) -> None:
        # Wakes the thread that accepts.
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


@pytest.fixture
def hinting() -> Iterator[Backend]:
    found = Backend()
    yield found
    found.close()


@pytest.fixture
def caller(make_caller: MakeCaller, hinting: Backend) -> Caller:
    return make_caller(api={"endpoint_url": hinting.origin})


@pytest.mark.parametrize("path", ["/hint", "/more"])
def test_the_final_answer_is_the_answer(caller: Caller, hinting: Backend, path: str) -> None:
    for each in (path, "/plain", path):
        answer = caller.call(each)
        assert (answer.status_code, answer.text) == (200, each)
        assert "Link" not in answer.headers
    assert hinting.connections == 1
    assert [event.status for event in caller.events()] == [200] * 3


@pytest.mark.parametrize("path", ["/other", "/endless"])
def test_what_is_no_answer_costs_nothing_and_reaches_nobody_else(caller: Caller, path: str) -> None:
    for _ in range(2):
        answer = caller.call(path)
        assert answer.status_code == 502
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert caller.call("/plain").text == "/plain"
    assert [event.status for event in caller.events()] == [502, 200] * 2
    assert usage.current_period(caller.subscription).counted == 2
