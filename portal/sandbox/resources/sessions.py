"""Checkout Sessions for subscriptions."""

from __future__ import annotations

from typing import Any

from portal.sandbox import ids, money
from portal.sandbox.call import Call, Json, operation
from portal.sandbox.engine import checkout, clocks, lines, onboarding
from portal.sandbox.errors import invalid, missing_param, unsupported
from portal.sandbox.resources import common, coupons, trials
from portal.sandbox.serializers.base import listing
from portal.sandbox.serializers.sessions import render_item
from portal.sandbox.store import Record

_SHORTEST, _LONGEST = 1800, 86400
_MOST_ITEMS = 20
_MODELLED: dict[str, object] = {
    "mode": "subscription",
    "ui_mode": "hosted_page",
    "payment_method_collection": "always",
    "payment_method_types": ["card"],
}


@operation(
    "PostCheckoutSessions",
    "mode customer customer_email client_reference_id success_url cancel_url expires_at metadata"
    " line_items.price line_items.quantity payment_method_types payment_method_collection ui_mode"
    " currency locale subscription_data.metadata subscription_data.description"
    " subscription_data.application_fee_percent subscription_data.billing_mode.type"
    " subscription_data.trial_end subscription_data.trial_period_days"
    " subscription_data.trial_settings.end_behavior discounts.coupon discounts.promotion_code"
    " allow_promotion_codes",
)
def create(call: Call) -> Json:
    """Open a session whose page a customer pays on."""
    params = call.params
    _check_shape(call)
    items, currency = _items(call)
    customer = _payer(call, currency)
    _check_trial(call, items)
    discount = _discount(call, currency)
    session: Record = {
        "id": ids.new("checkout.session"),
        "object": "checkout.session",
        "_account": call.account,
        "_clock": (customer or {}).get("_clock"),
        "_items": items,
        "_subscription_data": params.get("subscription_data") or {},
        "status": "open",
        "allow_promotion_codes": params.get("allow_promotion_codes"),
        "amount_subtotal": sum(item["amount"] for item in items),
        "cancel_url": params.get("cancel_url"),
        "client_reference_id": params.get("client_reference_id"),
        "created": call.now,
        "currency": currency,
        "customer": customer["id"] if customer else None,
        "customer_creation": None if customer else "always",
        "customer_details": _details(customer, params.get("customer_email")),
        "customer_email": params.get("customer_email"),
        "expires_at": _expires_at(call),
        "locale": params.get("locale"),
        "metadata": {},
        "payment_method_collection": params.get("payment_method_collection", "always"),
        "payment_method_types": ["card"],
        "subscription": None,
        "success_url": params["success_url"],
    }
    common.merge_metadata(session, params)
    session["_due_at"] = session["expires_at"]
    checkout.discount(session, discount)
    _check_total(session["amount_total"], currency)
    call.db.insert(session)
    return common.show(call, session)


def _discount(call: Call, currency: str) -> tuple[Record, Record | None] | None:
    if "discounts" in call.params and "allow_promotion_codes" in call.params:
        raise invalid(
            "You may only specify one of these parameters: allow_promotion_codes, discounts.",
            "discounts",
        )
    found = coupons.wanted(call, currency)
    data = call.params.get("subscription_data") or {}
    trial = data.get("trial_period_days") or data.get("trial_end")
    if trial and (call.params.get("allow_promotion_codes") or found):
        raise unsupported("a discount with a trial at Checkout", "discounts")
    return found


def _payer(call: Call, currency: str) -> Record | None:
    named = "customer" in call.params
    customer = common.from_param(call, "customer", "customer") if named else None
    _check_customer(customer, currency)
    if customer and not call.settings.unlimited_clocks:
        clocks.check_subscriptions(call.db, customer)
    return customer


def _check_shape(call: Call) -> None:
    """Refuse what a hosted subscription session can't be."""
    params = call.params
    for name in ("mode", "line_items", "success_url"):
        if not params.get(name):
            raise missing_param(name)
    for name, modelled in _MODELLED.items():
        if params.get(name, modelled) != modelled:
            raise unsupported(f"{name}={params[name]}", name)
    if "customer" in params and "customer_email" in params:
        raise invalid(
            "You may only specify one of these parameters: customer, customer_email.",
            "customer_email",
        )
    common.check_email(params.get("customer_email"), "customer_email")
    for name in ("success_url", "cancel_url"):
        if name in params:
            common.check_url(params[name], name)
    onboarding.check_can_charge(call.db, call.account)
    _check_data(params.get("subscription_data") or {})


