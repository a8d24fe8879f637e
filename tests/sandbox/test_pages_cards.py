"""Saved cards in the Customer Portal: choosing the one that pays, and removing the others."""

import pytest

from tests.sandbox.conftest import World
from tests.sandbox.page_support import ASKS_ALWAYS, FAILS_LATER, Seen, Visitor, card
from tests.sandbox.test_pages_portal import home, opened, overdue, read

FIRST, SECOND = "Visa •••• 4242", "Mastercard •••• 4444"


@pytest.fixture
def visitor(world: World) -> Visitor:
    return Visitor(world.app)


def add(visitor: Visitor, url: str, number: str) -> Seen:
    form = visitor.get(home(visitor, url).link("Use another card"))
    return form.press("Save card", **card(number))


def cards(page: Seen) -> list[str]:
    return [
        " ".join(each.get_text(" ").split())
        for each in page.soup.select("section[aria-labelledby=cards] .entry")
    ]


def test_an_earlier_card_is_made_the_default_again(world, visitor):
    subscription = world.subscribe(world.licensed())
    before = subscription.default_payment_method
    url = opened(world, subscription.customer)
    page = add(visitor, url, "5555555555554444").follow()
    newest, earlier = cards(page)
    assert newest.startswith(SECOND)
    assert newest.endswith("Default")
    assert earlier.endswith("Make default Remove")
    chosen = page.press("Make default").follow()
    assert "Your renewals are paid with this card from now on." in chosen.text
    assert cards(chosen)[1].endswith("Default")
    assert read(world, subscription).default_payment_method == before
    customer = world.api.v1.customers.retrieve(subscription.customer)
    assert customer.invoice_settings.default_payment_method == before


def test_the_chosen_card_pays_what_is_open(world, visitor):
    subscription, invoice = overdue(world)
    world.control("/faults", kind="charge", outcome="card_declined")
    url = opened(world, subscription.customer)
    assert "an open invoice was not paid" in add(visitor, url, "5555555555554444").text
    home(visitor, url).press("Make default").follow()
    assert world.api.v1.invoices.retrieve(invoice.id).status == "paid"
    assert read(world, subscription).status == "active"


@pytest.mark.parametrize("number", [FAILS_LATER, ASKS_ALWAYS])
def test_a_chosen_card_that_does_not_pay_says_so(world, visitor, number):
    subscription, invoice = overdue(world)
    name = {FAILS_LATER: "chargeCustomerFail", ASKS_ALWAYS: "authenticationRequired"}[number]
    world.api.v1.payment_methods.attach(f"pm_card_{name}", {"customer": subscription.customer})
    page = home(visitor, opened(world, subscription.customer))
    refused = page.press("Make default")
    assert refused.status == 402
    assert "An open invoice was not paid" in refused.text
    assert world.api.v1.invoices.retrieve(invoice.id).status == "open"


def test_a_card_that_nothing_is_paid_with_is_removed(world, visitor):
    subscription = world.subscribe(world.licensed())
    url = opened(world, subscription.customer)
    add(visitor, url, "5555555555554444")
    ask = visitor.get(home(visitor, url).link("Remove"))
    assert f"Remove {FIRST}?" in ask.text
    page = ask.press("Remove card").follow()
    assert "The card is removed." in page.text
    assert len(cards(page)) == 1
    methods = world.api.v1.customers.payment_methods.list(subscription.customer).data
    assert [each.card.last4 for each in methods] == ["4444"]
    assert "payment_method.detached" in world.event_types()
    again = ask.press("Remove card")
    assert again.status == 403
    assert "removed already" in again.text


def test_the_card_that_pays_can_not_be_removed(world, visitor):
    subscription = world.subscribe(world.licensed())
    url = opened(world, subscription.customer)
    assert "Remove" not in home(visitor, url).text
    method = subscription.default_payment_method
    refused = visitor.post(f"{url}/cards/{method}/remove", {})
    assert refused.status == 403
    assert "Choose another one first" in refused.text


def test_nobody_reaches_the_card_of_another_customer(world, visitor):
    theirs = world.subscribe(world.licensed()).default_payment_method
    mine = world.subscribe(world.licensed())
    url = opened(world, mine.customer)
    for path in ("default", "remove"):
        assert visitor.post(f"{url}/cards/{theirs}/{path}", {}).status == 403
    assert visitor.get(f"{url}/cards/{theirs}/remove").status == 403


def test_a_portal_without_cards_lets_nobody_change_them(world, visitor):
    subscription = world.subscribe(world.licensed())
    url = opened(world, subscription.customer, {"invoice_history": {"enabled": True}})
    method = subscription.default_payment_method
    for path in ("default", "remove"):
        assert visitor.post(f"{url}/cards/{method}/{path}", {}).status == 403
