"""Stripe's balance transactions, as plain dictionaries, in the portal's words."""

from portal.billing.engine import Movement, MovementKind
from portal.billing.stripe.errors import Malformed
from portal.billing.stripe.translate import Object, inner, listed, reference, text, whole
from portal.clock import from_epoch

#: Stripe's types of balance transactions that a subscriber's payment makes.
_KINDS = {
    "charge": MovementKind.CHARGE,
    "payment": MovementKind.CHARGE,
    "refund": MovementKind.REFUND,
    "payment_refund": MovementKind.REFUND,
}
PLATFORM_FEE = "application_fee"


def movement(source: Object) -> Movement | None:
    """Translate a balance transaction with its source; ``None`` for one that no payer made.

    :raise Malformed: if it lacks what the portal needs
    """
    if source.get("object", "balance_transaction") != "balance_transaction":
        raise Malformed("expected an object of the kind balance_transaction")
    behind = inner(source, "source")
    kind = _KINDS.get(text(source, "type"))
    if behind.get("object") == "dispute":
        kind = MovementKind.DISPUTE
    charge = reference(behind, "id" if kind is MovementKind.CHARGE else "charge")
    if kind is None or charge is None:
        return None
    fees = [each for each in listed(source.get("fee_details")) if each.get("type") == PLATFORM_FEE]
    return Movement(
        movement_id=text(source, "id"),
        kind=kind,
        charge_id=charge,
        payment_id=reference(behind, "payment_intent"),
        currency=text(source, "currency"),
        amount=whole(source, "amount"),
        fee=whole(source, "fee"),
        platform_fee=sum(whole(fee, "amount") for fee in fees),
        net=whole(source, "net"),
        paid_currency=text(behind, "currency"),
        paid_amount=whole(behind, "amount"),
        created=from_epoch(whole(source, "created")),
    )
