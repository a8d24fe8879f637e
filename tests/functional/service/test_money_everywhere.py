"""An amount is the same on the plan's form, at Stripe, in the preview, on the invoice and the page.

The way there is the portal's own: its forms and pages, its engine and the real SDK, the sandbox and
its signed events. ``MONEY_CURRENCIES=all`` walks it in every currency that Stripe supports,
``MONEY_EXAMPLES`` is how many amounts each gets, ``MONEY_PRICES=1`` tries every price from 0.01 to
10,000.00 instead of every 9,973rd.
"""

import os
import re
from collections.abc import Iterator
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
import time_machine
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from stripe._encode import _api_encode

from portal.billing.engine import PriceSpec, UsageType
from portal.billing.stripe import selling, translate
from portal.extensions import db
from portal.flows import monetizing
from portal.models import EnginePrice, Policy, PolicyVersion, Subscription
from portal.models.api import CONNECTED_ACCOUNT
from portal.money import Money
from portal.sandbox import money as theirs
from portal.sandbox import spec
from portal.sandbox.resources import prices
from portal.services import plan_rules, subscribing
from portal.web.unit_of_work import in_unit_of_work
from tests.contract.worlds import SandboxWorld
from tests.support.browser import Browser

WEBHOOK = "/api/am/stripe/webhook?tenantDomain=carbon.super"
MOST = 10_000
#: One of each kind: two decimals, none, three of which the last is 0, two that are always 00.
KINDS = ["usd", "jpy", "kwd", "isk"]
CURRENCIES = sorted(theirs.SUPPORTED) if os.environ.get("MONEY_CURRENCIES") == "all" else KINDS
_names = count()


def places(currency: str) -> int:
    """How many decimals an amount may have, which is not always what Stripe counts in."""
    if theirs.exponent(currency) == 0 or theirs.granularity(currency) == 100:
        return 0
    return 2


