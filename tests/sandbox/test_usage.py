"""Meter events: what is accepted, when it counts, whom it belongs to."""

from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import START, World

DAY = 86_400


@pytest.fixture
def customer(world: World) -> str:
    return world.api.v1.customers.create({"email": "dev@example.com"}).id


def meter(world: World, formula: str = "sum", event_name: str = "calls") -> stripe.billing.Meter:
    return world.api.v1.billing.meters.create(
        {
            "display_name": "Calls",
            "event_name": event_name,
            "default_aggregation": {"formula": formula},  # type: ignore[typeddict-item]
        }
    )


def use(world: World, customer: str, value: Any = "1", **more: Any) -> stripe.billing.MeterEvent:
    payload = {"stripe_customer_id": customer, "value": str(value)}
    return world.api.v1.billing.meter_events.create(
        {"event_name": "calls", "payload": payload, **more}
    )


def total(world: World, meter_id: str, customer: str) -> float:
    start = START // 60 * 60 - DAY
    found = world.api.v1.billing.meters.event_summaries.list(
        meter_id, {"customer": customer, "start_time": start, "end_time": start + 2 * DAY}
    )
    return found.data[0].aggregated_value


def test_an_event_is_echoed_and_counted(world: World, customer: str) -> None:
    made = meter(world)
    event = use(world, customer, 25, identifier="batch-1", timestamp=START - 10)
    assert (event.identifier, event.timestamp) == ("batch-1", START - 10)
    assert event.payload["value"] == "25"
    assert use(world, customer, 5).identifier
    assert total(world, made.id, customer) == 30


@pytest.mark.parametrize(("formula", "expected"), [("sum", 9), ("count", 3), ("last", 3)])
def test_the_formula_decides_what_counts(
    world: World, customer: str, formula: str, expected: int
) -> None:
    made = meter(world, formula)
    for value, at in ((2, START - 20), (3, START - 5), (4, START - 10)):
        use(world, customer, value, timestamp=at)
    assert total(world, made.id, customer) == expected


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"timestamp": START - 35 * DAY - 1}, "timestamp"),
        ({"timestamp": START + 301}, "timestamp"),
        ({"event_name": "other"}, "event_name"),
        ({"payload": {"value": "1"}}, "payload[stripe_customer_id]"),
        ({"payload": {"stripe_customer_id": "cus_x"}}, "payload[value]"),
        ({"payload": {"stripe_customer_id": "cus_x", "value": "1.5"}}, "payload[value]"),
        ({"payload": {"stripe_customer_id": "cus_x", "value": "many"}}, "payload[value]"),
        (
            {"payload": {"stripe_customer_id": "cus_x", "value": "1", "region": "eu"}},
            "payload[region]",
        ),
        ({"identifier": "x" * 101}, "identifier"),
    ],
)
def test_what_stripe_checks_at_once_is_refused_at_once(
    world: World, customer: str, change: dict[str, Any], param: str
) -> None:
    meter(world)
    event: dict[str, Any] = {
        "event_name": "calls",
        "payload": {"stripe_customer_id": customer, "value": "1"},
    }
    with pytest.raises(stripe.InvalidRequestError) as refused:
        world.api.v1.billing.meter_events.create({**event, **change})  # type: ignore[typeddict-item]
    assert (refused.value.http_status, refused.value.param) == (400, param)


def test_the_edges_of_the_time_window_are_inside(world: World, customer: str) -> None:
    meter(world)
    assert use(world, customer, timestamp=START - 35 * DAY).timestamp == START - 35 * DAY
    assert use(world, customer, timestamp=START + 300).timestamp == START + 300


def test_an_identifier_counts_once_within_a_day(world: World, customer: str) -> None:
    made = meter(world)
    use(world, customer, 25, identifier="batch-1")
    with pytest.raises(stripe.InvalidRequestError) as twice:
        use(world, customer, 25, identifier="batch-1")
    assert twice.value.code == "duplicate_meter_event"
    assert total(world, made.id, customer) == 25


def test_an_unknown_customer_is_accepted_and_never_counted(world: World) -> None:
    made = meter(world)
    use(world, "cus_nobody", 25)
    late = world.api.v1.customers.create({"email": "late@example.com"}).id
    assert total(world, made.id, late) == 0


def reports(world: World, **wanted: Any) -> list[Any]:
    return list(world.api.v2.core.events.list(wanted).data)  # type: ignore[arg-type]


def test_usage_that_is_not_counted_is_reported_afterwards(world: World, customer: str) -> None:
    made = meter(world)
    use(world, customer, 1)
    for number in range(7):
        use(world, "cus_nobody", 25, identifier=f"lost-{number}")
    world.control("/faults", kind="meter_reject", event_name="calls")
    use(world, customer, 25, identifier="rejected")
    assert reports(world) == []
    world.tick(10)
    world.tick(10)
    (found,) = reports(world, object_id=made.id)
    assert found.type == "v1.billing.meter.error_report_triggered"
    assert (found.related_object.id, found.context) == (made.id, world.account)
    assert found.data.developer_message_summary == "There are 8 invalid events"
    types = {each.code: each for each in found.data.reason.error_types}
    assert {code: each.error_count for code, each in types.items()} == {
        "meter_event_customer_not_found": 7,
        "archived_meter": 1,
    }
    samples = types["meter_event_customer_not_found"].sample_errors
    assert [each["request"]["identifier"] for each in samples] == [f"lost-{n}" for n in range(5)]
    again = world.api.v2.core.events.retrieve(found.id)
    assert again.to_dict() == found.to_dict()
    assert world.api.v1.billing.meters.retrieve(again.related_object.id).id == made.id
    assert total(world, made.id, customer) == 1


