"""The threads of a sandbox process: due work and webhook delivery.

One process per file runs them; a second process over the same file answers requests only.
"""

from __future__ import annotations

import fcntl
import logging
import threading
from typing import IO

from portal.sandbox import idempotency, scheduler
from portal.sandbox.service import Sandbox

log = logging.getLogger(__name__)

_TICK = 0.5
_PRUNE_EVERY = 7200


class Background:
    """Starts and stops the threads."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._lock: IO[str] | None = None

    def start(self) -> bool:
        """Start the threads; False when another process already runs them for this file."""
        lock = open(self._sandbox.store.path + ".lock", "w")  # noqa: SIM115 - held until stop
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            log.warning("Another process runs the sandbox's background work for this file.")
            return False
        self._lock = lock
        for name, target in (("sandbox-work", self._work), ("sandbox-webhooks", self._courier)):
            thread = threading.Thread(target=target, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)
        return True

    def stop(self) -> None:
        """Stop the threads and wait for them."""
        self._stop.set()
        self._sandbox.store.committed.set()
        for thread in self._threads:
            thread.join(timeout=15)
        if self._lock is not None:
            self._lock.close()

    def _courier(self) -> None:
        self._sandbox.courier.run_forever(self._stop)

    def _work(self) -> None:
        turn = 0
        while not self._stop.wait(_TICK):
            now = self._sandbox.clock.now()
            try:
                scheduler.run_due(self._sandbox.store, now, careful=True)
                self._sandbox.log.flush()
                if turn % _PRUNE_EVERY == 0:
                    idempotency.prune(self._sandbox.store, now=now)
            except Exception:
                log.exception("The sandbox's background work broke; it goes on")
            turn += 1
