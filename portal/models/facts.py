"""The facts of a subscription, which come from different hands, and the one status that follows.

The seven statuses are WSO2's, as one pure function of the facts.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Any, Protocol


class Status(StrEnum):
    """A subscription's status as WSO2 names it; ``ENDED`` is removed there and history here."""

    ON_HOLD = "ON_HOLD"
    UNBLOCKED = "UNBLOCKED"
    BLOCKED = "BLOCKED"
    PROD_ONLY_BLOCKED = "PROD_ONLY_BLOCKED"
    REJECTED = "REJECTED"
    TIER_UPDATE_PENDING = "TIER_UPDATE_PENDING"
    DELETE_PENDING = "DELETE_PENDING"
    ENDED = "ENDED"


class Billing(StrEnum):
    """What billing says."""

    NOT_REQUIRED = "NOT_REQUIRED"
    PENDING = "PENDING"
    """Waiting for the first payment."""
    LAPSED = "LAPSED"
    """The payment page expired before anybody paid."""
    PAID = "PAID"
    GRACE = "GRACE"
    """A payment failed, and the tenant's grace lets calls go on for some days."""
    OVERDUE = "OVERDUE"
    """A payment failed, and calls stop until it is paid."""
    ENDED = "ENDED"

    @property
    def is_arrears(self) -> bool:
        """Whether an invoice is unpaid, whether or not calls have stopped for it."""
        return self in (Billing.GRACE, Billing.OVERDUE)


class Block(StrEnum):
    """What the publisher says."""

    NONE = "NONE"
    PRODUCTION = "PRODUCTION"
    ALL = "ALL"


class Approval(StrEnum):
    """What the approver says."""

    NOT_REQUIRED = "NOT_REQUIRED"
    PENDING = "PENDING"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything that decides a subscription's status."""

    billing: Billing
    block: Block = Block.NONE
    approval: Approval = Approval.NOT_REQUIRED
    plan_change_pending: bool = False
    end_requested: bool = False

    @classmethod
    def of(
        cls,
        billing: str,
        block: str = Block.NONE,
        approval: str = Approval.NOT_REQUIRED,
        plan_change_pending: bool = False,
        end_requested: bool = False,
    ) -> "Facts":
        """Return the facts that columns state; the same object for the same facts."""
        return _facts(billing, block, approval, plan_change_pending, end_requested)

    @cached_property
    def status(self) -> Status:
        """The status that follows: the first rule that holds decides."""
        rules = (
            (self.billing is Billing.ENDED, Status.ENDED),
            (self.approval is Approval.REJECTED, Status.REJECTED),
            (self.billing is Billing.LAPSED, Status.REJECTED),
            (self.end_requested, Status.DELETE_PENDING),
            (self.billing is Billing.PENDING, Status.ON_HOLD),
            (self.approval is Approval.PENDING, Status.ON_HOLD),
            (self.block is Block.ALL, Status.BLOCKED),
            (self.billing is Billing.OVERDUE, Status.BLOCKED),
            (self.block is Block.PRODUCTION, Status.PROD_ONLY_BLOCKED),
            (self.plan_change_pending, Status.TIER_UPDATE_PENDING),
        )
        return next((status for holds, status in rules if holds), Status.UNBLOCKED)


def status_of(facts: Facts) -> Status:
    """Return the status that follows from the facts."""
    return facts.status


def in_force(facts: Facts, stops_at: datetime | None, now: datetime) -> Facts:
    """Return the facts as they hold at ``now``: a grace that has run out is overdue.

    The worker writes that down within a minute; who asks in between gets the same answer. Without
    ``stops_at`` a notice is still missing, and the grace goes on.
    """
    over = facts.billing is Billing.GRACE and stops_at is not None and stops_at <= now
    return replace(facts, billing=Billing.OVERDUE) if over else facts


#: The facts as columns, the same in a subscription and in each line of its timeline.
FACTS = ("billing", "publisher_block", "approval", "plan_change_pending", "end_requested")


class FactColumns(Protocol):
    """A row that has the facts as columns, under the names of ``FACTS``."""

    billing: Any
    publisher_block: Any
    approval: Any
    plan_change_pending: Any
    end_requested: Any


def facts_of(row: FactColumns) -> Facts:
    """Return the facts that a subscription or a line of its timeline states."""
    return Facts.of(
        row.billing, row.publisher_block, row.approval, row.plan_change_pending, row.end_requested
    )


@lru_cache(maxsize=512)
def _facts(billing: str, block: str, approval: str, changes: bool, ends: bool) -> Facts:
    return Facts(
        billing=Billing(billing),
        block=Block(block),
        approval=Approval(approval),
        plan_change_pending=bool(changes),
        end_requested=bool(ends),
    )


def columns_of(facts: Facts) -> dict[str, Any]:
    """Return the facts under the names of their columns."""
    return {
        "billing": facts.billing,
        "publisher_block": facts.block,
        "approval": facts.approval,
        "plan_change_pending": facts.plan_change_pending,
        "end_requested": facts.end_requested,
    }
