"""Paying back at the made-up provider: each paid bill in full, and each once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portal.billing.engine import Refunded

if TYPE_CHECKING:
    from tests.support.memory_provider import MemoryProvider


def paid_back(provider: MemoryProvider, subscription_id: str) -> Refunded:
    """Return what has gone back for a subscription."""
    bills = provider.bills.get(subscription_id, [])
    back = [bill for bill in bills if bill.invoice_id in provider.refunds]
    return Refunded(
        amount_minor=sum(provider.refunds[bill.invoice_id or ""] for bill in back),
        currency=back[0].currency if back else None,
    )


def pay_back(provider: MemoryProvider, subscription_id: str) -> Refunded:
    """Pay back what was paid for a subscription; return the sum of all that went back."""
    paid = [bill for bill in provider.bills.get(subscription_id, []) if bill.amount_paid]
    for bill in paid:
        provider.refunds[bill.invoice_id or ""] = bill.amount_paid
    return Refunded(
        amount_minor=sum(bill.amount_paid for bill in paid),
        currency=paid[0].currency if paid else None,
    )
