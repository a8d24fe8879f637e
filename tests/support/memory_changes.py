"""What a change of plan costs at the made-up provider: counted by the second, as Stripe does."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

from portal.billing.engine import Invoice, InvoiceLine, PlanChange, PriceSpec, UsageType
from tests.support.memory_rows import Contract, period_end, second

if TYPE_CHECKING:
    from tests.support.memory_provider import MemoryProvider


def invoice(
    provider: MemoryProvider, contract: Contract, price: PriceSpec, change: PlanChange
) -> Invoice:
    """Draw up the invoice of a change, without keeping it."""
    now = second()
    start, end = contract.snapshot.period_start, contract.snapshot.period_end
    assert start
    assert end
    lines = []
    if contract.price.usage_type is UsageType.METERED:
        lines += provider.draw(contract, (start, now)).lines
    else:
        lines.append(_part(contract.price, change.at, start, end, -1))
    if price.usage_type is UsageType.LICENSED:
        if change.new_period:
            start, end = now, period_end(now, price.interval)
            lines.append(_part(price, start, start, end, 1))
        else:
            lines.append(_part(price, change.at, start, end, 1))
    total = sum(line.amount_minor for line in lines)
    return replace(
        provider.draw(contract),
        lines=lines,
        subtotal=total,
        total=total,
        amount_due=max(total, 0),
        amount_remaining=max(total, 0),
        created=now,
        billing_reason="subscription_update",
    )


def _part(
    price: PriceSpec, moment: datetime, start: datetime, end: datetime, sign: int
) -> InvoiceLine:
    share = Fraction(
        (end - moment) // (end - start).resolution, (end - start) // (end - start).resolution
    )
    exact = sign * Fraction(price.unit_minor) * share
    amount = int(
        (Decimal(exact.numerator) / Decimal(exact.denominator)).quantize(Decimal(1), ROUND_HALF_UP)
    )
    words = "Unused time on" if sign < 0 else "Remaining time on"
    return InvoiceLine(
        description=f"{words} {price.nickname}",
        quantity=1,
        unit_minor=price.unit_minor,
        amount_minor=amount,
        period_start=moment,
        period_end=end,
    )
