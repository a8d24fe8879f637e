"""Switching an API's monetization on and off, at the billing engine and here.

Both may be interrupted anywhere and pressed again: what exists is found again, what is missing
is made, what is archived already counts as done. One price that the engine refuses does not undo
the others; the result says which plans are for sale and what to press.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from sqlalchemy import select

from portal.billing.engine import BillingEngine
from portal.errors import (
    BillingEngineError,
    EngineAccessDenied,
    EngineObjectMissing,
    EngineUnavailable,
    Invalid,
)
from portal.extensions import db
from portal.flows import stopping
from portal.models.api import CONNECTED_ACCOUNT, Api, Endings
from portal.services import attributes, monetization
from portal.services import stopping as endings
from portal.services.monetization import Leftover, Sale
from portal.web.unit_of_work import in_unit_of_work

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of a press of Save.

    ``failed`` has pairs of a plan (or another part) and the sentence that says why.
    """

    enabled: bool
    monetized: tuple[str, ...] = ()
    archived: tuple[str, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to be repeated."""
        return not self.failed


@dataclass(frozen=True, kw_only=True)
class _Intent:
    account: str
    sales: tuple[Sale, ...]
    portal_row: int
    portal_key: str


def enable(
    engine: BillingEngine, api_uuid: str, values: Mapping[str, str], *, return_url: str
) -> Result:
    """Sell every attached commercial plan through the connected account in ``values``.

    Plans that are sold already stay as they are; those whose price has changed are sold at the
    new one from now on, and prices that are no longer for sale are archived.

    :param return_url: where the Customer Portal leads back to
    :raise portal.errors.Invalid: if the API is not published, sells nothing, or a value is wrong,
        such as an account that cannot charge; nothing has changed then
    :raise portal.errors.BillingEngineError: if the account cannot be checked now
    """
    kept = _read(lambda: _checked(api_uuid, values))
    _check_account(engine, kept[CONNECTED_ACCOUNT])
    intent = in_unit_of_work(lambda: _intend(api_uuid, kept, return_url))
    failed = _portal(engine, intent, return_url)
    monetized: list[str] = []
    for sale in intent.sales:
        if _is_down(failed):
            failed.append((sale.plan, EngineUnavailable("it was not tried yet.")))
            continue
        try:
            _sell(engine, intent.account, sale, has_product=bool(monetized))
            monetized.append(sale.plan)
        except BillingEngineError as error:
            failed.append((sale.plan, error))
    archived: list[str] = []
    if not _is_down(failed):
        left = _read(lambda: monetization.leftovers(_api(api_uuid), spare_unpaid=True))
        archived, more = _archive(engine, left)
        failed += more
    return Result(
        enabled=_read(lambda: _api(api_uuid).is_monetization_enabled),
        monetized=tuple(monetized),
        archived=tuple(archived),
        failed=tuple((part, error.message) for part, error in failed),
    )


def disable(
    engine: BillingEngine, api_uuid: str, how: Endings = Endings.GO_ON, *, actor: str = "command"
) -> Result:
    """Take an API off sale, in whatever state it is, and archive its prices and product.

    Uses the accounts that the prices were made in, whatever is entered now. History stays.
    Repeating goes on where it stopped.

    :param how: what becomes of subscriptions that run: they go on and are billed as they were
        sold, or the worker ends each now or with its period
    """
    left = in_unit_of_work(lambda: _withdraw(api_uuid, how, actor))
    stopping.request(api_uuid)
    archived, failed = _archive(engine, left)
    return Result(
        enabled=False,
        archived=tuple(archived),
        failed=tuple((part, error.message) for part, error in failed),
    )


def _read(work: Callable[[], T]) -> T:
    """Read, and end the transaction before the engine is called."""
    try:
        return work()
    finally:
        db.session.rollback()


def _is_down(failed: list[tuple[str, BillingEngineError]]) -> bool:
    return any(isinstance(error, EngineUnavailable) for _, error in failed)


def _api(api_uuid: str) -> Api:
    return db.session.scalars(select(Api).where(Api.api_uuid == api_uuid)).one()


def _checked(api_uuid: str, values: Mapping[str, str]) -> dict[str, str]:
    api = _api(api_uuid)
    monetization.check_can_enable(api)
    return attributes.check_values(api.tenant, values)


def _check_account(engine: BillingEngine, account: str) -> None:
    try:
        seen = engine.check_account(account)
    except (EngineAccessDenied, EngineObjectMissing) as error:
        sentence = f"This account cannot be used: {error.message}"
        raise Invalid(sentence, {CONNECTED_ACCOUNT: sentence}) from error
    if not seen.can_charge:
        sentence = (
            "This account cannot take payments yet. Complete its onboarding in Stripe, with card "
            "payments, then press Save again."
        )
        raise Invalid(sentence, {CONNECTED_ACCOUNT: sentence})


def _intend(api_uuid: str, values: dict[str, str], return_url: str) -> _Intent:
    api = _api(api_uuid)
    monetization.check_can_enable(api)
    sales = monetization.intend(api, values)
    account = values[CONNECTED_ACCOUNT]
    row = monetization.portal_configuration(api, account, return_url)
    return _Intent(
        account=account,
        sales=tuple(sales),
        portal_row=row.portal_configuration_id,
        portal_key=f"portal:{row.uuid}",
    )


def _portal(
    engine: BillingEngine, intent: _Intent, return_url: str
) -> list[tuple[str, BillingEngineError]]:
    try:
        found = engine.ensure_portal_configuration(
            intent.account, return_url=return_url, key=intent.portal_key
        )
    except BillingEngineError as error:
        return [("The Customer Portal", error)]
    in_unit_of_work(lambda: monetization.record_portal_configuration(intent.portal_row, found))
    return []


def _sell(engine: BillingEngine, account: str, sale: Sale, *, has_product: bool) -> None:
    if not has_product:
        engine.ensure_product(account, sale.product, key=f"product:{sale.key}")
    meter_id = None
    if sale.meter is not None:
        meter_id = engine.ensure_meter(account, sale.meter, key=f"meter:{sale.key}")
    price = replace(sale.price, meter_id=meter_id)
    price_id = engine.ensure_price(account, price, key=f"price:{sale.key}")
    in_unit_of_work(
        lambda: monetization.record_sale(sale.mapping_id, price_id=price_id, meter_id=meter_id)
    )


def _withdraw(api_uuid: str, how: Endings, actor: str) -> list[Leftover]:
    api = _api(api_uuid)
    endings.ask(api, how, actor)
    monetization.withdraw(api)
    db.session.flush()
    return monetization.leftovers(api, spare_unpaid=False)


def _archive(
    engine: BillingEngine, left: list[Leftover]
) -> tuple[list[str], list[tuple[str, BillingEngineError]]]:
    archived: list[str] = []
    failed: list[tuple[str, BillingEngineError]] = []
    for price in left:
        try:
            engine.archive_price(price.account, price.price_id)
            if price.ends_product is not None:
                engine.archive_product(price.account, price.ends_product)
        except BillingEngineError as error:
            failed.append((price.plan, error))
            if isinstance(error, EngineUnavailable):
                break
            continue
        in_unit_of_work(partial(monetization.record_archived, price.mapping_id))
        archived.append(price.plan)
    return archived, failed
