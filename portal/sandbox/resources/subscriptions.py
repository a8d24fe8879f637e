"""Subscriptions and their items."""

from __future__ import annotations

from portal.sandbox import events
from portal.sandbox.call import Call, Json, operation
from portal.sandbox.engine import changes, clocks, discounts, invoices, lines, methods, onboarding
from portal.sandbox.engine import subscriptions as engine
from portal.sandbox.engine.moments import max_period_end
from portal.sandbox.engine.prorations import Change
from portal.sandbox.engine.results import PayResult
from portal.sandbox.errors import StripeError, invalid, missing_param, not_found, unsupported
from portal.sandbox.resources import common, coupons, plan_changes, trials
from portal.sandbox.resources.payment_methods import virtual
from portal.sandbox.resources.sessions import (
    check_currency,
    check_different,
    check_sellable,
    fee_percent,
)
from portal.sandbox.serializers.base import listing
from portal.sandbox.serializers.subscriptions import render_item
from portal.sandbox.store import Filter, Record

_ENDED = ("canceled", "incomplete_expired")
_HAS_PRICE = (
    "EXISTS (SELECT 1 FROM json_each(body, '$.items') each"
    " WHERE json_extract(each.value, '$.price') = ?)"
)


@operation(
    "PostSubscriptions",
    "customer items.price items.quantity items.metadata default_payment_method metadata"
    " description payment_behavior off_session collection_method cancel_at_period_end currency"
    " billing_mode.type trial_end trial_period_days trial_settings.end_behavior"
    " discounts.coupon discounts.promotion_code application_fee_percent",
)
def create(call: Call) -> Json:
    """Start a subscription and collect its first invoice from a saved card."""
    params = call.params
    for name in ("customer", "items"):
        if not params.get(name):
            raise missing_param(name)
    customer = common.from_param(call, "customer", "customer")
    if not call.settings.unlimited_clocks:
        clocks.check_subscriptions(call.db, customer)
    items = _items(call, customer)
    onboarding.check_can_charge(call.db, call.account)
    _check_modes(params)
    trial_end = trials.end(params, now=call.now)
    method = _method(call, customer, trial=trial_end is not None)
    discount = _discount(call, items, trial=trial_end is not None)
    subscription = engine.build(
        call.db,
        call.account,
        customer,
        items,
        now=call.now,
        metadata=params.get("metadata") or {},
        default_payment_method=method["id"] if method else None,
        description=params.get("description"),
        application_fee_percent=fee_percent(params),
        trial_end=trial_end,
    )
    if discount is not None:
        owner = {"subscription": subscription["id"]}
        subscription["_discount"] = discounts.begin(call.db, *discount, now=call.now, **owner)
    if params.get("cancel_at_period_end"):
        end = max_period_end(subscription)
        subscription.update(cancel_at_period_end=True, cancel_at=end, canceled_at=call.now)
    invoice = engine.first_invoice(call.db, subscription, now=call.now)
    result = _collect_first(call, subscription, invoice)
    subscription = call.db.need("subscription", call.account, subscription["id"])
    if result is not None and result.kind != "paid":
        _refuse_if_asked(call, result)
    return common.show(call, subscription)


def _discount(call: Call, items: list[Json], *, trial: bool) -> tuple[Record, Record | None] | None:
    price = call.db.need("price", call.account, items[0]["price"])
    found = coupons.wanted(call, price["currency"])
    if found is not None and trial and found[0]["duration"] == "once":
        raise unsupported("a coupon for one invoice with a trial", "discounts[0]")
    return found


def _collect_first(call: Call, subscription: Record, invoice: Record | None) -> PayResult | None:
    if invoice is None:
        engine.announce(call.db, subscription, now=call.now)
        return None
    if invoice["amount_due"]:
        engine.await_payment(subscription, now=call.now)
    engine.announce(call.db, subscription, now=call.now)
    invoices.finalize(call.db, invoice, now=call.now)
    if invoice["status"] != "open" or call.params.get("payment_behavior") == "default_incomplete":
        return None
    return invoices.collect(call.db, invoice, now=call.now)


def _refuse_if_asked(call: Call, result: PayResult) -> None:
    if call.params.get("payment_behavior") != "error_if_incomplete":
        return
    raise StripeError(
        402,
        result.message,
        type="card_error",
        code=result.code,
        decline_code=result.decline_code,
    )


def _check_modes(params: Json) -> None:
    if params.get("collection_method", "charge_automatically") != "charge_automatically":
        raise unsupported("collection_method=send_invoice", "collection_method")
    if params.get("payment_behavior") == "pending_if_incomplete":
        raise unsupported("payment_behavior=pending_if_incomplete", "payment_behavior")
    if (params.get("billing_mode") or {}).get("type", "flexible") != "flexible":
        raise unsupported("billing_mode=classic", "billing_mode[type]")


