"""The Customer Portal's pages: what a customer may see, change and cancel."""

from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import World
from tests.sandbox.page_support import ASKS_ALWAYS, DECLINED, FAILS_LATER, Seen, Visitor, card

FEATURES: dict[str, Any] = {
    "invoice_history": {"enabled": True},
    "payment_method_update": {"enabled": True},
    "subscription_cancel": {
        "enabled": True,
        "mode": "at_period_end",
        "cancellation_reason": {"enabled": True, "options": ["too_expensive", "unused", "other"]},
    },
}


@pytest.fixture
def visitor(world: World) -> Visitor:
    return Visitor(world.app)


def opened(world: World, customer: str, features: dict[str, Any] | None = None, **more: Any) -> str:
    configuration = world.api.v1.billing_portal.configurations.create(
        {"features": features or FEATURES}
    )
    session = world.api.v1.billing_portal.sessions.create(
        {
            "customer": customer,
            "configuration": configuration.id,
            "return_url": "https://portal.test/subscriptions",
            **more,
        }
    )
    return session.url


def read(world: World, subscription: stripe.Subscription) -> stripe.Subscription:
    return world.api.v1.subscriptions.retrieve(subscription.id)


def overdue(world: World) -> tuple[stripe.Subscription, stripe.Invoice]:
    subscription = world.subscribe(world.licensed())
    world.control(f"/subscriptions/{subscription.id}/fail-next-charge", outcome="card_declined")
    draft = world.control(f"/subscriptions/{subscription.id}/end-period")["invoice"]
    world.control(f"/invoices/{draft['id']}/finalize")
    assert read(world, subscription).status == "past_due"
    return subscription, world.api.v1.invoices.retrieve(draft["id"])


def home(visitor: Visitor, url: str) -> Seen:
    page = visitor.get(url)
    assert page.status == 200, page.text
    return page


def test_the_overview_shows_subscription_card_and_invoices(world, visitor):
    subscription = world.subscribe(world.licensed())
    page = home(visitor, opened(world, subscription.customer))
    assert "Your billing with Publisher" in page.text
    assert "dev@example.com" in page.text
    assert "Rates API - Bronze $9.99 per month Renews on" in page.text
    assert "Active" in page.text
    assert "Visa •••• 4242" in page.text
    assert page.link("Return") == "https://portal.test/subscriptions"
    number = world.api.v1.invoices.retrieve(str(subscription.latest_invoice)).number
    assert number in page.text
    invoice = visitor.get(page.link(number))
    assert f"Invoice {number}" in invoice.text
    pdf = visitor.get(page.link("PDF"))
    assert pdf.answer.content_type == "application/pdf"


def test_cancelling_asks_why_and_ends_with_the_period(world, visitor):
    subscription = world.subscribe(world.licensed())
    url = opened(world, subscription.customer)
    ask = visitor.get(home(visitor, url).link("Cancel subscription"))
    assert "Cancel Rates API - Bronze?" in ask.text
    assert "It keeps working until" in ask.text
    assert [each["value"] for each in ask.soup.select("[name=reason]")] == [
        "too_expensive",
        "unused",
        "other",
    ]
    after = ask.press("Cancel subscription", reason="unused", comment=" Too quiet ").follow()
    assert "Your cancellation is noted." in after.text
    assert "Ends on" in after.text

    found = read(world, subscription)
    assert found.status == "active"
    assert found.cancel_at == found["items"].data[0].current_period_end
    assert found.cancel_at_period_end is False
    details = found.cancellation_details
    assert details is not None
    assert (details.reason, details.feedback, details.comment) == (
        "cancellation_requested",
        "unused",
        "Too quiet",
    )


def test_a_cancellation_can_be_taken_back(world, visitor):
    subscription = world.subscribe(world.licensed())
    url = opened(world, subscription.customer)
    ask = visitor.get(home(visitor, url).link("Cancel subscription"))
    page = ask.press("Cancel subscription").follow()
    kept = page.press("Keep subscription").follow()
    assert "Your subscription goes on." in kept.text
    assert read(world, subscription).cancel_at is None
    types = world.event_types()
    assert types.count("customer.subscription.updated") == 2


