"""Test clocks: time that belongs to some customers only, moved on request."""

from typing import Any

import pytest
import stripe

from portal.sandbox.engine import advancing
from tests.sandbox.clock_support import DAY, HOUR, at, shown, timeline
from tests.sandbox.conftest import START, World

JANUARY_31 = at("2027-01-31T10:00:00")


def test_a_clock_stands_still_until_it_is_advanced(world: World) -> None:
    clocks = world.api.v1.test_helpers.test_clocks
    made = clocks.create({"frozen_time": JANUARY_31, "name": "billing"})
    assert (made.status, made.frozen_time, made.name) == ("ready", JANUARY_31, "billing")
    assert (made.created, made.deletes_after) == (START, START + 30 * DAY)
    assert made.id.startswith("clock_")
    world.tick(DAY)
    assert clocks.retrieve(made.id).frozen_time == JANUARY_31
    sent = clocks.advance(made.id, {"frozen_time": JANUARY_31 + DAY})
    assert (sent.status, sent.frozen_time) == ("advancing", JANUARY_31)
    assert sent.status_details.advancing is not None
    assert sent.status_details.advancing.target_frozen_time == JANUARY_31 + DAY
    world.tick()
    arrived = clocks.retrieve(made.id)
    assert (arrived.status, arrived.frozen_time) == ("ready", JANUARY_31 + DAY)
    assert world.event_types() == [
        "test_helpers.test_clock.created",
        "test_helpers.test_clock.advancing",
        "test_helpers.test_clock.ready",
    ]


def test_what_a_clocks_customer_buys_carries_the_clocks_time(world: World) -> None:
    line = timeline(world, JANUARY_31)
    subscription = line.subscription(line.subscribe(world.licensed().id))
    invoice = line.invoices(subscription.id)[0]
    customer = world.api.v1.customers.retrieve(line.customer)
    assert {customer.test_clock, subscription.test_clock, invoice.test_clock} == {line.clock}
    assert {customer.created, subscription.created, invoice.created} == {JANUARY_31}
    created = {event["created"] for event in world.look(f"/events?account={world.account}")}
    assert created == {START}


def test_anchors_keep_the_day_where_the_month_has_it(world: World) -> None:
    line = timeline(world, JANUARY_31)
    identifier = line.subscribe(world.licensed().id)
    line.until(at("2027-06-01T00:00:00"))
    starts = [shown(each.lines.data[0].period.start) for each in line.invoices(identifier)]
    assert starts == ["2027-01-31", "2027-02-28", "2027-03-31", "2027-04-30", "2027-05-31"]


def test_a_renewal_is_a_draft_for_an_hour_of_the_clock(world: World) -> None:
    line = timeline(world, JANUARY_31)
    identifier = line.subscribe(world.licensed().id)
    end = line.subscription(identifier)["items"].data[0].current_period_end
    line.to(end - 1)
    assert len(line.invoices(identifier)) == 1
    line.to(end)
    draft = line.invoices(identifier)[1]
    assert (draft.status, draft.automatically_finalizes_at) == ("draft", end + HOUR)
    assert draft.billing_reason == "subscription_cycle"
    line.to(end + HOUR - 1)
    assert line.invoices(identifier)[1].status == "draft"
    before = len(world.event_types())
    line.to(end + HOUR)
    assert line.invoices(identifier)[1].status == "paid"
    assert line.invoices(identifier)[1].status_transitions.paid_at == end + HOUR
    assert world.event_types()[before:] == [
        "test_helpers.test_clock.advancing",
        "invoice.finalized",
        "charge.succeeded",
        "payment_intent.succeeded",
        "invoice.paid",
        "invoice.payment_succeeded",
        "invoice_payment.paid",
        "test_helpers.test_clock.ready",
    ]


