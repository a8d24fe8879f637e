"""Webhooks: signed, retried, possibly late, doubled and out of order; never lost."""

import hashlib
import hmac
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest
import stripe

from portal.sandbox.app import create_sandbox
from portal.sandbox.clock import ManualClock
from portal.sandbox.settings import SandboxSettings
from portal.sandbox.webhooks import BACKOFF, HttpTransport
from tests.sandbox.conftest import SEVEN, START, World


def deliveries(world: World) -> list[tuple[str, int]]:
    return [(each["state"], each["attempts"]) for each in world.look("/deliveries")]


def test_an_endpoint_hears_of_its_types_only(
    world: World, endpoint: stripe.WebhookEndpoint
) -> None:
    world.subscribe(world.licensed())
    types = {each["type"] for each in world.look("/deliveries")}
    assert types == {"invoice.payment_succeeded", "checkout.session.completed"}
    stored = set(world.event_types())
    assert {"customer.subscription.created", "invoice.created"} <= stored


def test_connect_and_own_endpoints_hear_different_accounts(world: World) -> None:
    create = world.platform_api.v1.webhook_endpoints.create
    create({"url": "http://a.test/connect", "connect": True, "enabled_events": ["*"]})
    create({"url": "http://a.test/own", "enabled_events": ["*"]})
    world.api.v1.webhook_endpoints.create(
        {"url": "http://a.test/account", "enabled_events": ["product.created"]}
    )
    world.api.v1.products.create({"name": "connected"})
    world.platform_api.v1.products.create({"name": "platform"})
    world.tick()
    heard = {(url, json.loads(body)["data"]["object"]["name"]) for url, _, body in world.sent}
    assert heard == {
        ("http://a.test/connect", "connected"),
        ("http://a.test/own", "platform"),
        ("http://a.test/account", "connected"),
    }
    named = {url: json.loads(body).get("account") for url, _, body in world.sent}
    assert named == {
        "http://a.test/connect": world.account,
        "http://a.test/own": None,
        "http://a.test/account": None,
    }


def test_a_failed_delivery_is_repeated_with_a_fresh_signature(
    world: World, endpoint: stripe.WebhookEndpoint
) -> None:
    session = world.session(world.licensed())
    world.api.v1.checkout.sessions.expire(session.id)
    for status in (500, 302, 404):
        world.endpoint_status = status
        world.tick(30)
    world.endpoint_status = 204
    assert deliveries(world) == [("pending", 3)]
    world.tick(200)
    assert deliveries(world) == [("delivered", 4)]
    bodies = {body for _, _, body in world.sent}
    signatures = {headers["Stripe-Signature"] for _, headers, _ in world.sent}
    assert (len(bodies), len(signatures), len(world.sent)) == (1, 4, 4)
    world.tick(1000)
    assert len(world.sent) == 4


def test_an_endpoint_that_never_answers_is_given_up_and_can_be_served_again(
    world: World, endpoint: stripe.WebhookEndpoint
) -> None:
    session = world.session(world.licensed())
    world.api.v1.checkout.sessions.expire(session.id)
    world.endpoint_status = 500
    for _ in range(len(BACKOFF) + 3):
        world.tick(1000)
    assert deliveries(world) == [("failed", len(BACKOFF) + 1)]
    event = world.api.v1.events.list({"delivery_success": False}).data[0]
    assert event.pending_webhooks == 0
    world.endpoint_status = 200
    world.control(f"/events/{event.id}/resend", endpoint=endpoint.id)
    world.tick()
    assert deliveries(world)[0] == ("delivered", 1)


def test_a_payload_is_frozen_when_its_event_happens(
    world: World, endpoint: stripe.WebhookEndpoint
) -> None:
    subscription = world.subscribe(world.licensed())
    update = world.api.v1.subscriptions.update
    update(subscription.id, {"metadata": {"step": "1"}})
    update(subscription.id, {"metadata": {"step": "2"}})
    world.tick()
    seen = [json.loads(body)["data"] for _, _, body in world.sent][-2:]
    assert [data["object"]["metadata"]["step"] for data in seen] == ["1", "2"]
    assert seen[1]["previous_attributes"] == {"metadata": {"step": "1"}}


