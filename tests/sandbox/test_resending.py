"""Sending an event again as Stripe's command line client does; what waits for webhooks."""

import json
from typing import Any

import pytest
import stripe

from portal.sandbox import spec
from portal.sandbox.engine import invoices
from tests.sandbox.conftest import World


def ask(world: World, event: str, pairs: dict[str, str], acting: str = "") -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {world.key}"}
    if acting:
        headers["Stripe-Account"] = acting
    answer = world.app.test_client().post(f"/v1/events/{event}/retry", data=pairs, headers=headers)
    return answer.status_code, answer.get_json()


@pytest.fixture
def connect(world: World) -> stripe.WebhookEndpoint:
    create = world.platform_api.v1.webhook_endpoints.create
    return create({"url": "http://a.test/", "connect": True, "enabled_events": ["*"]})


def happened(world: World) -> str:
    world.api.v1.products.create({"name": "x"})
    return world.api.v1.events.list({"type": "product.created"}).data[0].id


def test_an_event_of_a_connected_account_is_sent_again(
    world: World, connect: stripe.WebhookEndpoint
) -> None:
    event = happened(world)
    world.tick()
    pairs = {"webhook_endpoint": connect.id, "account": world.account}
    status, body = ask(world, event, pairs)
    assert (status, body["id"], body["pending_webhooks"]) == (200, event, 1)
    assert spec.violations("event", body) == []
    world.tick()
    assert [json.loads(sent)["id"] for _, _, sent in world.sent] == [event, event]
    del pairs["account"]
    assert ask(world, event, pairs, acting=world.account)[0] == 200


def test_an_account_resends_to_its_own_endpoint(world: World) -> None:
    endpoints = world.api.v1.webhook_endpoints
    own = endpoints.create({"url": "http://b.test/", "enabled_events": ["product.deleted"]})
    event = happened(world)
    world.tick()
    assert world.sent == []
    pairs = {"webhook_endpoint": own.id}
    assert ask(world, event, pairs, acting=world.account)[0] == 200
    world.tick()
    assert [url for url, _, _ in world.sent] == ["http://b.test/"]


def test_resending_is_refused_where_it_makes_no_sense(
    world: World, connect: stripe.WebhookEndpoint
) -> None:
    event = happened(world)
    create = world.platform_api.v1.webhook_endpoints.create
    own = create({"url": "http://c.test/", "enabled_events": ["*"]}).id
    stranger = world.control("/platforms", name="Other")["account"]
    good = {"webhook_endpoint": connect.id, "account": world.account}
    cases = [
        ({**good, "webhook_endpoint": "we_1"}, 400),
        # It hears of the platform's own events only.
        ({**good, "webhook_endpoint": own}, 400),
        ({**good, "account": stranger}, 400),
        ({"webhook_endpoint": connect.id}, 404),
        ({"account": world.account}, 400),
    ]
    for pairs, expected in cases:
        status, body = ask(world, event, pairs)
        assert (status, pairs) == (expected, pairs)
        assert spec.violations("error", body) == []
    assert ask(world, "evt_1", good)[0] == 404
    world.platform_api.v1.webhook_endpoints.update(connect.id, {"disabled": True})
    status, body = ask(world, event, good)
    assert status == 400
    assert "disabled" in body["error"]["message"]


def test_a_draft_waits_until_its_webhook_succeeded(
    world: World, connect: stripe.WebhookEndpoint
) -> None:
    subscription = world.subscribe(world.licensed())
    world.tick()
    world.endpoint_status = 500
    draft = world.control(f"/subscriptions/{subscription.id}/end-period")["invoice"]["id"]
    retrieve = world.api.v1.invoices.retrieve
    world.tick()
    world.tick(3700)
    assert retrieve(draft).status == "draft"
    world.endpoint_status = 200
    for _ in range(3):
        world.tick(700)
    assert retrieve(draft).status == "paid"


def test_a_draft_waits_for_a_broken_endpoint_three_days_at_most(
    world: World, connect: stripe.WebhookEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invoices, "_CHECK_AGAIN", 3600)
    subscription = world.subscribe(world.licensed())
    world.tick()
    # It is late again and again and never answers.
    world.control("/faults", kind="webhook_delay", type="invoice.created", seconds=3600)
    draft = world.control(f"/subscriptions/{subscription.id}/end-period")["invoice"]["id"]
    world.tick()
    with world.app.extensions["sandbox"].store.write() as db:
        db.execute("UPDATE deliveries SET due_at = ? WHERE state = 'pending'", 2e9)
    world.tick(71 * 3600)
    assert world.api.v1.invoices.retrieve(draft).status == "draft"
    world.tick(2 * 3600)
    assert world.api.v1.invoices.retrieve(draft).status == "paid"