def test_pressing_cancel_twice_cancels_once(world, visitor):
    subscription = world.subscribe(world.licensed())
    ask = visitor.get(home(visitor, opened(world, subscription.customer)).link("Cancel subscr"))
    for _ in range(2):
        assert ask.press("Cancel subscription").status == 303
    assert world.event_types().count("customer.subscription.updated") == 1


def test_a_portal_that_cancels_at_once_says_so_and_does_it(world, visitor):
    features = {"subscription_cancel": {"enabled": True, "mode": "immediately"}}
    subscription = world.subscribe(world.licensed())
    url = opened(world, subscription.customer, features)
    ask = visitor.get(home(visitor, url).link("Cancel subscription"))
    assert "It ends at once" in ask.text
    assert ask.soup.select("[name=reason]") == []
    after = ask.press("Cancel subscription").follow()
    assert "You have no running subscription" in after.text
    assert read(world, subscription).status == "canceled"
    again = ask.press("Cancel subscription")
    assert again.status == 403
    assert "already ended" in again.text


def test_a_new_card_becomes_the_default_everywhere(world, visitor):
    subscription = world.subscribe(world.licensed())
    url = opened(world, subscription.customer)
    form = visitor.get(home(visitor, url).link("Use another card"))
    after = form.press("Save card", **card("5555555555554444")).follow()
    assert "Your card is saved" in after.text
    assert "Mastercard •••• 4444" in after.text
    method = world.api.v1.payment_methods.retrieve(
        str(read(world, subscription).default_payment_method)
    )
    assert method.card is not None
    assert method.card.last4 == "4444"
    customer = world.api.v1.customers.retrieve(str(subscription.customer))
    assert customer.invoice_settings is not None
    assert customer.invoice_settings.default_payment_method == method.id


def test_a_new_card_pays_what_is_open(world, visitor):
    subscription, invoice = overdue(world)
    page = home(visitor, opened(world, subscription.customer))
    assert "Payment overdue" in page.text
    assert f"Invoice {invoice.number} over $9.99 is not paid." in page.text
    assert page.link("Pay it now") in str(invoice.hosted_invoice_url)
    form = visitor.get(page.link("Use another card"))
    assert "Your open invoice over $9.99 will be paid" in form.text
    after = form.press("Save card", **card()).follow()
    assert "your open invoices are paid" in after.text
    assert read(world, subscription).status == "active"
    assert world.api.v1.invoices.retrieve(invoice.id).status == "paid"


def test_a_card_that_saves_but_does_not_pay_is_told_apart(world, visitor):
    subscription, _ = overdue(world)
    form = visitor.get(home(visitor, opened(world, subscription.customer)).link("Use another card"))
    refused = form.press("Save card", **card(DECLINED))
    assert refused.status == 402
    assert refused.error("card_number") == "Your card was declined."
    saved = form.press("Save card", **card(FAILS_LATER))
    assert saved.status == 402
    assert "The card is saved, but an open invoice was not paid with it." in saved.text
    assert read(world, subscription).status == "past_due"


@pytest.mark.parametrize(
    ("outcome", "last4"), [("Complete", "3184"), ("Fail", "4242"), ("Abandon", "4242")]
)
def test_saving_a_card_may_ask_the_bank(world, visitor, outcome, last4):
    subscription = world.subscribe(world.licensed())
    form = visitor.get(home(visitor, opened(world, subscription.customer)).link("Use another card"))
    bank = form.press("Save card", **card(ASKS_ALWAYS)).follow()
    assert "Confirm with your bank" in bank.text
    after = bank.press(outcome)
    assert after.status == (402 if outcome == "Fail" else 303)
    method = world.api.v1.payment_methods.retrieve(
        str(read(world, subscription).default_payment_method)
    )
    assert method.card is not None
    assert method.card.last4 == last4


def test_what_the_portal_does_not_offer_is_neither_shown_nor_done(world, visitor):
    subscription = world.subscribe(world.licensed())
    url = opened(world, subscription.customer, {"payment_method_update": {"enabled": True}})
    page = home(visitor, url)
    for text in ("Cancel subscription", "Invoices"):
        assert text not in page.text
    cancel = f"{url}/subscriptions/{subscription.id}/cancel"
    for answer in (visitor.get(cancel), visitor.post(cancel, {})):
        assert answer.status == 403
        assert "This portal does not offer that." in answer.text
    assert read(world, subscription).cancel_at is None

    other = opened(world, subscription.customer, {"invoice_history": {"enabled": True}})
    assert "Use another card" not in home(visitor, other).text
    for answer in (
        visitor.get(f"{other}/payment-method"),
        visitor.post(f"{other}/payment-method", card()),
    ):
        assert answer.status == 403


