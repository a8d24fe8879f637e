"""Losing an answer: the connection is reset where the response would begin."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

#: The key of the WSGI environment that a view sets to lose its answer.
SEVER = "sandbox.sever"
# Makes close() send a reset instead of an orderly end (socket(7), SO_LINGER with a timeout of 0).
_RESET = struct.pack("ii", 1, 0)


class Severing:
    """Middleware: raises ConnectionResetError for a request whose view asked for it.

    The connection itself is reset where the server lends its socket, as gunicorn does.
    """

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer, or lose the answer."""
        answer = self._app(environ, start_response)
        if not environ.get(SEVER):
            return answer
        close = getattr(answer, "close", None)
        if close is not None:
            close()
        line: Any = environ.get("gunicorn.socket")
        if isinstance(line, socket.socket):
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            # The server still closes its descriptor, so that gets another socket to close.
            with socket.socket() as spare:
                os.dup2(spare.fileno(), line.fileno())
        raise ConnectionResetError(errno.ECONNRESET, "The answer was lost on purpose.")
