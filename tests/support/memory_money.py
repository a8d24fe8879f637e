"""The balance of the in-memory provider: what payments and refunds did to it."""

from dataclasses import replace
from typing import TYPE_CHECKING

from portal import rating
from portal.billing.engine import Invoice, Movement, MovementKind, PriceSpec

if TYPE_CHECKING:
    from tests.support.memory_provider import MemoryProvider


def bills_of(provider: "MemoryProvider", account: str) -> list[Invoice]:
    """Return an account's invoices with the names of their payments."""
    return [
        replace(bill, payment_ids=(f"pi_{bill.invoice_id}",))
        for subscription_id, bills in provider.bills.items()
        for bill in bills
        if provider.contracts[subscription_id].account == account
    ]


def movements_of(provider: "MemoryProvider", account: str) -> list[Movement]:
    """Return what payments, which cost 2.9 %, and refunds did to an account's balance."""
    found = []
    for bill in bills_of(provider, account):
        if bill.amount_paid:
            fee = bill.amount_paid * 29 // 1000
            found.append(_movement(bill, MovementKind.CHARGE, bill.amount_paid, fee))
        given = [each for each in provider.given_back if each[0] == bill.invoice_id]
        if bill.invoice_id in provider.refunds:
            given.append((str(bill.invoice_id), provider.refunds[bill.invoice_id], bill.created))
        for number, (_, amount, at) in enumerate(given):
            moved = _movement(bill, MovementKind.REFUND, -amount, 0)
            name = f"{moved.movement_id}_{number}"
            found.append(replace(moved, movement_id=name, created=at))
    return found


def _movement(bill: Invoice, kind: MovementKind, amount: int, fee: int) -> Movement:
    return Movement(
        movement_id=f"txn_{kind}_{bill.invoice_id}",
        kind=kind,
        charge_id=f"ch_{bill.invoice_id}",
        payment_id=f"pi_{bill.invoice_id}",
        currency=bill.currency,
        amount=amount,
        fee=fee,
        platform_fee=0,
        net=amount - fee,
        paid_currency=bill.currency,
        paid_amount=abs(amount),
        created=bill.created,
    )


def amount(price: PriceSpec, quantity: int) -> int:
    """Return what a quantity costs, in minor units."""
    if not price.tiers:
        return rating.rate(rating.per_call(price.unit_minor, price.currency), quantity).minor
    make = rating.volume if price.is_volume else rating.graduated
    return rating.rate(make(price.currency, *price.tiers), quantity).minor