def test_another_customers_subscription_is_out_of_reach(world, visitor):
    price = world.licensed()
    mine, theirs = world.subscribe(price), world.subscribe(price)
    url = opened(world, mine.customer)
    home(visitor, url)
    for answer in (
        visitor.get(f"{url}/subscriptions/{theirs.id}/cancel"),
        visitor.post(f"{url}/subscriptions/{theirs.id}/cancel", {}),
        visitor.post(f"{url}/subscriptions/{theirs.id}/undo", {}),
    ):
        assert answer.status == 403
        assert "no such subscription" in answer.text
    assert read(world, theirs).cancel_at is None


def test_a_session_must_be_opened_soon_and_ends_when_idle(world, visitor):
    subscription = world.subscribe(world.licensed())
    unused, used = (opened(world, subscription.customer) for _ in range(2))
    home(visitor, used)
    world.clock.advance(301)
    assert "This session has expired" in visitor.get(unused).text
    home(visitor, used)
    world.clock.advance(3601)
    late = visitor.post(f"{used}/subscriptions/{subscription.id}/cancel", {})
    assert late.status == 403
    assert read(world, subscription).cancel_at is None


def test_an_invented_address_opens_nothing(visitor):
    page = visitor.get("/p/session/test_x")
    assert page.status == 403
    assert "This link is not valid." in page.text


def test_a_deep_link_goes_straight_to_cancelling_and_then_back(world, visitor):
    subscription = world.subscribe(world.licensed())
    flow = {
        "type": "subscription_cancel",
        "subscription_cancel": {"subscription": subscription.id},
        "after_completion": {
            "type": "redirect",
            "redirect": {"return_url": "https://portal.test/cancelled"},
        },
    }
    url = opened(world, subscription.customer, flow_data=flow)
    ask = visitor.get(url).follow()
    assert "Cancel Rates API - Bronze?" in ask.text
    policy = ask.answer.headers["Content-Security-Policy"]
    assert "form-action 'self' https://portal.test" in policy
    done = ask.press("Cancel subscription")
    assert done.location == "https://portal.test/cancelled"
    assert read(world, subscription).cancel_at is not None


def test_the_overview_behind_a_deep_link_can_still_be_reached(world, visitor):
    subscription = world.subscribe(world.licensed())
    flow = {"type": "payment_method_update"}
    form = visitor.get(opened(world, subscription.customer, flow_data=flow)).follow()
    assert "Use another card" in form.text
    assert home(visitor, form.link("Back")).text.startswith("Billing · Publisher")
    after = form.press("Save card", **card()).follow()
    assert "Your card is saved" in after.text


def test_a_customer_changes_only_what_the_portal_lets_it(world, visitor):
    subscription = world.subscribe(world.licensed())
    features = {"customer_update": {"enabled": True, "allowed_updates": ["email"]}}
    url = opened(world, subscription.customer, features)
    form = visitor.get(home(visitor, url).link("Change"))
    assert [each["name"] for each in form.soup.select("input")] == ["email"]
    refused = form.press("Save", email="dana")
    assert refused.status == 422
    assert "Enter an e-mail address" in refused.error("email")
    after = form.press("Save", email="dana@example.com", name="Mallory").follow()
    assert "Your details are saved." in after.text
    customer = world.api.v1.customers.retrieve(str(subscription.customer))
    assert customer.email == "dana@example.com"
    assert customer.name is None
    changed = [each for each in world.look("/events") if each["type"] == "customer.updated"]
    assert changed[0]["data"]["previous_attributes"] == {"email": "dev@example.com"}


def test_details_are_closed_where_the_portal_does_not_offer_them(world, visitor):
    subscription = world.subscribe(world.licensed())
    url = opened(world, subscription.customer)
    assert "Change" not in home(visitor, url).text
    for answer in (
        visitor.get(f"{url}/details"),
        visitor.post(f"{url}/details", {"email": "dana@example.com"}),
    ):
        assert answer.status == 403
    assert world.api.v1.customers.retrieve(str(subscription.customer)).email == "dev@example.com"