def test_retries_follow_the_schedule_and_then_the_account_decides(world: World) -> None:
    line = timeline(world, JANUARY_31)
    identifier = line.subscribe(world.licensed().id)
    line.card("pm_card_chargeCustomerFail")
    end = line.subscription(identifier)["items"].data[0].current_period_end
    line.to(end + HOUR)
    attempts = []
    for days in (3, 5, 7):
        invoice = line.invoices(identifier)[1]
        assert invoice.next_payment_attempt is not None
        attempts.append((invoice.attempt_count, line.subscription(identifier).status))
        assert invoice.next_payment_attempt == line_now(world, line.clock) + days * DAY
        line.to(invoice.next_payment_attempt)
    assert attempts == [(1, "past_due"), (2, "past_due"), (3, "past_due")]
    last, ended = line.invoices(identifier)[1], line.subscription(identifier)
    assert (last.attempt_count, last.next_payment_attempt) == (4, None)
    assert (ended.status, ended.ended_at) == ("canceled", end + HOUR + 15 * DAY)
    assert ended.cancellation_details is not None
    assert ended.cancellation_details.reason == "payment_failed"


def line_now(world: World, clock: str) -> int:
    return world.api.v1.test_helpers.test_clocks.retrieve(clock).frozen_time


def test_one_long_advance_equals_many_short_ones(world: World) -> None:
    price = world.licensed().id
    target = JANUARY_31 + 50 * DAY
    histories = []
    for step in (50 * DAY, 13 * DAY, 17 * HOUR):
        line = timeline(world, JANUARY_31)
        identifier = line.subscribe(price)
        line.card("pm_card_chargeCustomerFail")
        line.until(target, step)
        invoices = line.invoices(identifier)
        histories.append(
            (
                line.subscription(identifier).status,
                line.subscription(identifier).ended_at,
                [(each.created, each.status, each.attempt_count) for each in invoices],
            )
        )
    assert histories[0] == histories[1] == histories[2]
    assert histories[0][0] == "canceled"


def test_two_clocks_and_the_real_time_never_touch_each_other(world: World) -> None:
    price = world.licensed().id
    first, second = timeline(world, JANUARY_31), timeline(world, JANUARY_31)
    moved, still = first.subscribe(price), second.subscribe(price)
    real = world.subscribe(world.licensed())
    first.to(JANUARY_31 + 40 * DAY)
    assert len(first.invoices(moved)) == 2
    assert len(second.invoices(still)) == 1
    world.tick(100 * DAY)
    assert len(second.invoices(still)) == 1
    assert len(first.invoices(moved)) == 2
    assert len(world.api.v1.invoices.list({"subscription": real.id}).data) == 4


def test_a_checkout_session_expires_by_its_customers_clock(world: World) -> None:
    line = timeline(world, JANUARY_31)
    session = world.session(world.licensed(), customer=line.customer)
    assert session.expires_at == JANUARY_31 + DAY
    world.tick(10 * DAY)
    assert world.api.v1.checkout.sessions.retrieve(session.id).status == "open"
    line.to(JANUARY_31 + DAY)
    assert world.api.v1.checkout.sessions.retrieve(session.id).status == "expired"
    assert "checkout.session.expired" in world.event_types()


def test_a_session_paid_on_a_clock_begins_at_the_clocks_time(world: World) -> None:
    line = timeline(world, JANUARY_31)
    session = world.session(world.licensed(), customer=line.customer)
    assert world.pay(session)["kind"] == "paid"
    paid = world.api.v1.checkout.sessions.retrieve(session.id)
    bought = line.subscription(str(paid.subscription))
    assert (bought.start_date, bought.test_clock) == (JANUARY_31, line.clock)
    line.to(JANUARY_31 + 29 * DAY)
    assert len(line.invoices(bought.id)) == 2


def test_a_scheduled_end_comes_at_its_moment(world: World) -> None:
    line = timeline(world, JANUARY_31)
    price = world.licensed().id
    at_end, later = line.subscribe(price), line.subscribe(price)
    end = line.subscription(at_end)["items"].data[0].current_period_end
    world.api.v1.subscriptions.update(at_end, {"cancel_at_period_end": True})
    line.to(end - 1)
    assert line.subscription(at_end).status == "active"
    line.to(end + 2 * HOUR)
    ended = line.subscription(at_end)
    assert (ended.status, ended.ended_at, ended.canceled_at) == ("canceled", end, JANUARY_31)
    assert len(line.invoices(at_end)) == 1
    assert len(line.invoices(later)) == 2


