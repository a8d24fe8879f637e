"""Stripe's objects, as plain dictionaries, in the portal's words.

The same functions read API answers and webhook bodies. Keys that are not known are passed over,
and optional ones may be missing: Stripe adds fields within a version, and sends some that its
own description leaves out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, TypeVar

from portal.billing.engine import (
    AccountCheck,
    BillingEvent,
    CheckoutSession,
    CheckoutState,
    EngineStatus,
    EventKind,
    Invoice,
    InvoiceLine,
    ListedMeter,
    ListedPrice,
    ListedProduct,
    SubscriptionSnapshot,
)
from portal.billing.stripe.errors import Malformed
from portal.clock import from_epoch

#: Where our subscription's UUID stands in the metadata of sessions and subscriptions.
REFERENCE = "apim_subscription_uuid"
_PAID = frozenset({"paid", "no_payment_required"})
_FAILED_LATER = "checkout.session.async_payment_failed"
#: The seven, and what says the same: money from outside Stripe, and payments that take days.
_KINDS = {kind.value: kind for kind in EventKind} | {
    "invoice.paid": EventKind.PAYMENT_SUCCEEDED,
    "checkout.session.async_payment_succeeded": EventKind.CHECKOUT_COMPLETED,
    _FAILED_LATER: EventKind.CHECKOUT_COMPLETED,
}
#: Year 9999; beyond it a datetime cannot be made.
_LAST_SECOND = 253_402_300_799

Object = Mapping[str, Any]
Status = TypeVar("Status", bound=StrEnum)
Name = TypeVar("Name", str, str | None)


def event(body: object) -> BillingEvent:
    """Translate an event body; the object only if the portal acts on the type.

    :raise Malformed: if it is no event, or its object lacks what the portal needs
    """
    source = _object(body, "event")
    kind = _KINDS.get(_text(source, "type"))
    translated: dict[str, Any] = {}
    if kind is not None:
        data = _object(source.get("data"), "data")
        translated = _event_object(kind, _object(data.get("object"), "data.object"))
    if source["type"] == _FAILED_LATER:
        translated["checkout"] = replace(translated["checkout"], is_paid=False, has_failed=True)
    return BillingEvent(
        event_id=_name(_text(source, "id")),
        type=_text(source, "type"),
        kind=kind,
        account=_name(_optional_text(source, "account")),
        livemode=_flag(source, "livemode"),
        created=_whole(source, "created"),
        **translated,
    )


def _event_object(kind: EventKind, source: Object) -> dict[str, Any]:
    if kind in (EventKind.CHECKOUT_COMPLETED, EventKind.CHECKOUT_EXPIRED):
        return {"checkout": checkout(source)}
    if kind in (EventKind.SUBSCRIPTION_UPDATED, EventKind.SUBSCRIPTION_DELETED):
        return {"subscription": subscription(source)}
    asks = kind is EventKind.PAYMENT_ACTION_REQUIRED
    return {"invoice": invoice(source, needs_authentication=asks)}


def account(source: Object) -> AccountCheck:
    """Translate a connected account."""
    dashboard = _inner(_inner(source, "settings"), "dashboard")
    return AccountCheck(
        account=_text(source, "id"),
        charges_enabled=source.get("charges_enabled") is True,
        card_payments=_inner(source, "capabilities").get("card_payments") == "active",
        country=_optional_text(source, "country"),
        default_currency=_optional_text(source, "default_currency"),
        timezone=_optional_text(dashboard, "timezone"),
    )


def checkout(source: Object) -> CheckoutSession:
    """Translate a Checkout Session."""
    _require(source, "checkout.session")
    state = _choice(CheckoutState, _text(source, "status"))
    paid = _optional_text(source, "payment_status") in _PAID
    reference = _optional_text(source, "client_reference_id")
    return CheckoutSession(
        session_id=_name(_text(source, "id")),
        state=state,
        is_paid=state is CheckoutState.COMPLETE and paid,
        url=_optional_text(source, "url") if state is CheckoutState.OPEN else None,
        expires_at=from_epoch(_whole(source, "expires_at")),
        reference=reference or _optional_text(_inner(source, "metadata"), REFERENCE),
        customer_id=_id(source, "customer"),
        subscription_id=_id(source, "subscription"),
        invoice_id=_id(source, "invoice"),
    )


def subscription(source: Object) -> SubscriptionSnapshot:
    """Translate a subscription. Its period stands in its first item (basil, 2025-03-31)."""
    _require(source, "subscription")
    customer = _id(source, "customer")
    if customer is None:
        raise Malformed("customer is missing")
    item = _first(_inner(source, "items").get("data"))
    period_end = _moment(item, "current_period_end") or _moment(source, "current_period_end")
    cancel_at = _moment(source, "cancel_at")
    if cancel_at is None and source.get("cancel_at_period_end") is True:
        cancel_at = period_end
    return SubscriptionSnapshot(
        subscription_id=_text(source, "id"),
        status=_choice(EngineStatus, _text(source, "status")),
        customer_id=customer,
        item_id=_optional_text(item, "id"),
        price_id=_id(item, "price"),
        period_start=_moment(item, "current_period_start")
        or _moment(source, "current_period_start"),
        period_end=period_end,
        cancel_at=cancel_at,
        ended_at=_moment(source, "ended_at"),
        cancel_reason=_optional_text(_inner(source, "cancellation_details"), "reason"),
        latest_invoice_id=_id(source, "latest_invoice"),
        reference=_optional_text(_inner(source, "metadata"), REFERENCE),
        created=_moment(source, "created"),
        trial_start=_moment(source, "trial_start"),
        trial_end=_moment(source, "trial_end"),
    )


def page(source: object) -> tuple[list[dict[str, Any]], bool]:
    """Return the objects of a page of a list, and whether there are more after it.

    :raise Malformed: if it is no page, or says that more follows nothing
    """
    held = _object(source, "the list")
    _require(held, "list")
    found = [dict(_object(each, "an object of the list")) for each in _list(held.get("data"))]
    is_more = held.get("has_more") is True
    if is_more:
        _text(_first(found[-1:]), "id")
    return found, is_more


def listed_product(source: Object) -> ListedProduct:
    """Translate a product."""
    _require(source, "product")
    return ListedProduct(
        product_id=_text(source, "id"),
        active=_flag(source, "active"),
        metadata=_texts(source, "metadata"),
    )


def listed_price(source: Object) -> ListedPrice:
    """Translate a price."""
    _require(source, "price")
    recurring = _inner(source, "recurring")
    return ListedPrice(
        price_id=_text(source, "id"),
        product_id=_id(source, "product") or "",
        active=_flag(source, "active"),
        lookup_key=_optional_text(source, "lookup_key"),
        currency=_text(source, "currency"),
        unit_minor=unit_price(source),
        interval=_optional_text(recurring, "interval"),
        meter_id=_optional_text(recurring, "meter"),
        metadata=_texts(source, "metadata"),
        created=_moment(source, "created"),
    )


def listed_meter(source: Object) -> ListedMeter:
    """Translate a meter."""
    _require(source, "billing.meter")
    return ListedMeter(
        meter_id=_text(source, "id"),
        event_name=_text(source, "event_name"),
        active=_text(source, "status") == "active",
        created=_moment(source, "created"),
    )


def invoice(
    source: Object, *, is_preview: bool = False, needs_authentication: bool = False
) -> Invoice:
    """Translate an invoice or a preview.

    The period is that of the lines: the invoice's own ``period_*`` is when items were collected.
    """
    _require(source, "invoice")
    lines = [_line(each) for each in _list(_inner(source, "lines").get("data"))]
    starts = [line.period_start for line in lines] or [from_epoch(_whole(source, "period_start"))]
    ends = [line.period_end for line in lines] or [from_epoch(_whole(source, "period_end"))]
    return Invoice(
        invoice_id=None if is_preview else _text(source, "id"),
        number=_optional_text(source, "number"),
        status=_optional_text(source, "status") or "draft",
        is_preview=is_preview,
        currency=_text(source, "currency"),
        **_amounts(source),
        period_start=min(starts),
        period_end=max(ends),
        due_date=_moment(source, "due_date"),
        next_payment_attempt=_moment(source, "next_payment_attempt"),
        created=from_epoch(_whole(source, "created")),
        description=_optional_text(source, "description"),
        account_name=_optional_text(source, "account_name"),
        account_country=_optional_text(source, "account_country"),
        customer_email=_optional_text(source, "customer_email"),
        hosted_url=_optional_text(source, "hosted_invoice_url"),
        pdf_url=_optional_text(source, "invoice_pdf"),
        billing_reason=_optional_text(source, "billing_reason"),
        subscription_id=_subscription_of(source),
        lines=lines,
        needs_authentication=needs_authentication,
        attempted=source.get("attempted") is True,
        payment_ids=_payments_of(source),
        reference=_optional_text(
            _inner(_inner(_inner(source, "parent"), "subscription_details"), "metadata"), REFERENCE
        ),
    )


def _line(source: object) -> InvoiceLine:
    line = _object(source, "line")
    period = _object(line.get("period"), "period")
    return InvoiceLine(
        description=_optional_text(line, "description") or "",
        quantity=_whole(line, "quantity") if line.get("quantity") is not None else None,
        unit_minor=unit_price(_inner(line, "pricing")),
        amount_minor=_whole(line, "amount"),
        period_start=from_epoch(_whole(period, "start")),
        period_end=from_epoch(_whole(period, "end")),
        price_id=_id(_inner(_inner(line, "pricing"), "price_details"), "price"),
    )


def _payments_of(source: Object) -> tuple[str, ...]:
    found = (payment_intent_of(each) for each in _list(_inner(source, "payments").get("data")))
    return tuple(payment for payment in found if payment is not None)


def _subscription_of(source: Object) -> str | None:
    """Find an invoice's subscription: its parent, its old place (before basil), or its lines."""
    details = _inner(_inner(source, "parent"), "subscription_details")
    found = _id(details, "subscription") or _id(source, "subscription")
    for line in [] if found else _list(_inner(source, "lines").get("data")):
        parent = _inner(_object(line, "line"), "parent")
        found = found or _id(_inner(parent, "subscription_item_details"), "subscription")
    return found


