"""What one process of the gateway holds: its memory, its leases, its spool file, its housekeeper.

Everything is made after the fork, at the first call, because neither sockets nor files nor
threads can be shared. The housekeeper is one thread that tells the disk to keep what was written,
brings it into the ledger, and gives back what nobody needs.
"""

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from threading import Event, Lock, Thread
from weakref import WeakSet

import structlog
from flask import Flask
from sqlalchemy import Connection, Engine

from portal.extensions import WRITES, db
from portal.flows import draining
from portal.gateway.known import Known
from portal.gateway.leases import Leases
from portal.gateway.looks import Looks
from portal.gateway.recorder import Line, Recorder
from portal.services import records, resources
from portal.services.call_ids import Names
from portal.services.resources import Resources
from portal.web import changes, queue

log = structlog.get_logger()

#: How often the disk is told to keep what was written: what a power failure may cost.
SYNC_SECONDS = 0.1
#: How often what was written comes into the ledger, and unused leases go back, in such turns.
DRAIN_TURNS, RETURN_TURNS = 10, 5
THREAD = "gateway-housekeeper"
#: SQLite lets one connection write at a time, and one that has to wait sleeps for longer and
#: longer; the threads of one process queue here instead, and in order.
_TURN = Lock()
_MAKING = Lock()


class Gate:
    """A process's part of the gateway."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.pid = os.getpid()
        with app.app_context():
            self.engine: Engine = db.engine
            self.recorder = Recorder(draining.folder_of(app.extensions["portal_settings"]))
            self.names = Names(draining.number_if_known())
        self.known = Known(self.engine)
        self.leases = Leases(self.writing)
        self.looks = Looks(self.engine.connect)
        self._resources: dict[int, tuple[int, Resources]] = {}
        #: Where background work is done at once, calls are counted at once too.
        self._at_once = queue.queue_of(app).huey.immediate
        self._stop = Event()
        if not self._at_once:
            Thread(target=self._keep_house, name=THREAD, daemon=True).start()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a transaction that writes, and commit it."""
        turn = _TURN if self.engine.dialect.name == "sqlite" else nullcontext()
        with turn, self.engine.connect().execution_options(**{WRITES: True}) as connection:
            yield connection
            connection.commit()

    def record(self, line: Line, *, kind: int = records.CALL) -> None:
        """Write a call down; it is counted when this returns.

        :raise OSError: if it could not be written
        """
        self.recorder.append(line, kind=kind)
        if self._at_once and self.recorder.path is not None:
            with self.app.app_context():
                draining.drain_file(self.recorder.path)

    def resource_of(self, api_id: int, path: str) -> str:
        """Return the resource of an API that a path is counted under."""
        number = changes.local_number() + self.known.generation
        kept = self._resources.get(api_id)
        if kept is None or kept[0] != number:
            with self.engine.connect() as connection:
                definition = resources.definition_of(connection, api_id)
            kept = (number, resources.of_definition(definition))
            self._resources[api_id] = kept
        return kept[1].of(path)

    def _keep_house(self) -> None:
        turn = 0
        while not self._stop.wait(SYNC_SECONDS):
            turn += 1
            try:
                self.recorder.sync()
                if turn % RETURN_TURNS == 0:
                    self.leases.give_back()
                if turn % DRAIN_TURNS == 0:
                    self.drain()
            except Exception as error:
                log.warning("gateway_housekeeping", error=type(error).__name__)

    def drain(self) -> None:
        """Bring this process's own file into the ledger."""
        path = self.recorder.path
        if path is None:
            return
        with self.app.app_context():
            draining.drain_file(path)

    def stop(self) -> None:
        """End the housekeeping: what was leased goes back, and what was written is counted.

        Where that fails, the file is left to any drainer.
        """
        self._stop.set()
        if self.pid != os.getpid():
            return
        try:
            self.leases.give_back(everything=True)
        except Exception as error:
            log.warning("gateway_leases_lost", error=type(error).__name__)
        self.recorder.close()
        try:
            self.drain()
        except Exception as error:
            log.warning("gateway_not_drained", error=type(error).__name__)


def gate_of(app: Flask) -> Gate:
    """Return this process's part of the gateway, made when it is asked for first."""
    gate: Gate | None = app.extensions.get("gateway")
    if gate is not None and gate.pid == os.getpid():
        return gate
    with _MAKING:
        gate = app.extensions.get("gateway")
        if gate is None or gate.pid != os.getpid():
            gate = Gate(app)
            app.extensions["gateway"] = gate
            _gates.add(gate)
    return gate


_gates: WeakSet[Gate] = WeakSet()


@atexit.register
def _stop_all() -> None:
    for gate in tuple(_gates):
        gate.stop()