def test_usage_belongs_to_the_clocks_period_until_finalization(world: World) -> None:
    line = timeline(world, JANUARY_31)
    identifier = line.subscribe(world.metered("10").id)

    def use(value: int, timestamp: int | None = None) -> None:
        event: Any = {
            "event_name": "calls",
            "payload": {"stripe_customer_id": line.customer, "value": str(value)},
        }
        if timestamp is not None:
            event["timestamp"] = timestamp
        world.api.v1.billing.meter_events.create(event)

    use(100)
    end = line.subscription(identifier)["items"].data[0].current_period_end
    with pytest.raises(stripe.InvalidRequestError) as future:
        use(1, JANUARY_31 + HOUR)
    assert future.value.code == "timestamp_in_future"
    line.to(end)
    use(7)
    use(20, end - 1)
    line.to(end + HOUR)
    assert [(each.total, each.status) for each in line.invoices(identifier)] == [(1200, "paid")]
    line.until(end + 40 * DAY)
    assert [each.total for each in line.invoices(identifier)] == [1200, 70]


def test_usage_on_its_way_is_waited_for(world: World) -> None:
    line = timeline(world, JANUARY_31)
    identifier = line.subscribe(world.metered("10").id)
    world.control("/faults", kind="meter_lag", seconds=5)
    world.api.v1.billing.meter_events.create(
        {"event_name": "calls", "payload": {"stripe_customer_id": line.customer, "value": "100"}}
    )
    clocks = world.api.v1.test_helpers.test_clocks
    clocks.advance(line.clock, {"frozen_time": JANUARY_31 + 30 * DAY})
    world.tick()
    assert clocks.retrieve(line.clock).status == "advancing"
    world.tick(5)
    assert clocks.retrieve(line.clock).status == "ready"
    assert [each.total for each in line.invoices(identifier)] == [1000]


def test_a_clock_on_its_way_lets_nobody_touch_it(world: World) -> None:
    line = timeline(world, JANUARY_31)
    identifier = line.subscribe(world.licensed().id)
    clocks = world.api.v1.test_helpers.test_clocks
    clocks.advance(line.clock, {"frozen_time": JANUARY_31 + DAY})
    attempts = (
        lambda: clocks.advance(line.clock, {"frozen_time": JANUARY_31 + 2 * DAY}),
        lambda: clocks.delete(line.clock),
        lambda: world.api.v1.subscriptions.cancel(identifier),
        lambda: world.api.v1.customers.update(line.customer, {"name": "x"}),
        lambda: world.api.v1.customers.create({"test_clock": line.clock}),
    )
    for attempt in attempts:
        with pytest.raises(stripe.RateLimitError, match="advancement underway") as refused:
            attempt()
        assert refused.value.http_status == 429
    assert line.subscription(identifier).status == "active"
    world.api.v1.customers.create({"name": "somebody else"})
    world.tick()
    assert world.api.v1.subscriptions.cancel(identifier).status == "canceled"


@pytest.mark.parametrize(
    ("interval", "count", "allowed"),
    [("day", 1, 2 * DAY), ("week", 1, 14 * DAY), ("month", 1, 59 * DAY), ("month", 2, 120 * DAY)],
)
def test_two_intervals_of_the_shortest_subscription_at_once(
    world: World, interval: Any, count: int, allowed: int
) -> None:
    line = timeline(world, JANUARY_31)
    product = world.api.v1.products.create({"name": "Rates"}).id
    for rhythm in ({"interval": "year"}, {"interval": interval, "interval_count": count}):
        price = world.api.v1.prices.create(
            {"product": product, "currency": "usd", "unit_amount": 900, "recurring": rhythm}  # type: ignore[typeddict-item]
        )
        line.subscribe(price.id)
    advance = world.api.v1.test_helpers.test_clocks.advance
    with pytest.raises(stripe.InvalidRequestError, match="two intervals") as refused:
        advance(line.clock, {"frozen_time": JANUARY_31 + allowed + 1})
    assert refused.value.param == "frozen_time"
    line.to(JANUARY_31 + allowed)


def test_a_clock_moves_forward_only_and_two_years_at_most(world: World) -> None:
    clocks = world.api.v1.test_helpers.test_clocks
    made = clocks.create({"frozen_time": JANUARY_31})
    for wrong in (JANUARY_31, JANUARY_31 - 1, at("2029-01-31T10:00:01")):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            clocks.advance(made.id, {"frozen_time": wrong})
        assert refused.value.param == "frozen_time"
    clocks.advance(made.id, {"frozen_time": at("2029-01-31T10:00:00")})
    world.tick()
    assert clocks.retrieve(made.id).status == "ready"
    with pytest.raises(stripe.InvalidRequestError):
        clocks.create({"frozen_time": -5})


