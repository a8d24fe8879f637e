"""Writing calls down before they are answered: one file for each process, only appended to.

One ``write(2)`` for each call, so that a process that is killed has lost none; the disk is told
to keep it every tenth of a second, so that a power failure loses no more than that. The format,
and how a file comes into the ledger, is in ``services/records.py`` and ``services/spool.py``.
"""

import fcntl
import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from uuid import UUID, uuid4

from portal.models import KeyType
from portal.services import records
from portal.services.spool import SUFFIX

#: A file is left to the drainer when it is as large as this, or names as many routes.
LARGEST = 64 * 1024 * 1024
MOST_ROUTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What is written down of one call."""

    call_id: UUID
    subscription_id: int
    key_type: KeyType
    method: str
    resource: str
    """The path in the API as a template."""
    status: int
    at: int
    """Epoch milliseconds."""
    bytes: int = 0


class Recorder:
    """The spool file of one process; every method may be called by many threads at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = Lock()
        self._file = -1
        self._size = 0
        self._routes: dict[tuple[str, str], int] = {}
        self._unsynced = False
        self.path: Path | None = None

    def append(self, line: Line, *, kind: int = records.CALL) -> None:
        """Write a call down. When this returns, the call is counted, whatever dies.

        :param kind: ``records.WEIGHT`` for bytes of a call that is written down already
        :raise OSError: if it could not be written; nothing of it is in the file then
        """
        with self._lock:
            self._be_open()
            number, data = self._route(line.method, line.resource)
            data += records.call_record(
                kind,
                records.KEYS.index(line.key_type),
                line.status,
                line.subscription_id,
                number,
                line.at,
                line.bytes,
                line.call_id.bytes,
            )
            self._write(data)
            self._routes[line.method, line.resource] = number

    def _be_open(self) -> None:
        if self._file >= 0 and self._size < LARGEST and os.fstat(self._file).st_nlink:
            return
        self.close()
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex}{SUFFIX}"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        file = os.open(path, flags, 0o600)
        # Held as long as somebody may append: the kernel frees it when the process ends.
        fcntl.flock(file, fcntl.LOCK_EX)
        self._file, self._size, self._routes, self.path = file, 0, {}, path

    def _route(self, method: str, resource: str) -> tuple[int, bytes]:
        number = self._routes.get((method, resource))
        if number is not None:
            return number, b""
        if len(self._routes) >= MOST_ROUTES:
            self.close()
            self._be_open()
        number = len(self._routes) + 1
        return number, records.route_record(number, method, resource)

    def _write(self, data: bytes) -> None:
        written = 0
        try:
            written = os.write(self._file, data)
            if written < len(data):
                raise OSError("the disk took a part of a record only")
        except OSError:
            if written:
                # Nobody reads an incomplete record; the next one must not stand behind it.
                os.ftruncate(self._file, self._size)
            raise
        self._size += len(data)
        self._unsynced = True

    def sync(self) -> None:
        """Make the disk keep what was written; costs nothing when that is done already."""
        if not self._unsynced:
            return
        with self._lock:
            self._unsynced = False
            file = os.dup(self._file) if self._file >= 0 else -1
        if file >= 0:
            # Outside the lock: calls go on meanwhile.
            try:
                os.fdatasync(file)
            finally:
                os.close(file)

    def close(self) -> None:
        """Close the file; the next call opens another one."""
        if self._file >= 0:
            with suppress(OSError):
                os.fdatasync(self._file)
            os.close(self._file)
            self._file = -1
