"""What prices, plans, cancelling and invoices are measured by, one test for each sentence.

Each goes through the pages, and the real SDK on the sandbox: what counts is what Stripe has stored.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine

from portal import jobs
from portal.extensions import db
from portal.models import CheckoutAttempt, Subscription
from tests.contract.worlds import SandboxWorld
from tests.functional.service.conftest import WEBHOOK
from tests.support import buying
from tests.support.browser import Browser
from tests.support.rest import Rest

START = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[SandboxWorld]:
    with time_machine.travel(START, tick=False) as traveller:
        yield SandboxWorld(traveller, tmp_path)


@pytest.fixture
def engine(world: SandboxWorld) -> Any:
    return world.engine


class Shop:
    """A publisher who sells, and a developer who buys and calls, at their browsers."""

    def __init__(self, app: Any, world: SandboxWorld, factories: Any) -> None:
        self.app, self.world, self.factories = app, world, factories
        tenant = factories.tenant()
        tenant.webhook_secrets = list(world.secrets)
        db.session.commit()
        self.person = factories.user("dana", "subscriber")
        self.provider = factories.user("paula", "publisher")
        self.publisher = Browser(app).sign_in("paula")
        self.developer = Browser(app).sign_in("dana")
        self.application = factories.application("Fleet", owner=self.person)
        self.uuid = ""

    # --- selling ----------------------------------------------------------------------------

    def api(self, *plans: Any) -> Any:
        """Publish an API with these plans, and put them up for sale."""
        api = self.factories.api("Weather", *plans, provider=self.provider)
        self.page = f"/publisher/apis/{api.api_uuid}/monetization"
        self.api_uuid = api.api_uuid
        self.save()
        return api

    def save(self) -> Browser:
        """Press Save on the Monetization page, with monetization enabled."""
        field = self.publisher.get(self.page).soup.select_one("input[type=text]")
        assert field is not None
        return self.publisher.submit(
            "Save", {"enabled": "y", str(field["name"]): self.world.account}
        )

    def disable(self) -> Browser:
        """Switch monetization off; nobody has bought anything."""
        return self.publisher.get(self.page).submit("Save", {"enabled": None})

    def objects(self, kind: str) -> list[dict[str, Any]]:
        """Return what the connected account holds, as Stripe answers."""
        lists = {
            "prices": self.world._api.v1.prices,
            "products": self.world._api.v1.products,
            "meters": self.world._api.v1.billing.meters,
        }
        found: Any = lists[kind].list({"limit": 100})
        return sorted((each.to_dict() for each in found.data), key=lambda each: each["id"])

    # --- buying -----------------------------------------------------------------------------

    def subscribe(self, plan: Any) -> None:
        """Subscribe; the payment is still to be made."""
        self.uuid = buying.subscribe(self.developer, self.api_uuid, plan, self.application)

    def open_page(self) -> str:
        """Press Complete Payment; return the payment page's id."""
        buying.complete_payment(self.developer, self.uuid)
        db.session.rollback()
        query = sa.select(CheckoutAttempt.session_id).order_by(CheckoutAttempt.attempt_id.desc())
        return str(db.session.scalars(query.limit(1)).one())

    def pay(self) -> None:
        """Pay on Stripe's page; every event arrives."""
        self.world.pay(self.open_page())
        self.hear()

    def bought(self, plan: Any) -> None:
        """Subscribe and pay."""
        self.subscribe(plan)
        self.pay()

    def hear(self) -> None:
        """Deliver what Stripe tells."""
        for payload, header in self.world.signed():
            answer = self.app.test_client().post(
                WEBHOOK, data=payload, headers={"Stripe-Signature": header}
            )
            assert answer.status_code == 200, answer.get_data(as_text=True)
        jobs.catch_up()

    @property
    def row(self) -> Subscription:
        return buying.row_of(self.uuid)

    def call(self, times: int) -> None:
        """Let the application call so many times."""
        buying.call(self.uuid, times)

    @property
    def bills(self) -> list[Any]:
        """The subscription's invoices at Stripe, the newest first."""
        return self.world.engine.invoices(self.world.account, self.engine_id)

    @property
    def engine_id(self) -> str:
        return self._engine_id or str(self.row.engine_subscription_id)

    _engine_id = ""

    def remember(self) -> None:
        """Keep the id at Stripe, for when the portal has let go of it."""
        self._engine_id = str(self.row.engine_subscription_id)


@pytest.fixture
def shop(app: Any, world: SandboxWorld, factories: Any) -> Shop:
    return Shop(app, world, factories)


# --- prices ---------------------------------------------------------------------------------


def test_price_1_05_usd_is_105(shop, factories):
    plan = factories.fixed_policy("1.05", name="Small")
    shop.api(plan)
    (price,) = shop.objects("prices")
    assert (price["unit_amount"], price["currency"]) == (105, "usd")
    shop.bought(plan)
    assert shop.bills[0].total == 105
    assert "1.05 USD" in shop.developer.get(f"/devportal/subscriptions/{shop.uuid}/invoice").text


