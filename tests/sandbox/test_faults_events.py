"""Planned trouble with webhooks, usage and charges."""

import json
from typing import Any

import pytest
import stripe

from portal.sandbox.webhooks import BACKOFF
from tests.sandbox.conftest import TOKEN, World


@pytest.fixture
def hook(world: World) -> stripe.WebhookEndpoint:
    create = world.platform_api.v1.webhook_endpoints.create
    return create({"url": "http://a.test/", "connect": True, "enabled_events": ["product.created"]})


def happen(world: World, *names: str) -> None:
    for name in names:
        world.api.v1.products.create({"name": name})


def bodies(world: World) -> list[dict[str, Any]]:
    return [json.loads(body) for _, _, body in world.sent]


def heard(world: World) -> list[str]:
    return [body["data"]["object"]["name"] for body in bodies(world)]


def verified(world: World, index: int, secret: str) -> bool:
    _, headers, body = world.sent[index]
    signature = headers["Stripe-Signature"]
    try:
        stripe.WebhookSignature.verify_header(body.decode(), signature, secret, tolerance=None)
    except stripe.SignatureVerificationError:
        return False
    return True


def states(world: World) -> list[str]:
    return [each["state"] for each in reversed(world.look("/deliveries"))]


def test_a_dropped_event_is_found_in_the_list_only(
    world: World, hook: stripe.WebhookEndpoint
) -> None:
    world.control("/faults", kind="webhook_drop", type="product.*")
    happen(world, "lost", "kept")
    world.tick(10)
    assert heard(world) == ["kept"]
    missed = world.api.v1.events.list({"delivery_success": False}).data
    assert [each.data.object["name"] for each in missed] == ["lost"]
    world.control(f"/events/{missed[0].id}/resend", endpoint=hook.id)
    world.tick()
    assert heard(world) == ["kept", "lost"]
    assert world.api.v1.events.list({"delivery_success": False}).data == []


def test_a_duplicated_event_arrives_twice(world: World, hook: stripe.WebhookEndpoint) -> None:
    world.control("/faults", kind="webhook_duplicate")
    happen(world, "a", "b")
    world.tick()
    world.tick(2)
    assert sorted(heard(world)) == ["a", "a", "b"]
    assert len({body["id"] for body in bodies(world)}) == 2


def test_a_delayed_event_arrives_late(world: World, hook: stripe.WebhookEndpoint) -> None:
    world.control("/faults", kind="webhook_delay", seconds=60)
    happen(world, "late", "soon")
    world.tick()
    world.tick(59)
    assert heard(world) == ["soon"]
    world.tick(2)
    assert heard(world) == ["soon", "late"]


def test_a_reordered_event_is_overtaken_by_the_next(
    world: World, hook: stripe.WebhookEndpoint
) -> None:
    world.control("/faults", kind="webhook_reorder", seconds=600)
    happen(world, "first", "second")
    world.tick()
    world.tick()
    assert heard(world) == ["second", "first"]


def test_a_reordered_event_that_nothing_follows_arrives_in_the_end(
    world: World, hook: stripe.WebhookEndpoint
) -> None:
    world.control("/faults", kind="webhook_reorder", seconds=600)
    happen(world, "alone")
    world.tick()
    world.tick(599)
    assert heard(world) == []
    world.tick(2)
    assert heard(world) == ["alone"]


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(
    "kind",
    [
        "webhook_wrong_secret", "webhook_stale", "webhook_truncated", "webhook_no_account",
        "webhook_other_version", "webhook_unknown_type",
    ],
)  # fmt: skip
def test_a_falsified_event_never_stands_for_the_true_one(
    world: World, hook: stripe.WebhookEndpoint, kind: str, status: int
) -> None:
    secret = str(hook.secret)
    world.control("/faults", kind=kind)
    happen(world, "a")
    world.endpoint_status = status
    world.tick()
    assert len(world.sent) == 1
    assert states(world) == ["pending"]
    genuine = kind not in ("webhook_wrong_secret", "webhook_truncated")
    assert verified(world, 0, secret) is genuine
    _, headers, body = world.sent[0]
    stamp = int(headers["Stripe-Signature"].split(",")[0].removeprefix("t="))
    assert (world.clock.now() - stamp > 300) is (kind == "webhook_stale")
    if kind == "webhook_truncated":
        with pytest.raises(json.JSONDecodeError):
            json.loads(body)
    else:
        event = json.loads(body)
        assert ("account" not in event) is (kind == "webhook_no_account")
        assert (event["api_version"] != "2026-04-22.dahlia") is (kind == "webhook_other_version")
        assert (event["type"] != "product.created") is (kind == "webhook_unknown_type")
    world.endpoint_status = 200
    world.tick(BACKOFF[0] + 1)
    assert states(world) == ["delivered"]
    true = json.loads(world.sent[1][2])
    assert (true["type"], true["account"]) == ("product.created", world.account)
    assert verified(world, 1, secret)


