"""How charges, refunds, fees and the transactions of a balance look."""

from __future__ import annotations

from portal.sandbox.serializers.base import Json, listing, shaped
from portal.sandbox.store import Db, Record

CHARGE: Json = {
    "amount": 0,
    "amount_captured": 0,
    "amount_refunded": 0,
    "application": None,
    "application_fee": None,
    "application_fee_amount": None,
    "balance_transaction": None,
    "billing_details": {},
    "calculated_statement_descriptor": None,
    "captured": True,
    "created": 0,
    "currency": "usd",
    "customer": None,
    "description": None,
    "disputed": False,
    "failure_balance_transaction": None,
    "failure_code": None,
    "failure_message": None,
    "fraud_details": {},
    "livemode": False,
    "metadata": {},
    "on_behalf_of": None,
    "outcome": {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": "approved_by_network",
        "reason": None,
        "seller_message": "Payment complete.",
        "type": "authorized",
    },
    "paid": True,
    "payment_intent": None,
    "payment_method": None,
    "payment_method_details": None,
    "receipt_email": None,
    "receipt_number": None,
    "receipt_url": None,
    "refunded": False,
    "review": None,
    "shipping": None,
    "source_transfer": None,
    "statement_descriptor": None,
    "statement_descriptor_suffix": None,
    "status": "succeeded",
    "transfer_data": None,
    "transfer_group": None,
}

REFUND: Json = {
    "amount": 0,
    "balance_transaction": None,
    "charge": None,
    "created": 0,
    "currency": "usd",
    "metadata": {},
    "payment_intent": None,
    "reason": None,
    "receipt_number": None,
    "source_transfer_reversal": None,
    "status": "succeeded",
    "transfer_reversal": None,
}

TRANSACTION: Json = {
    "amount": 0,
    "available_on": 0,
    "balance_type": "payments",
    "created": 0,
    "currency": "usd",
    "description": None,
    "exchange_rate": None,
    "fee": 0,
    "fee_details": [],
    "net": 0,
    "reporting_category": "charge",
    "source": None,
    "status": "pending",
    "type": "charge",
}

FEE: Json = {
    "account": "",
    "amount": 0,
    "amount_refunded": 0,
    "application": "ca_sandbox",
    "balance_transaction": None,
    "charge": "",
    "created": 0,
    "currency": "usd",
    "fee_source": None,
    "livemode": False,
    "originating_transaction": None,
    "refunded": False,
}


def render_charge(_db: Db, record: Record) -> Json:
    """Return the charge as the API shows it."""
    return shaped(CHARGE, record)


def render_refund(_db: Db, record: Record) -> Json:
    """Return the refund as the API shows it."""
    return shaped(REFUND, record)


def render_transaction(db: Db, record: Record) -> Json:
    """Return the movement as the API shows it: on its way until its day has come."""
    result = shaped(TRANSACTION, record)
    result["status"] = "available" if record["available_on"] <= db.wall else "pending"
    return result


def render_fee(_db: Db, record: Record) -> Json:
    """Return the platform's fee as the API shows it; its refunds are not listed one by one."""
    result = shaped(FEE, record)
    result["refunds"] = listing([], f"/v1/application_fees/{record['id']}/refunds")
    return result
