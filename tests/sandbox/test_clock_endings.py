"""Trials and planned ends, seen on a test clock."""

from typing import Any

import pytest
import stripe

from tests.sandbox.clock_support import DAY, HOUR, Timeline, at, timeline
from tests.sandbox.conftest import TOKEN, World
from tests.sandbox.page_support import Visitor, card

NOON = at("2027-03-10T12:00:00")


@pytest.fixture
def line(world: World) -> Timeline:
    return timeline(world, NOON)


def use(line: Timeline, value: int) -> None:
    line.world.api.v1.billing.meter_events.create(
        {
            "event_name": "calls",
            "payload": {"stripe_customer_id": line.customer, "value": str(value)},
        }
    )


def test_a_trial_is_free_and_then_becomes_the_anchor(world: World, line: Timeline) -> None:
    identifier = line.subscribe(world.licensed().id, trial_period_days=10)
    trial = line.subscription(identifier)
    end = NOON + 10 * DAY
    assert (trial.status, trial.trial_start, trial.trial_end) == ("trialing", NOON, end)
    assert (trial.billing_cycle_anchor, trial["items"].data[0].current_period_end) == (end, end)
    first = line.invoices(identifier)[0]
    assert (first.total, first.status) == (0, "paid")
    assert first.lines.data[0].description == "Trial period for Rates API - Bronze"
    preview = world.api.v1.invoices.create_preview({"subscription": identifier})
    assert preview.total == 999
    line.to(end - 3 * DAY - 1)
    assert "customer.subscription.trial_will_end" not in world.event_types()
    line.to(end - 3 * DAY)
    assert world.event_types().count("customer.subscription.trial_will_end") == 1
    line.to(end)
    assert line.subscription(identifier).status == "active"
    line.to(end + HOUR)
    assert [each.total for each in line.invoices(identifier)] == [0, 999]
    item = line.subscription(identifier)["items"].data[0]
    assert (item.current_period_start, item.current_period_end) == (end, end + 31 * DAY)


def test_a_short_trial_is_announced_at_once_and_needs_no_card(world: World) -> None:
    clock = world.api.v1.test_helpers.test_clocks.create({"frozen_time": NOON})
    poor = world.api.v1.customers.create({"test_clock": clock.id}).id
    line = Timeline(world, clock.id, poor)
    identifier = line.subscribe(world.licensed().id, trial_end=NOON + DAY)
    assert world.event_types()[-1] != "customer.subscription.created"
    assert "customer.subscription.trial_will_end" in world.event_types()
    line.to(NOON + DAY + HOUR)
    assert line.subscription(identifier).status == "past_due"


def test_usage_of_a_trial_is_not_billed(world: World, line: Timeline) -> None:
    identifier = line.subscribe(world.metered("100").id, trial_end=NOON + 5 * DAY)
    use(line, 50)
    line.to(NOON + 5 * DAY)
    use(line, 7)
    line.to(NOON + 37 * DAY)
    assert [each.total for each in line.invoices(identifier)] == [700]


def test_a_session_with_a_trial_asks_for_nothing_now(world: World, line: Timeline) -> None:
    session = world.session(
        world.licensed(), customer=line.customer, subscription_data={"trial_period_days": 7}
    )
    assert session.amount_total == 0
    assert world.pay(session)["kind"] == "paid"
    done = world.api.v1.checkout.sessions.retrieve(session.id)
    assert done.payment_status == "no_payment_required"
    bought = line.subscription(str(done.subscription))
    assert (bought.status, bought.trial_end) == ("trialing", NOON + 7 * DAY)


@pytest.mark.parametrize(
    ("trial", "code"),
    [
        ({"trial_period_days": 0}, None),
        ({"trial_period_days": 731}, None),
        ({"trial_end": NOON}, None),
        ({"trial_end": NOON + 800 * DAY}, None),
        ({"trial_end": NOON + DAY, "trial_period_days": 1}, None),
        (
            {
                "trial_period_days": 5,
                "trial_settings": {"end_behavior": {"missing_payment_method": "pause"}},
            },
            "sandbox_unsupported",
        ),
    ],
)
def test_a_trial_that_can_not_be_is_refused(
    world: World, line: Timeline, trial: dict[str, Any], code: str | None
) -> None:
    price = world.licensed().id
    with pytest.raises(stripe.InvalidRequestError) as refused:
        line.subscribe(price, **trial)
    assert refused.value.code == code
    with pytest.raises(stripe.InvalidRequestError):
        world.session(
            world.api.v1.prices.retrieve(price), customer=line.customer, subscription_data=trial
        )