def _method(call: Call, customer: Record, *, trial: bool) -> Record | None:
    if "default_payment_method" in call.params:
        method = virtual(call, call.params["default_payment_method"], "default_payment_method")
        if method["customer"] != customer["id"]:
            raise invalid(
                "The customer does not have a payment method with the ID"
                f" {method['id']}. The payment method must be attached to the customer.",
                "default_payment_method",
                "resource_missing",
            )
        return method
    if (
        methods.default_for(call.db, call.account, None, customer) is None
        and call.params.get("payment_behavior") != "default_incomplete"
        and not trial
    ):
        raise StripeError(
            400,
            "This customer has no attached payment source or default payment method. Please"
            " consider adding a default payment method.",
            code="resource_missing",
        )
    return None


def _items(call: Call, customer: Record) -> list[Json]:
    items: list[Json] = []
    currency, rhythm = customer["currency"], None
    for index, entry in enumerate(call.params["items"]):
        where = f"items[{index}]"
        if not entry.get("price"):
            raise missing_param(f"{where}[price]")
        price = common.from_param(call, "price", f"{where}[price]", entry["price"])
        product = call.db.need("product", call.account, price["product"])
        check_sellable(price, product, f"{where}[price]")
        recurring = (price["recurring"]["interval"], price["recurring"]["interval_count"])
        if currency not in (None, price["currency"]):
            raise invalid(
                "You cannot combine currencies on a single customer. This customer has had a"
                f" subscription, coupon, or invoice item with currency {currency}"
            )
        if rhythm not in (None, recurring):
            raise unsupported("a subscription with different billing intervals", where)
        currency, rhythm = price["currency"], recurring
        items.append({**entry, "quantity": _quantity(price, entry, where)})
    check_different([item["price"] for item in items], "items")
    check_currency(call, str(currency))
    return items


def _quantity(price: Record, entry: Json, where: str) -> int | None:
    if lines.is_metered(price):
        if "quantity" in entry:
            raise invalid("You cannot set the quantity for metered plans.", f"{where}[quantity]")
        return None
    return plan_changes.check_quantity(int(entry.get("quantity", 1)), f"{where}[quantity]")


@operation("GetSubscriptionsSubscriptionExposedId")
def retrieve(call: Call) -> Json:
    """Return one subscription, ended ones too."""
    return common.show(call, common.from_path(call, "subscription"))


def _living(call: Call) -> Record:
    subscription = common.from_path(call, "subscription")
    if subscription["status"] in _ENDED:
        raise not_found("subscription", subscription["id"])
    return subscription


@operation(
    "PostSubscriptionsSubscriptionExposedId",
    "metadata description default_payment_method cancel_at cancel_at_period_end"
    " cancellation_details proration_behavior proration_date billing_cycle_anchor payment_behavior"
    " items.id items.price items.quantity items.deleted items.metadata off_session",
)
def update(call: Call) -> Json:
    """Change a subscription, or schedule its end or take that back."""
    subscription, params = _living(call), call.params
    if "cancel_at" in params and "cancel_at_period_end" in params:
        raise invalid(
            "You may only specify one of these parameters: cancel_at, cancel_at_period_end.",
            "cancel_at",
        )
    wanted = plan_changes.read(call, subscription, params)
    _check_prorating(params, wanted is not None)
    with events.changing(call.db, subscription, engine.UPDATED, now=call.now):
        common.merge_metadata(subscription, params)
        common.assign(subscription, params, "description")
        if "default_payment_method" in params:
            method = params["default_payment_method"]
            subscription["default_payment_method"] = method and _own(call, subscription, method)
    if wanted is not None:
        subscription = _change(call, subscription, wanted)
    _schedule(call, subscription)
    return common.show(call, subscription)


def _check_prorating(params: Json, changing: bool) -> None:
    """Refuse words about a change where nothing changes, and ends that would be prorated."""
    for name in ("proration_behavior", "proration_date"):
        if name in params and not changing and "cancel_at" not in params:
            raise unsupported(f"{name} without a change of items", name)
    wanted = params.get("payment_behavior", "allow_incomplete")
    if wanted not in ("allow_incomplete", "error_if_incomplete"):
        raise unsupported(f"payment_behavior={wanted}", "payment_behavior")


def _change(call: Call, subscription: Record, wanted: Change) -> Record:
    result = changes.change(call.db, subscription, wanted, now=call.now)
    if result is not None and result.kind != "paid":
        _refuse_if_asked(call, result)
    return call.db.need("subscription", call.account, subscription["id"])


