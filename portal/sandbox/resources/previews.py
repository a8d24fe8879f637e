"""Previews: what the next invoice would be, of a subscription as it is or as it would be."""

from __future__ import annotations

from portal.sandbox.call import Call, Json, operation
from portal.sandbox.engine import changes, lines
from portal.sandbox.engine.moments import max_period_end
from portal.sandbox.errors import StripeError, invalid, missing_param, unsupported
from portal.sandbox.resources import common, plan_changes
from portal.sandbox.store import Record

_DETAILS = "subscription_details"


@operation(
    "PostInvoicesCreatePreview",
    "subscription customer preview_mode subscription_details.items.id"
    " subscription_details.items.price subscription_details.items.quantity"
    " subscription_details.items.deleted subscription_details.proration_behavior"
    " subscription_details.proration_date subscription_details.billing_cycle_anchor"
    " subscription_details.cancel_now subscription_details.cancel_at"
    " subscription_details.cancel_at_period_end",
)
def preview(call: Call) -> Json:
    """Return the next invoice as it would be; nothing is stored."""
    if "subscription" not in call.params:
        raise missing_param("subscription")
    if call.params.get("preview_mode", "next") != "next":
        raise unsupported("preview_mode=recurring", "preview_mode")
    subscription = common.from_param(call, "subscription", "subscription")
    _check_customer(call, subscription)
    details = call.params.get(_DETAILS) or {}
    _check_ending(details)
    running = subscription["status"] not in ("canceled", "incomplete_expired")
    wanted = plan_changes.read(call, subscription, details, _DETAILS) if running else None
    _plan_end(call, subscription, details)
    invoice = changes.preview(
        call.db,
        subscription,
        now=call.now,
        wanted=wanted,
        cancel_now=bool(details.get("cancel_now")),
        prorate=details.get("proration_behavior") != "none",
    )
    if invoice is None:
        customer = subscription["customer"]
        raise StripeError(
            404, f"No upcoming invoices for customer: '{customer}'", code="invoice_upcoming_none"
        )
    return common.show(call, invoice)


def _check_customer(call: Call, subscription: Record) -> None:
    customer = call.params.get("customer", subscription["customer"])
    if customer != subscription["customer"]:
        common.from_param(call, "customer", "customer")
        raise invalid(
            f"The subscription {subscription['id']} does not belong to customer {customer}.",
            "subscription",
            "resource_missing",
        )


def _check_ending(details: Json) -> None:
    ends = [
        name for name in ("cancel_now", "cancel_at", "cancel_at_period_end") if details.get(name)
    ]
    if len(ends) > 1:
        raise invalid(
            f"You may only specify one of these parameters: {', '.join(ends)}.",
            f"{_DETAILS}[{ends[0]}]",
        )
    if ends and details.get("items"):
        raise unsupported("a change and an end in one preview", f"{_DETAILS}[{ends[0]}]")


def _plan_end(call: Call, subscription: Record, details: Json) -> None:
    """Plan the end that is asked about, in memory only; one inside a period must cost nothing."""
    natural = max_period_end(subscription)
    if details.get("cancel_at_period_end"):
        subscription["cancel_at"] = natural
    elif details.get("cancel_at_period_end") is False or details.get("cancel_at") == "":
        subscription["cancel_at"] = None
    elif "cancel_at" in details:
        at = details["cancel_at"]
        at = natural if at in ("max_period_end", "min_period_end") else int(at)
        if at <= call.now:
            raise invalid(
                "`cancel_at` must be a timestamp in the future.", f"{_DETAILS}[cancel_at]"
            )
        waived = details.get("proration_behavior") == "none"
        if at < natural and not waived and lines.licensed(call.db, subscription):
            raise unsupported("prorating a cancel_at inside a period", f"{_DETAILS}[cancel_at]")
        subscription["cancel_at"] = at
