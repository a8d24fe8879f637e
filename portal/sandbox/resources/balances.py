"""Charges, refunds, platform fees and the transactions of a balance."""

from __future__ import annotations

from portal.sandbox import events, money
from portal.sandbox.call import Call, Json, operation
from portal.sandbox.engine import balance
from portal.sandbox.errors import invalid, missing_param, no_such
from portal.sandbox.resources import common
from portal.sandbox.store import Record


@operation("GetCharges", "customer payment_intent created", listing=True)
def charges(call: Call) -> Json:
    """List charges that succeeded; failed attempts show on their payment intent only."""
    filters = common.equal(call, customer="customer", payment_intent="parent")
    return common.page(call, "charge", filters, "/v1/charges")


@operation("GetChargesCharge")
def charge(call: Call) -> Json:
    """Return one charge."""
    return common.show(call, common.from_path(call, "charge"))


@operation("PostRefunds", "charge payment_intent amount reason metadata refund_application_fee")
def refund(call: Call) -> Json:
    """Give a charge back, in whole or in part."""
    params = call.params
    found = _charge(call)
    left = found["amount"] - found.get("amount_refunded", 0)
    if not left:
        raise invalid(
            f"Charge {found['id']} has already been refunded.", code="charge_already_refunded"
        )
    amount = int(params.get("amount", left))
    _check_amount(amount, left, found["currency"])
    holder: Record = {"metadata": {}}
    common.merge_metadata(holder, params)
    made = balance.refund(
        call.db,
        found,
        amount,
        now=call.now,
        give_back_fee=bool(params.get("refund_application_fee")),
        reason=params.get("reason"),
        metadata=holder["metadata"],
    )
    return common.show(call, made)


def _charge(call: Call) -> Record:
    if "charge" in call.params:
        found = common.from_param(call, "charge", "charge")
        if call.params.get("payment_intent", found["payment_intent"]) != found["payment_intent"]:
            raise invalid("The charge does not belong to the payment intent.", "payment_intent")
        return found
    if "payment_intent" not in call.params:
        raise missing_param("payment_intent")
    intent = common.from_param(call, "payment_intent", "payment_intent")
    if not intent.get("latest_charge"):
        raise invalid(
            f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.",
            "payment_intent",
        )
    return call.db.need("charge", call.account, intent["latest_charge"])


def _check_amount(amount: int, left: int, currency: str) -> None:
    if amount < 1:
        raise invalid("Invalid positive integer", "amount", "parameter_invalid_integer")
    if amount > left:
        raise invalid(
            f"Refund amount ({money.display(amount, currency)}) is greater than unrefunded amount"
            f" on charge ({money.display(left, currency)})",
            "amount",
        )
    step = money.granularity(currency)
    if amount % step:
        raise invalid(f"Amounts in {currency} must be a multiple of {step}.", "amount")


@operation("GetRefundsRefund")
def retrieve(call: Call) -> Json:
    """Return one refund."""
    return common.show(call, common.from_path(call, "refund"))


@operation("PostRefundsRefund", "metadata")
def update(call: Call) -> Json:
    """Change a refund's metadata."""
    found = common.from_path(call, "refund")
    with events.changing(call.db, found, "refund.updated", now=call.now):
        common.merge_metadata(found, call.params)
    return common.show(call, found)


@operation("GetRefunds", "charge payment_intent created", listing=True)
def index(call: Call) -> Json:
    """List refunds."""
    filters = common.equal(call, charge="parent", payment_intent=common.path("payment_intent"))
    return common.page(call, "refund", filters, "/v1/refunds")


@operation("GetBalanceTransactionsId")
def transaction(call: Call) -> Json:
    """Return one movement of the balance."""
    return common.show(call, common.from_path(call, "balance_transaction"))


@operation("GetBalanceTransactions", "type source currency created", listing=True)
def transactions(call: Call) -> Json:
    """List the movements of the balance."""
    if "source" in call.params and not _exists(call, str(call.params["source"])):
        raise no_such("source", str(call.params["source"]), "source")
    filters = common.equal(
        call, type=common.path("type"), source="parent", currency=common.path("currency")
    )
    return common.page(call, "balance_transaction", filters, "/v1/balance_transactions")


def _exists(call: Call, source: str) -> bool:
    kinds = ("charge", "refund", "application_fee")
    return any(call.db.get(kind, call.account, source) for kind in kinds)


@operation("GetApplicationFees", "charge created", listing=True)
def fees(call: Call) -> Json:
    """List what the platform took from the charges of its connected accounts."""
    filters = common.equal(call, charge="parent")
    return common.page(call, "application_fee", filters, "/v1/application_fees")


@operation("GetApplicationFeesId")
def fee(call: Call) -> Json:
    """Return one fee of the platform."""
    return common.show(call, common.from_path(call, "application_fee"))
