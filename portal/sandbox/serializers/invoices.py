"""How an invoice and its lines look; page addresses only once it is finalized."""

from __future__ import annotations

from portal.sandbox.serializers.base import Json, listing, shaped
from portal.sandbox.store import Db, Record

SHAPE: Json = {
    "account_country": None,
    "account_name": None,
    "account_tax_ids": None,
    "amount_due": 0,
    "amount_overpaid": 0,
    "amount_paid": 0,
    "amount_remaining": 0,
    "amount_shipping": 0,
    "application": None,
    "attempt_count": 0,
    "attempted": False,
    "auto_advance": True,
    "automatic_tax": {
        "disabled_reason": None,
        "enabled": False,
        "liability": None,
        "provider": None,
        "status": None,
    },
    "automatically_finalizes_at": None,
    "billing_reason": "manual",
    "collection_method": "charge_automatically",
    "created": 0,
    "currency": "usd",
    "custom_fields": None,
    "customer": "",
    "customer_account": None,
    "customer_address": None,
    "customer_email": None,
    "customer_name": None,
    "customer_phone": None,
    "customer_shipping": None,
    "customer_tax_exempt": "none",
    "customer_tax_ids": [],
    "default_payment_method": None,
    "default_source": None,
    "default_tax_rates": [],
    "description": None,
    "discounts": [],
    "due_date": None,
    "effective_at": None,
    "ending_balance": None,
    "footer": None,
    "from_invoice": None,
    "hosted_invoice_url": None,
    "invoice_pdf": None,
    "issuer": {"type": "self"},
    "last_finalization_error": None,
    "latest_revision": None,
    "livemode": False,
    "metadata": {},
    "next_payment_attempt": None,
    "number": None,
    "on_behalf_of": None,
    "parent": None,
    "payment_settings": {
        "default_mandate": None,
        "payment_method_options": None,
        "payment_method_types": None,
    },
    "period_end": 0,
    "period_start": 0,
    "post_payment_credit_notes_amount": 0,
    "pre_payment_credit_notes_amount": 0,
    "receipt_number": None,
    "rendering": None,
    "shipping_cost": None,
    "shipping_details": None,
    "starting_balance": 0,
    "statement_descriptor": None,
    "status": "draft",
    "status_transitions": {
        "finalized_at": None,
        "marked_uncollectible_at": None,
        "paid_at": None,
        "voided_at": None,
    },
    "subtotal": 0,
    "subtotal_excluding_tax": 0,
    "test_clock": None,
    "total": 0,
    "total_discount_amounts": [],
    "total_excluding_tax": 0,
    "total_pretax_credit_amounts": [],
    "total_taxes": [],
    "webhooks_delivered_at": None,
}


def render(db: Db, record: Record) -> Json:
    """Return the invoice as the API shows it."""
    result = shaped(SHAPE, record)
    discount = record.get("_discount")
    if discount is not None:
        result["discounts"] = [discount["id"]]
        taken = sum(line.get("discount", 0) for line in record["lines"])
        result["total_discount_amounts"] = [{"amount": taken, "discount": discount["id"]}]
    result["subtotal_excluding_tax"] = result["subtotal"]
    result["total_excluding_tax"] = result["total"]
    url = f"/v1/invoices/{record['id']}/lines"
    lines = [render_line(record, line) for line in record["lines"]]
    result["lines"] = listing(lines[:10], url, has_more=len(lines) > 10)
    if record["status"] != "draft":
        page = f"{db.base_url}/i/{record['_account']}/{record['_lookup']}"
        result["hosted_invoice_url"] = page
        result["invoice_pdf"] = f"{page}/pdf"
    return result


def _taken(record: Record, line: Json) -> list[Json]:
    discount = record.get("_discount")
    return [{"amount": line.get("discount", 0), "discount": discount["id"]}] if discount else []


def render_line(record: Record, line: Json) -> Json:
    """Return one line of an invoice."""
    return {
        "id": line["id"],
        "object": "line_item",
        "amount": line["amount"],
        "currency": record["currency"],
        "description": line["description"],
        "discount_amounts": _taken(record, line),
        "discountable": True,
        "discounts": [],
        "invoice": record["id"],
        "livemode": False,
        "metadata": dict(line["metadata"]),
        "parent": {
            "type": "subscription_item_details",
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": line.get("invoice_item"),
                "proration": line.get("proration", False),
                "proration_details": {"credited_items": None},
                "subscription": record["subscription"],
                "subscription_item": line["subscription_item"],
            },
        },
        "period": dict(line["period"]),
        "pretax_credit_amounts": [],
        "pricing": {
            "type": "price_details",
            "price_details": {"price": line["price"], "product": line["product"]},
            "unit_amount_decimal": line["unit_amount_decimal"],
        },
        "quantity": line["quantity"],
        "quantity_decimal": str(line["quantity"]),
        "subscription": record["subscription"],
        "subtotal": line["amount"],
        "taxes": [],
    }
