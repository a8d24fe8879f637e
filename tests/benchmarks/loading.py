"""A load: requests that were built before, sent over as many connections as are wanted at once.

A closed loop in one thread, with a new connection for each request, so that it costs little
beside the servers that are measured on the same machine.
"""

from __future__ import annotations

import os
import selectors
import socket
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_CHUNK = 65_536
_TICK = 10.0
AGENT = "portal-benchmark"
"""The browser's name; a session's cookie is good for one browser."""


@dataclass
class Load:
    """What became of the requests."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    milliseconds: list[float] = field(default_factory=list)
    last: bytes = b""

    @property
    def rate(self) -> float:
        """Answers a second."""
        return sum(self.statuses.values()) / self.seconds

    def percentile(self, share: float) -> float:
        """Return the time within which this share of the answers came, in milliseconds."""
        ordered = sorted(self.milliseconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    def require(self, status: int) -> Load:
        """Return the load, or fail if anything was answered in another way."""
        if set(self.statuses) != {status}:
            raise RuntimeError(f"{dict(self.statuses)}: {self.last[:600]!r}")
        return self


def post(path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """Return the bytes of a POST, for sending again and again."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def get(path: str, cookie: str = "") -> bytes:
    """Return the bytes of a GET."""
    lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close"]
    lines.append(f"User-Agent: {AGENT}")
    if cookie:
        lines.append(f"Cookie: {cookie}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


@dataclass
class _Call:
    connection: socket.socket
    began: float
    answer: bytearray = field(default_factory=bytearray)


def drive(port: int, requests: Sequence[bytes], *, at_once: int = 8) -> Load:
    """Send every request once, `at_once` at a time, in the order given."""
    load = Load()
    waiting = deque(requests)
    with selectors.DefaultSelector() as selector:
        began = time.perf_counter()
        for _ in range(min(at_once, len(waiting))):
            _begin(selector, port, waiting.popleft())
        while selector.get_map():
            ready = selector.select(_TICK)
            if not ready:
                raise RuntimeError("No answer for ten seconds.")
            for key, _ in ready:
                if _read(key.data, load):
                    selector.unregister(key.fileobj)
                    key.data.connection.close()
                    if waiting:
                        _begin(selector, port, waiting.popleft())
        load.seconds = time.perf_counter() - began
    return load


def _begin(selector: selectors.BaseSelector, port: int, request: bytes) -> None:
    began = time.perf_counter()
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(request)
    selector.register(connection, selectors.EVENT_READ, _Call(connection, began))


def _read(call: _Call, load: Load) -> bool:
    """Read what has come; return whether the answer is complete."""
    piece = call.connection.recv(_CHUNK)
    if piece:
        call.answer += piece
        return False
    load.milliseconds.append((time.perf_counter() - call.began) * 1000)
    status = int(call.answer[9:12]) if len(call.answer) > 12 else 0
    load.statuses[status] += 1
    if load.last == b"" or status >= 400:
        load.last = bytes(call.answer)
    return True


# --- processor time ---------------------------------------------------------------------------


def processor_seconds(pid: int) -> float:
    """Return the processor time of a process and its children that live, as Linux counts it."""
    ticks = os.sysconf("SC_CLK_TCK")
    total = 0
    for each in (pid, *_children(pid)):
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / ticks


def _children(pid: int) -> list[int]:
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []
