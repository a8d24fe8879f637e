"""Revenue ties to the cent: to the provider's balance, months to the year, plans to the API."""

import csv
import io
import os
import random
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa
import time_machine

from portal import clock
from portal.billing.engine import CustomerSpec, UsageType
from portal.errors import EngineUnavailable
from portal.extensions import db
from portal.flows import bookkeeping
from portal.models import BookedInvoice, BookedMovement, Policy, User
from portal.money import to_major
from portal.services import takings
from portal.services.takings import FIGURES, OF_BALANCE, Wanted
from tests.contract.conftest import FIXED, Seller
from tests.contract.worlds import MemoryWorld, SandboxWorld

#: How many random histories; a large number takes minutes.
HISTORIES = int(os.environ.get("REVENUE_HISTORIES", "1"))
PRICES = {"usd": Decimal(999), "jpy": Decimal(500), "kwd": Decimal(12_340)}


@dataclass
class Books:
    """A provider, our subscriptions there, and what the portal says of them."""

    world: object
    provider: User
    subscriptions: dict[str, str]
    """The provider's name of each -> its currency."""

    @property
    def tenant_id(self):
        return self.provider.tenant_id

    def read(self):
        zero = timedelta(0)
        return bookkeeping.read(lambda _: self.world.engine, self.tenant_id, older_than=zero)

    def wanted(self, **more):
        return Wanted(tenant_id=self.tenant_id, provider_id=self.provider.user_id, **more)

    def sums(self, by="month", **more):
        return takings.sums(self.wanted(**more), by, clock.now())


@pytest.fixture
def traveller():
    with time_machine.travel(datetime(2026, 1, 10, 12, 0, tzinfo=UTC), tick=False) as found:
        yield found


@pytest.fixture
def books(app, factories, traveller, tmp_path):
    """Two APIs with two plans each, in three currencies, bought by two developers."""
    return build(factories, SandboxWorld(traveller, tmp_path))


def build(factories, world):
    provider = factories.user("pat", "publisher")
    seller, sold = Seller(world), {}
    owners = [factories.user(name, "subscriber") for name in ("dana", "dev")]
    for number, currency in enumerate([*PRICES, *PRICES]):
        policy = factories.fixed_policy(
            str(to_major(int(PRICES[currency]), currency)), currency.upper(), name=f"P{number}"
        )
        api = factories.api(f"Api{number}", policy, provider=provider)
        application = factories.application(f"App{number}", owner=owners[number % 2])
        row = factories.subscription(
            api=api,
            application=application,
            policy=policy,
            billing="PAID",
            connected_account=world.account,
        )
        price = replace(
            FIXED,
            currency=currency,
            unit_minor=PRICES[currency],
            usage_type=UsageType.LICENSED,
            lookup_key=f"price:{number}",
        )
        page = buy(world, seller, price, row.uuid, number)
        sold[page] = currency
    return Books(world=world, provider=provider, subscriptions=sold)


def buy(world, seller, price, uuid, number):
    customer = world.engine.ensure_customer(
        world.account,
        CustomerSpec(name=f"App{number}", email="dev@example.com", metadata={}),
        key=f"customer{number}",
    )
    spec = seller.page_spec(
        price,
        reference=uuid,
        customer_id=customer,
        fee_percent=Decimal("2.5") if number % 2 else Decimal(0),
    )
    page = world.engine.open_checkout(world.account, spec, key=f"page{number}")
    world.pay(page.session_id)
    found = world.engine.checkout(world.account, page.session_id).subscription_id
    world.wait(hours=1)
    return found


def live(books, chance, months):
    """Let months pass with renewals, failures, late payments and refunds."""
    world = books.world
    behind = set()
    for _ in range(months):
        world.wait(days=31)
        for name in books.subscriptions:
            act = chance.random()
            if name in behind:
                if act < 0.6:
                    world.pay_invoice(name)
                    behind.discard(name)
            elif act < 0.2:
                world.fail_renewal(name)
                behind.add(name)
            else:
                world.renew(name)
        if chance.random() < 0.7:
            refund(world, chance)