def _own(call: Call, subscription: Record, wanted: str) -> str:
    method = common.from_param(call, "payment_method", "default_payment_method", wanted)
    if method["customer"] != subscription["customer"]:
        raise invalid(
            f"The customer does not have a payment method with the ID {wanted}. The payment method"
            " must be attached to the customer.",
            "default_payment_method",
            "resource_missing",
        )
    return str(method["id"])


def _schedule(call: Call, subscription: Record) -> None:
    params = call.params
    details = params.get("cancellation_details") or {}
    words = {"comment": details.get("comment"), "feedback": details.get("feedback")}
    if params.get("cancel_at_period_end") is True:
        if not subscription["cancel_at_period_end"]:
            engine.schedule_cancel(call.db, subscription, now=call.now, **words)
    elif params.get("cancel_at_period_end") is False or params.get("cancel_at") == "":
        if subscription["cancel_at"] is not None:
            engine.unschedule_cancel(call.db, subscription, now=call.now)
    elif "cancel_at" not in params:
        _explain(call, subscription, details)
    else:
        at = _end(call, subscription)
        engine.schedule_cancel(call.db, subscription, now=call.now, at=at, **words)


def _explain(call: Call, subscription: Record, details: Json) -> None:
    """Change the words about an end that is planned already."""
    if not details:
        return
    if subscription["cancel_at"] is None:
        raise unsupported("explaining an end that is not planned", "cancellation_details")
    with events.changing(call.db, subscription, engine.UPDATED, now=call.now):
        words = {name: word or None for name, word in details.items()}
        subscription["cancellation_details"] = {**subscription["cancellation_details"], **words}


def _end(call: Call, subscription: Record) -> int:
    """Return the moment that `cancel_at` asks for.

    An end inside a period would be prorated: it is taken only where there is nothing to prorate
    (usage), or where `proration_behavior=none` says not to.
    """
    wanted, natural = call.params["cancel_at"], max_period_end(subscription)
    if wanted in (natural, "max_period_end", "min_period_end"):
        return natural
    at = int(wanted)
    if at <= call.now:
        raise invalid("`cancel_at` must be a timestamp in the future.", "cancel_at")
    waived = call.params.get("proration_behavior") == "none"
    clean = waived or not lines.licensed(call.db, subscription)
    if not clean and not lines.ends_a_period(call.db, subscription, at):
        raise unsupported("prorating a cancel_at inside a period", "cancel_at")
    return at


@operation("DeleteSubscriptionsSubscriptionExposedId", "invoice_now prorate cancellation_details")
def cancel(call: Call) -> Json:
    """Cancel now; with `invoice_now` the open period's usage is invoiced."""
    subscription, params = _living(call), call.params
    if params.get("prorate") and not params.get("invoice_now"):
        raise unsupported("prorating without invoice_now", "prorate")
    details = params.get("cancellation_details") or {}
    ended = engine.cancel(
        call.db,
        subscription,
        now=call.now,
        invoice_now=bool(params.get("invoice_now")),
        prorate=bool(params.get("prorate")),
        comment=details.get("comment") or None,
        feedback=details.get("feedback") or None,
    )
    return common.show(call, ended)


@operation("GetSubscriptions", "customer status price created test_clock", listing=True)
def index(call: Call) -> Json:
    """List subscriptions; cancelled ones only when asked for by status.

    Those of a test clock show only when asked for by it or by their customer.
    """
    filters: list[Filter] = common.equal(call, customer="customer", test_clock="clock")
    if not {"customer", "test_clock"} & call.params.keys():
        filters.append(("clock IS NULL", None))
    status = call.params.get("status")
    if status is None:
        filters.append(("status <> ?", "canceled"))
    elif status == "ended":
        filters.append(("status IN ('canceled', 'incomplete_expired')", None))
    elif status != "all":
        filters.append(("status = ?", status))
    if "price" in call.params:
        filters.append((_HAS_PRICE, common.from_param(call, "price", "price")["id"]))
    return common.page(call, "subscription", filters, "/v1/subscriptions")


@operation("GetSubscriptionItems", "subscription", listing=True)
def items(call: Call) -> Json:
    """List the items of a subscription."""
    subscription = common.from_param(call, "subscription", "subscription")
    if "starting_after" in call.params or "ending_before" in call.params:
        raise unsupported("paging through items with a cursor", "starting_after")
    limit = common.limits(call)
    data = [render_item(call.db, subscription, item) for item in subscription["items"]]
    url = f"/v1/subscription_items?subscription={subscription['id']}"
    return listing(data[:limit], url, has_more=len(data) > limit)
