"""Comparing the portal with the billing engine, and repairing what is safe to repair.

Nothing is guessed and nothing is trusted: each difference is looked at twice, has both values,
and says what ends it. ``WALKS`` is the catalogue: a walk goes through one kind of thing in one
connected account and yields what differs. To look for something else, add a walk, or a kind to
``subscriptions.KINDS``.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

import structlog

from portal import clock
from portal.errors import PortalError
from portal.extensions import db
from portal.flows.reconciling import pages, refunds, selling, subscriptions, waiting
from portal.flows.reconciling import usage as meters
from portal.flows.reconciling.difference import (
    GRACE,
    NOTHING,
    Agreed,
    Difference,
    EngineFor,
    Side,
    ignored,
    read,
)
from portal.flows.reconciling.risks import OUTWARD
from portal.models import Tenant
from portal.services import reconciling

__all__ = ["WALKS", "Difference", "Found", "Tally", "Usage", "differences", "repaired", "run"]

log = structlog.get_logger()

Walk = Callable[[Side], Iterator[Difference]]

#: Events first: what they bring may end differences that would be found after them.
WALKS: dict[str, Walk] = {
    "events": waiting.undelivered,
    "pages": pages.compare,
    "subscriptions": subscriptions.compare,
    "selling": selling.compare,
    "refunds": refunds.compare,
}


class Usage(StrEnum):
    """Whose meters are compared. The engine is asked once for each of them."""

    NONE = "none"
    DUE = "due"
    """What was acknowledged lately, twice a day and about the end of its billing period."""
    ALL = "all"


METERS: dict[Usage, dict[str, Walk]] = {
    Usage.NONE: {},
    Usage.DUE: {"usage": meters.compare_due},
    Usage.ALL: {"usage": meters.compare},
}


@dataclass(frozen=True, kw_only=True)
class Found:
    """A difference, and what became of it."""

    difference: Difference
    repaired: bool = False
    problem: str | None = None
    """Why a repair that was tried did not succeed."""


@dataclass
class Tally:
    """How many there were."""

    found: int = 0
    repaired: int = 0
    by_kind: dict[str, int] = field(default_factory=dict)

    @property
    def left(self) -> int:
        """How many differ still."""
        return self.found - self.repaired

    def count(self, each: Found) -> None:
        """Add one."""
        self.found += 1
        self.repaired += each.repaired
        kind = each.difference.kind
        self.by_kind[kind] = self.by_kind.get(kind, 0) + 1


def run(
    engine_for: EngineFor,
    *,
    repair: bool = False,
    unattended: bool = False,
    usage: Usage = Usage.NONE,
    grace: timedelta = GRACE,
    domain: str | None = None,
    agreed: Agreed = ignored,
) -> Iterator[Found]:
    """Go through every tenant and yield what differs, repaired where that is asked for and safe.

    :param unattended: repair only what changes nothing at the engine
    :param grace: how old something must be not to be counted as under way
    :param domain: only this tenant
    :param agreed: is told of each stretch of usage that is the same on both sides
    """
    found = differences(engine_for, usage=usage, grace=grace, domain=domain, agreed=agreed)
    for each in found:
        wanted = repair and not (unattended and each.kind in OUTWARD)
        yield repaired(each) if wanted and each.repair else Found(difference=each)


def differences(
    engine_for: EngineFor,
    *,
    usage: Usage = Usage.NONE,
    grace: timedelta = GRACE,
    domain: str | None = None,
    account: str | None = None,
    agreed: Agreed = ignored,
) -> Iterator[Difference]:
    """Go through every tenant and yield what differs. Changes nothing.

    :param account: of the connected accounts only this one
    :param agreed: is told of each stretch of usage that is the same on both sides
    """
    walks = {**WALKS, **METERS[usage]}
    now = clock.now()
    for tenant_id, name in read(reconciling.tenants):
        if domain is not None and name != domain:
            continue
        for each in read(lambda number=tenant_id: reconciling.accounts(number)):  # type: ignore[misc]
            if account is None or each == account:
                side = _side(tenant_id, name, each, engine_for, grace, agreed)
                yield from _account(side, walks)
        yield from waiting.local(tenant_id, name, engine_for, now, grace)


def _side(
    tenant_id: int,
    domain: str,
    account: str,
    engine_for: EngineFor,
    grace: timedelta,
    agreed: Agreed,
) -> Side:
    return Side(
        tenant_id=tenant_id,
        tenant=domain,
        account=account,
        engine=read(lambda: engine_for(db.session.get_one(Tenant, tenant_id))),
        engine_for=engine_for,
        now=clock.now(),
        grace=grace,
        agreed=agreed,
    )


def _account(side: Side, walks: dict[str, Walk]) -> Iterator[Difference]:
    for name, walk in walks.items():
        try:
            yield from walk(side)
        except PortalError as error:
            db.session.rollback()
            log.warning("not_compared", account=side.account, walk=name, error=error.message)
            yield side.difference(
                "not_compared",
                name,
                here=NOTHING,
                there=error.message,
                proposal="Run it again when the engine answers for this account.",
            )


def repaired(difference: Difference) -> Found:
    """Do what a difference proposes, where that is safe to do; return what became of it."""
    if difference.repair is None:
        return Found(difference=difference)
    try:
        difference.repair()
    except PortalError as error:
        db.session.rollback()
        return Found(difference=difference, problem=error.message)
    return Found(difference=difference, repaired=True)