def _amounts(source: Object) -> dict[str, Any]:
    taxes = [_object(each, "total_taxes") for each in _list(source.get("total_taxes"))]
    return {
        "subtotal": _whole(source, "subtotal", 0),
        "tax": sum(_whole(tax, "amount", 0) for tax in taxes),
        "total": _whole(source, "total"),
        "amount_due": _whole(source, "amount_due"),
        "amount_paid": _whole(source, "amount_paid", 0),
        "amount_remaining": _whole(source, "amount_remaining", 0),
        "balance_before": _whole(source, "starting_balance", 0),
    }


def payment_intent_of(source: Object) -> str | None:
    """Return the payment intent behind an invoice payment, if it is one."""
    return _id(_inner(source, "payment"), "payment_intent")


def unit_price(source: Object) -> Decimal | None:
    """Return the unit price of a price or of a line's ``pricing``; ``None`` if it has tiers."""
    value = source.get("unit_amount_decimal")
    return None if value is None else _decimal(value)


def whole_sum(values: Sequence[object]) -> int:
    """Add up counts that Stripe states as JSON numbers, exactly.

    :raise Malformed: if the sum is no whole number
    """
    total = sum((_decimal(value) for value in values), Decimal(0))
    if total != total.to_integral_value():
        raise Malformed("a count is no whole number")
    return int(total)


