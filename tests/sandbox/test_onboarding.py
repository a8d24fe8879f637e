"""Connecting an account: a one-time link, finished or not; what an unfinished one may not do."""

import json
from urllib.parse import urlsplit

import pytest
import stripe

from portal.sandbox.engine.onboarding import GOOD_FOR
from tests.sandbox.conftest import TOKEN, World
from tests.sandbox.page_support import Seen, Visitor, card

TOLD = {
    "name": "Kyoto Maps",
    "email": "kei@kyoto.example",
    "website": "https://kyoto.example",
    "agreed": "yes",
}


@pytest.fixture
def operator(world: World) -> Visitor:
    visitor = Visitor(world.app)
    visitor.get("/_sandbox/sign-in").press("Sign in", token=TOKEN)
    return visitor


@pytest.fixture
def publisher(world: World) -> Visitor:
    return Visitor(world.app)


def connect(operator: Visitor, **more: str) -> Seen:
    form = {"name": "Kyoto", "country": "jp", "default_currency": "JPY", **more}
    page = operator.get("/_sandbox/ui/accounts")
    return page.press("Connect", **form)


def value(page: Seen, field: str) -> str:
    return str(page.soup.select_one(f"#{field}")["value"])


def unfinished(world: World, operator: Visitor) -> tuple[World, str]:
    """A world that acts for a fresh account, and the address of its onboarding."""
    made = connect(operator)
    assert made.status == 201
    there = World(world.app, world.clock, world.key, world.platform, value(made, "account"))
    return there, value(made, "link")


def test_finishing_the_link_lets_the_account_charge(world, operator, publisher):
    there, link = unfinished(world, operator)
    account = world.platform_api.v1.accounts.retrieve(there.account)
    assert (account.charges_enabled, account.details_submitted) == (False, False)
    assert account.requirements.disabled_reason == "requirements.past_due"
    assert link.startswith("http://sandbox.test/setup/")

    asked = publisher.get(link)
    assert "Get paid through Platform" in asked.text
    done = asked.press("Finish", **TOLD)
    assert "Your account can charge" in done.text
    assert value(done, "account") == there.account

    account = world.platform_api.v1.accounts.retrieve(there.account)
    assert (account.charges_enabled, account.payouts_enabled) == (True, True)
    assert account.capabilities.card_payments == "active"
    assert account.requirements.currently_due == []
    assert account.settings.dashboard.display_name == "Kyoto Maps"
    assert there.subscribe(there.licensed()).status == "active"


def test_its_platform_hears_of_it(world, operator, publisher):
    world.platform_api.v1.webhook_endpoints.create(
        {"url": "http://portal.test/w", "connect": True, "enabled_events": ["account.updated"]}
    )
    there, link = unfinished(world, operator)
    publisher.get(link).press("Finish", **TOLD)
    world.tick()
    event = json.loads(world.sent[-1][2])
    assert event["account"] == there.account
    assert event["data"]["object"]["charges_enabled"] is True


def test_a_link_works_once(world, operator, publisher):
    _, link = unfinished(world, operator)
    asked = publisher.get(link)
    assert asked.press("Finish", **TOLD).status == 200
    for again in (publisher.get(link), asked.press("Finish", **TOLD)):
        assert again.status == 410
        assert "It works once" in again.text


def test_looking_at_a_link_does_not_use_it_up(world, operator, publisher):
    _, link = unfinished(world, operator)
    assert publisher.get(link).status == publisher.get(link).status == 200


def test_a_link_is_good_for_a_day(world, operator, publisher):
    _, link = unfinished(world, operator)
    world.clock.advance(GOOD_FOR - 1)
    assert publisher.get(link).status == 200
    world.clock.advance(1)
    assert publisher.get(link).status == 410


def test_a_new_link_replaces_the_old_one(world, operator, publisher):
    there, old = unfinished(world, operator)
    page = operator.get(f"/_sandbox/ui/accounts/{there.account}")
    assert "A link waits to be used." in page.text
    new = value(page.press("New onboarding link"), "link")
    assert publisher.get(old).status == 410
    assert publisher.get(new).status == 200


def test_leaving_it_unfinished_uses_the_link_up_and_keeps_the_account_closed(
    world, operator, publisher
):
    there, link = unfinished(world, operator)
    left = publisher.get(link).press("Leave it unfinished")
    assert "Your account is not finished" in left.text
    assert value(left, "account") == there.account
    assert publisher.get(link).status == 410
    account = world.platform_api.v1.accounts.retrieve(there.account)
    assert account.charges_enabled is False
    listing = operator.get("/_sandbox/ui/accounts")
    assert "not finished" in listing.text


