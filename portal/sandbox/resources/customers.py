"""Customers and their saved cards."""

from __future__ import annotations

from portal.sandbox import events
from portal.sandbox.call import Call, Json, operation
from portal.sandbox.engine import checkout, clocks
from portal.sandbox.engine import customers as engine
from portal.sandbox.errors import invalid, not_found
from portal.sandbox.resources import common
from portal.sandbox.resources.payment_methods import attach_to, virtual
from portal.sandbox.store import Filter, Record

_WRITABLE = ("email", "name", "description", "phone", "address", "preferred_locales")
_PARAMS = (
    "email name description phone address preferred_locales metadata"
    " invoice_settings.default_payment_method"
)


@operation("PostCustomers", _PARAMS + " payment_method balance test_clock")
def create(call: Call) -> Json:
    """Create a customer; two may share an address."""
    fields: Json = {}
    common.assign(fields, call.params, *_WRITABLE)
    common.check_email(fields.get("email"), "email")
    fields["balance"] = call.params.get("balance", 0)
    fields["_clock"] = _clock(call)
    holder: Record = {"metadata": {}}
    common.merge_metadata(holder, call.params)
    customer = checkout.create_customer(
        call.db, call.account, now=call.now, metadata=holder["metadata"], **fields
    )
    if "payment_method" in call.params:
        method = virtual(call, call.params["payment_method"], "payment_method")
        attach_to(call, method, customer)
    _set_default(call, customer)
    call.db.save(customer)
    return common.show(call, customer)


def _clock(call: Call) -> str | None:
    if "test_clock" not in call.params:
        return None
    clock = common.from_param(call, clocks.KIND, "test_clock")
    clocks.check_still(clock)
    if not call.settings.unlimited_clocks:
        clocks.check_customers(call.db, clock)
    call.now = int(clock["frozen_time"])
    return str(clock["id"])


def _set_default(call: Call, customer: Record) -> None:
    settings = call.params.get("invoice_settings") or {}
    if "default_payment_method" not in settings:
        return
    wanted = settings["default_payment_method"]
    param = "invoice_settings[default_payment_method]"
    if wanted:
        method = common.from_param(call, "payment_method", param, wanted)
        if method["customer"] != customer["id"]:
            raise invalid(
                f"The customer does not have a payment method with the ID {wanted}. The payment"
                " method must be attached to the customer.",
                param,
                "resource_missing",
            )
    customer["invoice_settings"]["default_payment_method"] = wanted or None


def find(call: Call) -> Record:
    """Return the living customer that the address names.

    :raise StripeError: 404 when there is none or it was deleted
    """
    customer = common.from_path(call, "customer")
    if customer.get("deleted"):
        raise not_found("customer", customer["id"])
    return customer


@operation("GetCustomersCustomer")
def retrieve(call: Call) -> Json:
    """Return one customer; a deleted one as a stub."""
    return common.show(call, common.from_path(call, "customer"))


@operation("PostCustomersCustomer", _PARAMS + " balance")
def update(call: Call) -> Json:
    """Change a customer."""
    customer = find(call)
    with events.changing(call.db, customer, "customer.updated", now=call.now):
        common.assign(customer, call.params, *_WRITABLE, "balance")
        common.check_email(customer.get("email"), "email")
        common.merge_metadata(customer, call.params)
        _set_default(call, customer)
    return common.show(call, customer)


@operation("DeleteCustomersCustomer")
def delete(call: Call) -> Json:
    """Delete a customer for good; its subscriptions are cancelled."""
    customer = find(call)
    return common.show(call, engine.delete(call.db, customer, now=call.now))


@operation("GetCustomers", "email created test_clock", listing=True)
def index(call: Call) -> Json:
    """List customers; those of a test clock only when asked for by it."""
    filters: list[Filter] = [("status IS NULL", None)]
    filters += common.equal(call, email=common.path("email"), test_clock="clock")
    if "test_clock" not in call.params:
        filters.append(("clock IS NULL", None))
    return common.page(call, "customer", filters, "/v1/customers")


@operation("GetCustomersCustomerPaymentMethods", "type", listing=True)
def methods(call: Call) -> Json:
    """List a customer's saved cards."""
    customer = find(call)
    url = f"/v1/customers/{customer['id']}/payment_methods"
    return common.page(call, "payment_method", [("customer = ?", customer["id"])], url)
