"""What a change inside a period costs: credit for unused time, the remaining time of what is new.

Counted by the second, and rounded once for each line, as any line is. Usage of a metered item that
ends or changes its price is billed up to that moment, whatever is said about prorating.
https://docs.stripe.com/billing/subscriptions/prorations
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

from portal.sandbox import ids, money
from portal.sandbox.engine import lines
from portal.sandbox.engine.lines import Line
from portal.sandbox.store import Db, Record

Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """What shall be different: all items as they will be, and how time is paid for.

    `moment` is the second that time is counted from; with `reset` a new period begins now.
    """

    items: list[Item]
    behaviour: str
    moment: int
    reset: bool = False


@dataclass(slots=True)
class Effect:
    """The lines that a change makes; `at_once` says that they are on an invoice of their own."""

    lines: list[Line] = field(default_factory=list)
    at_once: bool = False


def apply(db: Db, subscription: Record, change: Change, *, now: int) -> Effect:
    """Change the items of a subscription and return what that costs; nothing is stored.

    During a trial nothing is paid for, so that nothing is credited either.
    """
    before = copy.deepcopy(subscription["items"])
    paying = subscription["status"] != "trialing"
    effect = Effect(at_once=paying and (change.reset or change.behaviour == "always_invoice"))
    kept = {item["id"]: item for item in change.items}
    for old in before:
        new = kept.get(old["id"])
        if paying and (change.reset or new is None or _differs(old, new)):
            effect.lines += _leaving(db, subscription, old, new, change, now=now)
    _settle_items(db, subscription, before, change, now=now)
    known = {item["id"]: item for item in before}
    for item in subscription["items"]:
        old_item = known.get(item["id"])
        if paying and (change.reset or old_item is None or _differs(old_item, item)):
            effect.lines += _arriving(db, subscription, item, change)
    return effect


def _differs(old: Item, new: Item) -> bool:
    return bool((old["price"], old["quantity"]) != (new["price"], new["quantity"]))


def _settle_items(
    db: Db, subscription: Record, before: list[Item], change: Change, *, now: int
) -> None:
    """Put the new items in place, with their periods."""
    period = before[0]["current_period_start"], before[0]["current_period_end"]
    known = {item["id"]: item for item in before}
    subscription["items"] = change.items
    first = lines.price_of(db, subscription, change.items[0])
    if change.reset:
        subscription["billing_cycle_anchor"] = now
        subscription["_rhythm"] = "{interval} {interval_count}".format(**first["recurring"])
        period = now, lines.period_end(subscription, first, now)
    for item in change.items:
        old = known.get(item["id"])
        if change.reset:
            item.pop("_from", None)
        elif old is None or old["price"] != item["price"]:
            item["_from"] = now
        item["current_period_start"], item["current_period_end"] = period


def _leaving(
    db: Db, subscription: Record, old: Item, new: Item | None, change: Change, *, now: int
) -> list[Line]:
    price = lines.price_of(db, subscription, old)
    if lines.is_metered(price):
        same = new is not None and new["price"] == old["price"] and not change.reset
        if same:
            return []
        start = lines.usage_start(old)
        count = lines.counted(db, subscription, price, start, now)
        return [lines.line(db, subscription, old, price, count, start, now)]
    if change.behaviour == "none":
        return []
    return [_part(db, subscription, old, price, change.moment, -1)]


def _arriving(db: Db, subscription: Record, item: Item, change: Change) -> list[Line]:
    price = lines.price_of(db, subscription, item)
    if lines.is_metered(price):
        return []
    if change.reset:
        start, end = item["current_period_start"], item["current_period_end"]
        return [lines.line(db, subscription, item, price, item["quantity"], start, end)]
    if change.behaviour == "none":
        return []
    return [_part(db, subscription, item, price, change.moment, 1)]


def credits(db: Db, subscription: Record, *, now: int) -> list[Line]:
    """Return the credit for the unused time of everything that was paid in advance."""
    if subscription["status"] == "trialing":
        return []
    found = [(item, lines.price_of(db, subscription, item)) for item in subscription["items"]]
    return [
        _part(db, subscription, item, price, now, -1)
        for item, price in found
        if not lines.is_metered(price)
    ]


def _part(db: Db, subscription: Record, item: Item, price: Record, moment: int, sign: int) -> Line:
    """Return the line for the time of an item's period from `moment` on."""
    start, end = item["current_period_start"], item["current_period_end"]
    product = db.need("product", price["_account"], price["product"])
    share = Fraction(max(end - moment, 0), max(end - start, 1))
    full = money.line_amount(price, item["quantity"])
    words = "Unused time on" if sign < 0 else "Remaining time on"
    day = datetime.fromtimestamp(moment, UTC)
    shown = f"{day:%d %b %Y}"
    line = lines.line(db, subscription, item, price, item["quantity"], moment, end)
    return {
        **line,
        "amount": money.rounded(sign * full * share, price["currency"]),
        "description": f"{words} {item['quantity']} × {product['name']} after {shown}",
        "proration": True,
        "invoice_item": "ii_1" + ids.random_text(23),
    }
