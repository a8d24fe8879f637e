"""The questions' experiments. Each returns what was seen, in the words that `points` expects."""

from __future__ import annotations

import time
from typing import Any

from portal.cli.live_check.wire import Unsettled, Wire, verdict

_DAY = 86400
_WAIT_FOR_COUNTING = 60


def metered_first_invoice(wire: Wire) -> str:
    """See whether a subscription with usage only begins with an invoice over 0."""
    price, _meter, _name = wire.metered_price()
    subscription = wire.subscribe(wire.customer(), price)
    return "none" if subscription["latest_invoice"] is None else "an invoice"


def metered_cancel(wire: Wire) -> str:
    """See whether a cancellation without `invoice_now` invoices open usage."""
    price, meter, name = wire.metered_price()
    customer = wire.customer()
    subscription = wire.subscribe(customer, price)["id"]
    status, body = wire.use(name, customer, 7)
    if status != 200:
        raise Unsettled(verdict(status, body))
    _await_counting(wire, meter, customer)
    wire.delete(f"/v1/subscriptions/{subscription}")
    invoices = wire.get("/v1/invoices", subscription=subscription)["data"]
    return "invoiced" if any(each["total"] for each in invoices) else "not invoiced"


def _await_counting(wire: Wire, meter: str, customer: str) -> None:
    start = int(time.time()) // 60 * 60 - 300
    window = {"customer": customer, "start_time": start, "end_time": start + 900}
    deadline = time.monotonic() + _WAIT_FOR_COUNTING
    while time.monotonic() < deadline:
        found = wire.get(f"/v1/billing/meters/{meter}/event_summaries", **window)["data"]
        if any(each["aggregated_value"] for each in found):
            return
        time.sleep(2)
    raise Unsettled("the usage was not counted within a minute")


def duplicate_identifier(wire: Wire) -> str:
    """See what a second event with the same identifier is answered."""
    _meter, name = wire.meter()
    customer = wire.customer()
    wire.use(name, customer, 1, identifier=f"twice-{wire.tag}")
    return verdict(*wire.use(name, customer, 1, identifier=f"twice-{wire.tag}"))


def unknown_event_name(wire: Wire) -> str:
    """See what an event for a meter that does not exist is answered."""
    return verdict(*wire.use(f"sandbox_check_nobody_{wire.tag}", wire.customer(), 1))


def future_timestamp(wire: Wire) -> str:
    """See what an event of tomorrow is answered."""
    _meter, name = wire.meter()
    return verdict(*wire.use(name, wire.customer(), 1, timestamp=int(time.time()) + _DAY))


def old_timestamp(wire: Wire) -> str:
    """See what an event of 36 days ago is answered."""
    _meter, name = wire.meter()
    return verdict(*wire.use(name, wire.customer(), 1, timestamp=int(time.time()) - 36 * _DAY))


def _session(wire: Wire, price: str, **params: Any) -> str:
    line = {"line_items[0][price]": price, "line_items[0][quantity]": 1}
    wanted = {"mode": "subscription", "success_url": "https://example.com/", **line, **params}
    status, body = wire.call("POST", "/v1/checkout/sessions", **wanted)
    if status == 200:
        wire.later("POST", f"/v1/checkout/sessions/{body['id']}/expire")
    return verdict(status, body)


def expires_too_soon(wire: Wire) -> str:
    """See what a Checkout session of ten minutes is answered."""
    return _session(wire, wire.price(), expires_at=int(time.time()) + 600)


def inactive_price(wire: Wire) -> str:
    """See what a Checkout session for an archived price is answered."""
    price = wire.price()
    wire.post(f"/v1/prices/{price}", active="false")
    return _session(wire, price)


def archive_default_price(wire: Wire) -> str:
    """See whether the default price of a product may be archived."""
    product = wire.product()
    price = wire.price(product=product)
    status, body = wire.call("POST", f"/v1/products/{product}", default_price=price)
    if status != 200:
        return f"default_price: {verdict(status, body)}"
    return verdict(*wire.call("POST", f"/v1/prices/{price}", active="false"))


def preview_of_canceled(wire: Wire) -> str:
    """See what a preview for a cancelled subscription is answered."""
    subscription = wire.subscribe(wire.customer(), wire.price())["id"]
    wire.delete(f"/v1/subscriptions/{subscription}")
    return verdict(*wire.call("POST", "/v1/invoices/create_preview", subscription=subscription))


def authentication_events(wire: Wire) -> str:
    """See which events tell that a renewal needs 3-D Secure, in which order."""
    clock, _now = wire.clock()
    customer = wire.customer(clock)
    began = int(time.time()) - 5
    subscription = wire.subscribe(customer, wire.price())
    wire.use_card(customer, "pm_card_authenticationRequired")
    end = subscription["items"]["data"][0]["current_period_end"]
    wire.advance(clock, end + 2 * 3600)
    types = ("invoice.payment_action_required", "invoice.payment_failed")
    wanted = {f"types[{index}]": type for index, type in enumerate(types)}
    found = wire.get("/v1/events", **{"created[gte]": began, "limit": 100, **wanted})["data"]
    mine = [each for each in found if each["data"]["object"].get("customer") == customer]
    return ", ".join(each["type"].removeprefix("invoice.") for each in reversed(mine))


def half_a_unit(wire: Wire) -> str:
    """See how 1, 3 and 5 times half a cent are rounded."""
    price, customer = wire.price(unit_amount_decimal="0.5"), wire.customer()
    seen = []
    for quantity in (1, 3, 5):
        made = wire.subscribe(customer, price, **{"items[0][quantity]": quantity})
        invoice = wire.get(f"/v1/invoices/{made['latest_invoice']}")
        seen.append(str(invoice["lines"]["data"][0]["amount"]))
    return ", ".join(seen)


def usage_on_a_clock(wire: Wire) -> str:
    """See whether usage may be dated by a test clock that is 40 days ahead."""
    _meter, name = wire.meter()
    clock, now = wire.clock()
    customer = wire.customer(clock)
    wire.advance(clock, now + 40 * _DAY)
    return verdict(*wire.use(name, customer, 1, timestamp=now + 40 * _DAY))


def special_currency(wire: Wire, currency: str) -> str:
    """See whether a fraction of a currency without cents in daily life is refused."""
    wanted = {"currency": currency, "recurring[interval]": "month", "unit_amount": "100050"}
    return verdict(*wire.call("POST", "/v1/prices", product=wire.product(), **wanted))


def same_price_twice(wire: Wire) -> str:
    """See whether a subscription may hold one price twice."""
    price = wire.price()
    items = {"items[0][price]": price, "items[1][price]": price}
    return verdict(*wire.call("POST", "/v1/subscriptions", customer=wire.customer(), **items))


def attach_again(wire: Wire) -> str:
    """See what attaching a card to its own customer again is answered."""
    customer = wire.customer()
    method = wire.get(f"/v1/customers/{customer}/payment_methods")["data"][0]["id"]
    path = f"/v1/payment_methods/{method}/attach"
    return verdict(*wire.call("POST", path, customer=customer))


def listing_of_nobody(wire: Wire) -> str:
    """See what a listing for a customer that does not exist is answered."""
    return verdict(*wire.call("GET", "/v1/invoices", customer="cus_nobody"))


def preview_for_another(wire: Wire) -> str:
    """See what a preview is answered that names another customer than the subscription's."""
    subscription = wire.subscribe(wire.customer(), wire.price())["id"]
    wanted = {"customer": wire.customer(), "subscription": subscription}
    return verdict(*wire.call("POST", "/v1/invoices/create_preview", **wanted))


def unheard_of_type(wire: Wire) -> str:
    """See what a listing of events of a type that does not exist is answered."""
    return verdict(*wire.call("GET", "/v1/events", type="nothing.happened"))


def two_currencies(wire: Wire) -> str:
    """See whether a customer may have subscriptions in two currencies."""
    customer = wire.customer()
    wire.subscribe(customer, wire.price())
    other = {"customer": customer, "items[0][price]": wire.price(currency="eur")}
    return verdict(*wire.call("POST", "/v1/subscriptions", **other))
