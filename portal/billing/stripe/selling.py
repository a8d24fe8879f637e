"""What is sold: products, meters, prices, and what the customer portal may do."""

from decimal import Decimal
from typing import Any, Literal, cast

from stripe.params import PriceCreateParams, PriceCreateParamsTier
from stripe.params.billing import MeterCreateParams

from portal.billing.engine import MeterSpec, PriceSpec, ProductSpec, UsageType
from portal.billing.stripe.client import Connection, create_once, is_replay, known, plain
from portal.billing.stripe.errors import portal_errors
from portal.billing.stripe.translate import unit_price
from portal.errors import BillingEngineError, EngineObjectMissing, Invalid
from portal.money import plain as plain_decimal
from portal.rating import Tier

Interval = Literal["day", "week", "month", "year"]
#: Where a meter event names its customer and its quantity.
CUSTOMER_IN_PAYLOAD = "stripe_customer_id"
VALUE_IN_PAYLOAD = "value"
PORTAL_MARK = "apim_portal"
PAGE = 100


class Selling(Connection):
    """Products, meters and prices in the publisher's connected account."""

    def ensure_product(self, account: str, spec: ProductSpec, *, key: str) -> str:
        """Create the product under our own id, or rename it and make it active again.

        Looked for first, because a stored answer to ``key`` would hide that it was archived.
        """
        found = self._revive_product(account, spec)
        if found is not None:
            return found

        def create(used: str) -> str:
            with portal_errors():
                product = self.client.v1.products.create(
                    {"id": spec.product_id, "name": spec.name, "metadata": dict(spec.metadata)},
                    self.within(account, used),
                )
            return product.id

        return create_once(
            create, lambda: self._revive_product(account, spec), key, find_refused=True
        )

    def _revive_product(self, account: str, spec: ProductSpec) -> str | None:
        try:
            with portal_errors():
                self.client.v1.products.update(
                    known(spec.product_id),
                    {"name": spec.name, "active": True, "metadata": dict(spec.metadata)},
                    self.within(account),
                )
        except EngineObjectMissing:
            return None
        return spec.product_id

    def ensure_meter(self, account: str, spec: MeterSpec, *, key: str) -> str:
        """Create the meter, or find it by event name and reactivate it.

        Stripe keeps an event name for ever, also of a deactivated meter, and lists cannot be
        filtered by it.
        """

        def create(used: str) -> tuple[str, bool]:
            with portal_errors():
                meter = self.client.v1.billing.meters.create(
                    _meter_params(spec), self.within(account, used)
                )
            return meter.id, is_replay(meter)

        def find() -> tuple[str, bool] | None:
            found = self._revive_meter(account, spec)
            return (found, False) if found else None

        meter_id, may_be_inactive = create_once(create, find, key, find_refused=True)
        if may_be_inactive:
            self._revive_meter(account, spec)
        return meter_id

    def _revive_meter(self, account: str, spec: MeterSpec) -> str | None:
        with portal_errors():
            page = self.client.v1.billing.meters.list({"limit": PAGE}, self.within(account))
            for meter in page.auto_paging_iter():
                if meter.event_name != spec.event_name:
                    continue
                if meter.default_aggregation.formula != "sum":
                    raise BillingEngineError(
                        "A meter of this account has our name but does not add up requests. "
                        "Make a new plan: it gets a meter of its own.",
                        engine_code="meter_mismatch",
                    )
                if meter.status == "inactive":
                    self.client.v1.billing.meters.reactivate(meter.id, None, self.within(account))
                return meter.id
        return None

    def ensure_price(self, account: str, spec: PriceSpec, *, key: str) -> str:
        """Create the price, or find it by lookup key and make it active again.

        :raise portal.errors.BillingEngineError: if the lookup key belongs to another price
        """
        params = _price_params(spec)
        found = self._revive_price(account, spec)
        if found is not None:
            return found

        def create(used: str) -> str:
            with portal_errors():
                return self.client.v1.prices.create(params, self.within(account, used)).id

        return create_once(
            create, lambda: self._revive_price(account, spec), key, find_refused=True
        )

    def _revive_price(self, account: str, spec: PriceSpec) -> str | None:
        with portal_errors():
            page = self.client.v1.prices.list(
                {"lookup_keys": [spec.lookup_key], "limit": 1, "expand": ["data.tiers"]},
                self.within(account),
            )
            if not page.data:
                return None
            price = page.data[0]
            _refuse_other_price(plain(price), spec)
            if not price.active:
                self.client.v1.prices.update(price.id, {"active": True}, self.within(account))
            return price.id

    def archive_price(self, account: str, price_id: str) -> None:
        """Make the price inactive (Stripe deletes no prices); missing counts as done."""
        try:
            with portal_errors():
                self.client.v1.prices.update(
                    known(price_id), {"active": False}, self.within(account)
                )
        except EngineObjectMissing:
            return

    def archive_product(self, account: str, product_id: str) -> None:
        """Make the product inactive; missing counts as done."""
        try:
            with portal_errors():
                self.client.v1.products.update(
                    known(product_id), {"active": False}, self.within(account)
                )
        except EngineObjectMissing:
            return

    def ensure_portal_configuration(self, account: str, *, return_url: str, key: str) -> str:
        """Create the customer portal's configuration, or find ours and correct its return address.

        A new connected account has none, and Stripe then refuses portal sessions. Cancelling is
        at the period's end, so that metered usage is still invoiced.
        """
        configurations = self.client.v1.billing_portal.configurations
        with portal_errors():
            page = configurations.list({"active": True, "limit": PAGE}, self.within(account))
            for found in page.auto_paging_iter():
                if plain(found).get("metadata", {}).get(PORTAL_MARK) != "1":
                    continue
                if found.default_return_url != return_url:
                    configurations.update(
                        found.id, {"default_return_url": return_url}, self.within(account)
                    )
                return found.id
            return configurations.create(
                {
                    "default_return_url": return_url,
                    "features": {
                        "invoice_history": {"enabled": True},
                        "payment_method_update": {"enabled": True},
                        "subscription_cancel": {"enabled": True, "mode": "at_period_end"},
                        "customer_update": {"enabled": True, "allowed_updates": ["email"]},
                    },
                    "metadata": {PORTAL_MARK: "1"},
                },
                self.within(account, key),
            ).id


