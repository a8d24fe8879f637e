"""What the comparisons found: kept from when it is first seen until it is repaired or gone."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, case, select, update

from portal import clock
from portal.errors import Conflict, NotFound
from portal.extensions import db
from portal.models import Drift, DriftCheck, DriftState
from portal.services.paging import Page, page_of

PER_PAGE = 50
#: Kinds that are not compared for ever: what was found stays until a comparison of the same finds
#: both sides equal, or a person says that it is settled.
STAYING = ("usage",)
#: Instead of the comparison that saw it: one that was settled, and has been equal since.
FORGOTTEN = 0
#: A comparison that has not ended by then was cut off.
LONGEST = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A difference as a comparison tells it."""

    kind: str
    account: str | None
    subject: str
    here: str
    there: str
    since: datetime | None
    risk: str
    danger: str
    proposal: str
    repairable: bool
    repaired: bool
    problem: str | None

    def key(self, tenant_id: int) -> str:
        """What tells it from others, as long as it differs."""
        what = repr((tenant_id, self.kind, self.account, self.subject))
        return hashlib.sha256(what.encode()).hexdigest()


def start(tenant_id: int, by: str) -> int:
    """Begin a comparison; return its number.

    :raise portal.errors.Conflict: if one is going on
    """
    now = clock.now()
    check = db.session.get(DriftCheck, tenant_id, with_for_update=True)
    if check is None:
        check = DriftCheck(tenant_id=tenant_id, number=0, started_at=now, started_by=by)
        db.session.add(check)
    elif check.finished_at is None and now - check.started_at < LONGEST:
        raise Conflict("A comparison is going on. Wait until it has finished.")
    check.number += 1
    check.started_by, check.started_at = by, now
    check.finished_at, check.error = None, None
    check.found = check.repaired = 0
    db.session.flush()
    return check.number


def keep(tenant_id: int, number: int, seen: Seen, by: str) -> None:
    """Keep a difference; one that is known already is brought up to date.

    One that a person has settled is not opened again, as long as it is as it was then.

    :raise portal.errors.Conflict: if another comparison has begun since
    """
    check = db.session.get_one(DriftCheck, tenant_id, with_for_update=True)
    if check.number != number:
        raise Conflict("Another comparison has begun. Look at what it finds.")
    key = seen.key(tenant_id)
    row = db.session.scalars(select(Drift).where(Drift.open_key == key)).one_or_none()
    if row is None and _is_settled(tenant_id, seen):
        return
    if row is None:
        row = Drift(tenant_id=tenant_id, open_key=key, kind=seen.kind, subject=seen.subject)
        row.account, row.state = seen.account, DriftState.OPEN
        db.session.add(row)
    for name in ("here", "there", "since", "risk", "danger", "proposal", "repairable", "problem"):
        setattr(row, name, getattr(seen, name))
    row.seen_by = number
    if seen.repaired:
        row.state, row.open_key = DriftState.REPAIRED, None
        row.settled_at, row.settled_by = clock.now(), by
    check.found += 1
    check.repaired += seen.repaired


def _is_settled(tenant_id: int, seen: Seen) -> bool:
    if seen.kind not in STAYING:
        return False
    row = db.session.scalars(
        _settled(tenant_id)
        .where(
            Drift.kind == seen.kind, Drift.account == seen.account, Drift.subject == seen.subject
        )
        .order_by(Drift.drift_id.desc())
        .limit(1)
    ).one_or_none()
    return row is not None and _gap(row) == _gap(seen)


def _settled(tenant_id: int) -> Select[Drift]:
    return select(Drift).where(
        Drift.tenant_id == tenant_id,
        Drift.state == DriftState.SETTLED,
        Drift.kind.in_(STAYING),
        Drift.seen_by > FORGOTTEN,
    )


def _gap(of: Drift | Seen) -> int:
    return int(of.here) - int(of.there)