def _check_trial(call: Call, items: list[Json]) -> None:
    """Ask for nothing now where a trial comes first."""
    data = call.params.get("subscription_data") or {}
    if trials.end(data, now=call.now, least=2 * _LONGEST, prefix="subscription_data") is None:
        return
    for item in items:
        item["amount"] = 0


def _check_total(total: int, currency: str) -> None:
    least = money.minimum_charge(currency)
    if 0 < total < least:
        raise invalid(
            "The Checkout Session's total amount due must add up to at least"
            f" {money.display(least, currency)} {currency}",
            code="amount_too_small",
        )
    if total > money.MAXIMUM_AMOUNT:
        raise invalid("Amount must be no more than $999,999.99", code="amount_too_large")


def _check_data(data: Json) -> None:
    if (data.get("billing_mode") or {}).get("type", "flexible") != "flexible":
        raise unsupported("billing_mode=classic", "subscription_data[billing_mode][type]")
    data["application_fee_percent"] = fee_percent(data, "subscription_data")


def fee_percent(data: Json, prefix: str = "") -> float | None:
    """Return the platform's share in per cent, if one is asked for.

    :raise StripeError: 400 unless it is between 0 and 100, with at most two decimals
    """
    fee = data.get("application_fee_percent")
    if fee in (None, ""):
        return None
    if not 0 <= fee <= 100 or fee != round(fee, 2):
        name = "application_fee_percent"
        raise invalid(
            "Application fee percent must be between 0 and 100, with at most two decimals.",
            f"{prefix}[{name}]" if prefix else name,
        )
    return float(fee)


def _check_customer(customer: Record | None, currency: str) -> None:
    if customer and customer["currency"] not in (None, currency):
        raise invalid(
            "You cannot combine currencies on a single customer. This customer has had a"
            f" subscription, coupon, or invoice item with currency {customer['currency']}"
        )


def _details(customer: Record | None, email: str | None) -> Json | None:
    if customer is None and email is None:
        return None
    return {
        "address": None,
        "business_name": None,
        "email": customer["email"] if customer else email,
        "individual_name": None,
        "name": None,
        "phone": None,
        "tax_exempt": "none",
        "tax_ids": None,
    }


def _expires_at(call: Call) -> int:
    wanted = int(call.params.get("expires_at", call.now + _LONGEST))
    if wanted < call.now + _SHORTEST:
        raise invalid(
            "The `expires_at` timestamp must be at least 30 minutes from Checkout Session"
            " creation.",
            "expires_at",
        )
    if wanted > call.now + _LONGEST:
        raise invalid(
            "The `expires_at` timestamp must be less than 24 hours from Checkout Session creation.",
            "expires_at",
        )
    return wanted


def _items(call: Call) -> tuple[list[Json], str]:
    wanted = call.params["line_items"]
    if len(wanted) > _MOST_ITEMS:
        raise invalid(f"You can specify at most {_MOST_ITEMS} recurring line items.", "line_items")
    items, currency, rhythm = [], None, None
    for index, entry in enumerate(wanted):
        price = _price(call, entry, index)
        recurring = price["recurring"]
        if currency not in (None, price["currency"]):
            raise invalid("All prices on a Checkout Session must be in the same currency.",
                          "line_items")  # fmt: skip
        if rhythm not in (None, (recurring["interval"], recurring["interval_count"])):
            raise unsupported("a session with different billing intervals", "line_items")
        currency = price["currency"]
        rhythm = (recurring["interval"], recurring["interval_count"])
        items.append(_item(call, price, entry))
    check_different([item["price"] for item in items], "line_items")
    check_currency(call, str(currency))
    return items, str(currency)


