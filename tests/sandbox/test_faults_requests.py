"""Planned trouble with API requests, and rate limits."""

import time
from pathlib import Path
from typing import Any

import pytest
import requests
import stripe

from portal.sandbox.errors import StripeError
from portal.sandbox.limits import Limits
from tests.sandbox.conftest import TOKEN, World
from tests.sandbox.process import TOKEN as CRASH_TOKEN
from tests.sandbox.process import control, free_port, start, stop


def names(world: World) -> list[str]:
    return [str(each.name) for each in world.api.v1.products.list().data]


def create(world: World, name: str = "x", key: str = "k") -> stripe.Product:
    return world.api.v1.products.create({"name": name}, {"idempotency_key": key})


def code(error: stripe.StripeError) -> str:
    return str(error.json_body["error"]["code"])


def forget(world: World, path: str = "") -> Any:
    return world.app.test_client().delete(
        f"/_sandbox/faults{path}", headers={"Authorization": f"Bearer {TOKEN}"}
    )


def test_an_error_before_execution_changes_nothing_and_is_not_kept(world: World) -> None:
    world.control("/faults", kind="error_before", method="POST", path="/v1/products")
    with pytest.raises(stripe.APIError) as caught:
        create(world)
    assert caught.value.http_status == 500
    assert names(world) == []
    assert create(world).name == "x"
    assert names(world) == ["x"]


def test_an_error_after_execution_hides_what_was_made_and_is_kept(world: World) -> None:
    world.control("/faults", kind="error_after", path="/v1/products")
    for _ in range(2):
        with pytest.raises(stripe.APIError) as caught:
            create(world)
        assert caught.value.http_status == 500
    assert names(world) == ["x"]
    create(world, key="another")
    assert names(world) == ["x", "x"]


def test_a_lost_answer_is_given_again_under_its_key(world: World) -> None:
    world.control("/faults", kind="reset_after", path="/v1/products")
    with pytest.raises(stripe.APIConnectionError):
        create(world)
    (made,) = world.api.v1.products.list().data
    assert create(world).id == made.id


def test_the_sdk_repeats_a_lost_answer_by_itself(world: World) -> None:
    world.control("/faults", kind="reset_after", path="/v1/products", times=2)
    options: stripe.RequestOptions = {"max_network_retries": 2}
    made = world.api.v1.products.create({"name": "x"}, options)
    assert [each.id for each in world.api.v1.products.list().data] == [made.id]


def test_a_malformed_answer_hides_what_was_made(world: World) -> None:
    world.control("/faults", kind="malformed", path="/v1/products")
    with pytest.raises(stripe.APIError):
        create(world)
    assert names(world) == ["x"]
    assert create(world).name == "x"
    assert names(world) == ["x"]


def test_a_locked_object_is_409(world: World) -> None:
    world.control("/faults", kind="lock_timeout")
    with pytest.raises(stripe.StripeError) as caught:
        create(world)
    assert (caught.value.http_status, code(caught.value)) == (409, "lock_timeout")
    assert create(world).name == "x"


def test_a_rate_limit_names_its_reason(world: World) -> None:
    world.control("/faults", kind="rate_limit", reason="endpoint-rate")
    with pytest.raises(stripe.RateLimitError) as caught:
        create(world)
    assert code(caught.value) == "rate_limit"
    assert caught.value.headers is not None
    assert caught.value.headers["Stripe-Rate-Limited-Reason"] == "endpoint-rate"


def test_a_delay_makes_a_request_slow(world: World) -> None:
    world.control("/faults", kind="delay", seconds=0.3)
    began = time.monotonic()
    create(world)
    assert 0.3 <= time.monotonic() - began < 5
    began = time.monotonic()
    create(world)
    assert time.monotonic() - began < 0.3


def test_a_fault_hits_only_what_it_names_and_only_so_often(world: World) -> None:
    other = world.control("/accounts", platform=world.platform)["id"]
    world.control(
        "/faults", kind="error_before", method="GET", path="/v1/products*", account=world.account,
        times=2,
    )  # fmt: skip
    assert world.platform_api.v1.products.list({}, {"stripe_account": other}).data == []
    known = create(world)
    for _ in range(2):
        with pytest.raises(stripe.APIError):
            world.api.v1.products.retrieve(known.id)
    assert world.api.v1.products.retrieve(known.id).id == known.id
    (fault,) = world.look("/faults")
    assert (fault["times"], fault["remaining"]) == (2, 0)


def test_a_lost_read_answers_500_after_it_was_read(world: World) -> None:
    world.control("/faults", kind="error_after", method="GET")
    with pytest.raises(stripe.APIError):
        world.api.v1.products.list()
    assert names(world) == []


def test_faults_can_be_forgotten(world: World) -> None:
    first = world.control("/faults", kind="error_before")["id"]
    world.control("/faults", kind="delay")
    assert forget(world, f"/{first}").status_code == 200
    assert forget(world, f"/{first}").status_code == 404
    assert [each["kind"] for each in world.look("/faults")] == ["delay"]
    assert forget(world).get_json() == {"forgotten": 1}
    assert world.look("/faults") == []


