"""Coupons, promotion codes, and the parameter that uses them."""

from __future__ import annotations

from decimal import Decimal

from portal.sandbox import events, ids, money
from portal.sandbox.call import Call, Json, operation
from portal.sandbox.engine import discounts
from portal.sandbox.errors import invalid, missing_param, not_found, unsupported
from portal.sandbox.resources import common
from portal.sandbox.resources.prices import supported
from portal.sandbox.store import Filter, Record


@operation(
    "PostCoupons",
    "id name percent_off amount_off currency duration duration_in_months max_redemptions redeem_by"
    " metadata",
)
def create(call: Call) -> Json:
    """Create a coupon."""
    params = call.params
    _check_terms(params, call.now)
    identifier = params.get("id") or ids.random_text(8)
    if call.db.get("coupon", call.account, identifier):
        raise invalid("Coupon already exists.", "id", "resource_already_exists")
    percent = params.get("percent_off")
    coupon: Record = {
        "id": identifier,
        "object": "coupon",
        "_account": call.account,
        "amount_off": params.get("amount_off"),
        "created": call.now,
        "currency": params["currency"].lower() if "amount_off" in params else None,
        "duration": params.get("duration", "once"),
        "duration_in_months": params.get("duration_in_months"),
        "max_redemptions": params.get("max_redemptions"),
        "metadata": {},
        "name": params.get("name"),
        "percent_off": float(percent) if percent is not None else None,
        "redeem_by": params.get("redeem_by"),
        "times_redeemed": 0,
    }
    common.merge_metadata(coupon, params)
    call.db.insert(coupon)
    events.emit(call.db, coupon, "coupon.created", now=call.now)
    return common.show(call, coupon)


def _check_terms(params: Json, now: int) -> None:
    if ("percent_off" in params) == ("amount_off" in params):
        raise invalid("You must pass either percent_off or amount_off when creating a coupon.")
    _check_off(params)
    if (params.get("duration") == "repeating") != ("duration_in_months" in params):
        raise invalid(
            "duration_in_months is for coupons with duration=repeating, and they need it.",
            "duration_in_months",
        )
    for name in ("max_redemptions", "duration_in_months"):
        if params.get(name, 1) < 1:
            raise invalid(
                "This value must be greater than or equal to 1.", name,
                "parameter_invalid_integer",
            )  # fmt: skip
    if params.get("redeem_by", now + 1) <= now:
        raise invalid("redeem_by must be in the future.", "redeem_by")


def _check_off(params: Json) -> None:
    percent = params.get("percent_off")
    if percent is None:
        if "currency" not in params:
            raise missing_param("currency")
        step = money.granularity(supported(params["currency"]))
        if params["amount_off"] < 1 or params["amount_off"] % step:
            raise invalid("Invalid positive integer", "amount_off", "parameter_invalid_integer")
    elif not 0 < percent <= 100 or percent != round(Decimal(percent), 2):
        raise invalid(
            "Invalid percentage: it must be above 0, up to 100, with up to two decimals.",
            "percent_off",
        )


def _coupon(call: Call) -> Record:
    coupon = common.from_path(call, "coupon")
    if coupon.get("deleted"):
        raise not_found("coupon", coupon["id"])
    return coupon


@operation("GetCouponsCoupon")
def retrieve(call: Call) -> Json:
    """Return one coupon."""
    return common.show(call, _coupon(call))


@operation("PostCouponsCoupon", "name metadata")
def update(call: Call) -> Json:
    """Change what describes a coupon; its terms never change."""
    coupon = _coupon(call)
    with events.changing(call.db, coupon, "coupon.updated", now=call.now):
        common.assign(coupon, call.params, "name")
        common.merge_metadata(coupon, call.params)
    return common.show(call, coupon)


@operation("DeleteCouponsCoupon")
def delete(call: Call) -> Json:
    """Delete a coupon: nobody new can use it, and those who have it keep it."""
    coupon = _coupon(call)
    events.emit(call.db, coupon, "coupon.deleted", now=call.now)
    coupon.update(deleted=True, status="deleted")
    return common.show(call, call.db.save(coupon))


@operation("GetCoupons", "created", listing=True)
def index(call: Call) -> Json:
    """List coupons."""
    filters: list[Filter] = [("status IS NULL", None)]
    return common.page(call, "coupon", filters, "/v1/coupons")


