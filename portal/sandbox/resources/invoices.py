"""Invoices, their lines, previews and payments."""

from __future__ import annotations

from portal.sandbox import events, serializers
from portal.sandbox.call import Call, Json, operation
from portal.sandbox.engine import charges, onboarding
from portal.sandbox.engine import invoices as engine
from portal.sandbox.engine.results import PayResult
from portal.sandbox.errors import StripeError, invalid, unsupported
from portal.sandbox.resources import common
from portal.sandbox.resources.payment_methods import virtual
from portal.sandbox.serializers.base import listing
from portal.sandbox.serializers.invoices import render_line
from portal.sandbox.store import Filter, Record

_OWED = ("open", "uncollectible")


def _shown(call: Call, invoice: Record) -> Json:
    return common.show(call, engine.refresh(call.db, invoice))


@operation("GetInvoicesInvoice")
def retrieve(call: Call) -> Json:
    """Return one invoice; a draft with the usage counted until now."""
    return _shown(call, common.from_path(call, "invoice"))


@operation("GetInvoices", "customer subscription status created", listing=True)
def index(call: Call) -> Json:
    """List invoices."""
    filters: list[Filter] = common.equal(
        call, customer="customer", subscription="subscription", status="status"
    )
    return common.page(call, "invoice", filters, "/v1/invoices")


@operation("PostInvoicesInvoice", "metadata auto_advance description default_payment_method")
def update(call: Call) -> Json:
    """Change an invoice that isn't settled."""
    invoice = common.from_path(call, "invoice")
    if invoice["status"] not in ("draft", "open") and set(call.params) - {"metadata"}:
        raise invalid("This invoice is no longer editable.", code="invoice_not_editable")
    with events.changing(call.db, invoice, "invoice.updated", now=call.now):
        common.merge_metadata(invoice, call.params)
        common.assign(invoice, call.params, "description", "auto_advance")
        if "default_payment_method" in call.params:
            method = common.from_param(call, "payment_method", "default_payment_method")
            invoice["default_payment_method"] = method["id"]
        if "auto_advance" in call.params and invoice["status"] == "draft":
            later = call.now + engine.DRAFT_SECONDS
            invoice["automatically_finalizes_at"] = later if invoice["auto_advance"] else None
        engine.save(call.db, invoice)
    return _shown(call, invoice)


@operation("PostInvoicesInvoiceFinalize", "auto_advance")
def finalize(call: Call) -> Json:
    """Finalize a draft; collection follows by itself."""
    invoice = common.from_path(call, "invoice")
    if invoice["status"] != "draft":
        raise invalid(
            "This invoice is already finalized, you can't re-finalize a non-draft invoice.",
            code="invoice_not_editable",
        )
    if "auto_advance" in call.params:
        invoice["auto_advance"] = call.params["auto_advance"]
    engine.finalize(call.db, invoice, now=call.now)
    if invoice["status"] == "open" and invoice["auto_advance"]:
        invoice["next_payment_attempt"] = call.now + engine.DRAFT_SECONDS
        engine.save(call.db, invoice)
    return common.show(call, invoice)


@operation("PostInvoicesInvoicePay", "payment_method off_session paid_out_of_band")
def pay(call: Call) -> Json:
    """Collect an invoice now; a refused card is answered with 402 and its trace is kept."""
    invoice = common.from_path(call, "invoice")
    if invoice["status"] == "paid":
        raise invalid("Invoice is already paid", code="invoice_already_paid")
    if invoice["status"] not in ("draft", *_OWED):
        raise invalid(f"This invoice can't be paid: its status is {invoice['status']}.")
    if not call.params.get("paid_out_of_band"):
        onboarding.check_can_charge(call.db, call.account)
    if invoice["status"] == "draft":
        engine.finalize(call.db, invoice, now=call.now)
    if invoice["status"] in _OWED and call.params.get("paid_out_of_band"):
        charges.close_payment(call.db, invoice, now=call.now)
        charges.settle(call.db, invoice, now=call.now, out_of_band=True)
    elif invoice["status"] in _OWED:
        result = engine.collect(call.db, invoice, now=call.now, method=_method(call, invoice))
        if result.kind != "paid":
            raise _refused(call, invoice, result)
    return common.show(call, call.db.need("invoice", call.account, invoice["id"]))


def _method(call: Call, invoice: Record) -> Record | None:
    wanted = call.params.get("payment_method")
    if wanted is None:
        return None
    method = virtual(call, wanted, "payment_method")
    if method["customer"] not in (None, invoice["customer"]):
        raise invalid(
            "The payment method you provided is attached to another customer.", "payment_method"
        )
    return method


def _refused(call: Call, invoice: Record, result: PayResult) -> StripeError:
    intent = charges.intent_of(call.db, invoice)
    return StripeError(
        402,
        result.message,
        type="card_error" if result.kind == "declined" else "invalid_request_error",
        code=result.code,
        decline_code=result.decline_code,
        keep=True,
        payment_intent=serializers.render(call.db, intent),
        payment_method=serializers.render(call.db, result.payment_method)
        if result.payment_method
        else None,
    )


@operation("PostInvoicesInvoiceVoid")
def void(call: Call) -> Json:
    """Void an open or uncollectible invoice."""
    invoice = _owed(call, *_OWED)
    return common.show(call, engine.void(call.db, invoice, now=call.now))


@operation("PostInvoicesInvoiceMarkUncollectible")
def mark_uncollectible(call: Call) -> Json:
    """Give an open invoice up as bad debt."""
    return common.show(call, engine.give_up(call.db, _owed(call, "open"), now=call.now))


def _owed(call: Call, *statuses: str) -> Record:
    invoice = common.from_path(call, "invoice")
    if invoice["status"] not in statuses:
        raise invalid(
            "You can only pass in open invoices. This invoice isn't open.",
            code="invoice_not_editable",
        )
    return invoice


@operation("GetInvoicesInvoiceLines", listing=True)
def lines(call: Call) -> Json:
    """List an invoice's lines."""
    invoice = engine.refresh(call.db, common.from_path(call, "invoice"))
    found = [line["id"] for line in invoice["lines"]]
    after = call.params.get("starting_after")
    if "ending_before" in call.params:
        raise unsupported("ending_before for invoice lines", "ending_before")
    if after is not None and after not in found:
        raise invalid(f"No such line item: '{after}'", "starting_after", "resource_missing")
    start = 0 if after is None else found.index(after) + 1
    end = start + common.limits(call)
    data = [render_line(invoice, line) for line in invoice["lines"][start:end]]
    return listing(data, f"/v1/invoices/{invoice['id']}/lines", has_more=len(found) > end)


@operation("GetInvoicePayments", "invoice status created", listing=True)
def payments(call: Call) -> Json:
    """List the payments of invoices."""
    filters = common.equal(call, invoice="parent", status="status")
    return common.page(call, "invoice_payment", filters, "/v1/invoice_payments")


@operation("GetPaymentIntentsIntent")
def intent(call: Call) -> Json:
    """Return one payment intent."""
    return common.show(call, common.from_path(call, "payment_intent"))