def test_reset_forgets_faults_too(world: World) -> None:
    world.control("/faults", kind="delay")
    world.control("/reset")
    assert world.look("/faults") == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "kind is one of"),
        ({"kind": "explode"}, "kind is one of"),
        ({"kind": "delay", "colour": "red"}, "doesn't know colour"),
        ({"kind": "delay", "type": "x"}, "doesn't know type"),
        ({"kind": "delay", "times": 0}, "times is"),
        ({"kind": "delay", "times": True}, "times is"),
        ({"kind": "delay", "seconds": "3"}, "seconds is a number"),
        ({"kind": "delay", "seconds": 7200}, "at most"),
        ({"kind": "delay", "path": 3}, "are texts"),
        ({"kind": "delay", "outcome": "card_declined"}, "outcome"),
        ({"kind": "charge", "outcome": "stolen"}, "outcome"),
        ({"kind": "rate_limit", "reason": "mood"}, "reason"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(
    world: World, body: dict[str, Any], words: str
) -> None:
    answer = world.app.test_client().post(
        "/_sandbox/faults", json=body, headers={"Authorization": f"Bearer {TOKEN}"}
    )
    assert answer.status_code == 400
    assert words in answer.get_json()["error"]["message"]


def by_header(world: World, fault: str, token: str | None = TOKEN) -> Any:
    headers = {"Authorization": f"Bearer {world.key}", "X-Sandbox-Fault": fault}
    if token is not None:
        headers["X-Sandbox-Token"] = token
    return world.app.test_client().get("/v1/products", headers=headers)


def test_one_request_may_carry_its_fault(world: World) -> None:
    assert by_header(world, "error_before").status_code == 500
    assert by_header(world, "rate_limit; reason=global-concurrency").status_code == 429
    assert by_header(world, "delay; seconds=0").status_code == 200


@pytest.mark.parametrize(
    ("fault", "token", "status"),
    [
        ("error_before", None, 403),
        ("error_before", "wrong", 403),
        ("webhook_drop", TOKEN, 400),
        ("explode", TOKEN, 400),
        ("delay; seconds=long", TOKEN, 400),
    ],
)
def test_a_header_without_token_or_sense_is_refused(
    world: World, fault: str, token: str | None, status: int
) -> None:
    assert by_header(world, fault, token).status_code == status


def test_rate_limits_are_a_switch(world: World) -> None:
    world.control("/limits", per_second=25)
    for _ in range(25):
        world.api.v1.products.list()
    with pytest.raises(stripe.RateLimitError) as caught:
        world.api.v1.products.list()
    assert caught.value.headers is not None
    assert caught.value.headers["Stripe-Rate-Limited-Reason"] == "global-rate"
    # Each account has its own allowance.
    world.platform_api.v1.products.list()
    world.clock.advance(1)
    world.api.v1.products.list()
    world.control("/limits", per_second=0)
    for _ in range(30):
        world.api.v1.products.list()


@pytest.mark.parametrize("wanted", [-1, True, "25", None])
def test_a_limit_is_a_number(world: World, wanted: object) -> None:
    answer = world.app.test_client().post(
        "/_sandbox/limits",
        json={"per_second": wanted},
        headers={"Authorization": f"Bearer {TOKEN}"},
    )
    assert answer.status_code == 400


def test_one_customers_usage_is_sent_one_by_one_while_limits_are_on(world: World) -> None:
    limits = Limits(world.clock, 25)
    with limits.alone("acct", "calls", "cus_1"):
        with limits.alone("acct", "calls", "cus_2"):
            pass
        with pytest.raises(StripeError) as caught, limits.alone("acct", "calls", "cus_1"):
            pass
    assert caught.value.headers == {"Stripe-Rate-Limited-Reason": "endpoint-concurrency"}
    with limits.alone("acct", "calls", "cus_1"):
        pass
    limits.per_second = 0
    with limits.alone("acct", "calls", "cus_1"), limits.alone("acct", "calls", "cus_1"):
        pass


def test_a_publisher_who_leaves_is_403_and_reported(world: World) -> None:
    hooks = world.platform_api.v1.webhook_endpoints
    hooks.create(
        {
            "url": "http://a.test/",
            "connect": True,
            "enabled_events": ["account.application.deauthorized"],
        }
    )
    assert world.control(f"/accounts/{world.account}/deauthorize")["revoked"] is True
    with pytest.raises(stripe.PermissionError) as caught:
        world.api.v1.products.list()
    assert code(caught.value) == "account_invalid"
    world.tick()
    assert len(world.sent) == 1
    assert f'"account": "{world.account}"'.encode() in world.sent[0][2]


def test_over_a_socket_the_connection_is_reset(tmp_path: Path) -> None:
    port = free_port()
    process = start(tmp_path / "sandbox.sqlite3", port)
    try:
        key = control(port, "POST", "/platforms", name="P")["secret_key"]
        assert CRASH_TOKEN
        control(port, "POST", "/faults", kind="reset_after", path="/v1/customers")

        def post() -> requests.Response:
            return requests.post(
                f"http://127.0.0.1:{port}/v1/customers",
                data={"name": "x"},
                headers={"Authorization": f"Bearer {key}", "Idempotency-Key": "k"},
                timeout=5,
            )

        with pytest.raises(requests.ConnectionError, match="reset"):
            post()
        answer = post()
        assert answer.headers["Idempotent-Replayed"] == "true"
        assert answer.json()["name"] == "x"
    finally:
        stop(process)