@operation("PostPromotionCodes", "promotion code active max_redemptions expires_at metadata")
def create_code(call: Call) -> Json:
    """Create a code that customers may type."""
    params = call.params
    wanted = params["promotion"].get("coupon")
    if not wanted:
        raise missing_param("promotion[coupon]")
    coupon = common.from_param(call, "coupon", "promotion[coupon]", wanted)
    text = params.get("code") or ids.random_text(8).upper()
    if not text.isascii() or not text.isalnum():
        raise invalid("A promotion code has letters and digits only.", "code")
    if call.db.by_lookup("promotion_code", call.account, text.lower()):
        raise invalid("An active promotion code with this code already exists.", "code",
                      "resource_already_exists")  # fmt: skip
    if params.get("expires_at", call.now + 1) <= call.now:
        raise invalid("expires_at must be in the future.", "expires_at")
    code: Record = {
        "id": ids.new("promotion_code"),
        "object": "promotion_code",
        "_account": call.account,
        "_parent": coupon["id"],
        "active": params.get("active", True),
        "_lookup": text.lower() if params.get("active", True) else None,
        "code": text,
        "created": call.now,
        "expires_at": params.get("expires_at"),
        "max_redemptions": params.get("max_redemptions"),
        "metadata": {},
        "promotion": {"coupon": coupon["id"], "type": "coupon"},
        "times_redeemed": 0,
    }
    common.merge_metadata(code, params)
    call.db.insert(code)
    events.emit(call.db, code, "promotion_code.created", now=call.now)
    return common.show(call, code)


@operation("GetPromotionCodesPromotionCode")
def retrieve_code(call: Call) -> Json:
    """Return one promotion code."""
    return common.show(call, common.from_path(call, "promotion_code"))


@operation("PostPromotionCodesPromotionCode", "active metadata")
def update_code(call: Call) -> Json:
    """Switch a promotion code off or on, or change its metadata."""
    code = common.from_path(call, "promotion_code")
    with events.changing(call.db, code, "promotion_code.updated", now=call.now):
        common.merge_metadata(code, call.params)
        if "active" in call.params:
            lookup = code["code"].lower() if call.params["active"] else None
            holder = lookup and call.db.by_lookup("promotion_code", call.account, lookup)
            if holder and holder["id"] != code["id"]:
                raise invalid("An active promotion code with this code already exists.", "active")
            code["active"], code["_lookup"] = call.params["active"], lookup
    return common.show(call, code)


@operation("GetPromotionCodes", "active code coupon created", listing=True)
def codes(call: Call) -> Json:
    """List promotion codes."""
    filters = common.equal(
        call, active=common.path("active"), code=common.path("code"), coupon="parent"
    )
    return common.page(call, "promotion_code", filters, "/v1/promotion_codes")


def wanted(call: Call, currency: str) -> tuple[Record, Record | None] | None:
    """Return the coupon, and the code if it came with one, that `discounts` ask for.

    :raise StripeError: 400 for more than one, or one that can't be used
    """
    asked = call.params.get("discounts") or []
    if not asked:
        return None
    if len(asked) > 1:
        raise unsupported("more than one discount", "discounts[1]")
    entry, where = asked[0], "discounts[0]"
    if len(entry) != 1:
        raise invalid("Each discount is one of coupon or promotion_code.", where)
    if "coupon" in entry:
        coupon = common.from_param(call, "coupon", f"{where}[coupon]", entry["coupon"])
        return check(coupon, None, currency, where, now=call.now)
    if "promotion_code" not in entry:
        raise unsupported("reusing a discount", f"{where}[discount]")
    param = f"{where}[promotion_code]"
    code = common.from_param(call, "promotion_code", param, entry["promotion_code"])
    coupon = call.db.need("coupon", call.account, code["promotion"]["coupon"])
    return check(coupon, code, currency, where, now=call.now)


def check(
    coupon: Record, code: Record | None, currency: str, where: str, *, now: int
) -> tuple[Record, Record | None]:
    """Refuse what nobody new may use.

    :raise StripeError: 400
    """
    if code is not None and not discounts.usable(code, now=now):
        raise invalid("This promotion code cannot be redeemed because it is expired or used up.",
                      where, "promotion_code_invalid")  # fmt: skip
    if not discounts.valid(coupon, now=now):
        raise invalid("Coupon expired: it can't be redeemed any more.", where, "coupon_expired")
    if coupon["amount_off"] is not None and coupon["currency"] != currency:
        raise invalid(
            f"This coupon is in {coupon['currency']}, and the price in {currency}.", where
        )
    return coupon, code
