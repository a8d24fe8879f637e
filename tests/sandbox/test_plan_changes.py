"""Changing a plan within a period: what is credited and charged, and that a preview says so."""

from typing import Any

import pytest
import stripe

from tests.sandbox.clock_support import DAY, HOUR, Timeline, at, timeline
from tests.sandbox.conftest import World

# June has 30 days: a third of the month is left on the 21st.
START, LATER, RENEWAL = (
    at("2027-06-01T00:00:00"),
    at("2027-06-21T00:00:00"),
    at("2027-07-01T00:00:00"),
)


@pytest.fixture
def line(world: World) -> Timeline:
    return timeline(world, START)


def price(world: World, amount: int, **more: Any) -> str:
    product = world.api.v1.products.create({"name": f"Plan {amount}"})
    params: Any = {
        "product": product.id,
        "currency": "usd",
        "unit_amount": amount,
        "recurring": {"interval": "month"},
    }
    return world.api.v1.prices.create({**params, **more}).id


def item(line: Timeline, subscription: str) -> str:
    return line.subscription(subscription)["items"].data[0].id


def swap(line: Timeline, subscription: str, to: str, **more: Any) -> stripe.Subscription:
    entry = {"id": item(line, subscription), "price": to}
    params: Any = {"items": [entry], **more}
    return line.world.api.v1.subscriptions.update(subscription, params)


def preview(line: Timeline, subscription: str, to: str | None = None, **more: Any) -> Any:
    details = dict(more)
    if to is not None:
        details["items"] = [{"id": item(line, subscription), "price": to}]
    params: Any = {"subscription": subscription, "subscription_details": details}
    return line.world.api.v1.invoices.create_preview(params)


def amounts(invoice: stripe.Invoice) -> list[int]:
    return sorted(each.amount for each in invoice.lines.data)


def test_an_upgrade_waits_for_the_next_invoice(world, line):
    subscription = line.subscribe(price(world, 3000))
    line.to(LATER)
    gold = price(world, 6000)
    seen = preview(line, subscription, gold)
    changed = swap(line, subscription, gold)
    assert changed["items"].data[0].price.id == gold
    assert changed["items"].data[0].current_period_end == RENEWAL
    assert len(line.invoices(subscription)) == 1
    assert amounts(preview(line, subscription)) == amounts(seen) == [-1000, 2000, 6000]
    line.to(RENEWAL + 2 * HOUR)
    renewal = line.invoices(subscription)[-1]
    assert amounts(renewal) == [-1000, 2000, 6000]
    assert (renewal.total, seen.total) == (7000, 7000)
    texts = {each.amount: each.description for each in renewal.lines.data}
    assert texts[-1000] == "Unused time on 1 × Plan 3000 after 21 Jun 2027"
    assert texts[2000] == "Remaining time on 1 × Plan 6000 after 21 Jun 2027"
    marked = {
        each.amount: each.parent.subscription_item_details.proration for each in renewal.lines.data
    }
    assert marked == {-1000: True, 2000: True, 6000: False}


def test_an_upgrade_can_be_paid_at_once(world, line):
    subscription = line.subscribe(price(world, 3000))
    line.to(LATER)
    gold = price(world, 6000)
    how = {"proration_behavior": "always_invoice"}
    seen = preview(line, subscription, gold, **how)
    changed = swap(line, subscription, gold, **how)
    invoice = world.api.v1.invoices.retrieve(str(changed.latest_invoice))
    assert (invoice.billing_reason, invoice.status) == ("subscription_update", "paid")
    assert invoice.total == seen.total == 1000
    assert preview(line, subscription).total == 6000


def test_a_downgrade_leaves_credit_that_later_invoices_use_up(world, line):
    subscription = line.subscribe(price(world, 6000))
    line.to(LATER)
    swap(line, subscription, price(world, 3000), proration_behavior="always_invoice")
    invoice = line.invoices(subscription)[-1]
    assert (invoice.total, invoice.amount_due, invoice.status) == (-1000, 0, "paid")
    assert world.api.v1.customers.retrieve(line.customer).balance == -1000
    assert preview(line, subscription).amount_due == 2000
    line.to(RENEWAL + 2 * HOUR)
    renewal = line.invoices(subscription)[-1]
    assert (renewal.total, renewal.amount_due, renewal.amount_paid) == (3000, 2000, 2000)


