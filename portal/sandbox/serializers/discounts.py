"""How coupons, promotion codes and discounts look."""

from __future__ import annotations

from portal.sandbox.serializers.base import Json, shaped
from portal.sandbox.store import Db, Record

COUPON: Json = {
    "amount_off": None,
    "created": 0,
    "currency": None,
    "duration": "once",
    "duration_in_months": None,
    "livemode": False,
    "max_redemptions": None,
    "metadata": {},
    "name": None,
    "percent_off": None,
    "redeem_by": None,
    "times_redeemed": 0,
    "valid": True,
}

CODE: Json = {
    "active": True,
    "code": "",
    "created": 0,
    "customer": None,
    "customer_account": None,
    "expires_at": None,
    "livemode": False,
    "max_redemptions": None,
    "metadata": {},
    "promotion": {},
    "restrictions": {
        "first_time_transaction": False,
        "minimum_amount": None,
        "minimum_amount_currency": None,
    },
    "times_redeemed": 0,
}


def render_coupon(db: Db, record: Record) -> Json:
    """Return the coupon as the API shows it; a deleted one as a stub."""
    if record.get("deleted"):
        return {"id": record["id"], "object": "coupon", "deleted": True}
    result = shaped(COUPON, record)
    most, until = record["max_redemptions"], record["redeem_by"]
    used_up = most is not None and record["times_redeemed"] >= most
    result["valid"] = not used_up and (until is None or until > db.wall)
    return result


def render_code(_db: Db, record: Record) -> Json:
    """Return the promotion code as the API shows it."""
    return shaped(CODE, record)


def render_discount(owner: Record, discount: Json) -> Json:
    """Return the discount of a subscription."""
    return {
        "id": discount["id"],
        "object": "discount",
        "checkout_session": discount.get("checkout_session"),
        "customer": owner["customer"],
        "customer_account": None,
        "end": discount["end"],
        "invoice": None,
        "invoice_item": None,
        "promotion_code": discount["promotion_code"],
        "source": {"coupon": discount["coupon"], "type": "coupon"},
        "start": discount["start"],
        "subscription": discount.get("subscription"),
        "subscription_item": None,
    }
