"""What resources share: lookups, listings, metadata."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from portal.sandbox import serializers
from portal.sandbox.call import Call, Json
from portal.sandbox.errors import invalid, no_such, not_found
from portal.sandbox.serializers.base import listing
from portal.sandbox.store import Filter, Record

_NOUNS = {
    "billing.meter": "billing meter",
    "billing_portal.configuration": "configuration",
    "checkout.session": "checkout.session",
    "invoice_payment": "invoice_payment",
    "payment_intent": "payment_intent",
    "payment_method": "PaymentMethod",
    "promotion_code": "promotion code",
    "test_helpers.test_clock": "test clock",
    "webhook_endpoint": "webhook endpoint",
}

_LONGEST_URL = 5000


def noun(kind: str) -> str:
    """Return how Stripe's messages call an object."""
    return _NOUNS.get(kind, kind)


def from_path(call: Call, kind: str) -> Record:
    """Return the object that the address names.

    :raise StripeError: 404 when this account has none
    """
    identifier = next(iter(call.path.values()))
    record = call.db.get(kind, call.account, identifier)
    if record is None:
        raise not_found(noun(kind), identifier)
    return call.follow(record)


def from_param(call: Call, kind: str, param: str, identifier: str | None = None) -> Record:
    """Return the object that a parameter names.

    :raise StripeError: 400 when this account has none
    """
    wanted = call.params[param] if identifier is None else identifier
    record = call.db.get(kind, call.account, wanted)
    if record is None or record.get("deleted"):
        raise no_such(noun(kind), wanted, param)
    return call.follow(record)


def show(call: Call, record: Record) -> Json:
    """Return an object as the API shows it."""
    return serializers.render(call.db, record)


def page(call: Call, kind: str, filters: list[Filter], url: str) -> Json:
    """Return one page of a listing, newest first, by the usual parameters."""
    limit, backwards = limits(call), "ending_before" in call.params
    filters = [*filters, *_cursor(call, kind), *created(call)]
    found = call.db.page(kind, call.account, filters, limit, backwards=backwards)
    return listing([show(call, record) for record in found.records], url, has_more=found.has_more)


def limits(call: Call) -> int:
    """Return how many entries a page has."""
    limit = int(call.params.get("limit", 10))
    if limit < 1:
        raise invalid(
            "This value must be greater than or equal to 1.", "limit", "parameter_invalid_integer"
        )
    if limit > 100:
        raise invalid(
            "This value must be less than or equal to 100.", "limit", "parameter_invalid_integer"
        )
    return limit


def _cursor(call: Call, kind: str) -> list[Filter]:
    if "starting_after" in call.params and "ending_before" in call.params:
        raise invalid(
            "You may only specify one of these parameters: starting_after, ending_before."
        )
    for param, comparison in (("starting_after", "seq < ?"), ("ending_before", "seq > ?")):
        if param in call.params:
            position = call.db.position(kind, call.account, call.params[param])
            if position is None:
                raise no_such(noun(kind), call.params[param], param)
            return [(comparison, position)]
    return []


_COMPARISONS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def created(call: Call, column: str = "created") -> list[Filter]:
    """Return the filters of the `created` parameter."""
    wanted = call.params.get("created")
    if wanted is None:
        return []
    if isinstance(wanted, dict):
        return [(f"{column} {_COMPARISONS[key]} ?", value) for key, value in wanted.items()]
    return [(f"{column} = ?", wanted)]


# The listing parameters that name an object, which has to be one of this account's.
_NAMED = {
    "charge": "charge",
    "coupon": "coupon",
    "customer": "customer",
    "invoice": "invoice",
    "payment_intent": "payment_intent",
    "price": "price",
    "product": "product",
    "subscription": "subscription",
    "test_clock": "test_helpers.test_clock",
}


def equal(call: Call, **columns: str) -> list[Filter]:
    """Return filters for the parameters that were sent: parameter name → column or JSON path.

    :raise StripeError: 400 for the id of an object that this account doesn't have
    """
    filters: list[Filter] = []
    for param, column in columns.items():
        if param in call.params:
            value = call.params[param]
            kind = _NAMED.get(param)
            if kind is not None and call.db.get(kind, call.account, value) is None:
                raise no_such(noun(kind), value, param)
            filters.append((f"{column} = ?", int(value) if isinstance(value, bool) else value))
    return filters


def path(dotted: str) -> str:
    """Return the SQL for a value inside the document."""
    return f"json_extract(body, '$.{dotted}')"


def merge_metadata(record: Record, params: Json) -> None:
    """Merge `metadata` as Stripe does: an empty value removes a key, an empty parameter all."""
    if "metadata" not in params:
        return
    if params["metadata"] == "":
        record["metadata"] = {}
        return
    merged = {**(record.get("metadata") or {}), **params["metadata"]}
    record["metadata"] = {key: value for key, value in merged.items() if value != ""}
    if len(record["metadata"]) > 50:
        raise invalid("You can only have 50 metadata keys.", "metadata")


def assign(record: Record, params: Json, *names: str) -> None:
    """Copy the parameters that were sent; an empty string unsets."""
    for name in names:
        if name in params:
            record[name] = None if params[name] == "" else params[name]


def at_most(call: Call, param: str, most: int) -> list[str]:
    """Return a list parameter.

    :raise StripeError: 400 when it has more than `most` entries
    """
    values: list[str] = call.params[param]
    if len(values) > most:
        raise invalid(f"Array {param} exceeded maximum {most} allowed elements.", param)
    return values


def check_email(address: Any, param: str) -> None:
    """Refuse what is no mail address; nothing is one that was unset.

    :raise StripeError: in Stripe's words
    """
    if address and ("@" not in address or " " in address):
        raise invalid(f"Invalid email address: {address}", param, "email_invalid")


def check_url(url: Any, param: str) -> None:
    """Refuse what isn't an absolute http(s) address, or is longer than Stripe's objects can show.

    :raise StripeError: in Stripe's words
    """
    if len(str(url)) > _LONGEST_URL:
        raise invalid(
            f"Invalid string: {str(url)[:40]}...; must be at most {_LONGEST_URL} characters", param
        )
    parts = urlsplit(str(url))
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise invalid("Not a valid URL", param, "url_invalid")