def test_nothing_is_prorated_where_it_is_not_wanted(world, line):
    subscription = line.subscribe(price(world, 3000))
    line.to(LATER)
    gold = price(world, 6000)
    swap(line, subscription, gold, proration_behavior="none")
    assert amounts(preview(line, subscription)) == [6000]


def test_the_moment_of_a_preview_can_be_kept(world, line):
    subscription = line.subscribe(price(world, 3000))
    line.to(LATER)
    gold = price(world, 6000)
    how = {"proration_behavior": "always_invoice", "proration_date": LATER}
    seen = preview(line, subscription, gold, **how)
    line.to(LATER + DAY)
    assert preview(line, subscription, gold, proration_behavior="always_invoice").total == 900
    swap(line, subscription, gold, **how)
    assert line.invoices(subscription)[-1].total == seen.total == 1000


def test_a_year_begins_at_once_and_credits_the_month(world, line):
    subscription = line.subscribe(price(world, 3000))
    line.to(LATER)
    yearly = price(world, 30000, recurring={"interval": "year"})
    seen = preview(line, subscription, yearly)
    changed = swap(line, subscription, yearly)
    assert changed.billing_cycle_anchor == LATER
    assert changed["items"].data[0].current_period_end == at("2028-06-21T00:00:00")
    invoice = line.invoices(subscription)[-1]
    assert amounts(invoice) == amounts(seen) == [-1000, 30000]
    assert invoice.status == "paid"


def test_the_period_can_begin_anew(world, line):
    subscription = line.subscribe(price(world, 3000))
    line.to(LATER)
    seen = preview(line, subscription, billing_cycle_anchor="now")
    changed = world.api.v1.subscriptions.update(subscription, {"billing_cycle_anchor": "now"})
    assert changed["items"].data[0].current_period_end == at("2027-07-21T00:00:00")
    assert amounts(line.invoices(subscription)[-1]) == amounts(seen) == [-1000, 3000]


def test_usage_up_to_a_change_is_billed_at_the_old_price(world, line):
    old = world.metered("10", "old")
    subscription = line.subscribe(old.id)
    use(world, line, "old", 30)
    line.to(LATER)
    use(world, line, "old", 7)
    new = world.metered("100", "new")
    swap(line, subscription, new.id)
    use(world, line, "new", 2)
    use(world, line, "old", 1000)
    seen = preview(line, subscription)
    line.to(RENEWAL + 2 * HOUR)
    # The seven are of the second in which the price changed: they are the new one's, which
    # counts with another meter.
    assert amounts(line.invoices(subscription)[-1]) == amounts(seen) == [200, 300]


def use(world: World, line: Timeline, event_name: str, value: int) -> None:
    payload = {"stripe_customer_id": line.customer, "value": str(value)}
    world.api.v1.billing.meter_events.create({"event_name": event_name, "payload": payload})


def test_a_fixed_price_is_left_for_usage_and_taken_again(world, line):
    subscription = line.subscribe(price(world, 3000))
    line.to(LATER)
    metered = world.metered("10", "calls")
    changed = swap(line, subscription, metered.id)
    assert "quantity" not in changed["items"].data[0]
    assert amounts(preview(line, subscription)) == [-1000, 0]
    back = swap(line, subscription, price(world, 6000))
    assert back["items"].data[0].quantity == 1
    assert amounts(preview(line, subscription)) == [-1000, 0, 2000, 6000]


def test_cancelling_now_credits_what_was_paid_ahead(world, line):
    subscription = line.subscribe(price(world, 3000))
    line.to(LATER)
    seen = preview(line, subscription, cancel_now=True)
    world.api.v1.subscriptions.cancel(subscription, {"invoice_now": True, "prorate": True})
    invoice = line.invoices(subscription)[-1]
    assert invoice.total == seen.total == -1000
    assert world.api.v1.customers.retrieve(line.customer).balance == -1000


