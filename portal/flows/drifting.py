"""Comparing a tenant with the billing engine, and keeping what was found for Admin > Drift."""

import structlog

from portal.errors import Conflict
from portal.extensions import db
from portal.flows import reconciling
from portal.flows.reconciling import Found, Usage
from portal.flows.reconciling.difference import EngineFor, read
from portal.models import DriftState, Tenant
from portal.services import drift
from portal.services import reconciling as known
from portal.services.drift import Seen
from portal.web import queue
from portal.web.unit_of_work import in_unit_of_work

log = structlog.get_logger()

WORKER = "worker"
BROKEN = "The comparison broke off. It is done again within the hour."


def tenants() -> list[int]:
    """Return the tenants that can be compared."""
    return [number for number, _ in read(known.tenants)]


def is_going_on() -> bool:
    """Whether the worker is comparing a tenant just now."""
    return read(lambda: drift.is_going_on(WORKER))


def request(tenant_id: int) -> None:
    """Let the worker compare a tenant; returns at once."""
    db.session.rollback()
    queue.enqueue("compare", tenant_id)


def check(engine_for: EngineFor, tenant_id: int, by: str = WORKER) -> bool:
    """Compare a tenant and keep the differences; return whether it was done.

    What only changes the portal is repaired at once. What changes something at the engine waits
    for a press. One that is going on is not disturbed.
    """
    domain = db.session.get_one(Tenant, tenant_id).tenant_domain
    db.session.rollback()
    try:
        number = in_unit_of_work(lambda: drift.start(tenant_id, by))
    except Conflict:
        return False
    unknown: set[str | None] = set()
    agreed: set[str] = set()
    error: str | None = BROKEN
    try:
        for found in reconciling.run(
            engine_for,
            repair=True,
            unattended=True,
            usage=Usage.DUE,
            domain=domain,
            agreed=agreed.add,
        ):
            if _is_unknown(found):
                unknown.add(found.difference.account)
            seen = _seen(found)
            in_unit_of_work(lambda it=seen: drift.keep(tenant_id, number, it, by))  # type: ignore[misc]
        error = None
    finally:
        db.session.rollback()
        in_unit_of_work(lambda: drift.finish(tenant_id, number, unknown, error, agreed))
    return True


def _is_unknown(found: Found) -> bool:
    """Whether an account's objects could not be compared; its meters are another matter."""
    it = found.difference
    return it.kind == "not_compared" and it.subject in reconciling.WALKS


def _seen(found: Found) -> Seen:
    it = found.difference
    return Seen(
        kind=it.kind,
        account=it.account,
        subject=it.subject,
        here=it.here,
        there=it.there,
        since=it.since,
        risk=it.risk.level,
        danger=it.risk.danger,
        proposal=it.proposal,
        repairable=it.repair is not None,
        repaired=found.repaired,
        problem=found.problem,
    )


def repair(engine_for: EngineFor, tenant_id: int, drift_id: int, by: str) -> DriftState:
    """Look for a difference once more and end it; return what became of it.

    :raise portal.errors.NotFound: if it is not open, or another tenant's
    :raise portal.errors.Conflict: if it is for a person
    """
    row = drift.one(tenant_id, drift_id)
    if row.kind in drift.STAYING:
        raise Conflict("The portal cannot repair this. Mark it as settled when you have.")
    wanted = (row.kind, row.account, row.subject)
    domain = db.session.get_one(Tenant, tenant_id).tenant_domain
    db.session.rollback()
    state, problem = DriftState.GONE, None
    for each in reconciling.differences(engine_for, domain=domain, account=wanted[1]):
        if (each.kind, each.account, each.subject) == wanted:
            done = reconciling.repaired(each)
            state = DriftState.REPAIRED if done.repaired else DriftState.OPEN
            problem = None if done.repaired else done.problem or each.proposal
            break
    in_unit_of_work(lambda: drift.settle(drift_id, state, by, problem))
    return state


def settle(tenant_id: int, drift_id: int, here: str, there: str, by: str) -> None:
    """Note that a person has put a difference right in another way; it is not looked for again.

    :param here: what the person saw of both sides
    :raise portal.errors.NotFound: if it is not open, or another tenant's
    :raise portal.errors.Conflict: if it has changed since, or the next comparison would find it
        again
    """
    if drift.one(tenant_id, drift_id).kind not in drift.STAYING:
        raise Conflict("This ends by itself when both sides are the same again.")
    db.session.rollback()
    in_unit_of_work(lambda: drift.settle_as_seen(drift_id, here, there, by))