def amounts(currency: str) -> st.SearchStrategy[Decimal]:
    """Amounts up to 10,000 that Stripe charges, as people write them."""
    smallest = Decimal(theirs.minimum_charge(currency)).scaleb(-theirs.exponent(currency))
    digits = places(currency)
    first = -int(-smallest.scaleb(digits) // 1)
    return st.integers(max(first, 1), max(first, MOST * 10**digits)).map(
        lambda number: Decimal(number).scaleb(-digits)
    )


def shown(amount: Decimal, currency: str) -> str:
    """How the portal writes it; reckoned here from the text alone."""
    return f"{amount:,.{theirs.exponent(currency)}f} {currency.upper()}"


def sums(page: Browser, currency: str) -> list[Decimal]:
    """Every amount of a page in this currency. A plan's own words may have fewer decimals."""
    text = page.soup.select_one("main").get_text(" ", strip=True)
    found = re.findall(rf"(?<![\d.,])([\d,]+(?:\.\d+)?) {currency.upper()}", text)
    return [Decimal(each.replace(",", "")) for each in found]


@pytest.fixture
def travel() -> Iterator[time_machine.Traveller]:
    with time_machine.travel("2027-03-10T10:00:00+00:00", tick=False) as found:
        yield found


@pytest.fixture
def world(travel, tmp_path) -> Iterator[SandboxWorld]:
    made = SandboxWorld(travel, tmp_path)
    yield made
    made._app.extensions["sandbox"].store.close()


@pytest.fixture
def engine(world):
    return world.engine


@pytest.fixture
def people(factories, world):
    """An administrator, a publisher and a developer of a tenant that the sandbox tells events."""
    tenant = factories.tenant()
    tenant.webhook_secrets = world.secrets
    factories.save(tenant)
    names = ("admin", "publisher", "subscriber")
    return {name: factories.user(name, name, tenant=tenant) for name in names}


def deliver(app: Any, world: SandboxWorld) -> None:
    """Hand every event of the sandbox to the portal."""
    for body, signature in world.signed():
        answer = app.test_client().post(WEBHOOK, data=body, headers={"Stripe-Signature": signature})
        assert answer.status_code == 200, answer.get_data(as_text=True)


def plan_by_form(admin: Browser, amount: Decimal, currency: str) -> Policy:
    """Type a plan into the administrator's form."""
    name = f"Plan{next(_names)}"
    admin.get("/admin/plans/new").submit(
        "Save",
        {
            "name": name,
            "quota": "1000",
            "billing_plan": "COMMERCIAL",
            "monetization_plan": "FIXEDRATE",
            "fixed_price": format(amount, "f"),
            "currency": currency,
            "billing_cycle": "month",
        },
    )
    assert amount in sums(admin, currency)
    return db.session.query(Policy).filter_by(name=name).one()


def bought(
    app: Any, browser: Browser, factories: Any, world: SandboxWorld, people: Any, policy: Policy
) -> Subscription:
    """Sell the plan, subscribe to it and pay on the sandbox's page."""
    api = factories.api(None, policy, provider=people["publisher"])
    account = {CONNECTED_ACCOUNT: world.account}
    back = "https://portal.example/"
    assert monetizing.enable(world.engine, api.api_uuid, account, return_url=back).is_complete
    developer = people["subscriber"]
    application = factories.application(owner=developer)
    uuid = in_unit_of_work(lambda: subscribing.subscribe(developer, application, api, policy).uuid)
    browser.get(f"/api/am/stripe/checkout-url?subscriptionId={uuid}", follow=False, expect=303)
    page = world._api.v1.checkout.sessions.list({"limit": 1}).data[0]
    world.pay(page.id)
    deliver(app, world)
    db.session.rollback()
    found = db.session.query(Subscription).filter_by(uuid=uuid).one()
    assert found.engine_subscription_id
    return found


@pytest.mark.slow
@pytest.mark.parametrize("currency", CURRENCIES)
def test_an_amount_is_the_same_everywhere(app, browser, factories, world, people, currency) -> None:
    admin = Browser(app).sign_in("admin")
    browser.sign_in("subscriber")

    @settings(
        max_examples=int(os.environ.get("MONEY_EXAMPLES", "1")),
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(amount=amounts(currency))
    def walk(amount: Decimal) -> None:
        minor = int(amount.scaleb(theirs.exponent(currency)))
        policy = plan_by_form(admin, amount, currency)
        held = bought(app, browser, factories, world, people, policy)
        uuid, engine_id = held.uuid, str(held.engine_subscription_id)
        price = db.session.query(EnginePrice).filter_by(api_id=held.api_id).one()
        stored = world._api.v1.prices.retrieve(str(price.plan_id))
        assert (stored.unit_amount, stored.currency) == (minor, currency)
        world.renew(engine_id)
        deliver(app, world)
        coming = world.engine.preview(world.account, engine_id)
        assert coming is not None
        drawn = world.engine.invoices(world.account, engine_id)
        seen = [(each.total, each.currency) for each in (coming, *drawn)]
        assert seen == [(minor, currency)] * 3
        assert [each.amount_paid for each in drawn] == [minor] * 2
        browser.get(f"/devportal/subscriptions/{uuid}/invoice")
        said = sums(browser, currency)
        # The total so far, its line and its sum, and the totals of two invoices.
        assert said.count(amount) >= 5, said
        assert set(said) <= {amount, Decimal(0)}, said
        assert shown(amount, currency) in browser.text

    walk()


def arrives(number: int, currency: str) -> None:
    """Take one price from its text to Stripe's object and back."""
    text = f"{number // 100}.{number % 100:02d}" if places(currency) else str(number)
    typed = plan_rules.fixed_price(text, currency)
    version = PolicyVersion(
        number=1,
        billing_plan="COMMERCIAL",
        monetization_plan="FIXEDRATE",
        fixed_rate=typed,
        currency=currency.upper(),
        billing_cycle="month",
    )
    params = selling._price_params(
        PriceSpec(
            product_id="prod_1",
            lookup_key="k",
            nickname="Gold",
            currency=currency,
            unit_minor=version.unit_minor,
            usage_type=UsageType.LICENSED,
            interval="month",
            meter_id=None,
            metadata={},
        )
    )
    pairs = [(name, str(value)) for name, value in _api_encode(dict(params))]
    operation = spec.match("POST", "/v1/prices")
    assert operation is not None
    stored = prices._amounts(spec.coerce(operation, pairs), currency)
    unit = translate.unit_price(stored)
    assert unit is not None
    assert unit == int(unit) == stored["unit_amount"]
    assert str(Money(int(unit), currency)) == shown(Decimal(text), currency)


@pytest.mark.parametrize("currency", KINDS)
def test_every_price_arrives_exactly(currency: str) -> None:
    step = int(os.environ.get("MONEY_PRICES", "9973"))
    most = MOST * 10 ** places(currency)
    for number in {*range(1, most + 1, step), 1, 99, 100, 999, 1_005, most - 1, most}:
        if number <= most:
            arrives(number, currency)
