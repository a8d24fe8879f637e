"""Coupons and promotion codes, and what they take off an invoice.

A percentage is taken off each line and rounded there; an amount is spread over the lines that cost
something, so that the parts add up. https://docs.stripe.com/billing/subscriptions/coupons
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from portal.sandbox import ids, money, periods
from portal.sandbox.store import Db, Record

Discount = dict[str, Any]


def valid(coupon: Record, *, now: int) -> bool:
    """Tell whether a coupon may be used by somebody new."""
    most, until = coupon["max_redemptions"], coupon["redeem_by"]
    used_up = most is not None and coupon["times_redeemed"] >= most
    return not (coupon.get("deleted") or used_up or (until is not None and until <= now))


def usable(code: Record, *, now: int) -> bool:
    """Tell whether a promotion code may be used by somebody new."""
    most, until = code["max_redemptions"], code["expires_at"]
    used_up = most is not None and code["times_redeemed"] >= most
    return code["active"] and not (used_up or (until is not None and until <= now))


def begin(db: Db, coupon: Record, code: Record | None, *, now: int, **owner: str) -> Discount:
    """Count a redemption and return the discount that a subscription holds from now on."""
    for each in (coupon, code):
        if each is not None:
            each["times_redeemed"] += 1
            db.save(each)
    end = None
    if coupon["duration"] == "repeating":
        end = periods.after(now, "month", coupon["duration_in_months"], 1)
    return {
        "id": "di_1" + ids.random_text(23),
        "coupon": coupon["id"],
        "promotion_code": code["id"] if code else None,
        "start": now,
        "end": end,
        "terms": terms(coupon),
        **owner,
    }


def terms(coupon: Record) -> dict[str, Any]:
    """Return what matters of a coupon; a discount keeps it when the coupon is deleted."""
    return {name: coupon[name] for name in ("percent_off", "amount_off", "duration")}


def current(subscription: Record, *, now: int) -> Discount | None:
    """Return the discount of an invoice of this moment."""
    found: Discount | None = subscription.get("_discount")
    if found is None or (found["end"] is not None and found["end"] <= now):
        return None
    return found


def used(subscription: Record) -> None:
    """Let a discount for one invoice be over."""
    found = subscription.get("_discount")
    if found is None:
        return
    lasting = found["terms"]["duration"] == "forever" and found["terms"]["percent_off"] is not None
    # Prorating what was paid with it would credit more than was paid.
    subscription["_limited"] = subscription.get("_limited", False) or not lasting
    if found["terms"]["duration"] == "once":
        subscription["_discount"] = None


def parts(amounts: list[int], off: dict[str, Any], currency: str) -> list[int]:
    """Return what is taken off each of `amounts` (minor units)."""
    if off["percent_off"] is not None:
        share = Fraction(str(off["percent_off"])) / 100
        return [money.rounded(amount * share, currency) for amount in amounts]
    whole = sum(max(amount, 0) for amount in amounts)
    left = min(off["amount_off"], whole)
    result, reached, given = [], 0, 0
    for amount in amounts:
        reached += max(amount, 0)
        until = money.rounded(Fraction(left * reached, whole), currency) if whole else 0
        result.append(until - given)
        given = until
    return result


def total(amounts: list[int], off: dict[str, Any] | None, currency: str) -> int:
    """Return what is taken off all of `amounts` together."""
    return sum(parts(amounts, off, currency)) if off else 0