def test_a_clock_has_three_customers_with_three_subscriptions_each(world: World) -> None:
    line = timeline(world, JANUARY_31)
    price = world.licensed()
    for _ in range(3):
        line.subscribe(price.id)
    with pytest.raises(stripe.InvalidRequestError, match="at most 3 subscriptions"):
        line.subscribe(price.id)
    with pytest.raises(stripe.InvalidRequestError, match="at most 3 subscriptions"):
        world.session(price, customer=line.customer)
    for _ in range(2):
        world.api.v1.customers.create({"test_clock": line.clock})
    with pytest.raises(stripe.InvalidRequestError, match="at most 3 customers"):
        world.api.v1.customers.create({"test_clock": line.clock})


def test_listings_show_a_clocks_objects_only_when_asked_for_them(world: World) -> None:
    line = timeline(world, JANUARY_31)
    identifier = line.subscribe(world.licensed().id)
    api = world.api.v1
    assert api.customers.list().data == []
    assert [each.id for each in api.customers.list({"test_clock": line.clock}).data] == [
        line.customer
    ]
    assert api.subscriptions.list().data == []
    for filters in ({"test_clock": line.clock}, {"customer": line.customer}):
        found = api.subscriptions.list(filters).data  # type: ignore[arg-type]
        assert [each.id for each in found] == [identifier]
    assert [each.id for each in api.test_helpers.test_clocks.list().data] == [line.clock]


def test_deleting_a_clock_removes_its_customers_and_ends_what_they_bought(world: World) -> None:
    line, other = timeline(world, JANUARY_31), timeline(world, JANUARY_31)
    price = world.licensed().id
    gone, kept = line.subscribe(price), other.subscribe(price)
    clocks = world.api.v1.test_helpers.test_clocks
    assert clocks.delete(line.clock).deleted is True
    assert world.api.v1.customers.retrieve(line.customer).deleted is True
    assert line.subscription(gone).status == "canceled"
    assert other.subscription(kept).status == "active"
    assert world.event_types()[-3:] == [
        "customer.subscription.deleted",
        "customer.deleted",
        "test_helpers.test_clock.deleted",
    ]
    for attempt in (
        lambda: clocks.retrieve(line.clock),
        lambda: clocks.delete(line.clock),
        lambda: clocks.advance(line.clock, {"frozen_time": JANUARY_31 + 1}),
        lambda: world.api.v1.customers.create({"test_clock": line.clock}),
    ):
        with pytest.raises(stripe.InvalidRequestError) as missing:
            attempt()
        assert missing.value.code == "resource_missing"
    assert [each.id for each in clocks.list().data] == [other.clock]


def test_a_clock_deletes_itself_after_thirty_days(world: World) -> None:
    line = timeline(world, JANUARY_31)
    world.tick(30 * DAY - 1)
    assert world.api.v1.customers.retrieve(line.customer).email == "dev@example.com"
    world.tick(1)
    assert world.api.v1.customers.retrieve(line.customer).deleted is True


def test_an_advance_that_breaks_says_so_and_changes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = timeline(world, JANUARY_31)
    identifier = line.subscribe(world.licensed().id)

    def break_(*_args: object) -> None:
        raise RuntimeError("planted")

    clocks = world.api.v1.test_helpers.test_clocks
    clocks.advance(line.clock, {"frozen_time": JANUARY_31 + 40 * DAY})
    monkeypatch.setattr(advancing.due, "perform", break_)
    world.tick()
    broken = clocks.retrieve(line.clock)
    assert (broken.status, broken.frozen_time) == ("internal_failure", JANUARY_31)
    assert len(line.invoices(identifier)) == 1
    assert world.event_types()[-1] == "test_helpers.test_clock.internal_failure"
    with pytest.raises(stripe.InvalidRequestError, match="failed to advance"):
        clocks.advance(line.clock, {"frozen_time": JANUARY_31 + DAY})
    assert clocks.delete(line.clock).deleted is True