def finish(
    tenant_id: int,
    number: int,
    unknown: Collection[str | None],
    error: str | None = None,
    agreed: Collection[str] = (),
) -> None:
    """End a comparison: what it did not find any more is gone.

    Nothing happens if another one has begun since.

    :param unknown: accounts that could not be compared; what differed there may still do
    :param agreed: subjects of kinds that stay, which were compared and do not differ any more
    :param error: why it broke off; then nothing is gone
    """
    check = db.session.get_one(DriftCheck, tenant_id, with_for_update=True)
    if check.number != number:
        return
    check.finished_at, check.error = clock.now(), error
    if error is not None:
        return
    rows = db.session.scalars(
        select(Drift).where(
            Drift.tenant_id == tenant_id, Drift.state == DriftState.OPEN, Drift.seen_by < number
        )
    )
    for row in rows:
        could_be_seen = row.account is None or row.account not in unknown
        if row.subject in agreed if row.kind in STAYING else could_be_seen:
            row.state, row.open_key, row.settled_at = DriftState.GONE, None, clock.now()
    # What was settled and is equal now would hide a loss as large that comes later.
    for row in db.session.scalars(_settled(tenant_id)):
        if row.subject in agreed:
            row.seen_by = FORGOTTEN


def latest(tenant_id: int) -> DriftCheck | None:
    """Return the tenant's latest comparison."""
    return db.session.get(DriftCheck, tenant_id)


def page(tenant_id: int, state: DriftState, number: int = 1) -> Page[Drift]:
    """Return a page of differences: open ones by their risk, others by when they ended."""
    rank = case({"high": 0, "medium": 1}, value=Drift.risk, else_=2)
    is_open = state is DriftState.OPEN
    order = (rank, Drift.drift_id) if is_open else (Drift.settled_at.desc(), Drift.drift_id.desc())
    query = select(Drift).where(Drift.tenant_id == tenant_id, Drift.state == state)
    return page_of(query.order_by(*order), number, per_page=PER_PAGE)


def is_going_on(by: str) -> bool:
    """Whether a comparison that somebody began has not ended yet, of any tenant."""
    return (
        db.session.scalar(
            select(DriftCheck.tenant_id)
            .where(
                DriftCheck.started_by == by,
                DriftCheck.finished_at.is_(None),
                DriftCheck.started_at > clock.now() - LONGEST,
            )
            .limit(1)
        )
        is not None
    )


def one(tenant_id: int, drift_id: int) -> Drift:
    """Return an open difference of the tenant.

    :raise portal.errors.NotFound: if there is none, also when it is another tenant's
    """
    found = db.session.scalars(
        select(Drift).where(
            Drift.tenant_id == tenant_id,
            Drift.drift_id == drift_id,
            Drift.state == DriftState.OPEN,
        )
    ).one_or_none()
    if found is None:
        raise NotFound("This difference is not there any more.")
    return found


def settle_as_seen(drift_id: int, here: str, there: str, by: str) -> None:
    """Note that a person has put right what they saw.

    :raise portal.errors.Conflict: if it is another difference by now, or none
    """
    done: Any = db.session.execute(
        update(Drift)
        .where(
            Drift.drift_id == drift_id,
            Drift.state == DriftState.OPEN,
            Drift.here == here,
            Drift.there == there,
        )
        .values(state=DriftState.SETTLED, open_key=None, settled_at=clock.now(), settled_by=by)
    )
    if done.rowcount == 0:
        raise Conflict("The difference has changed. Look at it again.")


def settle(drift_id: int, state: DriftState, by: str, problem: str | None = None) -> None:
    """Say what became of a difference; one that is settled already stays so."""
    values: dict[str, object] = {"problem": problem}
    if problem is None:
        values |= {"state": state, "open_key": None, "settled_at": clock.now(), "settled_by": by}
    db.session.execute(
        update(Drift)
        .where(Drift.drift_id == drift_id, Drift.state == DriftState.OPEN)
        .values(values)
    )
