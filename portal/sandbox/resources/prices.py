"""Prices: their amounts never change; a new price replaces an old one, which is archived."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from portal.sandbox import events, ids, money
from portal.sandbox.call import Call, Json, operation
from portal.sandbox.errors import StripeError, invalid, missing_param, unsupported
from portal.sandbox.resources import common
from portal.sandbox.resources.products import any_of
from portal.sandbox.store import Record

_LONGEST_DAYS = {"day": 1095, "week": 156, "month": 36, "year": 3}
_NO_METER = (
    "Starting with Stripe version 2025-03-31.basil, metered prices must be backed by meters."
)


@operation(
    "PostPrices",
    "product currency unit_amount unit_amount_decimal recurring billing_scheme tiers tiers_mode"
    " transform_quantity nickname metadata active lookup_key transfer_lookup_key tax_behavior",
)
def create(call: Call) -> Json:
    """Create a recurring price, licensed or metered, per unit or tiered."""
    params = call.params
    if "product" not in params:
        raise missing_param("product")
    product = common.from_param(call, "product", "product")
    if not product["active"]:
        raise invalid(
            f"The product {product['id']} is inactive, so no price can be added to it.",
            "product",
        )
    currency = supported(params["currency"])
    price: Record = {
        "id": ids.new("price"),
        "object": "price",
        "_account": call.account,
        "_parent": product["id"],
        "active": params.get("active", True),
        "billing_scheme": params.get("billing_scheme", "per_unit"),
        "created": call.now,
        "currency": currency,
        "metadata": {},
        "nickname": params.get("nickname"),
        "product": product["id"],
        "recurring": _recurring(call),
        "tax_behavior": params.get("tax_behavior", "unspecified"),
        "type": "recurring",
        **_amounts(params, currency),
    }
    common.merge_metadata(price, params)
    _take_lookup_key(call, price)
    call.db.insert(price)
    events.emit(call.db, price, "price.created", now=call.now)
    return common.show(call, price)


def supported(code: str) -> str:
    """Return a currency's code in lower case.

    :raise StripeError: 400 unless Stripe supports it
    """
    currency = code.lower()
    if currency not in money.SUPPORTED:
        raise invalid(
            f"Invalid currency: {code}. Stripe currently supports these currencies: usd, aed, …",
            "currency",
        )
    return currency


def _recurring(call: Call) -> Json:
    asked = call.params.get("recurring")
    if asked is None:
        raise unsupported("a one-time price", "recurring")
    interval, count = asked["interval"], int(asked.get("interval_count", 1))
    if not 1 <= count <= _LONGEST_DAYS[interval]:
        raise invalid(
            "Invalid recurring[interval_count]: the period must be between one "
            f"{interval} and three years.",
            "recurring[interval_count]",
        )
    usage_type = asked.get("usage_type", "licensed")
    return {
        "interval": interval,
        "interval_count": count,
        "meter": _meter(call, usage_type, asked.get("meter")),
        "usage_type": usage_type,
    }


def _meter(call: Call, usage_type: str, meter_id: str | None) -> str | None:
    if usage_type == "licensed":
        if meter_id is not None:
            raise invalid(
                "`recurring[meter]` can only be set when `recurring[usage_type]` is `metered`.",
                "recurring[meter]",
            )
        return None
    if meter_id is None:
        raise invalid(_NO_METER, "recurring[meter]")
    meter = common.from_param(call, "billing.meter", "recurring[meter]", meter_id)
    if meter["status"] != "active":
        raise invalid(
            f"The meter {meter_id} is inactive and cannot be attached to a price.",
            "recurring[meter]",
        )
    return str(meter["id"])


def _amounts(params: Json, currency: str) -> Json:
    if params.get("billing_scheme") == "tiered":
        return _tiered(params, currency)
    for name in ("tiers", "tiers_mode"):
        if name in params:
            raise invalid(f"`{name}` can only be set when `billing_scheme` is `tiered`.", name)
    if ("unit_amount" in params) == ("unit_amount_decimal" in params):
        raise invalid(
            "You must specify exactly one of `unit_amount` or `unit_amount_decimal`"
            " for a price with `billing_scheme=per_unit`.",
            "unit_amount",
            "parameter_missing" if "unit_amount" not in params else None,
        )
    amount = _amount(params, "unit_amount", currency, "")
    return {
        "unit_amount": int(amount) if amount == amount.to_integral_value() else None,
        "unit_amount_decimal": money.plain(amount),
        "transform_quantity": _package(params.get("transform_quantity")),
        "tiers_mode": None,
    }


def _package(package: Json | None) -> Json | None:
    if package is not None and package["divide_by"] < 1:
        raise invalid(
            "This value must be greater than or equal to 1.", "transform_quantity[divide_by]",
            "parameter_invalid_integer",
        )  # fmt: skip
    return package


def _amount(holder: Json, name: str, currency: str, prefix: str) -> Decimal:
    """Return ``name`` or ``name_decimal``, checked against what the currency can express."""
    given = f"{name}_decimal" if f"{name}_decimal" in holder else name
    value = Decimal(str(holder[given]))
    shown = f"{prefix}[{given}]" if prefix else given
    if value < 0:
        raise invalid(
            f"Invalid non-negative {'integer' if given == name else 'decimal'}", shown,
            "parameter_invalid_integer",
        )  # fmt: skip
    if value > money.MAXIMUM_AMOUNT:
        raise invalid(f"{shown} must be no more than 99999999", shown, "amount_too_large")
    step = money.granularity(currency)
    if given == name and value % step:
        raise invalid(
            f"Invalid {shown}: amounts in {currency} must be a multiple of {step}.", shown
        )
    return value


def _tiered(params: Json, currency: str) -> Json:
    for name in ("tiers", "tiers_mode"):
        if name not in params:
            raise missing_param(name)
    for name in ("unit_amount", "unit_amount_decimal", "transform_quantity"):
        if name in params:
            raise invalid(f"`{name}` cannot be set when `billing_scheme` is `tiered`.", name)
    tiers, lower = [], 0
    last = len(params["tiers"]) - 1
    for index, tier in enumerate(params["tiers"]):
        up_to = tier["up_to"]
        if (up_to == "inf") != (index == last):
            raise invalid("The last tier, and only it, must have `up_to` set to `inf`.", "tiers")
        if up_to != "inf" and int(up_to) <= lower:
            raise invalid("Each tier's `up_to` must be greater than the one before.", "tiers")
        lower = lower if up_to == "inf" else int(up_to)
        tiers.append(_tier(tier, currency, f"tiers[{index}]"))
    return {
        "unit_amount": None,
        "unit_amount_decimal": None,
        "tiers": tiers,
        "tiers_mode": params["tiers_mode"],
    }


def _tier(tier: Json, currency: str, prefix: str) -> Json:
    result: Json = {"up_to": None if tier["up_to"] == "inf" else int(tier["up_to"])}
    for name in ("flat_amount", "unit_amount"):
        both = name in tier, f"{name}_decimal" in tier
        if all(both):
            raise invalid(f"You may only specify one of these parameters: {name}.", prefix)
        amount = _amount(tier, name, currency, prefix) if any(both) else None
        whole = amount is not None and amount == amount.to_integral_value()
        result[name] = int(amount) if amount is not None and whole else None
        result[f"{name}_decimal"] = None if amount is None else money.plain(amount)
    if result["flat_amount_decimal"] is None and result["unit_amount_decimal"] is None:
        raise invalid("Each tier needs a `unit_amount` or a `flat_amount`.", prefix)
    return result


def _take_lookup_key(call: Call, price: Record) -> None:
    key = call.params.get("lookup_key")
    if key is None:
        return
    holder = call.db.by_lookup("price", call.account, key)
    if holder is not None and holder["id"] != price["id"]:
        if not call.params.get("transfer_lookup_key"):
            raise invalid(
                f"A price (`{holder['id']}`) already uses that lookup key.", "lookup_key",
                "resource_already_exists",
            )  # fmt: skip
        with events.changing(call.db, holder, "price.updated", now=call.now):
            holder["lookup_key"] = holder["_lookup"] = None
    price["lookup_key"] = price["_lookup"] = key


@operation("GetPricesPrice")
def retrieve(call: Call) -> Json:
    """Return one price."""
    return common.show(call, common.from_path(call, "price"))


@operation(
    "PostPricesPrice", "active metadata nickname lookup_key transfer_lookup_key tax_behavior"
)
def update(call: Call) -> Json:
    """Archive a price or change what describes it."""
    price = common.from_path(call, "price")
    _check_default(call, price)
    with events.changing(call.db, price, "price.updated", now=call.now):
        common.assign(price, call.params, "active", "nickname", "tax_behavior")
        common.merge_metadata(price, call.params)
        _take_lookup_key(call, price)
    return common.show(call, price)


def _check_default(call: Call, price: Record) -> None:
    product = call.db.need("product", call.account, price["product"])
    if call.params.get("active") is False and product.get("default_price") == price["id"]:
        raise StripeError(
            400,
            "This price cannot be archived because it is the default price of its product.",
        )


@operation("GetPrices", "active created currency lookup_keys product recurring type", listing=True)
def index(call: Call) -> Json:
    """List prices."""
    filters = common.equal(
        call,
        active=common.path("active"),
        currency=common.path("currency"),
        product="parent",
        type=common.path("type"),
    )
    wanted: dict[str, Any] = call.params.get("recurring") or {}
    for name, value in wanted.items():
        filters.append((f"{common.path('recurring.' + name)} = ?", value))
    if "lookup_keys" in call.params:
        filters.append(any_of("lookup", common.at_most(call, "lookup_keys", 10)))
    return common.page(call, "price", filters, "/v1/prices")
