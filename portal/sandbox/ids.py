"""Identifiers with Stripe's prefixes; opaque and never reused."""

from __future__ import annotations

import secrets
import string

_ALPHABET = string.ascii_letters + string.digits

# Prefix and number of random characters, by object.
_SHAPES = {
    "account": ("acct_1", 15),
    "product": ("prod_", 14),
    "price": ("price_1", 23),
    "billing.meter": ("mtr_test_61", 30),
    "customer": ("cus_", 14),
    "checkout.session": ("cs_test_a1", 56),
    "item": ("li_1", 23),
    "subscription": ("sub_1", 23),
    "subscription_item": ("si_", 14),
    "invoice": ("in_1", 23),
    "line_item": ("il_1", 23),
    "invoice_payment": ("inpay_1", 23),
    "payment_intent": ("pi_3", 23),
    "charge": ("ch_3", 23),
    "promotion_code": ("promo_1", 23),
    "refund": ("re_3", 23),
    "balance_transaction": ("txn_3", 23),
    "application_fee": ("fee_1", 23),
    "payment_method": ("pm_1", 23),
    "billing_portal.configuration": ("bpc_1", 23),
    "billing_portal.session": ("bps_1", 23),
    "test_helpers.test_clock": ("clock_1", 23),
    "webhook_endpoint": ("we_1", 23),
    "event": ("evt_1", 23),
    "v2.core.event": ("evt_test_61", 30),
    "request": ("req_", 14),
    "delivery": ("whd_", 14),
    "fault": ("fault_", 14),
    "summary": ("mtrusg_test_61", 30),
}


def random_text(length: int) -> str:
    """Return `length` random letters and digits."""
    result = ""
    while len(result) < length:
        # 62 letters go four times into 248: what is above would favour some of them.
        result += "".join(
            _ALPHABET[byte % 62] for byte in secrets.token_bytes(length) if byte < 248
        )
    return result[:length]


def new(kind: str) -> str:
    """Return a fresh identifier for an object of `kind` (the value of its `object` key)."""
    prefix, length = _SHAPES[kind]
    return prefix + random_text(length)


def prefix(kind: str) -> str:
    """Return what the identifiers of a kind begin with."""
    return _SHAPES[kind][0]


def secret_key() -> str:
    """Return a platform's secret key; the prefix keeps it from being taken for a real one."""
    return "sk_test_sandbox_" + random_text(32)


def webhook_secret() -> str:
    """Return the signing secret of a webhook endpoint."""
    return "whsec_" + random_text(32)