def test_0_001_per_request_is_billed(shop, factories):
    plan = factories.dynamic_policy("0.001", name="Fine")
    shop.api(plan)
    (price,) = shop.objects("prices")
    assert price["unit_amount_decimal"] == Decimal("0.1")
    shop.bought(plan)
    shop.call(1234)
    jobs.publish_all()
    shop.world.wait(seconds=90)
    shop.world.renew(shop.engine_id)
    bill = next(each for each in shop.bills if each.billing_reason == "subscription_cycle")
    assert (bill.lines[0].quantity, bill.total) == (1234, 123)


def test_jpy_500_is_500(shop, factories):
    plan = factories.fixed_policy("500", "JPY", name="Yen")
    shop.api(plan)
    (price,) = shop.objects("prices")
    assert (price["unit_amount"], price["currency"]) == (500, "jpy")
    shop.bought(plan)
    assert shop.bills[0].total == 500
    assert "500 JPY" in shop.developer.get(f"/devportal/subscriptions/{shop.uuid}/invoice").text


# --- plans ----------------------------------------------------------------------------------


def test_re_save_is_a_no_op(shop, factories):
    shop.api(factories.fixed_policy(name="Bronze"), factories.dynamic_policy(name="PerCall"))
    kinds = ("prices", "products", "meters")
    before = [shop.objects(kind) for kind in kinds]
    assert [len(held) for held in before] == [2, 1, 1]
    for _ in range(2):
        assert "Monetization is enabled." in shop.save().text
    assert [shop.objects(kind) for kind in kinds] == before


def test_disable_twice_works(shop, factories):
    shop.api(factories.fixed_policy(name="Bronze"))
    for _ in range(2):
        assert "Monetization is disabled." in shop.disable().text
    assert [each["active"] for each in shop.objects("prices")] == [False]
    assert [each["active"] for each in shop.objects("products")] == [False]
    assert "Monetization is enabled." in shop.save().text


def test_plan_change_changes_the_stripe_price(shop, factories):
    bronze = factories.fixed_policy("9.99", name="Bronze")
    gold = factories.fixed_policy("29.99", name="Gold")
    shop.api(bronze, gold)
    shop.bought(bronze)
    held = shop.world.engine.subscription(shop.world.account, shop.engine_id)
    shop.developer.get(f"/devportal/subscriptions/{shop.uuid}/plan/{gold.uuid}")
    shop.developer.submit("Change plan")
    after = shop.world.engine.subscription(shop.world.account, shop.engine_id)
    wanted = next(each for each in shop.objects("prices") if each["unit_amount"] == 2999)
    assert after.price_id == wanted["id"] != held.price_id
    assert shop.row.plan_name == "Gold"
    shop.world.renew(shop.engine_id)
    assert shop.bills[0].total == 2999


# --- cancelling -----------------------------------------------------------------------------


def test_usage_is_flushed_at_cancel(shop, factories):
    plan = factories.dynamic_policy("0.0025", name="PerCall")
    shop.api(plan)
    shop.bought(plan)
    shop.world.wait(hours=3)
    shop.remember()
    shop.call(1000)
    shop.world.wait(seconds=1)
    page = shop.developer.sign_in("dana").get(f"/devportal/subscriptions/{shop.uuid}/unsubscribe")
    assert "2.50 USD" in page.text
    page.submit("Unsubscribe")
    last = shop.bills[0]
    assert (last.lines[0].quantity, last.total) == (1000, 250)


# --- invoices -------------------------------------------------------------------------------


def test_invoice_shows_cents(shop, factories):
    plan = factories.fixed_policy("9.99", name="Bronze")
    shop.api(plan)
    shop.bought(plan)
    for browser, path in (
        (shop.developer, f"/devportal/subscriptions/{shop.uuid}/invoice"),
        (shop.developer, "/devportal/invoices"),
        (shop.publisher, f"/publisher/subscriptions/{shop.uuid}/invoice"),
    ):
        assert "9.99 USD" in browser.get(path).text, path


def test_revenue_is_not_null(shop, factories):
    plan = factories.fixed_policy("9.99", name="Bronze")
    shop.api(plan)
    shop.bought(plan)
    page = shop.publisher.get("/publisher/revenue")
    assert "9.99 USD" in page.text
    his = Rest(shop.app, shop.provider, "publisher/v4")
    answer = his.get(f"/apis/{shop.api_uuid}/revenue").json
    (total,), (item,) = answer["totals"], answer["list"]
    assert (total["currency"], total["paid"], item["paid"]) == ("USD", "9.99", "9.99")
    assert item["subscriptionId"] == shop.uuid
    assert list(answer["properties"].values()) == ["9.99 USD"]
    for name in ("net", "fee", "refunded"):
        assert total[name] in page.text
