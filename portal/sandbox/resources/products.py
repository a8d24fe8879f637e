"""Products."""

from __future__ import annotations

import re

from portal.sandbox import events, ids
from portal.sandbox.call import Call, Json, operation
from portal.sandbox.errors import invalid
from portal.sandbox.resources import common
from portal.sandbox.store import Filter

_WRITABLE = ("name", "description", "statement_descriptor", "unit_label", "active", "shippable")
_PARAMS = "name description statement_descriptor unit_label active shippable metadata"


@operation("PostProducts", "id " + _PARAMS)
def create(call: Call) -> Json:
    """Create a product; its `id` may be chosen, once in each account."""
    product: Json = {
        "id": _chosen(call) or ids.new("product"),
        "object": "product",
        "_account": call.account,
        "active": True,
        "created": call.now,
        "metadata": {},
        "updated": call.now,
    }
    _check_descriptor(call)
    common.assign(product, call.params, *_WRITABLE)
    common.merge_metadata(product, call.params)
    call.db.insert(product)
    events.emit(call.db, product, "product.created", now=call.now)
    return common.show(call, product)


def _check_descriptor(call: Call) -> None:
    # https://docs.stripe.com/get-started/account/statement-descriptors#requirements
    text = call.params.get("statement_descriptor")
    if text and (re.search(r"""[<>\\'"*]""", text) or not re.search("[A-Za-z]", text)):
        raise invalid(
            "Invalid statement descriptor: it needs a letter, and must not contain any of"
            " < > \\ ' \" *.",
            "statement_descriptor",
        )


def _chosen(call: Call) -> str | None:
    wanted: str | None = call.params.get("id")
    if wanted is None:
        return None
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,255}", wanted):
        raise invalid("Invalid id: it may hold letters, digits, - and _ only.", "id")
    taken = call.db.execute(
        "SELECT 1 FROM objects WHERE id = ? AND account = ?", wanted, call.account
    ).fetchone()
    if taken is not None:
        raise invalid("Product already exists.", "id", "resource_already_exists")
    return wanted


@operation("GetProductsId")
def retrieve(call: Call) -> Json:
    """Return one product."""
    return common.show(call, common.from_path(call, "product"))


@operation("PostProductsId", _PARAMS)
def update(call: Call) -> Json:
    """Change or archive a product."""
    product = common.from_path(call, "product")
    _check_descriptor(call)
    with events.changing(call.db, product, "product.updated", now=call.now):
        common.assign(product, call.params, *_WRITABLE)
        common.merge_metadata(product, call.params)
        product["updated"] = call.now
    return common.show(call, product)


@operation("DeleteProductsId")
def delete(call: Call) -> Json:
    """Delete a product that never had a price."""
    product = common.from_path(call, "product")
    if call.db.select("price", call.account, ("parent = ?", product["id"])):
        raise invalid(
            "This product cannot be deleted because it has one or more user-created prices."
        )
    events.emit(call.db, product, "product.deleted", now=call.now)
    call.db.delete(product)
    return {"id": product["id"], "object": "product", "deleted": True}


@operation("GetProducts", "active created ids", listing=True)
def index(call: Call) -> Json:
    """List products."""
    filters: list[Filter] = common.equal(call, active=common.path("active"))
    if "ids" in call.params:
        filters.append(any_of("id", call.params["ids"]))
    return common.page(call, "product", filters, "/v1/products")


def any_of(column: str, values: list[str]) -> Filter:
    """Return a filter for a column that has one of `values`."""
    marks = ", ".join("?" * len(values))
    return f"{column} IN ({marks})", values