def test_a_fault_may_concern_one_endpoint(world: World, hook: stripe.WebhookEndpoint) -> None:
    world.api.v1.webhook_endpoints.create({"url": "http://b.test/", "enabled_events": ["*"]})
    world.control("/faults", kind="webhook_drop", endpoint=hook.id, times=5)
    happen(world, "a")
    world.tick()
    assert [url for url, _, _ in world.sent] == ["http://b.test/"]


# Usage.


def counted(world: World, meter: str, customer: str) -> float:
    start = world.clock.now() // 86400 * 86400
    window = {"customer": customer, "start_time": start, "end_time": start + 86400}
    found = world.api.v1.billing.meters.event_summaries.list(meter, window)  # type: ignore[arg-type]
    return sum(each.aggregated_value for each in found.data)


@pytest.fixture
def measured(world: World) -> tuple[str, str]:
    recurring = world.metered().recurring
    assert recurring is not None
    return str(recurring.meter), world.api.v1.customers.create({"name": "Dev"}).id


def use(world: World, customer: str, value: int) -> None:
    payload = {"stripe_customer_id": customer, "value": str(value)}
    world.api.v1.billing.meter_events.create({"event_name": "calls", "payload": payload})


def test_usage_may_be_accepted_and_rejected_later(world: World, measured: tuple[str, str]) -> None:
    meter, customer = measured
    world.control("/faults", kind="meter_reject", event_name="calls")
    use(world, customer, 5)
    use(world, customer, 7)
    assert counted(world, meter, customer) == 7


def test_usage_may_be_counted_late(world: World, measured: tuple[str, str]) -> None:
    meter, customer = measured
    world.control("/faults", kind="meter_lag", seconds=30, customer=customer)
    use(world, customer, 5)
    use(world, customer, 7)
    assert counted(world, meter, customer) == 7
    world.clock.advance(31)
    assert counted(world, meter, customer) == 12


# Charges.


def renew(world: World, subscription: stripe.Subscription) -> dict[str, Any]:
    draft = world.control(f"/subscriptions/{subscription.id}/end-period")["invoice"]
    return world.control(f"/invoices/{draft['id']}/finalize")


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        ("card_declined", "invoice.payment_failed"),
        ("insufficient_funds", "invoice.payment_failed"),
        ("expired_card", "invoice.payment_failed"),
        ("processing_error", "invoice.payment_failed"),
        ("requires_action", "invoice.payment_action_required"),
    ],
)
def test_the_next_charge_of_a_card_may_fail(world: World, outcome: str, expected: str) -> None:
    subscription = world.subscribe(world.licensed())
    card = str(subscription.default_payment_method)
    other = world.subscribe(world.licensed())
    world.control("/faults", kind="charge", payment_method=card, outcome=outcome)
    assert renew(world, other)["status"] == "paid"
    invoice = renew(world, subscription)
    assert invoice["status"] == "open"
    assert expected in world.event_types()
    assert world.api.v1.subscriptions.retrieve(subscription.id).status == "past_due"
    assert world.control(f"/invoices/{invoice['id']}/retry")["kind"] == "paid"
    assert world.api.v1.subscriptions.retrieve(subscription.id).status == "active"


def test_a_declined_charge_names_its_reason(world: World) -> None:
    subscription = world.subscribe(world.licensed())
    world.control(
        "/faults",
        kind="charge",
        subscription=subscription.id,
        outcome="insufficient_funds",
        times=2,
    )
    invoice = renew(world, subscription)
    with pytest.raises(stripe.CardError) as caught:
        world.api.v1.invoices.pay(invoice["id"])
    assert caught.value.error is not None
    assert caught.value.error.decline_code == "insufficient_funds"


def test_a_fault_needs_the_token(world: World) -> None:
    answer = world.app.test_client().post("/_sandbox/faults", json={"kind": "delay"})
    assert answer.status_code == 401
    assert TOKEN not in answer.get_data(as_text=True)