def _meter_params(spec: MeterSpec) -> MeterCreateParams:
    return {
        "display_name": spec.display_name[:250],
        "event_name": spec.event_name,
        "default_aggregation": {"formula": "sum"},
        "customer_mapping": {"type": "by_id", "event_payload_key": CUSTOMER_IN_PAYLOAD},
        "value_settings": {"event_payload_key": VALUE_IN_PAYLOAD},
    }


def _price_params(spec: PriceSpec) -> PriceCreateParams:
    params: PriceCreateParams = {
        "product": spec.product_id,
        "lookup_key": spec.lookup_key,
        "nickname": spec.nickname,
        "currency": spec.currency,
        "metadata": dict(spec.metadata),
    }
    interval = cast(Interval, spec.interval)
    if spec.usage_type is UsageType.LICENSED:
        params["unit_amount"] = _whole(spec.unit_minor)
        params["recurring"] = {"interval": interval}
        return params
    params["recurring"] = {
        "interval": interval,
        "usage_type": "metered",
        "meter": known(spec.meter_id or ""),
    }
    if spec.tiers:
        params["billing_scheme"] = "tiered"
        params["tiers_mode"] = _tiers_mode(spec)
        params["tiers"] = [_tier_params(tier) for tier in spec.tiers]
    else:
        # A string, because the SDK would send Decimal("1E-12") in that notation.
        params["unit_amount_decimal"] = cast(Decimal, plain_decimal(spec.unit_minor))
    return params


def _tiers_mode(spec: PriceSpec) -> Literal["graduated", "volume"]:
    return "volume" if spec.is_volume else "graduated"


def _tier_params(tier: Tier) -> PriceCreateParamsTier:
    params: PriceCreateParamsTier = {
        "up_to": "inf" if tier.up_to is None else tier.up_to,
        "unit_amount_decimal": cast(Decimal, plain_decimal(tier.unit_minor)),
    }
    if tier.flat_minor:
        params["flat_amount"] = _whole(tier.flat_minor)
    return params


def _whole(unit_minor: Decimal) -> int:
    if unit_minor != unit_minor.to_integral_value():
        raise Invalid("A fixed price cannot be divided further than the currency allows.")
    return int(unit_minor)


def _refuse_other_price(found: dict[str, Any], spec: PriceSpec) -> None:
    recurring = found.get("recurring") or {}
    same = (
        found.get("product") == spec.product_id
        and found.get("currency") == spec.currency
        and _same_amounts(found, spec)
        and recurring.get("interval") == spec.interval
        and recurring.get("usage_type") == spec.usage_type
        and recurring.get("meter") == spec.meter_id
    )
    if not same:
        raise BillingEngineError(
            "A different price is stored under this plan's name in the Stripe account. "
            "Remove its lookup key in Stripe's dashboard, then press again.",
            engine_code="price_mismatch",
        )


def _same_amounts(found: dict[str, Any], spec: PriceSpec) -> bool:
    if not spec.tiers:
        return found.get("billing_scheme") != "tiered" and unit_price(found) == spec.unit_minor
    # Stripe shows a price's tiers only where they are asked for, as ensure_price does.
    tiers = tuple(_tier(tier) for tier in found.get("tiers") or ())
    return found.get("tiers_mode") == _tiers_mode(spec) and tiers == spec.tiers


def _tier(found: dict[str, Any]) -> Tier:
    def amount(name: str) -> Decimal:
        return Decimal(str(found.get(f"{name}_decimal") or found.get(name) or 0))

    return Tier(
        up_to=found.get("up_to"),
        unit_minor=amount("unit_amount"),
        flat_minor=amount("flat_amount"),
    )
