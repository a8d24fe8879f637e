"""A limit of time for a whole call to somebody else's server.

The libraries' time-outs are for each piece that arrives: a server that sends a byte now and then
would hold its caller for as long as it likes.
"""

import socket
import threading
from contextlib import suppress
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Self


class Deadline:
    """Ends the connections that are opened inside it as soon as its time is over."""

    def __init__(self, seconds: float) -> None:
        self.is_over = False
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True
        self._token: Token[Deadline | None] | None = None

    def __enter__(self) -> Self:
        self._token = _present.set(self)
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        if self._token is not None:
            _present.reset(self._token)
        with self._lock:
            while self._sockets:
                self._sockets.pop().close()

    def add(self, opened: socket.socket) -> None:
        """Watch a connection. A second handle does, because TLS takes the first one over."""
        with self._lock:
            self._sockets.append(opened.dup())
        if self.is_over:
            self._end()

    def _end(self) -> None:
        with self._lock:
            self.is_over = True
            for each in self._sockets:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)


_present: ContextVar[Deadline | None] = ContextVar("portal_deadline", default=None)


def watched(opened: socket.socket) -> socket.socket:
    """Return a connection that was just opened, and let the present deadline end it."""
    deadline = _present.get()
    if deadline is not None:
        deadline.add(opened)
    return opened


def is_over() -> bool:
    """Whether there is a deadline, and its time is over."""
    deadline = _present.get()
    return deadline is not None and deadline.is_over
