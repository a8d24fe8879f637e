"""Products, prices and meters here against those at the engine.

Only what is marked as the portal's is looked at; what else a publisher sells is their own.
"""

from collections.abc import Iterator

from portal.billing.engine import ListedMeter, ListedPrice, ListedProduct
from portal.flows.reconciling.difference import NOTHING, Difference, Side, paged, read
from portal.services import monetization, reconciling
from portal.services.reconciling import Priced
from portal.web.unit_of_work import in_unit_of_work

#: What ``services/monetization.py`` writes on what it makes.
PRICE_MARK = "apim_mapping_uuid"
PRODUCT_MARK = "apim_api_uuid"
METER_MARK = "apim_"
_ON, _OFF = "for sale", "archived"


def compare(side: Side) -> Iterator[Difference]:
    """Compare everything that the account sells for us."""
    yield from _prices(side)
    for products in paged(side.engine.products(side.account)):
        yield from _products(side, [each for each in products if PRODUCT_MARK in each.metadata])
    for meters in paged(side.engine.meters(side.account)):
        yield from _meters(
            side, [each for each in meters if each.event_name.startswith(METER_MARK)]
        )


def _prices(side: Side) -> Iterator[Difference]:
    seen: set[str] = set()
    for page in paged(side.engine.prices(side.account)):
        seen.update(each.price_id for each in page)
        rows = read(lambda found=page: _rows(side, found))  # type: ignore[misc]
        by_id = {row.price_id: row for row in rows}
        by_mark = {row.uuid: row for row in rows}
        for price in page:
            row = by_id.get(price.price_id)
            if row is not None:
                yield from _both(side, row, price)
            elif price.active and PRICE_MARK in price.metadata:
                yield from _without_row(side, by_mark.get(price.metadata[PRICE_MARK]), price)
    after = 0
    while rows := read(
        lambda at=after: reconciling.prices_after(side.tenant_id, side.account, at)  # type: ignore[misc]
    ):
        after = rows[-1].mapping_id
        for row in rows:
            if row.price_id not in seen:
                yield _missing(side, row)


def _rows(side: Side, page: list[ListedPrice]) -> list[Priced]:
    marks = [each.metadata[PRICE_MARK] for each in page if PRICE_MARK in each.metadata]
    names = [each.price_id for each in page]
    return reconciling.prices_known(side.tenant_id, side.account, names, marks)


def _both(side: Side, row: Priced, price: ListedPrice) -> Iterator[Difference]:
    there = reconciling.terms(price.unit_minor, price.currency, price.interval)
    if row.terms != there:
        yield side.difference(
            "price_terms",
            price.price_id,
            here=f"{row.version}: {row.terms}",
            there=there,
            since=row.created,
            proposal="Make a new price: change the plan, and save the API's monetization again.",
        )
    if row.is_offered and not price.active:
        yield side.difference(
            "price_archived",
            price.price_id,
            here=f"{row.version}: {_ON}",
            there=_OFF,
            since=row.created,
            proposal="Open the API's Monetization page and press Save.",
        )
    if price.active and not row.is_offered and not row.is_awaited:
        yield side.difference(
            "price_not_withdrawn",
            price.price_id,
            here=f"{row.version}: not for sale",
            there=_ON,
            since=row.archived_at or row.created,
            proposal="Archive the price at the engine.",
            repair=lambda: _archive(side, price.price_id, row.mapping_id),
        )


def _archive(side: Side, price_id: str, mapping_id: int | None) -> None:
    side.engine.archive_price(side.account, price_id)
    if mapping_id is not None:
        in_unit_of_work(lambda: monetization.record_archived(mapping_id))


def _without_row(side: Side, row: Priced | None, price: ListedPrice) -> Iterator[Difference]:
    if not side.is_settled(price.created):
        return
    here = f"{row.version}: {row.price_id or 'no answer stored'}" if row else NOTHING
    yield side.difference(
        "price_without_row",
        price.price_id,
        here=here,
        there=_ON,
        since=price.created,
        proposal="Archive the price; saving the API's monetization puts it up for sale again."
        if row
        else "Look in the engine's dashboard: it names a plan that is not here.",
        repair=(lambda: _archive(side, price.price_id, None)) if row else None,
    )


def _missing(side: Side, row: Priced) -> Difference:
    return side.difference(
        "price_missing",
        str(row.price_id),
        here=row.version,
        there=NOTHING,
        since=row.created,
        proposal="Look at the account: the engine knows no such price.",
    )


def _products(side: Side, found: list[ListedProduct]) -> Iterator[Difference]:
    names = [each.metadata[PRODUCT_MARK] for each in found if each.active]
    selling = read(lambda: reconciling.apis_selling(side.tenant_id, side.account, names))
    for product in found:
        sells = selling.get(product.metadata[PRODUCT_MARK])
        if not product.active or sells is not False:
            continue
        yield side.difference(
            "product_not_withdrawn",
            product.product_id,
            here="sells nothing in this account",
            there=_ON,
            proposal="Archive the product at the engine.",
            repair=lambda name=product.product_id: side.engine.archive_product(side.account, name),  # type: ignore[misc]
        )


def _meters(side: Side, found: list[ListedMeter]) -> Iterator[Difference]:
    names = [each.meter_id for each in found if each.active]
    known = read(lambda: reconciling.meters_known(side.tenant_id, side.account, names))
    for meter in found:
        if not meter.active or meter.meter_id in known or not side.is_settled(meter.created):
            continue
        yield side.difference(
            "meter_without_row",
            meter.meter_id,
            here=NOTHING,
            there=f"counts {meter.event_name}",
            since=meter.created,
            proposal="Save the API's monetization again: it finds the meter by its name.",
        )