def test_an_end_of_the_period_bills_what_waits(world, line):
    subscription = line.subscribe(price(world, 3000))
    line.to(LATER)
    swap(line, subscription, price(world, 6000))
    seen = preview(line, subscription, cancel_at_period_end=True)
    assert amounts(seen) == [-1000, 2000]
    world.api.v1.subscriptions.update(subscription, {"cancel_at_period_end": True})
    line.to(RENEWAL + 2 * HOUR)
    assert line.subscription(subscription).status == "canceled"
    assert amounts(line.invoices(subscription)[-1]) == [-1000, 2000]


def test_a_declined_change_is_refused_where_that_is_wanted(world, line):
    subscription = line.subscribe(price(world, 3000))
    line.to(LATER)
    line.card("pm_card_chargeCustomerFail")
    gold = price(world, 6000)
    how = {"proration_behavior": "always_invoice"}
    with pytest.raises(stripe.CardError):
        swap(line, subscription, gold, payment_behavior="error_if_incomplete", **how)
    assert line.subscription(subscription)["items"].data[0].price.id != gold
    assert len(line.invoices(subscription)) == 1
    assert swap(line, subscription, gold, **how).status == "past_due"
    assert line.invoices(subscription)[-1].status == "open"


def test_a_preview_changes_nothing(world, line):
    subscription = line.subscribe(price(world, 3000))
    line.to(LATER)
    before, heard = line.subscription(subscription).to_dict(), world.event_types()
    preview(line, subscription, price(world, 6000), proration_behavior="always_invoice")
    preview(line, subscription, cancel_now=True)
    preview(line, subscription, billing_cycle_anchor="now")
    assert line.subscription(subscription).to_dict() == before
    made = {"product.created", "price.created"}
    assert [each for each in world.event_types() if each not in made] == [
        each for each in heard if each not in made
    ]


def test_an_update_says_what_it_was_before(world, line):
    subscription = line.subscribe(price(world, 3000))
    line.to(LATER)
    swap(line, subscription, price(world, 6000))
    event = world.look(f"/events?type=customer.subscription.updated&account={world.account}")[0]
    old = event["data"]["previous_attributes"]["items"]["data"][0]
    assert old["price"]["unit_amount"] == 3000


class TestRefused:
    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"items": [{"id": "si_x", "price": "{gold}"}]}, "No such subscription item"),
            ({"items": [{"id": "{item}", "price": "price_x"}]}, "No such price"),
            ({"items": [{"id": "{item}", "deleted": True}]}, "at least one active plan"),
            ({"items": [{"price": "{same}"}]}, "with the same price"),
            ({"items": [{"id": "{item}", "price": "{yen}"}]}, "expected currency: `usd`"),
            ({"items": [{"price": "{yearly}"}]}, "different billing intervals"),
            ({"items": [{"id": "{item}", "price": "{gold}"}], "proration_date": 1}, "within the"),
            ({"proration_behavior": "none"}, "without a change"),
            (
                {
                    "items": [{"id": "{item}", "price": "{gold}"}],
                    "payment_behavior": "pending_if_incomplete",
                },
                "pending_if_incomplete",
            ),
        ],
    )
    def test_what_can_not_be_changed_so(self, world, line, change, words):
        first = price(world, 3000)
        subscription = line.subscribe(first)
        names = {
            "{gold}": price(world, 6000),
            "{yen}": price(world, 6000, currency="jpy"),
            "{yearly}": price(world, 9000, recurring={"interval": "year"}),
            "{same}": first,
            "{item}": item(line, subscription),
        }
        items = [
            {key: names.get(value, value) for key, value in each.items()}
            for each in change.get("items", [])
        ]
        wanted = {**change, "items": items} if items else change
        with pytest.raises(stripe.InvalidRequestError, match=words):
            world.api.v1.subscriptions.update(subscription, wanted)
        details = {key: value for key, value in wanted.items() if key != "payment_behavior"}
        if details == wanted and items:
            with pytest.raises(stripe.InvalidRequestError, match=words):
                world.api.v1.invoices.create_preview(
                    {"subscription": subscription, "subscription_details": details}
                )

    def test_a_subscription_that_is_not_paid_for_yet(self, world, line):
        line.card("pm_card_chargeCustomerFail")
        subscription = line.subscribe(price(world, 3000))
        with pytest.raises(stripe.InvalidRequestError, match="not paid yet"):
            swap(line, subscription, price(world, 6000))
