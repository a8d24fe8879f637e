"""Invoice lines: licensed items in advance, metered items in arrears."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from portal.sandbox import ids, money, periods
from portal.sandbox.engine import usage
from portal.sandbox.store import Db, Record

Line = dict[str, Any]


def is_metered(price: Record) -> bool:
    """Tell whether `price` is billed by usage."""
    return bool(price["recurring"] and price["recurring"]["usage_type"] == "metered")


def price_of(db: Db, subscription: Record, item: Record) -> Record:
    """Return the price of a subscription item."""
    return db.need("price", subscription["_account"], item["price"])


def line(
    db: Db, subscription: Record, item: Record, price: Record, quantity: int, start: int, end: int
) -> Line:
    """Return the line of an item for a period, at its full price."""
    product = db.need("product", price["_account"], price["product"])
    amount = money.line_amount(price, quantity)
    return {
        "id": ids.new("line_item"),
        "amount": amount,
        "description": description(product, price, quantity),
        "metadata": dict(subscription["metadata"]),
        "period": {"start": start, "end": end},
        "price": price["id"],
        "product": product["id"],
        "quantity": quantity,
        "subscription_item": item["id"],
        "unit_amount_decimal": price["unit_amount_decimal"],
        "metered": is_metered(price),
    }


def description(product: Record, price: Record, quantity: int) -> str:
    """Return the text of a line, as Stripe words it."""
    interval, count = price["recurring"]["interval"], price["recurring"]["interval_count"]
    every = interval if count == 1 else f"{count} {interval}s"
    if price["billing_scheme"] == "tiered":
        return f"{quantity} × {product['name']} (Tier 1 at {_tier(price)} / {every})"
    unit = unit_display(price["unit_amount_decimal"], price["currency"])
    return f"{quantity} × {product['name']} (at {unit} / {every})"


def unit_display(unit_amount_decimal: str, currency: str) -> str:
    """Return a unit price for people with all its decimals, e.g. ``$0.0025``."""
    digits = money.exponent(currency)
    value = Decimal(unit_amount_decimal).scaleb(-digits)
    text = money.plain(value)
    shown = len(text.partition(".")[2])
    if shown < digits:
        text = f"{value:.{digits}f}"
    symbol = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥"}.get(currency)
    return symbol + text if symbol else f"{text} {currency.upper()}"


def _tier(price: Record) -> str:
    first = price["tiers"][0]["unit_amount_decimal"] or "0"
    return unit_display(first, price["currency"])


def licensed(db: Db, subscription: Record, *, following: bool = False) -> list[Line]:
    """Return the lines in advance for the items' present period, or the `following` one."""
    result = []
    for item in subscription["items"]:
        price = price_of(db, subscription, item)
        if is_metered(price):
            continue
        start, end = item["current_period_start"], item["current_period_end"]
        if following:
            start, end = end, period_end(subscription, price, end)
        found = line(db, subscription, item, price, item["quantity"], start, end)
        if subscription["status"] == "trialing" and not following:
            found.update(amount=0, description=_trial_text(db, found, price))
        result.append(found)
    return result


def _trial_text(db: Db, found: Line, price: Record) -> str:
    product = db.need("product", price["_account"], found["product"])
    return f"Trial period for {product['name']}"


def metered(db: Db, subscription: Record, *, until: int | None = None) -> list[Line]:
    """Return the lines in arrears for the items' present period, cut off at `until`."""
    result = []
    for item in subscription["items"]:
        price = price_of(db, subscription, item)
        if not is_metered(price):
            continue
        start, end = usage_start(item), until or item["current_period_end"]
        count = counted(db, subscription, price, start, end)
        result.append(line(db, subscription, item, price, count, start, end))
    return result


def usage_start(item: Record) -> int:
    """Return since when an item's usage is on its own price: a swap may come within a period."""
    return int(item.get("_from") or item["current_period_start"])


def counted(db: Db, subscription: Record, price: Record, start: int, end: int) -> int:
    """Return the usage that a metered price bills for a period."""
    meter = db.need("billing.meter", subscription["_account"], price["recurring"]["meter"])
    return usage.quantity(db, meter, subscription["customer"], start, end)


def recount(db: Db, subscription: Record, found: Line) -> None:
    """Bring a metered line of a draft up to date: late events count until finalization."""
    price = db.need("price", subscription["_account"], found["price"])
    product = db.need("product", price["_account"], found["product"])
    start, end = found["period"]["start"], found["period"]["end"]
    found["quantity"] = counted(db, subscription, price, start, end)
    found["amount"] = money.line_amount(price, found["quantity"])
    found["description"] = description(product, price, found["quantity"])


def ends_a_period(db: Db, subscription: Record, moment: int) -> bool:
    """Tell whether a present or later period of the subscription ends at `moment`."""
    item = subscription["items"][0]
    price, end = price_of(db, subscription, item), int(item["current_period_end"])
    while end < moment:
        end = period_end(subscription, price, end)
    return end == moment


def period_end(subscription: Record, price: Record, start: int) -> int:
    """Return the end of the period that begins at `start`."""
    recurring = price["recurring"]
    return periods.next_end(
        subscription["billing_cycle_anchor"],
        recurring["interval"],
        recurring["interval_count"],
        start,
    )