# --- reading dictionaries ---------------------------------------------------------------------


def _object(value: object, name: str) -> Object:
    if not isinstance(value, Mapping):
        raise Malformed(f"{name} is no object")
    return value


def _require(source: Object, kind: str) -> None:
    if source.get("object", kind) != kind:
        raise Malformed(f"expected an object of the kind {kind}")


def _inner(source: Object, name: str) -> Object:
    value = source.get(name)
    return value if isinstance(value, Mapping) else {}


def _texts(source: Object, name: str) -> dict[str, str]:
    return {str(key): str(value) for key, value in _inner(source, name).items()}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _first(value: object) -> Object:
    return _object(value[0], "item") if isinstance(value, list) and value else {}


def _text(source: Object, name: str) -> str:
    value = source.get(name)
    if not isinstance(value, str) or not value:
        raise Malformed(f"{name} is missing")
    return value


def _optional_text(source: Object, name: str) -> str | None:
    value = source.get(name)
    return value if isinstance(value, str) and value else None


def _id(source: Object, name: str) -> str | None:
    """Read a reference to another object, which may be expanded into the object itself."""
    value = source.get(name)
    if isinstance(value, Mapping):
        value = value.get("id")
    return _name(value) if isinstance(value, str) and value else None


def _name(value: Name) -> Name:
    """Return an id that fits where ids are kept (Stripe: at most 255 characters)."""
    if value is not None and len(value) > 255:
        raise Malformed("an id is too long")
    return value


def _flag(source: Object, name: str) -> bool:
    value = source.get(name)
    if not isinstance(value, bool):
        raise Malformed(f"{name} is missing")
    return value


def _whole(source: Object, name: str, default: int | None = None) -> int:
    value = source.get(name)
    if value is None and default is not None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _LAST_SECOND:
        raise Malformed(f"{name} is no whole number")
    return value


def _moment(source: Object, name: str) -> datetime | None:
    return None if source.get(name) is None else from_epoch(_whole(source, name))


def _decimal(value: object) -> Decimal:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise Malformed("a number is unreadable") from None
    if not number.is_finite():
        raise Malformed("a number is unreadable")
    return number


def _choice(kind: type[Status], value: str) -> Status:
    try:
        return kind(value)
    except ValueError:
        raise Malformed(f"the status {value[:40]!r} is not known") from None


#: For what is translated in other modules.
inner, listed, text, reference, whole = _inner, _list, _text, _id, _whole
