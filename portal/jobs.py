"""The background: what it does, and who does it.

The same work runs embedded in a web worker, by ``flask worker`` on machines of their own, and at
once in tests. Embedded, one process of each machine holds a lock on a file; the kernel frees it
when that process ends in whatever way, and another takes over.
"""

import atexit
import fcntl
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog
from flask import Flask
from huey.api import crontab
from huey.consumer import Consumer
from sqlalchemy import select

from portal.errors import Conflict
from portal.extensions import db
from portal.flows import (
    approving,
    bookkeeping,
    changing_plan,
    closing,
    draining,
    drifting,
    mailing,
    payments,
    publishing,
    refreshing,
    refunding,
    stopping,
    warning,
)
from portal.models import PublishRun, Subscription, Tenant
from portal.services import expiry, inbox, sessions, sign_in_guard
from portal.services import publishing as runs
from portal.web import queue
from portal.web.engines import engine_of, settings
from portal.web.mail import mailer
from portal.web.unit_of_work import in_unit_of_work

log = structlog.get_logger()

LOCK = "worker.lock"
THREAD = "portal-worker"
WORKERS = 2
#: How long an idle worker sleeps before it looks into the queue again, in seconds.
LONGEST_WAIT = 1.0
#: How long a worker that is told to stop may go on with what it is doing.
STOP_SECONDS = 10.0
#: How often work that a wake could not finish is tried again before the next sweep.
WAKES = 4
SCHEDULED = "schedule"


def init_app(app: Flask) -> None:
    """Give the app its queue and say what its tasks do."""
    tasks = queue.init_app(app, app.extensions["portal_settings"])
    tasks.task("publish", publish)
    tasks.task("wake", catch_up)
    tasks.task("flush", flush)
    tasks.periodic("sweep", crontab(minute="*"), sweep)
    tasks.task("compare", compare)
    tasks.task("end_subscriptions", end_subscriptions)
    tasks.periodic("publish_all", crontab(minute="7"), publish_all)
    tasks.periodic("read_books", crontab(minute="37"), read_books)
    tasks.periodic("forget", crontab(hour="3", minute="23"), forget)
    tasks.periodic("compare_all", crontab(minute="52"), compare_all)


# --- what is done ---------------------------------------------------------------------------


def wake() -> None:
    """Let the worker look at once for events to try again and subscriptions to read anew."""
    queue.enqueue("wake")


def publish(run_id: int) -> None:
    """Work through a publish run that somebody has asked for, or the schedule, which goes on then.

    The run's row knows whose turn is next, also where another worker takes a lost one over.
    """
    if not publishing.run(engine_of, run_id):
        return
    run = db.session.get_one(PublishRun, run_id)
    tenant_id, is_scheduled = run.tenant_id, run.started_by == SCHEDULED
    db.session.rollback()
    if is_scheduled:
        _publish_next(tenant_id)


def catch_up(again: int = 0) -> None:
    """Try parked events again and read what is marked at the engine.

    What was marked anew meanwhile is read again a little later, a few times; then by the sweep.
    """
    _each(
        lambda: refreshing.retry_parked(engine_of),
        lambda: refreshing.refresh_due(engine_of),
        lambda: refunding.sweep(engine_of),
        _send_mail,
    )
    marked = select(Subscription.subscription_id).where(Subscription.refresh_due.is_(True)).limit(1)
    still = db.session.scalar(marked) is not None
    db.session.rollback()
    if still and again < WAKES:
        queue.enqueue("wake", again + 1, delay=1.0 + again)


def flush(subscription_id: int) -> None:
    """Send what is left of a subscription's billing period, which has ended."""
    closing.flush(engine_of, subscription_id)


def sweep() -> None:
    """Do what a lost message or a crash has left undone; each minute."""
    _each(
        lambda: refreshing.retry_parked(engine_of),
        lambda: refreshing.refresh_due(engine_of),
        lambda: payments.sweep(engine_of),
        lambda: approving.sweep(engine_of),
        lambda: refunding.sweep(engine_of),
        lambda: changing_plan.sweep(engine_of),
        lambda: stopping.sweep(engine_of),
        draining.drain_here,
        lambda: closing.sweep(engine_of),
        warning.sweep,
        _send_mail,
        _resume_runs,
    )


def _send_mail() -> None:
    page = f"{settings().portal_base_url}/devportal/subscriptions/{{}}"
    while mailing.send_due(mailer(), footer=page) == mailing.PAGE:
        pass


