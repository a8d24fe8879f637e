"""Payment methods: test cards, by number, token or Stripe's virtual ids."""

from __future__ import annotations

from portal.sandbox.call import Call, Json, operation
from portal.sandbox.engine import cards, methods
from portal.sandbox.engine.cards import Card, CardRefused
from portal.sandbox.errors import StripeError, invalid, missing_param, unsupported
from portal.sandbox.resources import common
from portal.sandbox.store import Filter, Record

_VIRTUAL_MONTH, _VIRTUAL_YEARS = 12, 8


def card_error(code: str | None, decline_code: str | None, message: str) -> StripeError:
    """Return the 402 of a card that was refused."""
    return StripeError(
        402, message, type="card_error", code=code, decline_code=decline_code, keep=False
    )


def _virtual_card(call: Call, name: str, shown: str, param: str) -> Card:
    behaviour = cards.by_name(name)
    if behaviour is None:
        raise invalid(f"No such PaymentMethod: '{shown}'", param, "resource_missing")
    year = 1970 + call.now // 31_556_952 + _VIRTUAL_YEARS
    return Card(behaviour, _VIRTUAL_MONTH, year)


def virtual(call: Call, identifier: str, param: str) -> Record:
    """Return the payment method of an id; a virtual ``pm_card_…`` becomes a new real one.

    :raise StripeError: 400 when there is none
    """
    if identifier.startswith("pm_card_"):
        name = identifier.removeprefix("pm_card_")
        card = _virtual_card(call, name, identifier, param)
        return methods.create(call.db, call.account, card, now=call.now)
    return common.from_param(call, "payment_method", param, identifier)


@operation("PostPaymentMethods", "type card billing_details metadata")
def create(call: Call) -> Json:
    """Create a card that belongs to nobody yet."""
    params = call.params
    if params.get("type") != "card":
        raise unsupported("a payment method other than a card", "type")
    details = params.get("card")
    if not details:
        raise missing_param("card")
    method = methods.create(call.db, call.account, _typed(call, details), now=call.now)
    billing = params.get("billing_details") or {}
    method["billing_details"] = {
        **method["billing_details"],
        **{key: value or None for key, value in billing.items() if key != "address"},
    }
    common.merge_metadata(method, params)
    call.db.save(method)
    return common.show(call, method)


def _typed(call: Call, details: Json) -> Card:
    if "token" in details:
        token = str(details["token"])
        return _virtual_card(call, token.removeprefix("tok_"), token, "card[token]")
    for name in ("number", "exp_month", "exp_year"):
        if name not in details:
            raise missing_param(f"card[{name}]")
    expiry = f"{details['exp_month']}/{details['exp_year']}"
    try:
        return cards.parse(
            str(details["number"]), expiry, str(details.get("cvc", "000")), "", now=call.now
        )
    except CardRefused as refused:
        raise card_error("incorrect_number", None, str(refused)) from refused


@operation("GetPaymentMethodsPaymentMethod")
def retrieve(call: Call) -> Json:
    """Return one payment method."""
    return common.show(call, common.from_path(call, "payment_method"))


@operation("PostPaymentMethodsPaymentMethodAttach", "customer")
def attach(call: Call) -> Json:
    """Attach a card to a customer; a card that can't be saved is refused with 402."""
    identifier = call.path["payment_method"]
    if "customer" not in call.params:
        raise missing_param("customer")
    customer = common.from_param(call, "customer", "customer")
    if identifier.startswith("pm_card_"):
        method = virtual(call, identifier, "payment_method")
    else:
        method = common.from_path(call, "payment_method")
    return common.show(call, attach_to(call, method, customer))


def attach_to(call: Call, method: Record, customer: Record) -> Record:
    """Attach a card, or refuse as its bank would.

    :raise StripeError: 402 for a card that can't be saved, 400 for one that is someone else's
    """
    if method["customer"] not in (None, customer["id"]):
        raise invalid(
            "The payment method you provided has already been attached to a customer.",
            "payment_method",
            "payment_method_unexpected_state",
        )
    if method.get("_detached"):
        raise invalid(
            "This PaymentMethod was previously used without being attached to a Customer or was"
            " detached from a Customer, and may not be used again.",
            "payment_method",
        )
    refused = cards.from_record(method).behaviour.attach
    if refused is not None:
        raise card_error(*cards.DECLINES[refused])
    return methods.attach(call.db, method, customer, now=call.now)


@operation("PostPaymentMethodsPaymentMethodDetach")
def detach(call: Call) -> Json:
    """Detach a card for good."""
    method = common.from_path(call, "payment_method")
    if method["customer"] is None:
        raise invalid(
            "The payment method you provided is not attached to a customer so detachment is"
            " impossible.",
            "payment_method",
        )
    return common.show(call, methods.detach(call.db, method, now=call.now))


@operation("GetPaymentMethods", "customer type", listing=True)
def index(call: Call) -> Json:
    """List payment methods; without a customer there are none to list."""
    filters: list[Filter] = common.equal(call, customer="customer")
    if call.params.get("type", "card") != "card":
        filters.append(("1 = 0", None))
    return common.page(call, "payment_method", filters, "/v1/payment_methods")
