"""A gate between the portal and its database server, which tests close and open."""

import socket
import threading
from contextlib import suppress


class Gate:
    """Passes every byte on while it is open; closed, it breaks what is there and refuses more."""

    def __init__(self, host: str, port: int) -> None:
        self._there = (host, port)
        self._pairs: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self.port = 0
        self.open()

    def open(self) -> None:
        """Let connections through, on the same port as before."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(64)
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def close(self) -> None:
        """End every connection and take no new one, as a server that was stopped."""
        listener, self._listener = self._listener, None
        with self._lock:
            broken, self._pairs = self._pairs, set()
        for each in (*([listener] if listener else []), *broken):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                here, _ = listener.accept()
            except OSError:
                return
            there = socket.create_connection(self._there)
            with self._lock:
                if self._listener is not listener:
                    here.close()
                    there.close()
                    return
                self._pairs |= {here, there}
            for source, target in ((here, there), (there, here)):
                threading.Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        with self._lock:
            self._pairs -= {source, target}


class Counting(Gate):
    """Counts how often the portal asked and waited for an answer: round trips."""

    turns = 0
    _asked = False

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        super()._pass_on(_Noted(source, self), target)  # type: ignore[arg-type]

    def note(self, *, from_portal: bool) -> None:
        """Note in which direction bytes went."""
        if from_portal != self._asked:
            self._asked = from_portal
            self.turns += from_portal


class _Noted:
    """A socket that tells its gate when bytes come."""

    def __init__(self, source: socket.socket, gate: Counting) -> None:
        self._source = source
        self._gate = gate
        self._from_portal = source.getsockname()[1] == gate.port

    def recv(self, size: int) -> bytes:
        data = self._source.recv(size)
        if data:
            self._gate.note(from_portal=self._from_portal)
        return data

    def __getattr__(self, name: str) -> object:
        return getattr(self._source, name)