def test_a_planned_end_of_a_later_period_lets_renewals_come_first(
    world: World, line: Timeline
) -> None:
    identifier = line.subscribe(world.licensed().id)
    end = at("2027-05-10T12:00:00")
    world.api.v1.subscriptions.update(identifier, {"cancel_at": end})
    preview = world.api.v1.invoices.create_preview({"subscription": identifier})
    assert preview.total == 999
    line.until(end + 40 * DAY)
    ended = line.subscription(identifier)
    assert (ended.status, ended.ended_at) == ("canceled", end)
    assert [each.total for each in line.invoices(identifier)] == [999, 999]


def test_an_end_inside_a_period_bills_usage_until_then(world: World, line: Timeline) -> None:
    identifier = line.subscribe(world.metered("100").id)
    end = NOON + 12 * DAY
    world.api.v1.subscriptions.update(identifier, {"cancel_at": end})
    use(line, 9)
    line.to(end)
    assert line.subscription(identifier).status == "canceled"
    use(line, 1000)
    line.to(end + HOUR)
    (last,) = line.invoices(identifier)
    assert (last.total, last.status, last.lines.data[0].period.end) == (900, "paid", end)


def test_an_end_that_would_be_prorated_is_refused_unless_waived(
    world: World, line: Timeline
) -> None:
    identifier = line.subscribe(world.licensed().id)
    update = world.api.v1.subscriptions.update
    with pytest.raises(stripe.InvalidRequestError) as refused:
        update(identifier, {"cancel_at": NOON + 12 * DAY})
    assert refused.value.code == "sandbox_unsupported"
    with pytest.raises(stripe.InvalidRequestError, match="in the future"):
        update(identifier, {"cancel_at": NOON, "proration_behavior": "none"})
    update(identifier, {"cancel_at": NOON + 12 * DAY, "proration_behavior": "none"})
    line.to(NOON + 13 * DAY)
    assert line.subscription(identifier).ended_at == NOON + 12 * DAY


def test_the_control_room_moves_a_clock(world: World, line: Timeline) -> None:
    identifier = line.subscribe(world.licensed().id)
    operator = Visitor(world.app)
    operator.get("/_sandbox/sign-in").press("Sign in", token=TOKEN)
    page = f"/_sandbox/ui/objects/{line.clock}"
    assert "The clock is on its way" in operator.get(page).press("+1 day").follow().text
    world.tick()
    operator.get(page).press("To the next renewal")
    world.tick()
    assert [each.status for each in line.invoices(identifier)] == ["paid", "paid"]
    moved = world.control(f"/clocks/{line.clock}/advance", seconds=3600)
    assert moved["status"] == "advancing"
    world.tick()
    world.control(f"/clocks/{line.clock}/advance", to="next-renewal")
    world.tick()
    assert len(line.invoices(identifier)) == 3


def test_pages_and_controls_wait_for_a_clock_on_its_way(world: World, line: Timeline) -> None:
    session = world.session(world.licensed(), customer=line.customer)
    identifier = line.subscribe(world.licensed().id)
    world.control(f"/clocks/{line.clock}/advance", seconds=3600)
    page = Visitor(world.app).get(f"/c/pay/{session.id}")
    refused = page.press("Subscribe", **card())
    assert refused.status == 409
    assert "The test clock is moving" in refused.text
    answer = world.app.test_client().post(
        f"/_sandbox/subscriptions/{identifier}/end-period",
        headers={"Authorization": f"Bearer {TOKEN}"},
    )
    assert answer.status_code == 429
    world.tick()
    assert page.press("Subscribe", **card()).status == 303


def test_bad_debt_is_not_collected_any_more_but_can_be_paid(world: World, line: Timeline) -> None:
    identifier = line.subscribe(world.licensed().id)
    invoices = world.api.v1.invoices
    with pytest.raises(stripe.InvalidRequestError, match="isn't open"):
        invoices.mark_uncollectible(str(line.invoices(identifier)[0].id))
    line.card("pm_card_chargeCustomerFail")
    line.to(NOON + 31 * DAY + HOUR)
    owed = str(line.invoices(identifier)[1].id)
    given_up = invoices.mark_uncollectible(owed)
    assert (given_up.status, given_up.next_payment_attempt) == ("uncollectible", None)
    assert given_up.status_transitions.marked_uncollectible_at == NOON + 31 * DAY + HOUR
    assert world.event_types()[-1] == "invoice.marked_uncollectible"
    line.to(NOON + 50 * DAY)
    assert invoices.retrieve(owed).attempt_count == 1
    assert line.subscription(identifier).status == "past_due"
    line.card("pm_card_visa")
    assert invoices.pay(owed).status == "paid"
    assert line.subscription(identifier).status == "active"
