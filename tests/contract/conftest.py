from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import time_machine

from portal import clock
from portal.billing.engine import (
    CheckoutSession,
    CheckoutSpec,
    CustomerSpec,
    MeterSpec,
    PriceSpec,
    ProductSpec,
    UsageReport,
    UsageType,
)
from tests.contract.worlds import MemoryWorld, SandboxWorld, World
from tests.support.outgoing import Gate, gate

PRODUCT = ProductSpec(product_id="prod_weather", name="Weather 1.0", metadata={"apim_api": "w"})
METER = MeterSpec(event_name="apim_weather_payg", display_name="Weather: Pay as you go")
FIXED = PriceSpec(
    product_id=PRODUCT.product_id,
    lookup_key="apim:weather:bronze:1",
    nickname="Bronze",
    currency="usd",
    unit_minor=Decimal(999),
    usage_type=UsageType.LICENSED,
    interval="month",
    meter_id=None,
    metadata={"apim_plan": "bronze"},
)
CUSTOMER = CustomerSpec(name="Dev (App)", email="dev@example.com", metadata={"apim_app": "a"})


@dataclass
class Seller:
    """What a publisher and a subscriber of this world do through the engine."""

    world: World

    def meter(self) -> str:
        return self.world.engine.ensure_meter(self.world.account, METER, key="meter")

    def product(self) -> str:
        return self.world.engine.ensure_product(self.world.account, PRODUCT, key="product")

    def price(self, spec: PriceSpec = FIXED, key: str = "price") -> str:
        self.product()
        return self.world.engine.ensure_price(self.world.account, spec, key=key)

    def metered(self) -> PriceSpec:
        return replace(
            FIXED,
            lookup_key="apim:weather:payg:1",
            nickname="Pay as you go",
            unit_minor=Decimal("0.25"),
            usage_type=UsageType.METERED,
            meter_id=self.meter(),
        )

    def customer(self, key: str = "customer") -> str:
        return self.world.engine.ensure_customer(self.world.account, CUSTOMER, key=key)

    def page_spec(self, price: PriceSpec = FIXED, **more: object) -> CheckoutSpec:
        spec = CheckoutSpec(
            customer_id=self.customer(),
            price_id=self.price(price, key=f"price:{price.lookup_key}"),
            usage_type=price.usage_type,
            reference="11111111-2222-3333-4444-555555555555",
            success_url="https://portal.example/back?session_id={CHECKOUT_SESSION_ID}",
            cancel_url="https://portal.example/cancel",
            expires_at=clock.now() + timedelta(hours=23),
            metadata={"apim_tenant": "carbon.super"},
        )
        return replace(spec, **more)  # type: ignore[arg-type]

    def page(self, price: PriceSpec = FIXED, key: str = "page") -> CheckoutSession:
        spec = self.page_spec(price)
        return self.world.engine.open_checkout(self.world.account, spec, key=key)

    def bought(self, price: PriceSpec = FIXED) -> str:
        """Buy, wait an hour, forget the events; return the subscription."""
        page = self.page(price)
        self.world.pay(page.session_id)
        self.world.signed()
        self.world.wait(hours=1)
        paid = self.world.engine.checkout(self.world.account, page.session_id)
        assert paid.subscription_id
        return paid.subscription_id

    def use(self, quantity: int, identifier: str = "batch:1") -> UsageReport:
        report = UsageReport(
            event_name=METER.event_name,
            customer_id=self.customer(),
            quantity=quantity,
            identifier=identifier,
            timestamp=clock.now() - timedelta(minutes=10),
        )
        self.world.engine.report_usage(self.world.account, report)
        return report


@pytest.fixture(autouse=True)
def outgoing(request, monkeypatch) -> Iterator[Gate | None]:
    """What the engine sends is what Stripe takes."""
    if request.path.name == "test_outgoing.py":
        yield None
        return
    with gate(monkeypatch) as seen:
        yield seen


@pytest.fixture
def traveller() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(datetime(2026, 11, 3, 12, 0, tzinfo=UTC), tick=False) as found:
        yield found


@pytest.fixture(params=[MemoryWorld, SandboxWorld], ids=["memory", "stripe"])
def world(request, traveller, tmp_path) -> World:
    """A provider; each test of the contract runs against both."""
    return request.param(traveller, tmp_path)


@pytest.fixture
def engine(world):
    return world.engine


@pytest.fixture
def seller(world) -> Seller:
    return Seller(world)
