"""The parameters that change a subscription's items, of an update and of a preview alike."""

from __future__ import annotations

import copy

from portal.sandbox import ids
from portal.sandbox.call import Call, Json
from portal.sandbox.engine import lines
from portal.sandbox.engine.prorations import Change
from portal.sandbox.errors import invalid, missing_param, unsupported
from portal.sandbox.resources import common
from portal.sandbox.resources.sessions import check_different, check_sellable
from portal.sandbox.store import Record


def read(call: Call, subscription: Record, params: Json, prefix: str = "") -> Change | None:
    """Return the change that `params` ask for, or None when they leave the items alone.

    `prefix` names the parameters' parent.

    :raise StripeError: 400 for what can't be, or isn't modelled
    """
    anchor = params.get("billing_cycle_anchor", "unchanged")
    if anchor not in ("now", "unchanged"):
        raise unsupported(
            "a billing_cycle_anchor in the future", named("billing_cycle_anchor", prefix)
        )
    asked = params.get("items") or []
    if not asked and anchor == "unchanged":
        return None
    _check_status(subscription, prefix)
    items = _merged(call, subscription, asked, prefix)
    old, new = (_rhythm(call, subscription, each) for each in (subscription["items"], items))
    reset = anchor == "now" or len(new | old) > 1
    if len(new) > 1:
        raise unsupported("a subscription with different billing intervals", named("items", prefix))
    if reset and subscription["status"] == "trialing":
        raise unsupported("a new billing period during a trial", named("items", prefix))
    behaviour = params.get("proration_behavior", "create_prorations")
    _check_discount(subscription, behaviour, reset, prefix)
    return Change(items, behaviour, _moment(call, subscription, params, prefix), reset)


def named(name: str, prefix: str) -> str:
    """Return the full name of a parameter."""
    return f"{prefix}[{name}]" if prefix else name


def _check_status(subscription: Record, prefix: str) -> None:
    if subscription["status"] == "incomplete":
        raise invalid(
            "This subscription can't be changed: its first invoice is not paid yet.",
            named("items", prefix),
        )
    if subscription["status"] == "unpaid":
        raise unsupported("changing an unpaid subscription", named("items", prefix))


def _check_discount(subscription: Record, behaviour: str, reset: bool, prefix: str) -> None:
    """Refuse to credit what was paid with a discount that the credit would not have."""
    if not (subscription.get("_limited") and (behaviour != "none" or reset)):
        return
    raise unsupported(
        "prorating after a discount that is not a percentage for ever",
        named("proration_behavior", prefix),
    )


def _rhythm(call: Call, subscription: Record, items: list[Json]) -> set[tuple[str, int]]:
    found = (lines.price_of(call.db, subscription, item)["recurring"] for item in items)
    return {(each["interval"], each["interval_count"]) for each in found}


def _moment(call: Call, subscription: Record, params: Json, prefix: str) -> int:
    moment = int(params.get("proration_date", call.now))
    item = subscription["items"][0]
    if not item["current_period_start"] <= moment <= item["current_period_end"]:
        raise invalid(
            "Invalid `proration_date`: it must be within the current billing period of the"
            " subscription.",
            named("proration_date", prefix),
        )
    return moment


def _merged(call: Call, subscription: Record, asked: list[Json], prefix: str) -> list[Json]:
    items = {item["id"]: copy.deepcopy(item) for item in subscription["items"]}
    for index, entry in enumerate(asked):
        where = f"{named('items', prefix)}[{index}]"
        if "id" not in entry:
            if not entry.get("price"):
                raise missing_param(f"{where}[price]")
            fresh = {"id": ids.new("subscription_item"), "created": call.now, "metadata": {}}
            items[fresh["id"]] = _changed(call, subscription, fresh, entry, where)
            continue
        known = items.get(entry["id"])
        if known is None:
            raise invalid(
                f"No such subscription item: '{entry['id']}'", f"{where}[id]", "resource_missing"
            )
        if entry.get("deleted"):
            del items[entry["id"]]
        else:
            items[entry["id"]] = _changed(call, subscription, known, entry, where)
    _check_all(items, named("items", prefix))
    return list(items.values())


def _check_all(items: dict[str, Json], param: str) -> None:
    prices = [item["price"] for item in items.values()]
    if not prices:
        raise invalid("A subscription must have at least one active plan.", param)
    check_different(prices, param)


def _changed(call: Call, subscription: Record, item: Json, entry: Json, where: str) -> Json:
    common.merge_metadata(item, entry)
    name = entry.get("price", item.get("price"))
    price = common.from_param(call, "price", f"{where}[price]", name)
    if item.get("price") != name:
        product = call.db.need("product", call.account, price["product"])
        check_sellable(price, product, f"{where}[price]")
    if price["currency"] != subscription["currency"]:
        raise invalid(
            f"The price specified only supports `{price['currency']}`. This doesn't match the"
            f" expected currency: `{subscription['currency']}`.",
            f"{where}[price]",
        )
    item["price"] = price["id"]
    item["quantity"] = _quantity(price, item, entry, where)
    return item


def _quantity(price: Record, item: Json, entry: Json, where: str) -> int | None:
    if lines.is_metered(price):
        if "quantity" in entry:
            raise invalid("You cannot set the quantity for metered plans.", f"{where}[quantity]")
        return None
    quantity = entry.get("quantity", item.get("quantity"))
    return check_quantity(1 if quantity is None else int(quantity), f"{where}[quantity]")


def check_quantity(quantity: int, param: str) -> int:
    """Return a quantity that a subscription may have.

    :raise StripeError: 400 for any other
    """
    if not 0 <= quantity <= 999_999:
        raise invalid(
            "This value must be greater than or equal to 0.", param,
            "parameter_invalid_integer",
        )  # fmt: skip
    return quantity
