"""Usage that did not arrive at the first go: what waits, for whom, and how it goes on."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, select, update

from portal import clock
from portal.errors import NotFound
from portal.extensions import db
from portal.models import BatchState, Tenant, UsageBatch
from portal.services.freezing import TOO_LATE

_PARKED = (BatchState.REFUSED, BatchState.UNKNOWN)


def waiting(tenant_id: int, limit: int = 100) -> Sequence[UsageBatch]:
    """Return the tenant's batches that only a person can bring on, oldest first."""
    return db.session.scalars(
        select(UsageBatch)
        .where(UsageBatch.tenant_id == tenant_id, UsageBatch.state.in_(_PARKED))
        .order_by(UsageBatch.batch_id)
        .limit(limit)
    ).all()


def decide(tenant: Tenant, batch_id: int, *, has_arrived: bool, actor: str) -> BatchState:
    """Bring a parked batch on: it has arrived, or the next run sends it again.

    One that no invoice can have is written off instead of arriving: the engine has nothing of it.
    Returns where the batch stands now.

    :raise portal.errors.NotFound: if the tenant has no such batch parked
    """
    batch = db.session.scalars(
        select(UsageBatch)
        .where(
            UsageBatch.batch_id == batch_id,
            UsageBatch.tenant_id == tenant.tenant_id,
            UsageBatch.state.in_(_PARKED),
        )
        .with_for_update()
    ).one_or_none()
    if batch is None:
        raise NotFound("There is no such batch, or it has been dealt with already.")
    if has_arrived:
        _confirm(batch, actor)
        return BatchState(batch.state)
    batch.error = None
    batch.retryable = False
    if batch.state == BatchState.UNKNOWN:
        # A person has compared: it is sent as if for the first time.
        batch.first_sent_at = None
    batch.state = BatchState.FROZEN
    return BatchState.FROZEN


def _confirm(batch: UsageBatch, actor: str) -> None:
    if batch.error == TOO_LATE:
        batch.state, batch.receipt = BatchState.WRITTEN_OFF, f"written off by {actor}"
    else:
        batch.state, batch.receipt = BatchState.ACKNOWLEDGED, f"confirmed by {actor}"
    batch.acknowledged_at = clock.now()
    batch.error = None
    batch.retryable = False


def is_on_its_way(batch_ids: Sequence[int]) -> bool:
    """Whether any of these batches is frozen or sent and not acknowledged."""
    query = select(UsageBatch.batch_id).where(
        UsageBatch.batch_id.in_(batch_ids),
        UsageBatch.state.in_((BatchState.FROZEN, BatchState.SENDING)),
    )
    return db.session.scalar(query.limit(1)) is not None


def has_denied(tenant_id: int) -> bool:
    """Whether there are batches that were refused for want of access."""
    query = select(UsageBatch.batch_id).where(*_denied(tenant_id=tenant_id)).limit(1)
    return db.session.scalar(query) is not None


def _denied(**whose: int) -> tuple[ColumnElement[bool], ...]:
    return (
        *(getattr(UsageBatch, name) == number for name, number in whose.items()),
        UsageBatch.state == BatchState.REFUSED,
        UsageBatch.retryable.is_(True),
    )


def reopen_denied(**whose: int) -> int:
    """Let batches that were refused for want of access be tried again; return how many.

    :param whose: ``tenant_id`` or ``subscription_id``
    """
    changed = db.session.execute(
        update(UsageBatch)
        .where(*_denied(**whose))
        .values(state=BatchState.FROZEN, retryable=False)
        .execution_options(synchronize_session=False)
    )
    return int(changed.rowcount)  # type: ignore[attr-defined]


def reopen_refused(tenant_id: int) -> int:
    """Let the next run send every batch again that was refused, but for those that have no invoice.

    Those of unknown fate stay: they may have arrived. Returns how many.
    """
    changed = db.session.execute(
        update(UsageBatch)
        .where(
            UsageBatch.tenant_id == tenant_id,
            UsageBatch.state == BatchState.REFUSED,
            UsageBatch.error != TOO_LATE,
        )
        .values(state=BatchState.FROZEN, retryable=False, error=None)
        .execution_options(synchronize_session=False)
    )
    return int(changed.rowcount)  # type: ignore[attr-defined]
