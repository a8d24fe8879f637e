"""What the engine's meters counted, beside what it acknowledged to the portal."""

from collections.abc import Sequence
from dataclasses import dataclass

from portal import clock
from portal.billing.engine import BillingEngine
from portal.errors import BillingEngineError
from portal.extensions import db
from portal.services import usage_account


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The total of a present period on both sides; ``there`` is ``None`` if nobody could say."""

    here: int
    there: int | None
    problem: str = ""

    @property
    def differs(self) -> bool:
        """Whether both sides say different numbers."""
        return self.there is not None and self.here != self.there


def compare(engine: BillingEngine, subscription_ids: Sequence[int]) -> dict[int, Seen]:
    """Ask the engine's meters about these subscriptions: one call for each.

    An engine counts some time after it acknowledged, so a difference may pass by itself.
    """
    meters = usage_account.meters(subscription_ids, clock.now())
    db.session.rollback()
    found = {}
    for meter in meters:
        try:
            there = engine.usage_total(
                meter.account,
                meter_id=meter.meter_id,
                customer_id=meter.customer_id,
                start=meter.start,
                end=meter.end,
            )
        except BillingEngineError as error:
            found[meter.subscription_id] = Seen(
                here=meter.expected, there=None, problem=error.message
            )
        else:
            found[meter.subscription_id] = Seen(here=meter.expected, there=there)
    return found
