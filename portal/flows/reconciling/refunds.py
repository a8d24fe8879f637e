"""Money that bought nothing: paid back here against paid back at the engine."""

from collections.abc import Iterator
from datetime import timedelta

from portal.errors import EngineObjectMissing
from portal.flows import refunding
from portal.flows.reconciling.difference import NOTHING, Difference, Side, read
from portal.models import RefundStatus
from portal.money import Money
from portal.services import reconciling
from portal.services.reconciling import PaidBack

#: A refund can still fail on its way to the payer's bank for about so long.
LOOKED_AT = timedelta(days=30)
LONGEST = timedelta(hours=1)


def compare(side: Side) -> Iterator[Difference]:
    """Compare the refunds of the last month, and find those that have not been made."""
    after = 0
    while rows := read(lambda at=after: _page(side, at)):  # type: ignore[misc]
        after = rows[-1].refund_id
        for row in rows:
            if row.status is RefundStatus.DONE:
                yield from _differs(side, row)
            else:
                yield _waits(side, row)


def _page(side: Side, after: int) -> list[PaidBack]:
    return reconciling.refunds_since(
        side.tenant_id,
        side.account,
        after,
        done=side.now - LOOKED_AT,
        waiting=side.now - max(side.grace, LONGEST),
    )


def _differs(side: Side, row: PaidBack) -> Iterator[Difference]:
    try:
        there = side.engine.paid_back(side.account, row.engine_id)
    except EngineObjectMissing:
        # That the engine does not know it is a difference of its own.
        return
    if there.amount_minor == row.amount_minor:
        return
    yield side.difference(
        "refund_differs",
        row.engine_id,
        here=_words(row.amount_minor, row.currency),
        there=_words(there.amount_minor, there.currency or row.currency),
        since=row.created,
        proposal="Look at its payments in the engine's dashboard: a refund may have failed there.",
    )


def _waits(side: Side, row: PaidBack) -> Difference:
    asked = row.status is RefundStatus.DUE
    return side.difference(
        "refund_waiting",
        row.engine_id,
        here=row.status,
        there=NOTHING,
        since=row.created,
        proposal="Pay it back." if asked else "Decide about it under Admin > Approvals.",
        repair=(lambda: refunding.pay_back(side.engine_for, row.refund_id)) if asked else None,
    )


def _words(minor: int, currency: str) -> str:
    return str(Money(minor, currency)) if currency else NOTHING
