"""Work for the background: the queue only wakes a worker, the database row is the truth.

A message is a task's name and the ids of rows that are committed already. Huey delivers at most
once, so whatever is enqueued is also found by a sweep of the worker.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import structlog
from flask import Flask, current_app
from huey.api import Huey, MemoryHuey, PostgresHuey, RedisHuey, SqliteHuey
from huey.serializer import SignedSerializer

from portal.config import Settings

log = structlog.get_logger()

NAME = "portal"
MEMORY = "memory"
_PLACE = "place:"


class Queue:
    """The queue of an app, and what its tasks do."""

    def __init__(self, app: Flask, settings: Settings) -> None:
        self._app = app
        self._tasks: dict[str, Callable[..., object]] = {}
        self.huey = _open(settings)
        self._send = self.huey.task(name="perform")(self._perform)

    def task(self, name: str, work: Callable[..., object]) -> None:
        """Say what a task does. It runs in an app context of its own."""
        self._tasks[name] = work

    def periodic(self, name: str, when: Callable[..., bool], work: Callable[[], object]) -> None:
        """Say what the worker does again and again; ``when`` is asked once a minute."""
        self.task(name, work)
        self.huey.periodic_task(when, name=name)(lambda: self._perform(name))

    def send(self, name: str, *arguments: Any, delay: float = 0.0) -> None:
        """Put a task into the queue, for now or for ``delay`` seconds later."""
        if delay:
            self._send.schedule((name, *arguments), delay=delay)
        else:
            self._send(name, *arguments)

    def recall(self, name: str) -> int:
        """Return the number that was kept under a name; 0 if there is none."""
        try:
            found = self.huey.get(_PLACE + name, peek=True)
        except ValueError:
            # Signed with another SECRET_KEY.
            self.huey.delete(_PLACE + name)
            return 0
        return found if isinstance(found, int) else 0

    def remember(self, name: str, number: int) -> None:
        """Keep a number under a name; 0 takes no room."""
        if number:
            self.huey.put(_PLACE + name, number)
        else:
            self.huey.delete(_PLACE + name)

    def _perform(self, name: str, *arguments: Any) -> None:
        with self._app.app_context():
            self._tasks[name](*arguments)


def _open(settings: Settings) -> Huey:
    url = settings.queue_url
    shared: dict[str, Any] = {"name": NAME, "results": False, "utc": True}
    if url == MEMORY:
        return MemoryHuey(immediate=True, **shared)
    # Messages are pickled: only what this portal has signed is opened.
    secret = settings.secret_key.get_secret_value()
    shared["serializer"] = SignedSerializer(secret=secret, salt="portal-queue")
    scheme = urlsplit(url).scheme
    if scheme in ("redis", "rediss"):
        return RedisHuey(url=url, **shared)
    if scheme in ("postgresql", "postgres"):
        return PostgresHuey(dsn=url, table_prefix="portal_queue", **shared)
    path = Path(url.removeprefix("sqlite:///"))
    path.parent.mkdir(parents=True, exist_ok=True)
    return SqliteHuey(filename=str(path), **shared)


def init_app(app: Flask, settings: Settings) -> Queue:
    """Give the app its queue."""
    made = Queue(app, settings)
    app.extensions["portal_queue"] = made
    return made


def queue_of(app: Flask) -> Queue:
    """Return an app's queue."""
    found: Queue = app.extensions["portal_queue"]
    return found


def enqueue(name: str, *arguments: Any, delay: float = 0.0) -> bool:
    """Wake a worker for a task whose rows are committed, now or ``delay`` seconds later.

    Never raises: a queue that cannot be reached only delays the work until the next sweep.

    :return: whether the queue took it
    """
    try:
        queue_of(current_app).send(name, *arguments, delay=delay)
    except Exception as error:
        log.warning("queue_unreachable", task=name, error=type(error).__name__)
        return False
    return True


def recall(name: str) -> int:
    """Return where a sweep has come to; 0, the front, if nobody knows. Never raises."""
    try:
        return queue_of(current_app).recall(name)
    except Exception as error:
        log.warning("queue_unreachable", task=name, error=type(error).__name__)
        return 0


def remember(name: str, number: int) -> None:
    """Keep where a sweep has come to, for all workers of this queue. Never raises."""
    try:
        queue_of(current_app).remember(name, number)
    except Exception as error:
        log.warning("queue_unreachable", task=name, error=type(error).__name__)
