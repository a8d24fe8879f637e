"""The publish job of a tenant: one run at a time, held by a lease, and what it reports.

The lease is taken and renewed by guarded updates, so that of two workers one wins on every
database. One that was not renewed in time is free: a crashed run stops nobody for ever.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.exc import IntegrityError

from portal import clock
from portal.errors import Conflict
from portal.extensions import db
from portal.models import PublishRun, Tenant, UsagePublisher
from portal.services import parked

#: Longer than one call to the engine with all its repeats: the lease is renewed between calls.
LEASE = timedelta(seconds=120)
RUNNING, COMPLETED, NOT_STARTED = "RUNNING", "COMPLETED", "NOT_STARTED"
INPROGRESS, SUCCESSFUL = "INPROGRESS", "SUCCESSFUL"
UNSUCCESSFUL, FAILED = "UNSUCCESSFUL", "FAILED"
BUSY = "A job is already running"
INTERRUPTED = "The run was interrupted. What it had not sent goes out with the next one."
HISTORY = 20


@dataclass(frozen=True, kw_only=True)
class Held:
    """A run whose lease this worker holds."""

    run_id: int
    tenant_id: int
    until: datetime
    token: str


def start(tenant: Tenant, started_by: str) -> PublishRun:
    """Store a run and take the tenant's lease for it, until a worker picks it up.

    :raise portal.errors.Conflict: if a run is going on
    """
    now = clock.now()
    publisher = _publisher(tenant)
    if _is_held(publisher, now):
        raise Conflict(BUSY)
    run = PublishRun(
        tenant_id=tenant.tenant_id,
        started_by=started_by,
        started_at=now,
        status=INPROGRESS,
        until=now,
    )
    db.session.add(run)
    db.session.flush()
    if publisher.run_id is not None:
        _close(publisher.run_id, FAILED, INTERRUPTED, now)
    taken = _guarded(
        UsagePublisher.tenant_id == tenant.tenant_id,
        or_(UsagePublisher.lease_until.is_(None), UsagePublisher.lease_until <= now),
        state=RUNNING,
        status=INPROGRESS,
        started_at=now,
        run_id=run.run_id,
        lease_owner=run.uuid,
        lease_until=now + LEASE,
    )
    if not taken:
        raise Conflict(BUSY)
    return run


def _publisher(tenant: Tenant) -> UsagePublisher:
    found = db.session.get(UsagePublisher, tenant.tenant_domain, populate_existing=True)
    if found is not None:
        return found
    try:
        with db.session.begin_nested():
            row = UsagePublisher(
                id=tenant.tenant_domain,
                tenant_id=tenant.tenant_id,
                state=NOT_STARTED,
                status=INPROGRESS,
            )
            db.session.add(row)
    except IntegrityError:
        # Somebody else has just pressed the button for the first time.
        return db.session.get_one(UsagePublisher, tenant.tenant_domain)
    return row


def _is_held(publisher: UsagePublisher, now: datetime) -> bool:
    return publisher.lease_until is not None and publisher.lease_until > now


def _guarded(*conditions: Any, **values: Any) -> bool:
    changed = db.session.execute(
        update(UsagePublisher)
        .where(*conditions)
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    db.session.expire_all()
    return bool(changed.rowcount)  # type: ignore[attr-defined]


def adopt(run_id: int, token: str) -> Held | None:
    """Take over a run's lease for the worker called ``token``; ``None`` if it may not run.

    It may not when another worker is at it, when a later run has taken its place, or when it has
    finished: a queue may deliver the same run twice.
    """
    run = db.session.get(PublishRun, run_id)
    if run is None or run.finished_at is not None:
        return None
    now = clock.now()
    adopted = _guarded(
        UsagePublisher.run_id == run_id,
        UsagePublisher.state == RUNNING,
        or_(UsagePublisher.lease_owner == run.uuid, UsagePublisher.lease_until <= now),
        lease_owner=token,
        lease_until=now + LEASE,
    )
    if not adopted:
        return None
    return Held(run_id=run_id, tenant_id=run.tenant_id, until=run.until, token=token)


def renew(held: Held) -> bool:
    """Hold the lease for longer; ``False`` if somebody else holds it now."""
    return _guarded(
        UsagePublisher.run_id == held.run_id,
        UsagePublisher.lease_owner == held.token,
        lease_until=clock.now() + LEASE,
    )


def finish(held: Held, error: str | None = None) -> None:
    """End a run with what came of it, and free the lease.

    :param error: what stopped the run before it had tried everything
    """
    now = clock.now()
    run = db.session.get_one(PublishRun, held.run_id, populate_existing=True)
    status = UNSUCCESSFUL if run.failures or parked.waiting(run.tenant_id) else SUCCESSFUL
    if error is not None:
        status = FAILED
    values: dict[str, Any] = {"state": COMPLETED, "status": status}
    if status == SUCCESSFUL:
        values["published_at"] = run.until
    freed = _guarded(
        UsagePublisher.run_id == held.run_id,
        UsagePublisher.lease_owner == held.token,
        lease_owner=None,
        lease_until=None,
        **values,
    )
    if freed:
        _close(held.run_id, status, error, now)


def _close(run_id: int, status: str, error: str | None, now: datetime) -> None:
    db.session.execute(
        update(PublishRun)
        .where(PublishRun.run_id == run_id, PublishRun.finished_at.is_(None))
        .values(status=status, error=error, finished_at=now)
        .execution_options(synchronize_session=False)
    )


def add_to_run(run_id: int | None, *, batches: int = 0, calls: int = 0, failures: int = 0) -> None:
    """Add to a run's totals; without a run there is nothing to add to."""
    if run_id is None:
        return
    db.session.execute(
        update(PublishRun)
        .where(PublishRun.run_id == run_id)
        .values(
            batches=PublishRun.batches + batches,
            calls=PublishRun.calls + calls,
            failures=PublishRun.failures + failures,
        )
        .execution_options(synchronize_session=False)
    )


