"""A developer, and a small market in which APIs are sold."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import sqlalchemy as sa

from portal.billing.engine import MeterSpec, PriceSpec, ProductSpec
from portal.extensions import db
from portal.models import Api, Application, EnginePrice, Offer, Policy, User
from portal.web.unit_of_work import unit_of_work
from tests.support import buying
from tests.support.browser import Browser
from tests.support.factories import Factories
from tests.support.memory_engine import MemoryBillingEngine

ACCOUNT = "acct_seller1"


@dataclass
class Market:
    """Sells APIs, and walks a developer through buying."""

    factories: Factories
    engine: MemoryBillingEngine
    browser: Browser
    developer: User
    sold: dict[tuple[int, int], EnginePrice] = field(default_factory=dict)

    def api(self, name: str, *policies: Policy, **more: object) -> Api:
        """Publish an API and put every commercial plan of it on sale."""
        api = self.factories.api(name, *policies, account=ACCOUNT, **more)
        for policy in policies:
            if policy.is_commercial:
                self.sell(api, policy)
        return api

    def sell(self, api: Api, policy: Policy) -> Offer:
        """Enable monetization for one plan."""
        version, engine = policy.current, self.engine
        product = engine.ensure_product(
            ACCOUNT,
            ProductSpec(product_id=f"api_{api.api_id}", name=api.api_name, metadata={}),
            key="product",
        )
        event = f"calls_{api.api_id}_{policy.policy_id}"
        meter = (
            engine.ensure_meter(
                ACCOUNT, MeterSpec(event_name=event, display_name=event), key="meter"
            )
            if version.is_dynamic
            else None
        )
        price_id = engine.ensure_price(
            ACCOUNT,
            PriceSpec(
                product_id=product,
                lookup_key=f"{api.api_id}:{version.policy_version_id}",
                nickname=policy.name,
                currency=(version.currency or "").lower(),
                unit_minor=version.unit_minor,
                usage_type=version.usage_type,
                interval=version.billing_cycle or "month",
                meter_id=meter,
                metadata={},
            ),
            key="price",
        )
        price = self.factories.save(
            EnginePrice(
                api_id=api.api_id,
                policy_uuid=policy.uuid,
                policy_version_id=version.policy_version_id,
                connected_account=ACCOUNT,
                product_id=product,
                plan_id=price_id,
                meter_id=meter,
                meter_event_name=event if meter else None,
            )
        )
        with unit_of_work():
            api.is_monetization_enabled = True
        return self.factories.save(
            Offer(
                api_id=api.api_id,
                tier_name=policy.name,
                stripe_product_id=product,
                stripe_plan_id=price_id,
                mapping_id=price.mapping_id,
            )
        )

    def subscribe(self, api: Api, policy: Policy, application: Application) -> str:
        """Subscribe through the pages; returns the subscription's UUID."""
        return buying.subscribe(self.browser, api.api_uuid, policy, application)

    def open_payment(self, uuid: str) -> str:
        """Press Complete Payment; returns the payment page's id."""
        buying.complete_payment(self.browser, uuid)
        return next(reversed(self.engine.provider.pages))

    def pay(self, uuid: str) -> None:
        """Pay with a good card; the browser comes back before any event."""
        session_id = self.open_payment(uuid)
        self.engine.provider.pay(session_id)
        self.browser.get(f"/api/am/stripe/complete-session?session_id={session_id}")

    def bought(self, api: Api, policy: Policy, application: Application) -> str:
        """Subscribe and pay."""
        uuid = self.subscribe(api, policy, application)
        self.pay(uuid)
        return uuid


@pytest.fixture
def developer(factories: Factories) -> User:
    return factories.user("dana", "subscriber")


@pytest.fixture
def market(
    factories: Factories, engine: MemoryBillingEngine, browser: Browser, developer: User
) -> Market:
    browser.sign_in("dana")
    return Market(factories=factories, engine=engine, browser=browser, developer=developer)


@pytest.fixture
def queries(app: object) -> Callable[[], "contextmanager[list[str]]"]:
    """Count the statements of a block: ``with queries() as seen: …``."""

    @contextmanager
    def counting() -> Iterator[list[str]]:
        seen: list[str] = []

        def note(_conn, _cursor, statement, *_rest) -> None:
            if statement.lstrip().upper().startswith("SELECT"):
                seen.append(statement)

        sa.event.listen(db.engine, "before_cursor_execute", note)
        yield seen
        sa.event.remove(db.engine, "before_cursor_execute", note)

    return counting
