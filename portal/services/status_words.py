"""A subscription's status in words, from its facts and what belongs to them."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from portal.models import Approval, Billing, Block
from portal.models.facts import Facts

LAPSED = "Cancelled: not paid within 24 hours"
PLAIN = "Works"


class Told(Protocol):
    """What the words are made of: a subscription, or a line of a list of them."""

    @property
    def facts(self) -> Facts:
        """The facts as they are stored."""

    @property
    def facts_in_force(self) -> Facts:
        """The facts as they hold at this moment."""

    @property
    def needs_authentication(self) -> bool:
        """Whether the bank wants the payer to confirm."""

    @property
    def ended_at(self) -> datetime | None:
        """When it ended."""

    @property
    def cancel_at(self) -> datetime | None:
        """When it ends by itself."""

    @property
    def access_until(self) -> datetime | None:
        """Until when calls go on without a payment."""

    @property
    def can_pay_change(self) -> bool:
        """Whether it works on its free plan, and a paid one waits for its payment."""

    @property
    def goes_free(self) -> bool:
        """Whether it goes on with a free plan when what is paid for ends."""

    @property
    def wanted_plan(self) -> str | None:
        """The plan that was asked for, while a change is pending."""


def at(moment: datetime) -> str:
    """Write a moment to the minute, in UTC and saying so."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def words(row: Told, pay_until: datetime | None) -> str:
    """Say how a subscription stands.

    :param pay_until: until when the open payment page can be paid
    """
    facts = row.facts_in_force
    return next((told(row, pay_until) for holds, told in _RULES if holds(facts)), _scheduled(row))


def until_words(until: datetime | None) -> str:
    """Say until when calls go on without a payment."""
    return f"Access until {at(until)}" if until else "Access goes on for now"


def _scheduled(row: Told) -> str:
    return f"Works until {at(row.cancel_at)}" if row.cancel_at else PLAIN


def _changing(row: Told) -> str:
    wanted = row.wanted_plan or "another plan"
    if row.can_pay_change:
        return f"Works on its free plan; {wanted} waits for its payment"
    if row.goes_free and row.cancel_at is not None:
        return f"Paid until {at(row.cancel_at)}, then {wanted}"
    return f"Works; the change to {wanted} is pending"


def _ended(row: Told) -> str:
    told = f"Ended {at(row.ended_at)}" if row.ended_at else "Ended"
    return f"{told}: not approved" if row.facts.approval is Approval.REJECTED else told


def _payable(approval: Approval, until: datetime | None) -> str:
    told = f"Pay by {at(until)}" if until else "Waits for payment"
    if approval is Approval.APPROVED:
        return f"Approved, not paid yet. {told}"
    return f"{told}; waits for approval too" if approval is Approval.PENDING else told


def waiting(facts: Facts, pay_until: datetime | None) -> str:
    """Say how a subscription stands that waits for a payment, an approval or both."""
    if facts.billing is Billing.PENDING:
        return _payable(facts.approval, pay_until)
    return _undecided(facts.billing)


def _undecided(billing: Billing) -> str:
    return "Paid; waits for approval" if billing is Billing.PAID else "Waits for approval"


def _overdue(row: Told) -> str:
    if row.needs_authentication:
        return "The bank wants the payment confirmed"
    return "A payment failed"


_Rule = tuple[Callable[[Facts], bool], Callable[[Told, datetime | None], str]]

#: The first that holds decides.
_RULES: tuple[_Rule, ...] = (
    (lambda f: f.billing is Billing.ENDED, lambda row, _: _ended(row)),
    (lambda f: f.approval is Approval.REJECTED, lambda _, __: "Not approved"),
    (lambda f: f.billing is Billing.LAPSED, lambda _, __: LAPSED),
    (lambda f: f.end_requested, lambda _, __: "Being ended at the payment provider"),
    (
        lambda f: f.billing is Billing.PENDING or f.approval is Approval.PENDING,
        lambda row, until: waiting(row.facts_in_force, until),
    ),
    (lambda f: f.block is Block.ALL, lambda _, __: "Blocked by the publisher"),
    (lambda f: f.billing is Billing.OVERDUE, lambda row, _: _overdue(row)),
    (lambda f: f.block is Block.PRODUCTION, lambda _, __: "Only sandbox keys work"),
    (
        lambda f: f.billing is Billing.GRACE,
        lambda row, _: f"{_overdue(row)}. {until_words(row.access_until)}",
    ),
    (lambda f: f.plan_change_pending, lambda row, _: _changing(row)),
)