@pytest.mark.parametrize(
    ("field", "typed", "words"),
    [
        ("name", "", "Enter the name that your customers know."),
        ("email", "kei", "Enter an e-mail address"),
        ("website", "kyoto", "Enter an address such as"),
        ("agreed", "", "Tick the box to go on."),
    ],
)
def test_what_is_missing_is_said_beside_its_field(world, operator, publisher, field, typed, words):
    _, link = unfinished(world, operator)
    refused = publisher.get(link).press("Finish", **{**TOLD, field: typed})
    assert refused.status == 422
    assert words in refused.error(field)
    assert publisher.get(link).status == 200


def test_an_account_can_be_connected_that_is_finished_already(operator):
    page = connect(operator, charges_enabled="yes").follow()
    assert "The account is connected, and can charge." in page.text


def test_a_platform_is_not_onboarded(world, operator):
    refused = operator.post(f"/_sandbox/ui/accounts/{world.platform}/link", {})
    assert refused.status == 400


class TestUnfinished:
    def test_its_catalogue_can_be_filled(self, world, operator):
        there, _ = unfinished(world, operator)
        assert there.licensed().active
        assert there.metered().active

    def test_nothing_that_takes_money_begins(self, world, operator):
        there, _ = unfinished(world, operator)
        price = there.licensed()
        customer = there.api.v1.customers.create({"payment_method": "pm_card_visa"})
        with pytest.raises(stripe.InvalidRequestError, match="cannot currently make live charges"):
            there.session(price)
        with pytest.raises(stripe.InvalidRequestError, match="cannot currently make live charges"):
            there.api.v1.subscriptions.create(
                {"customer": customer.id, "items": [{"price": price.id}]}
            )
        assert there.api.v1.subscriptions.list().data == []

    def test_a_page_that_was_open_before_refuses_to_pay(self, world, publisher):
        session = world.session(world.licensed())
        world.control(f"/accounts/{world.account}", charges_enabled=False)
        page = publisher.get(str(session.url)).press("Subscribe", **card())
        assert page.status == 402
        assert "cannot currently make live charges" in page.text
        assert world.api.v1.checkout.sessions.retrieve(session.id).status == "open"

    def test_a_renewal_fails_and_pay_is_refused_until_it_can_charge_again(self, world):
        subscription = world.subscribe(world.licensed())
        world.control(f"/accounts/{world.account}", card_payments="inactive")
        draft = world.control(f"/subscriptions/{subscription.id}/end-period")["invoice"]
        world.control(f"/invoices/{draft['id']}/finalize")
        assert world.api.v1.subscriptions.retrieve(subscription.id).status == "past_due"
        with pytest.raises(stripe.InvalidRequestError, match="cannot currently make live charges"):
            world.api.v1.invoices.pay(draft["id"])
        world.control(f"/accounts/{world.account}", card_payments="active")
        assert world.api.v1.invoices.pay(draft["id"]).status == "paid"


class TestSecrets:
    def page(self, operator: Visitor, endpoint: stripe.WebhookEndpoint) -> Seen:
        thing = operator.get(f"/_sandbox/ui/objects/{endpoint.id}")
        return operator.get(thing.link("Signing secrets"))

    def signed_by(self, world: World, secret: str) -> bool:
        _, headers, body = world.sent[-1]
        try:
            stripe.WebhookSignature.verify_header(
                body.decode(), headers["Stripe-Signature"], secret, tolerance=10**10
            )
        except stripe.SignatureVerificationError:
            return False
        return True

    def test_a_rolled_secret_signs_beside_the_old_one_for_as_long_as_was_chosen(
        self, world, operator, endpoint
    ):
        page = self.page(operator, endpoint)
        assert f"whsec_…{endpoint.secret[-4:]}" in page.text
        rolled = page.press("Roll secret", keep="3600")
        assert rolled.status == 201
        fresh = value(rolled, "secret")
        assert fresh.startswith("whsec_")

        world.subscribe(world.licensed())
        world.tick()
        assert self.signed_by(world, fresh)
        assert self.signed_by(world, endpoint.secret)
        world.clock.advance(3600)
        world.subscribe(world.licensed())
        world.tick()
        assert self.signed_by(world, fresh)
        assert not self.signed_by(world, endpoint.secret)

    def test_the_old_secret_can_be_dropped_at_once(self, world, operator, endpoint):
        fresh = value(self.page(operator, endpoint).press("Roll secret", keep="0"), "secret")
        world.subscribe(world.licensed())
        world.tick()
        assert self.signed_by(world, fresh)
        assert not self.signed_by(world, endpoint.secret)

    def test_no_secret_is_shown_twice(self, operator, endpoint):
        fresh = value(self.page(operator, endpoint).press("Roll secret"), "secret")
        again = self.page(operator, endpoint)
        html = again.answer.get_data(as_text=True)
        assert fresh not in html
        assert str(endpoint.secret) not in html

    def test_only_the_offered_times_are_taken(self, operator, endpoint):
        address = urlsplit(self.page(operator, endpoint).url).path
        assert operator.post(address, {"keep": "999999"}).status == 400
        assert operator.get("/_sandbox/ui/endpoints/we_x/secrets").status == 404