def test_pending_webhooks_counts_down(world: World, endpoint: stripe.WebhookEndpoint) -> None:
    session = world.session(world.licensed())
    world.api.v1.checkout.sessions.expire(session.id)
    event = world.api.v1.events.list({"type": "checkout.session.expired"}).data[0]
    assert event.pending_webhooks == 1
    assert str(event["request"]["id"]).startswith("req_")
    world.tick()
    assert world.api.v1.events.retrieve(event.id).pending_webhooks == 0
    assert json.loads(world.sent[0][2])["pending_webhooks"] == 1


def test_a_rolled_secret_signs_beside_the_new_one_until_it_ends(
    world: World, endpoint: stripe.WebhookEndpoint
) -> None:
    old = str(endpoint.secret)
    new = world.control(f"/webhook_endpoints/{endpoint.id}/roll", keep=3600)["secret"]
    price = world.licensed()

    def signatures() -> tuple[str, bytes]:
        session = world.session(price)
        world.api.v1.checkout.sessions.expire(session.id)
        world.tick()
        _, headers, body = world.sent[-1]
        return headers["Stripe-Signature"], body

    def verifies(header: str, body: bytes, secret: str) -> bool:
        stamp, *values = header.split(",")
        message = f"{stamp.removeprefix('t=')}.".encode() + body
        wanted = hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()
        return f"v1={wanted}" in values

    header, body = signatures()
    assert verifies(header, body, old)
    assert verifies(header, body, new)
    world.clock.advance(3601)
    header, body = signatures()
    assert not verifies(header, body, old)
    assert verifies(header, body, new)


def test_a_disabled_or_deleted_endpoint_is_not_called(
    world: World, endpoint: stripe.WebhookEndpoint
) -> None:
    endpoints = world.platform_api.v1.webhook_endpoints
    endpoints.update(endpoint.id, {"disabled": True})
    world.subscribe(world.licensed())
    assert world.look("/deliveries") == []
    endpoints.update(endpoint.id, {"disabled": False})
    world.subscribe(world.licensed())
    endpoints.delete(endpoint.id)
    world.tick()
    assert world.sent == []
    assert {each["state"] for each in world.look("/deliveries")} == {"dropped"}


@pytest.mark.parametrize(
    "change",
    [
        {"url": "ftp://x.test"},
        {"url": "nowhere"},
        {"enabled_events": []},
        {"enabled_events": ["made.up"]},
        {"enabled_events": ["*", "invoice.paid"]},
        {"api_version": "2025-03-31.basil"},
    ],
)
def test_a_bad_endpoint_is_refused(world: World, change: dict[str, object]) -> None:
    good = {"url": "http://a.test/", "enabled_events": SEVEN, "connect": True}
    with pytest.raises(stripe.InvalidRequestError):
        world.platform_api.v1.webhook_endpoints.create({**good, **change})  # type: ignore[typeddict-item]


def test_only_the_first_answer_holds_the_secret(
    world: World, endpoint: stripe.WebhookEndpoint
) -> None:
    assert str(endpoint.secret).startswith("whsec_")
    assert "secret" not in world.platform_api.v1.webhook_endpoints.retrieve(endpoint.id)
    with pytest.raises(stripe.PermissionError):
        world.api.v1.webhook_endpoints.create(
            {"url": "http://a.test/", "enabled_events": ["*"], "connect": True}
        )


