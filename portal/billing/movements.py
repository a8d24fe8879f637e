"""What payments do to a publisher's balance, in the portal's words."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class MovementKind(StrEnum):
    """Why a balance changed."""

    CHARGE = "charge"
    REFUND = "refund"
    DISPUTE = "dispute"
    """A payer's bank took money back, or gave it back."""


@dataclass(frozen=True, kw_only=True)
class Movement:
    """One change of the publisher's balance by a payment of a subscriber. It never changes.

    Amounts are in minor units of ``currency``, in which the account is paid out; what the payer
    paid is ``paid_currency`` and ``paid_amount``. ``net`` is ``amount`` less ``fee``.
    """

    movement_id: str
    kind: MovementKind
    charge_id: str
    payment_id: str | None
    currency: str
    amount: int
    """Negative where money went back."""
    fee: int
    """Everything that was taken from it, the tenant's own fee included."""
    platform_fee: int
    net: int
    paid_currency: str
    paid_amount: int
    created: datetime