def refund(world, chance):
    paid = [each for each in world.engine.account_invoices(world.account, None) if each.payment_ids]
    paid = [each for each in paid if each.status == "paid"]
    invoice = chance.choice(paid)
    given = -sum(
        moved.amount
        for moved in world.engine.movements(world.account, None)
        if moved.payment_id in invoice.payment_ids and moved.amount < 0
    )
    left = (invoice.amount_paid - given) // 10 * 10
    if left > 10:
        world.refund(invoice, chance.choice([10, left // 20 * 10, left]))


def added(rows, names=(*FIGURES, "gross")):
    total = Counter()
    for row in rows:
        for name in names:
            total[row.currency, name] += row.figures.get(name, 0)
    return total


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_revenue_ties_to_the_balance_in_a_random_history(books, seed):
    live(books, random.Random(seed), months=14)
    assert books.read().problem is None
    engine, account = books.world.engine, books.world.account
    truth = Counter()
    for moved in engine.movements(account, None):
        name = "gross" if moved.kind == "charge" else "refunded"
        truth[moved.currency, name] += abs(moved.amount)
        truth[moved.currency, "fee"] += moved.fee - moved.platform_fee
        truth[moved.currency, "platform_fee"] += moved.platform_fee
        truth[moved.currency, "net"] += moved.net
    invoices = list(engine.account_invoices(account, None))
    for each in invoices:
        truth[each.currency, "paid"] += each.amount_paid

    rows = {by: books.sums(by) for by in takings.GROUPS}
    whole = added(rows["month"])
    assert {place: whole[place] for place in truth} == truth
    assert {row.currency for row in rows["month"]} == set(PRICES)
    assert all(row.ties for found in rows.values() for row in found)
    assert all(added(found) == whole for found in rows.values())
    for currency in PRICES:
        assert whole[currency, "gross"] == whole[currency, "paid"]
        assert whole[currency, "refunded"] > 0 or seed
        parts = sum(whole[currency, name] for name in ("net", "fee", "platform_fee", "refunded"))
        assert parts == whole[currency, "gross"]
        owed = sum(each.amount_remaining for each in invoices if each.currency == currency)
        assert whole[currency, "open"] + whole[currency, "overdue"] == owed
    _months_make_the_year(books, whole)
    _plans_make_the_api(books)
    _each_figure_opens_its_invoices(books, rows["month"])


def _months_make_the_year(books, whole):
    years = takings.years(books.wanted(), clock.now())
    assert years == ["2027", "2026"]
    by_year = [added(books.sums("month", year=year)) for year in years]
    assert by_year[0] + by_year[1] == +whole
    for year in years:
        months = {row.group for row in books.sums("month", year=year)}
        alone = [added(books.sums("api", month=month)) for month in months]
        assert sum(alone, Counter()) == +added(books.sums("month", year=year))


def _plans_make_the_api(books):
    for row in books.sums("api"):
        plans = books.sums("plan", api=row.group, currency=row.currency)
        assert +added(plans) == +added([row])


def _each_figure_opens_its_invoices(books, rows):
    columns = {"invoiced": "amount_due", "paid": "amount_paid"}
    columns |= {"open": "amount_remaining", "overdue": "amount_remaining"}
    for row in rows:
        for figure in FIGURES:
            wanted = books.wanted(month=row.group, currency=row.currency, figure=figure)
            found = db.session.scalars(takings.invoices(wanted, clock.now())).all()
            if figure in columns:
                total = sum(getattr(each, columns[figure]) for each in found)
            else:
                sums = takings.brought([each.id for each in found])
                total = sum(each[figure] for each in sums.values())
            assert total == row.figures.get(figure, 0), (row.group, figure)


@pytest.mark.all_databases
def test_reading_again_changes_nothing_and_asks_two_lists(app, factories, traveller, tmp_path):
    books = build(factories, MemoryWorld(traveller, tmp_path))
    live(books, random.Random(1), months=3)
    books.read()
    first = [(row.group, row.currency, row.figures) for row in books.sums()]
    books.world.provider.calls.clear()
    books.read()

    assert [(row.group, row.currency, row.figures) for row in books.sums()] == first
    asked = Counter(books.world.provider.calls)
    assert sum(asked.values()) == 2, asked
    counts = [
        db.session.scalar(sa.select(sa.func.count()).select_from(table))
        for table in (BookedInvoice, BookedMovement)
    ]
    held = list(books.world.engine.account_invoices(books.world.account, None))
    assert counts[0] == len(held)
    assert min(counts) > 0


def test_an_account_that_does_not_answer_says_so_and_shows_what_is_known(
    app, factories, traveller, tmp_path
):
    books = build(factories, MemoryWorld(traveller, tmp_path))
    books.read()
    known = len(books.sums())
    books.world.go_down()
    reading = books.read()

    assert reading.problem == EngineUnavailable("").message or reading.problem
    assert reading.as_of is not None
    assert len(books.sums()) == known


def test_an_invoice_of_a_subscription_that_is_not_ours_is_passed_over(
    app, factories, traveller, tmp_path
):
    books = build(factories, MemoryWorld(traveller, tmp_path))
    stranger = "99999999-2222-3333-4444-555555555555"
    buy(books.world, Seller(books.world), replace(FIXED, lookup_key="other"), stranger, 99)
    books.read()

    assert db.session.query(BookedInvoice).count() == len(books.subscriptions)


def test_a_change_of_plan_does_not_move_old_invoices(app, factories, traveller, tmp_path):
    books = build(factories, MemoryWorld(traveller, tmp_path))
    books.read()
    invoice = db.session.query(BookedInvoice).first()
    before, number = invoice.policy_id, invoice.id
    other = db.session.query(Policy).filter(Policy.policy_id != before).first()
    invoice.subscription.policy_version_id = other.current.policy_version_id
    db.session.commit()
    books.read()

    assert db.session.get_one(BookedInvoice, number).policy_id == before


def test_money_that_is_paid_out_in_another_currency_has_a_row_of_its_own(
    app, factories, traveller, tmp_path
):
    books = build(factories, MemoryWorld(traveller, tmp_path))
    books.read()
    for moved in db.session.query(BookedMovement):
        moved.currency = "eur"
    db.session.commit()
    rows = {row.currency: row for row in takings.totals(books.sums())}

    assert set(rows) == {"eur", *PRICES}
    assert all(row.ties for row in rows.values())
    assert "net" not in rows["usd"].figures
    assert rows["eur"].figures["net"] > 0
    assert all(name in rows["eur"].figures for name in OF_BALANCE)


# --- pages ------------------------------------------------------------------------------------


@pytest.fixture
def shown(app, engine, factories, traveller, tmp_path):
    """Books of the engine that the app uses."""
    world = MemoryWorld(traveller, tmp_path)
    world.provider, world.engine = engine.provider, engine
    books = build(factories, world)
    live(books, random.Random(3), months=2)
    return books


def queries(path, browser):
    count = 0

    def counted(*_):
        nonlocal count
        count += 1

    sa.event.listen(db.engine, "before_cursor_execute", counted)
    try:
        page = browser.get(path)
    finally:
        sa.event.remove(db.engine, "before_cursor_execute", counted)
    return page, count


def test_the_revenue_page_shows_each_currency_apart_and_opens_its_invoices(shown, browser):
    browser.sign_in("pat")
    for by in takings.GROUPS:
        page = browser.get(f"/publisher/revenue?by={by}")
        for row in shown.sums(by):
            assert row.amount("net") in page.text
    rows = shown.sums("month")
    page = browser.get(f"/publisher/revenue/invoices?month={rows[0].group}&figure=paid")
    assert "JPY" in page.text
    text = browser.client.get("/publisher/revenue.csv?by=api").get_data(as_text=True)
    lines = list(csv.DictReader(io.StringIO(text)))
    assert {line["Currency"] for line in lines} == {"USD", "JPY", "KWD"}
    paid = sum(Decimal(line["Paid"]) for line in lines if line["Currency"] == "KWD")
    assert paid == Decimal(added(shown.sums())["kwd", "paid"]) / 1000
    assert browser.client.get("/publisher/revenue/invoices.csv").status_code == 200


def test_the_pages_queries_do_not_grow_with_the_rows(shown, browser):
    browser.sign_in("pat")
    for path in ("/publisher/revenue?by=subscriber", "/publisher/revenue/invoices"):
        browser.get(path)
        few = queries(f"{path}{'&' if '?' in path else '?'}month=2026-01", browser)[1]
        assert queries(path, browser)[1] == few


def test_another_publisher_sees_nothing_of_it(shown, factories, browser):
    factories.user("mallory", "publisher")
    browser.sign_in("mallory")

    assert "No revenue yet" in browser.get("/publisher/revenue").text
    api = shown.sums("api")[0].group
    assert "no such invoices" in browser.get(f"/publisher/revenue/invoices?api={api}").text


def test_a_developer_sees_the_estimate_first_then_each_invoice_with_its_links(shown, browser):
    browser.sign_in("dana")
    browser.get("/devportal/invoices")
    page, count = queries("/devportal/invoices", browser)
    words = page.text

    assert words.index("Next invoices") < words.index("Period")
    assert "Estimate" in words
    assert "PDF" in words
    mine = shown.wanted(owner_id=db.session.query(User).filter_by(username="dana").one().user_id)
    mine = replace(mine, provider_id=None)
    found = db.session.scalars(takings.invoices(mine, clock.now())).all()
    assert found
    for row in found:
        assert (row.number or "") in words
        if row.status == "open":
            assert "Pay now" in words
    text = browser.client.get("/devportal/invoices.csv").get_data(as_text=True)
    assert len(list(csv.reader(io.StringIO(text)))) == len(found) + 1
    assert count < 30
