"""Calls that are not passed on, and what their callers are told."""

import socket
from datetime import timedelta

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from portal import clock
from portal.extensions import db
from portal.gateway import proxy
from portal.models import Subscription
from portal.services import applications, subscriptions, usage
from portal.services.decisions import Refusal
from portal.services.subscriptions import Cause, Move
from portal.web.unit_of_work import unit_of_work
from tests.functional.gateway.conftest import Caller, MakeCaller

CAUSE = Cause(because="for a test", actor="test")


def _problem(response, refusal: Refusal) -> dict:
    assert response.status_code == refusal.http_status, response.data
    assert response.mimetype == "application/problem+json"
    body = response.get_json()
    assert body["type"] == f"http://127.0.0.1:8000/problems/{refusal.slug}"
    assert body["status"] == refusal.http_status
    assert body["code"] == refusal.code
    assert body["title"] == refusal.title
    assert body["request_id"] == response.headers["X-Request-Id"]
    return body


@pytest.mark.parametrize(
    ("headers", "refusal"),
    [
        ({}, Refusal.MISSING_KEY),
        ({"ApiKey": ""}, Refusal.MISSING_KEY),
        ({"Authorization": "Bearer "}, Refusal.MISSING_KEY),
        ({"Authorization": "Basic Zm9vOmJhcg=="}, Refusal.MISSING_KEY),
        ({"ApiKey": "nobody-knows-this-key"}, Refusal.UNKNOWN_KEY),
        ({"Authorization": "Bearer nobody-knows-this-key"}, Refusal.UNKNOWN_KEY),
        ({"ApiKey": "x"}, Refusal.UNKNOWN_KEY),
        ({"ApiKey": "a" * 5000}, Refusal.UNKNOWN_KEY),
        ({"ApiKey": "ключ-ключ-ключ".encode().decode("latin-1")}, Refusal.UNKNOWN_KEY),
        ({"ApiKey": "' OR 1=1 --"}, Refusal.UNKNOWN_KEY),
        (
            {"ApiKey": "one-good-key", "Authorization": "Bearer two-good-keys"},
            Refusal.AMBIGUOUS_KEY,
        ),
    ],
)
def test_without_exactly_one_known_key_nothing_is_passed_on(
    caller: Caller, headers: dict[str, str], refusal: Refusal
) -> None:
    response = caller.call(headers=headers)

    _problem(response, refusal)
    assert "WWW-Authenticate" in response.headers
    assert caller.events() == []


@pytest.mark.parametrize(
    ("facts", "refusal"),
    [
        ({"billing": "PENDING"}, Refusal.PAYMENT_PENDING),
        ({"billing": "LAPSED"}, Refusal.CHECKOUT_LAPSED),
        ({"billing": "OVERDUE"}, Refusal.PAYMENT_OVERDUE),
        ({"billing": "OVERDUE", "needs_authentication": True}, Refusal.AUTHENTICATION_NEEDED),
        ({"approval": "PENDING"}, Refusal.APPROVAL_PENDING),
        ({"approval": "REJECTED"}, Refusal.APPROVAL_REJECTED),
        ({"publisher_block": "ALL"}, Refusal.BLOCKED_BY_PUBLISHER),
        ({"publisher_block": "PRODUCTION"}, Refusal.PRODUCTION_BLOCKED),
    ],
)
def test_each_cause_has_its_own_type_and_a_link_to_the_subscription(
    make_caller: MakeCaller, facts: dict[str, object], refusal: Refusal
) -> None:
    caller = make_caller(**facts)

    body = _problem(caller.call(), refusal)
    assert body["link"].endswith(f"/devportal/subscriptions/{caller.subscription.uuid}")
    assert caller.client.get(body["type"]).status_code == 200
    assert caller.events() == []


def test_a_block_of_production_lets_sandbox_keys_through(
    make_caller: MakeCaller, backend: HTTPServer
) -> None:
    caller = make_caller(publisher_block="PRODUCTION")
    backend.expect_request("/base/hello").respond_with_data("ok")

    assert caller.call(headers={"ApiKey": caller.sandbox_key}).status_code == 200


@pytest.mark.all_databases
def test_block_and_unblock_hold_from_the_next_call_on(caller: Caller, backend: HTTPServer) -> None:
    backend.expect_request("/base/hello").respond_with_data("ok")
    assert caller.call().status_code == 200

    for move, status in ((Move.BLOCK_ALL, 403), (Move.UNBLOCK, 200), (Move.END, 403)):
        with unit_of_work():
            row = db.session.get_one(Subscription, caller.subscription.subscription_id)
            subscriptions.make(row, move, CAUSE)
        response = caller.call()
        assert response.status_code == status, move
    _problem(response, Refusal.ENDED)


def test_a_new_subscription_counts_and_not_the_one_that_ended(
    caller: Caller, backend: HTTPServer, factories
) -> None:
    backend.expect_request("/base/hello").respond_with_data("ok")
    with unit_of_work():
        subscriptions.make(caller.subscription, Move.END, CAUSE)
    policy = caller.api.policies[0]
    again = factories.subscription(api=caller.api, application=caller.application, policy=policy)

    assert caller.call().status_code == 200
    assert caller.events()[0].subscription_id == again.subscription_id