def shuffled(folder: Path, seed: int) -> list[str]:
    """Deliver 60 events in the default mode and return their subjects in order of arrival."""
    clock = ManualClock(START)
    arrived: list[str] = []

    def post(_url: str, _headers: object, body: bytes) -> int:
        arrived.append(json.loads(body)["data"]["object"]["name"])
        return 200

    settings = SandboxSettings(
        database=str(folder / f"{seed}-{len(list(folder.iterdir()))}.sqlite3"),
        admin_token="control-token",
        seed=seed,
    )
    app = create_sandbox(settings, clock=clock, transport=post)
    world = World(app, clock, "", "", "")
    made = world.control("/platforms", name="P")
    world.key = made["secret_key"]
    world.platform_api.v1.webhook_endpoints.create(
        {"url": "http://a.test/", "enabled_events": ["customer.created"]}
    )
    for number in range(60):
        world.platform_api.v1.customers.create({"name": str(number)})
    world.tick()
    for _ in range(40):
        world.tick(0.05)
    app.extensions["sandbox"].store.close()
    return arrived


def test_by_default_events_overtake_and_double_reproducibly(tmp_path: Path) -> None:
    first = shuffled(tmp_path, 7)
    assert set(first) == {str(number) for number in range(60)}
    assert first != sorted(first, key=int)
    assert max(Counter(first).values()) == 2
    assert shuffled(tmp_path, 7) == first
    assert shuffled(tmp_path, 8) != first


class _Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(302 if self.path == "/moved" else 200)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        pass


def test_over_http_a_redirect_is_not_followed() -> None:
    server = HTTPServer(("127.0.0.1", 0), _Receiver)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        base = f"http://127.0.0.1:{server.server_port}"
        post = HttpTransport()
        assert post(base + "/ok", {}, b"{}") == 200
        assert post(base + "/moved", {}, b"{}") == 302
        post.close()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def in_background(tmp_path: Path, post: Callable[..., int]) -> Iterator[World]:
    """A sandbox whose threads send by themselves, and an endpoint that hears of customers."""
    settings = SandboxSettings(
        database=str(tmp_path / "sandbox.sqlite3"), admin_token="control-token", orderly=True
    )
    app = create_sandbox(settings, transport=post, background=True)
    world = World(app, ManualClock(START), "", "", "")
    try:
        made = world.control("/platforms", name="P")
        world.key = made["secret_key"]
        world.platform_api.v1.webhook_endpoints.create(
            {"url": "http://a.test/", "enabled_events": ["customer.created"]}
        )
        yield world
    finally:
        app.extensions["sandbox-background"].stop()
        app.extensions["sandbox"].store.close()


def test_the_background_threads_deliver_without_being_asked(tmp_path: Path) -> None:
    arrived: list[bytes] = []

    def post(_url: str, _headers: object, body: bytes) -> int:
        arrived.append(body)
        return 200

    with in_background(tmp_path, post) as world:
        for number in range(20):
            world.platform_api.v1.customers.create({"name": str(number)})
        deadline = time.monotonic() + 30
        while len(arrived) < 20 and time.monotonic() < deadline:
            time.sleep(0.02)
    names = [json.loads(body)["data"]["object"]["name"] for body in arrived]
    assert names == [str(number) for number in range(20)]


def test_a_tick_waits_for_what_is_being_sent_and_sends_it_no_second_time(tmp_path: Path) -> None:
    begun, answer, done, arrived = Event(), Event(), Event(), []

    def post(_url: str, _headers: object, body: bytes) -> int:
        arrived.append(body)
        begun.set()
        answer.wait(30)
        return 200

    def tick(world: World) -> None:
        world.control("/tick")
        done.set()

    with in_background(tmp_path, post) as world:
        world.platform_api.v1.customers.create({"name": "Dana"})
        assert begun.wait(30)
        ticking = Thread(target=tick, args=(world,))
        ticking.start()
        assert not done.wait(0.2)
        answer.set()
        ticking.join(30)
        assert [each["state"] for each in world.look("/deliveries")] == ["delivered"]
    assert done.is_set()
    assert len(arrived) == 1