def _price(call: Call, entry: Json, index: int) -> Record:
    where = f"line_items[{index}]"
    if not entry.get("price"):
        raise missing_param(f"{where}[price]")
    price = common.from_param(call, "price", f"{where}[price]", entry["price"])
    product = call.db.need("product", call.account, price["product"])
    check_sellable(price, product, f"{where}[price]")
    metered = lines.is_metered(price)
    if metered and "quantity" in entry:
        raise invalid(
            "Quantity should not be specified where usage_type is `metered`. Remove quantity"
            f" from `{where}`",
            f"{where}[quantity]",
        )
    if not metered and "quantity" not in entry:
        raise invalid(f"Quantity is required. Add `quantity` to `{where}`", f"{where}[quantity]")
    if not metered and not 0 < entry["quantity"] <= 999_999:
        raise invalid(
            "This value must be greater than or equal to 1.", f"{where}[quantity]",
            "parameter_invalid_integer",
        )  # fmt: skip
    return price


def check_different(prices: list[str], param: str) -> None:
    """Refuse to bill one price twice, or more than a subscription can hold.

    :raise StripeError: 400
    """
    if len(prices) > _MOST_ITEMS:
        raise invalid(f"A subscription can have at most {_MOST_ITEMS} items.", param)
    if len(set(prices)) < len(prices):
        raise invalid("Cannot add multiple subscription items with the same price.", param)


def check_currency(call: Call, currency: str) -> None:
    """Refuse a `currency` that is not the one of the prices.

    :raise StripeError: 400
    """
    asked = call.params.get("currency")
    if asked and asked.lower() != currency:
        raise invalid(
            f"The price specified only supports `{currency}`. This doesn't match the expected"
            f" currency: `{asked.lower()}`.",
            "currency",
        )


def check_sellable(price: Record, product: Record, param: str) -> None:
    """Refuse an archived price or product.

    :raise StripeError: 400
    """
    if not price["active"]:
        raise invalid(
            "The price specified is inactive. This field only accepts active prices.", param,
            "price_inactive",
        )  # fmt: skip
    if not product["active"]:
        raise invalid(
            f"The product {product['id']} is not active. This field only accepts prices of active"
            " products.",
            param,
            "product_inactive",
        )


def _item(call: Call, price: Record, entry: Json) -> Json:
    quantity = None if lines.is_metered(price) else int(entry["quantity"])
    product = call.db.need("product", call.account, price["product"])
    return {
        "id": ids.new("item"),
        "amount": money.line_amount(price, quantity or 0) if quantity else 0,
        "description": product["name"],
        "price": price["id"],
        "quantity": quantity,
    }


@operation("GetCheckoutSessionsSession")
def retrieve(call: Call) -> Json:
    """Return one session."""
    return common.show(call, common.from_path(call, "checkout.session"))


@operation("PostCheckoutSessionsSession", "metadata")
def update(call: Call) -> Json:
    """Change a session's metadata."""
    session = common.from_path(call, "checkout.session")
    common.merge_metadata(session, call.params)
    call.db.save(session)
    return common.show(call, session)


@operation("PostCheckoutSessionsSessionExpire")
def expire(call: Call) -> Json:
    """Expire an open session."""
    session = common.from_path(call, "checkout.session")
    if session["status"] != "open":
        raise invalid(
            'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout Session'
            f" has a status of `{session['status']}`."
        )
    return common.show(call, checkout.expire(call.db, session, now=call.now))


@operation("GetCheckoutSessions", "customer status subscription created", listing=True)
def index(call: Call) -> Json:
    """List sessions."""
    filters = common.equal(call, customer="customer", status="status", subscription="subscription")
    return common.page(call, "checkout.session", filters, "/v1/checkout/sessions")


@operation("GetCheckoutSessionsSessionLineItems", listing=True)
def line_items(call: Call) -> Json:
    """List what a session sells."""
    session = common.from_path(call, "checkout.session")
    if "starting_after" in call.params or "ending_before" in call.params:
        raise unsupported("paging through line items with a cursor", "starting_after")
    limit = common.limits(call)
    items: list[Any] = [render_item(call.db, session, item) for item in session["_items"]]
    url = f"/v1/checkout/sessions/{session['id']}/line_items"
    return listing(items[:limit], url, has_more=len(items) > limit)