def test_a_revoked_key_and_a_deleted_application_are_unknown(
    caller: Caller, backend: HTTPServer
) -> None:
    backend.expect_request("/base/hello").respond_with_data("ok")
    keys = applications.keys_of(caller.application)
    with unit_of_work():
        applications.revoke(keys[0], after=timedelta(minutes=5))
        applications.revoke(keys[1])
    assert caller.call().status_code == 200
    _problem(caller.call(headers={"ApiKey": caller.sandbox_key}), Refusal.UNKNOWN_KEY)

    with unit_of_work():
        caller.application.deleted_at = clock.now()
    _problem(caller.call(), Refusal.UNKNOWN_KEY)


def test_no_subscription_and_no_api(caller: Caller, factories) -> None:
    stranger = factories.api()
    hidden = factories.api(status="CREATED")
    key = {"ApiKey": caller.key}

    body = _problem(
        caller.client.get(f"{stranger.gateway_path}/x", headers=key), Refusal.NO_SUBSCRIPTION
    )
    assert stranger.api_uuid in body["link"]
    for path in (
        f"{hidden.gateway_path}/x",
        "/gateway/nothing/1.0/x",
        f"/gateway/{caller.api.context}/9.9/x",
        "/gateway/t/nobody.example/a/1.0",
        "/gateway/authorize/1.0/x",
        "/gateway/authorize",
        "/gateway/",
        "/gateway/t/x",
    ):
        _problem(caller.client.get(path, headers=key), Refusal.NO_API)


@pytest.mark.parametrize("status", ["RETIRED", "BLOCKED"])
def test_an_api_that_takes_no_calls(make_caller: MakeCaller, status: str) -> None:
    caller = make_caller(api={"status": status})

    _problem(caller.call(), Refusal.API_RETIRED)


def test_a_deprecated_api_still_answers(make_caller: MakeCaller, backend: HTTPServer) -> None:
    backend.expect_request("/base/hello").respond_with_data("ok")

    assert make_caller(api={"status": "DEPRECATED"}).call().status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/../admin",
        "/a/../../admin",
        "/%2e%2e/admin",
        "/%2E%2E%2Fadmin",
        "/a/%252e%252e/admin",
        "/..;x/admin",
        "/a/..%5c..%5cadmin",
        "/a\\..\\b",
        "/a%00b",
        "/a%0d%0aX-Evil:%201",
        "/./a",
    ],
)
def test_a_path_cannot_leave_the_api(caller: Caller, backend: HTTPServer, path: str) -> None:
    place = f"{caller.api.gateway_path}{path}"
    response = caller.client.get(
        place,
        headers={"ApiKey": caller.key},
        environ_overrides={"RAW_URI": place, "REQUEST_URI": place},
    )

    _problem(response, Refusal.BAD_PATH)
    assert backend.log == []


def test_an_encoded_slash_in_the_context_finds_no_api(caller: Caller) -> None:
    place = f"/gateway/{caller.api.context}%2F1.0/x"
    response = caller.client.get(
        place, headers={"ApiKey": caller.key}, environ_overrides={"RAW_URI": place}
    )

    _problem(response, Refusal.NO_API)


def test_a_body_over_a_megabyte_is_refused(caller: Caller, backend: HTTPServer) -> None:
    response = caller.call(method="POST", data=b"x" * (1024 * 1024 + 1))

    _problem(response, Refusal.BODY_TOO_LARGE)
    assert backend.log == []


def test_other_methods_are_refused_in_the_gateways_own_form(caller: Caller) -> None:
    _problem(caller.call(method="TRACE"), Refusal.BAD_METHOD)
    _problem(caller.call(method="PROPFIND"), Refusal.BAD_METHOD)


def test_a_back_end_that_is_down(make_caller: MakeCaller) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    caller = make_caller(api={"endpoint_url": f"http://127.0.0.1:{port}/"})

    _problem(caller.call(), Refusal.BACKEND_UNREACHABLE)
    event = caller.events()[0]
    assert event.status == 502
    assert usage.current_period(caller.subscription).counted == 0


def test_a_back_end_that_is_slow(
    caller: Caller, backend: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy, "READ_SECONDS", 0.2)

    def sleep(_request: Request) -> Response:
        import time

        time.sleep(0.6)
        return Response("late")

    backend.expect_request("/base/hello").respond_with_handler(sleep)

    _problem(caller.call(), Refusal.BACKEND_TIMEOUT)
    event = caller.events()[0]
    assert event.status == 504
    assert usage.current_period(caller.subscription).counted == 0


@pytest.mark.parametrize(
    "endpoint",
    ["http://127.0.0.2:9/", "http://[::1]:9/", "http://0x7f000001:9/", "http://localhost:9/"],
)
def test_a_back_end_at_a_private_address_is_not_called(
    make_caller: MakeCaller, endpoint: str
) -> None:
    caller = make_caller(api={"endpoint_url": endpoint})

    _problem(caller.call(), Refusal.BACKEND_FORBIDDEN)
