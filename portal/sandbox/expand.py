"""`expand[]`: ids replaced by the objects that they name, and parts shown only on request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from portal.sandbox.errors import invalid
from portal.sandbox.serializers import discounts, render, sessions
from portal.sandbox.serializers.base import listing
from portal.sandbox.store import Db, Record

Json = dict[str, Any]
_DEPTH = 4

# (object, path of the id inside it) → the kind of object behind the id
_IDS = {
    ("billing_portal.session", "configuration"): "billing_portal.configuration",
    ("application_fee", "balance_transaction"): "balance_transaction",
    ("balance_transaction", "source"): "charge",
    ("promotion_code", "promotion.coupon"): "coupon",
    ("charge", "balance_transaction"): "balance_transaction",
    ("charge", "customer"): "customer",
    ("charge", "payment_intent"): "payment_intent",
    ("checkout.session", "customer"): "customer",
    ("checkout.session", "invoice"): "invoice",
    ("checkout.session", "subscription"): "subscription",
    ("customer", "invoice_settings.default_payment_method"): "payment_method",
    ("invoice", "customer"): "customer",
    ("invoice", "default_payment_method"): "payment_method",
    ("invoice", "parent.subscription_details.subscription"): "subscription",
    ("invoice_payment", "invoice"): "invoice",
    ("invoice_payment", "payment.payment_intent"): "payment_intent",
    ("line_item", "pricing.price_details.price"): "price",
    ("line_item", "subscription"): "subscription",
    ("payment_intent", "customer"): "customer",
    ("payment_intent", "latest_charge"): "charge",
    ("payment_intent", "payment_method"): "payment_method",
    ("payment_method", "customer"): "customer",
    ("price", "product"): "product",
    ("product", "default_price"): "price",
    ("refund", "balance_transaction"): "balance_transaction",
    ("refund", "charge"): "charge",
    ("refund", "payment_intent"): "payment_intent",
    ("subscription", "customer"): "customer",
    ("subscription", "default_payment_method"): "payment_method",
    ("subscription", "latest_invoice"): "invoice",
}

_SOURCE = ("balance_transaction", "source")
_SOURCES = {"re": "refund", "fee": "application_fee"}


def _line_items(db: Db, record: Record) -> Json:
    items = [sessions.render_item(db, record, item) for item in record["_items"]]
    return listing(items, f"/v1/checkout/sessions/{record['id']}/line_items")


def _payments(db: Db, record: Record) -> Json:
    found = db.select("invoice_payment", record["_account"], ("parent = ?", record["id"]))
    return listing([render(db, payment) for payment in found[::-1]], "/v1/invoice_payments")


def _confirmation(db: Db, record: Record) -> Json | None:
    if "_intent" not in record:
        return None
    intent = db.need("payment_intent", record["_account"], record["_intent"])
    return {"client_secret": intent["client_secret"], "type": "payment_intent"}


def _tiers(_db: Db, record: Record) -> Any:
    return record.get("tiers")


def _discounts(_db: Db, record: Record) -> list[Json]:
    found = record.get("_discount")
    return [discounts.render_discount(record, found)] if found else []


def _subscriptions(db: Db, record: Record) -> Json:
    found = db.select("subscription", record["_account"], ("customer = ?", record["id"]))
    running = [render(db, each) for each in reversed(found) if each["status"] != "canceled"]
    url = f"/v1/customers/{record['id']}/subscriptions"
    return listing(running[:10], url, has_more=len(running) > 10)


_PARTS: dict[tuple[str, str], Callable[[Db, Record], Any]] = {
    ("checkout.session", "line_items"): _line_items,
    ("customer", "subscriptions"): _subscriptions,
    ("invoice", "discounts"): _discounts,
    ("subscription", "discounts"): _discounts,
    ("invoice", "confirmation_secret"): _confirmation,
    ("invoice", "payments"): _payments,
    ("price", "tiers"): _tiers,
}
#: What Stripe's document does not let be null: a price without tiers has no such key.
_LEFT_OUT = frozenset({("price", "tiers")})


def apply(db: Db, account: str, result: Json, paths: list[str]) -> Json:
    """Expand `result` in place as asked and return it.

    :raise StripeError: for a path that can't be expanded or is deeper than four levels
    """
    for path in paths:
        steps = path.split(".")
        if len(steps) > _DEPTH + (steps[0] == "data"):
            raise invalid(
                f"You cannot expand more than {_DEPTH} levels of a property (tried {path}).",
                "expand",
            )
        _walk(db, account, result, steps, path)
    return result


def _walk(db: Db, account: str, node: Json, steps: list[str], path: str) -> None:
    """Follow `steps` from an object or a list of objects."""
    if node["object"] == "list":
        if not steps or steps[0] != "data":
            raise _cannot(path)
        for entry in node["data"]:
            if len(steps) > 1:
                _walk(db, account, entry, steps[1:], path)
        return
    for length in range(len(steps), 0, -1):
        inner = ".".join(steps[:length])
        if _open(db, account, node, inner):
            _enter(db, account, node, inner, steps[length:], path)
            return
    child = node.get(steps[0])
    if isinstance(child, dict) and "object" in child and len(steps) > 1:
        _walk(db, account, child, steps[1:], path)
        return
    raise _cannot(path)


def _cannot(path: str) -> Exception:
    last = path.split(".")[-1]
    return invalid(f"This property cannot be expanded ({last}).", "expand")


def _open(db: Db, account: str, node: Json, inner: str) -> bool:
    """Expand one property of an object; tell whether it is one that can be."""
    key = (node["object"], inner)
    if key in _PARTS:
        record = db.get(node["object"], account, node["id"])
        part = None if record is None else _PARTS[key](db, record)
        if part is not None or key not in _LEFT_OUT:
            node[inner] = part
        return True
    if key not in _IDS:
        return False
    owner = _owner(node, inner)
    name = inner.rpartition(".")[2]
    if owner is not None and isinstance(owner.get(name), str):
        record = db.get(_kind(key, owner[name]), account, owner[name])
        if record is not None:
            owner[name] = render(db, record)
    return True


def _kind(key: tuple[str, str], id: str) -> str:
    """Return what kind of object an id names; behind a balance transaction are several."""
    return _SOURCES.get(id.split("_")[0], _IDS[key]) if key == _SOURCE else _IDS[key]


def _owner(node: Json, inner: str) -> Json | None:
    owner: Any = node
    for step in inner.split(".")[:-1]:
        owner = owner.get(step) if isinstance(owner, dict) else None
    return owner if isinstance(owner, dict) else None


def _enter(db: Db, account: str, node: Json, inner: str, rest: list[str], path: str) -> None:
    if not rest:
        return
    owner = _owner(node, inner)
    child = owner.get(inner.rpartition(".")[2]) if owner else None
    if isinstance(child, dict) and "object" in child:
        _walk(db, account, child, rest, path)