def lost() -> Sequence[int]:
    """Return the runs, of all tenants, whose worker has gone without finishing them."""
    found = db.session.scalars(
        select(UsagePublisher.run_id).where(
            UsagePublisher.state == RUNNING, UsagePublisher.lease_until <= clock.now()
        )
    )
    return [run_id for run_id in found if run_id is not None]


def is_going_on(started_by: str) -> bool:
    """Whether a run of any tenant that somebody started is held by its lease."""
    query = (
        select(PublishRun.run_id)
        .join(UsagePublisher, UsagePublisher.run_id == PublishRun.run_id)
        .where(
            UsagePublisher.state == RUNNING,
            UsagePublisher.lease_until > clock.now(),
            PublishRun.started_by == started_by,
        )
    )
    return db.session.scalar(query.limit(1)) is not None


# --- what people and programs see ----------------------------------------------------------


def history(tenant: Tenant, limit: int = HISTORY) -> Sequence[PublishRun]:
    """Return the tenant's last runs, newest first."""
    return db.session.scalars(
        select(PublishRun)
        .where(PublishRun.tenant_id == tenant.tenant_id)
        .order_by(PublishRun.run_id.desc())
        .limit(limit)
    ).all()


def status(tenant: Tenant) -> dict[str, Any]:
    """Return the job's state in WSO2's words, with the totals of the last runs.

    Times are strings of milliseconds since 1970. ``lastPublsihedTime`` is misspelt as in WSO2;
    ``lastPublishedTime`` is the same. A run that a crash interrupted is not shown as running.
    """
    publisher = db.session.get(UsagePublisher, tenant.tenant_domain)
    runs = history(tenant)
    if publisher is None or publisher.started_at is None:
        state, outcome = NOT_STARTED, None
    elif publisher.state == RUNNING and not _is_held(publisher, clock.now()):
        state, outcome = COMPLETED, FAILED
    else:
        state, outcome = publisher.state, publisher.status
    published = _millis(publisher.published_at) if publisher else None
    return {
        "state": state,
        "status": outcome,
        "startedTime": _millis(publisher.started_at) if publisher else None,
        "lastPublsihedTime": published,
        "lastPublishedTime": published,
        "runs": [_as_json(run) for run in runs],
    }


def _as_json(run: PublishRun) -> dict[str, Any]:
    return {
        "id": run.uuid,
        "startedBy": run.started_by,
        "startedTime": _millis(run.started_at),
        "finishedTime": _millis(run.finished_at),
        "status": run.status,
        "batches": run.batches,
        "calls": run.calls,
        "failures": run.failures,
        "error": run.error,
    }


def _millis(moment: datetime | None) -> str | None:
    return None if moment is None else str(int(moment.timestamp() * 1000))