def test_reports_are_told_apart_from_events_of_version_1(world: World) -> None:
    made = meter(world)
    use(world, "cus_nobody", 25)
    world.tick(20)
    (found,) = reports(world)
    assert found.id not in {each.id for each in world.api.v1.events.list({"limit": 100}).data}
    for read in (world.api.v1.events.retrieve, world.platform_api.v2.core.events.retrieve):
        with pytest.raises(stripe.InvalidRequestError):
            read(found.id)
    assert made.status == "active"


def test_reports_are_listed_by_type_moment_and_page(world: World) -> None:
    for name in ("one", "two", "three"):
        meter(world, event_name=name)
        use(world, "cus_nobody", 25, event_name=name)
        world.tick(20)
    everything = reports(world)
    assert len(everything) == 3
    listed = world.api.v2.core.events.list({"limit": 1})
    assert [each.id for each in listed.auto_paging_iter()] == [each.id for each in everything]
    since: Any = {"created": {"gte": everything[1].created}}
    assert [each.id for each in reports(world, **since)] == [each.id for each in everything[:2]]
    assert reports(world, types=["v1.billing.meter.no_meter_found"]) == []
    for wrong in ({"limit": 0}, {"page": "x"}, {"created": {"gt": "today"}}):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            reports(world, **wrong)
        assert refused.value.code


def test_an_event_can_be_taken_back_for_a_day(world: World, customer: str) -> None:
    made = meter(world)
    use(world, customer, 25, identifier="batch-1")
    adjustment: Any = {
        "event_name": "calls",
        "type": "cancel",
        "cancel": {"identifier": "batch-1"},
    }
    done = world.api.v1.billing.meter_event_adjustments.create(adjustment)
    assert done.status == "complete"
    assert total(world, made.id, customer) == 0
    with pytest.raises(stripe.InvalidRequestError):
        world.api.v1.billing.meter_event_adjustments.create(adjustment)


def test_summaries_are_grouped_and_aligned(world: World, customer: str) -> None:
    made = meter(world)
    hour = START // 3600 * 3600
    use(world, customer, 2, timestamp=hour - 3600)
    use(world, customer, 3, timestamp=hour - 1)
    use(world, customer, 4, timestamp=hour)
    listed = world.api.v1.billing.meters.event_summaries.list(
        made.id,
        {
            "customer": customer,
            "start_time": hour - 3600,
            "end_time": hour + 3600,
            "value_grouping_window": "hour",
        },
    )
    assert [(s.start_time, s.aggregated_value) for s in listed.data] == [
        (hour, 4),
        (hour - 3600, 5),
    ]
    for start, end in ((hour + 1, hour + 3600), (hour, hour)):
        with pytest.raises(stripe.InvalidRequestError):
            world.api.v1.billing.meters.event_summaries.list(
                made.id, {"customer": customer, "start_time": start, "end_time": end}
            )


def test_usage_belongs_to_the_period_of_its_timestamp(world: World) -> None:
    subscription = world.subscribe(world.metered("100"))
    customer = str(subscription.customer)
    end = subscription["items"].data[0].current_period_end
    world.clock.advance(end - world.clock.now() - 30)
    use(world, customer, 3)
    world.tick(60)
    draft = world.api.v1.invoices.list({"subscription": subscription.id}).data[0]
    assert (draft.status, draft.total) == ("draft", 300)
    use(world, customer, 2, timestamp=end - 1)
    use(world, customer, 7, timestamp=end)
    assert world.api.v1.invoices.retrieve(str(draft.id)).total == 500
    world.tick(3600)
    billed = world.api.v1.invoices.retrieve(str(draft.id))
    assert (billed.status, billed.total, billed.lines.data[0].quantity) == ("paid", 500, 5)
    use(world, customer, 50, timestamp=end - 1)
    assert world.api.v1.invoices.retrieve(str(draft.id)).total == 500
    preview = world.api.v1.invoices.create_preview({"subscription": subscription.id})
    assert preview.total == 700


def test_two_subscriptions_of_one_customer_both_pay_for_the_meter(world: World) -> None:
    price = world.metered("100")
    first = world.subscribe(price)
    second = world.subscribe(price, customer=str(first.customer))
    use(world, str(first.customer), 3)
    for each in (first, second):
        preview = world.api.v1.invoices.create_preview({"subscription": each.id})
        assert preview.total == 300


def test_a_negative_total_bills_nothing(world: World) -> None:
    subscription = world.subscribe(world.metered("100"))
    use(world, str(subscription.customer), -3)
    preview = world.api.v1.invoices.create_preview({"subscription": subscription.id})
    assert preview.total == 0
