"""Where money goes once a card was charged: charges, fees, refunds, and the balance's transactions.

Fees are made up, and the same everywhere: 2.9 %, and 30 minor units where the currency has two
decimals. The platform's own fee is `application_fee_percent` of the invoice.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from portal.sandbox import accounts, events, ids, money
from portal.sandbox.store import Db, Record

_PERCENT = Fraction(29, 1000)
_FIXED = 30
_AVAILABLE_AFTER = 2 * 86400


def stripe_fee(amount: int, currency: str) -> int:
    """Return what the processing of `amount` costs, in minor units; never more than the amount."""
    fixed = _FIXED if money.exponent(currency) == 2 else 0
    return min(money.rounded(_PERCENT * amount, currency) + fixed, amount)


def application_fee(amount: int, percent: float | None, currency: str) -> int:
    """Return the platform's share of `amount` in minor units."""
    return money.rounded(Fraction(str(percent)) / 100 * amount, currency) if percent else 0


def record_charge(
    db: Db, invoice: Record, subscription: Record, intent: Record, method: Record, *, now: int
) -> Record:
    """Store the charge of a paid invoice with its fees, and report it."""
    amount, currency = intent["amount"], intent["currency"]
    charge: Record = {
        "id": ids.new("charge"),
        "object": "charge",
        "_account": invoice["_account"],
        "_clock": invoice.get("_clock"),
        "_parent": intent["id"],
        "amount": amount,
        "amount_captured": amount,
        "billing_details": method["billing_details"],
        "created": now,
        "currency": currency,
        "customer": invoice["customer"],
        "description": intent["description"],
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": {"card": _card(method), "type": "card"},
        "status": "succeeded",
    }
    fee = application_fee(amount, subscription.get("application_fee_percent"), currency)
    details = [_detail("stripe_fee", stripe_fee(amount, currency), currency)]
    if fee and accounts.is_connected(db, invoice["_account"]):
        details.append(_detail("application_fee", fee, currency))
        charge["application_fee"] = _take_fee(db, charge, fee, now=now)["id"]
        charge["application_fee_amount"] = fee
    transaction = _transact(db, charge, "charge", amount, details, now=now)
    charge["balance_transaction"] = transaction["id"]
    db.insert(charge)
    intent["latest_charge"] = charge["id"]
    events.emit(db, charge, "charge.succeeded", now=now)
    return charge


def _card(method: Record) -> dict[str, Any]:
    names = ("brand", "country", "exp_month", "exp_year", "fingerprint", "funding", "last4")
    unknown = dict.fromkeys(
        ("checks", "installments", "mandate", "network", "three_d_secure", "wallet")
    )
    return {**unknown, **{name: method["card"][name] for name in names}}


def _detail(type: str, amount: int, currency: str) -> dict[str, Any]:
    return {
        "amount": amount,
        "application": None,
        "currency": currency,
        "description": "Stripe processing fees" if type == "stripe_fee" else "Application fee",
        "type": type,
    }


def _transact(
    db: Db, source: Record, type: str, amount: int, details: list[dict[str, Any]], *, now: int
) -> Record:
    """Store a movement of a balance; `details` are its fees."""
    fee = sum(each["amount"] for each in details)
    return db.insert(
        {
            "id": ids.new("balance_transaction"),
            "object": "balance_transaction",
            "_account": source["_account"],
            "_parent": source["id"],
            "amount": amount,
            "available_on": now + _AVAILABLE_AFTER,
            "created": now,
            "currency": source["currency"],
            "description": source.get("description"),
            "fee": fee,
            "fee_details": details,
            "net": amount - fee,
            "reporting_category": type,
            "source": source["id"],
            "status": "pending",
            "type": type,
        }
    )


def _take_fee(db: Db, charge: Record, amount: int, *, now: int) -> Record:
    """Give the platform its share: the fee lives on the platform's account."""
    fee: Record = {
        "id": ids.new("application_fee"),
        "object": "application_fee",
        "_account": accounts.platform_of(db, charge["_account"]),
        "_parent": charge["id"],
        "account": charge["_account"],
        "amount": amount,
        "charge": charge["id"],
        "created": now,
        "currency": charge["currency"],
    }
    transaction = _transact(db, fee, "application_fee", amount, [], now=now)
    fee["balance_transaction"] = transaction["id"]
    db.insert(fee)
    events.emit(db, fee, "application_fee.created", now=now)
    return fee


def refund(
    db: Db, charge: Record, amount: int, *, now: int, give_back_fee: bool = False, **fields: Any
) -> Record:
    """Give `amount` of a charge back; `give_back_fee` returns the platform's share of it as well.

    The processing fee stays paid.
    """
    returned = _return_fee(db, charge, amount, now=now) if give_back_fee else 0
    made: Record = {
        "id": ids.new("refund"),
        "object": "refund",
        "_account": charge["_account"],
        "_parent": charge["id"],
        "amount": amount,
        "charge": charge["id"],
        "created": now,
        "currency": charge["currency"],
        "payment_intent": charge["payment_intent"],
        "status": "succeeded",
        **fields,
    }
    details = [_detail("application_fee", -returned, charge["currency"])] if returned else []
    made["balance_transaction"] = _transact(db, made, "refund", -amount, details, now=now)["id"]
    db.insert(made)
    events.emit(db, made, "refund.created", now=now)
    before = charge.get("amount_refunded", 0)
    charge["amount_refunded"] = before + amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    db.save(charge)
    previous = {"amount_refunded": before} | ({"refunded": False} if charge["refunded"] else {})
    events.emit(db, charge, "charge.refunded", now=now, previous=previous)
    return made


def _return_fee(db: Db, charge: Record, amount: int, *, now: int) -> int:
    if not charge.get("application_fee"):
        return 0
    platform = accounts.platform_of(db, charge["_account"])
    fee = db.need("application_fee", platform, charge["application_fee"])
    before = fee.get("amount_refunded", 0)
    whole = charge.get("amount_refunded", 0) + amount == charge["amount"]
    share = money.rounded(Fraction(fee["amount"] * amount, charge["amount"]), fee["currency"])
    returned = fee["amount"] - before if whole else min(share, fee["amount"] - before)
    if returned:
        fee["amount_refunded"] = before + returned
        fee["refunded"] = fee["amount_refunded"] == fee["amount"]
        db.save(fee)
        _transact(db, fee, "application_fee_refund", -returned, [], now=now)
        events.emit(db, fee, "application_fee.refunded", now=now)
    return int(returned)