def _resume_runs() -> None:
    """Ask again for runs whose worker has gone. One that is asked for twice is worked once."""
    lost = list(runs.lost())
    db.session.rollback()
    for run_id in lost:
        log.warning("publish_resumed", run=run_id)
        if not queue.enqueue("publish", run_id):
            _each(lambda number=run_id: publish(number))  # type: ignore[misc]


def publish_all() -> None:
    """Publish every tenant's usage, where there is any; each hour.

    Each in a run of its own, one after the other, so that slow sources or accounts never hold more
    than one worker. While the runs of an hour go on, the next hour begins no others.
    """
    is_going_on = runs.is_going_on(SCHEDULED)
    db.session.rollback()
    if not is_going_on:
        _publish_next(0)


def _publish_next(after: int) -> None:
    """Ask for a run of the first tenant behind ``after`` that has something to publish."""
    query = select(Tenant).where(Tenant.tenant_id > after, Tenant.platform_key_sealed.is_not(None))
    for tenant in db.session.scalars(query.order_by(Tenant.tenant_id)).all():
        if not publishing.is_waiting(tenant.tenant_id):
            continue
        with suppress(Conflict):
            publishing.request(tenant, SCHEDULED)
            return


def end_subscriptions(api_id: int, after: int = 0) -> None:
    """End the subscriptions of an API that was taken off sale, a page at a time."""
    last = stopping.run(engine_of, api_id, after)
    if last is not None:
        queue.enqueue("end_subscriptions", api_id, last)


def read_books() -> None:
    """Bring the copies of invoices and payments up to date; each hour."""
    bookkeeping.read_all(engine_of)


def forget() -> None:
    """Delete what is of no use any more: codes, tokens, sessions, failed sign-ins, old events."""
    kinds = (expiry, sessions, sign_in_guard, inbox)
    for kind in kinds:
        while in_unit_of_work(kind.forget_some):
            pass


def compare(tenant_id: int) -> None:
    """Compare a tenant with the billing engine, for Admin > Drift."""
    drifting.check(engine_of, tenant_id)


def compare_all() -> None:
    """Compare every tenant that has a platform key; each hour.

    Where that takes longer than an hour, the next one is left out: one worker is enough for it.
    """
    if drifting.is_going_on():
        return
    for tenant_id in drifting.tenants():
        _each(lambda number=tenant_id: compare(number))  # type: ignore[misc]


def _each(*pieces: Callable[[], object]) -> None:
    """Do one piece after the other; one that fails holds up no other."""
    for piece in pieces:
        try:
            piece()
        except Exception:
            log.exception("background_failed")
        finally:
            db.session.rollback()


# --- who does it ----------------------------------------------------------------------------


class _Consumer(Consumer):
    """A consumer beside other threads: signals belong to the process that it is a guest of."""

    def _set_signal_handlers(self) -> None:
        pass


_embedded: list[Consumer] = []


def start_embedded(app: Flask) -> None:
    """Work in the background of this process, unless another one of this machine does.

    Returns at once; twice in one process starts nothing twice. A second process waits for the
    lock and takes over when it is free.
    """
    running = any(thread.name == THREAD for thread in threading.enumerate())
    if running or queue.queue_of(app).huey.immediate:
        return
    thread = threading.Thread(target=_work_when_alone, args=(app,), name=THREAD, daemon=True)
    thread.start()
    atexit.register(stop_embedded)


def _work_when_alone(app: Flask) -> None:
    with (Path(app.instance_path) / LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        log.info("worker_started", embedded=True)
        consumer = _consumer(app, _Consumer, WORKERS)
        _embedded.append(consumer)
        consumer.run()


def stop_embedded() -> None:
    """Let this process's background work finish what it is doing, for ten seconds at most."""
    while _embedded:
        _embedded.pop().stop(graceful=True)


def work(app: Flask, workers: int) -> None:
    """Work in the foreground until the process is told to stop; for ``flask worker``."""
    _consumer(app, Consumer, workers).run()


def _consumer(app: Flask, kind: type[Consumer], workers: int) -> Consumer:
    return kind(
        queue.queue_of(app).huey,
        workers=workers,
        max_delay=LONGEST_WAIT,
        shutdown_timeout=STOP_SECONDS,
        graceful_signal="TERM",
    )
