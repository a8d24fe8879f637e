"""What is recorded of each call, and how much may be called."""

import io

import pytest
import time_machine
from pytest_httpserver import HTTPServer

from portal.extensions import db
from portal.services import usage
from portal.services.decisions import Refusal
from tests.functional.gateway.conftest import Caller, MakeCaller


@pytest.mark.all_databases
def test_successful_production_calls_are_counted_and_all_are_kept(
    caller: Caller, backend: HTTPServer
) -> None:
    for status in (200, 204, 302, 399, 400, 404, 500, 503):
        backend.expect_request(f"/base/{status}").respond_with_data("", status=status)
        caller.call(f"/{status}?secret=1")
    caller.call("/200", headers={"ApiKey": caller.sandbox_key})

    events = caller.events()
    assert [(event.status, usage.is_counted(event.key_type, event.status)) for event in events] == [
        (200, True),
        (204, True),
        (302, True),
        (399, True),
        (400, False),
        (404, False),
        (500, False),
        (503, False),
        (200, False),
    ]
    assert events[0].resource == "/{id}"
    assert events[-1].key_type == "SANDBOX"
    found = usage.current_period(caller.subscription)
    assert (found.counted, found.total, found.waiting) == (4, 9, 4)
    assert {item.reason: item.calls for item in found.not_counted} == {
        usage.Reason.SANDBOX: 1,
        usage.Reason.FAILED: 4,
    }


def test_each_call_is_stored_under_the_id_that_its_caller_gets(
    caller: Caller, backend: HTTPServer
) -> None:
    backend.expect_request("/base/hello").respond_with_data("ok")
    ids = [
        caller.call(headers={"ApiKey": caller.key, "X-Request-Id": "mine"}).headers["X-Request-Id"]
        for _ in range(3)
    ]

    assert [event.call_id for event in caller.events()] == ids
    assert len(set(ids)) == 3


def test_the_call_is_stored_before_the_answers_body_is_read(
    caller: Caller, backend: HTTPServer
) -> None:
    backend.expect_request("/base/hello").respond_with_data("x" * 100_000)
    response = caller.call(buffered=False)

    assert len(caller.events()) == 1
    assert response.data == b"x" * 100_000
    response.close()


@pytest.mark.all_databases
@time_machine.travel("2026-05-04T10:00:30+00:00", tick=False)
def test_the_quota_stops_calls_until_its_window_ends(
    make_caller: MakeCaller, backend: HTTPServer
) -> None:
    backend.expect_request("/base/hello").respond_with_data("ok")
    caller = make_caller(plan={"quota": 2, "unit_time": 1, "time_unit": "min"})
    first, second, third = caller.call(), caller.call(), caller.call()

    assert first.headers["RateLimit-Policy"] == '"quota";q=2;w=60'
    assert first.headers["RateLimit"] == '"quota";r=1;t=30'
    assert second.headers["RateLimit"] == '"quota";r=0;t=30'
    assert third.status_code == 429
    assert third.get_json()["code"] == Refusal.QUOTA_REACHED.code
    assert third.headers["Retry-After"] == "30"
    assert third.headers["RateLimit"] == '"quota";r=0;t=30'
    assert len(caller.events()) == 2
    with time_machine.travel("2026-05-04T10:01:00+00:00", tick=False):
        assert caller.call().headers["RateLimit"] == '"quota";r=1;t=60'


@time_machine.travel("2026-05-04T10:00:30+00:00", tick=False)
def test_a_quota_that_does_not_stop_lets_calls_through_and_counts_them(
    make_caller: MakeCaller, backend: HTTPServer
) -> None:
    backend.expect_request("/base/hello").respond_with_data("ok")
    caller = make_caller(plan={"quota": 1, "stop_on_quota_reach": False})

    assert [caller.call().status_code for _ in range(3)] == [200, 200, 200]
    assert caller.call().headers["RateLimit"] == '"quota";r=0;t=30'
    db.session.rollback()
    assert usage.current_period(caller.subscription).counted == 4


@time_machine.travel("2026-05-04T10:00:30+00:00", tick=False)
def test_a_burst_is_refused_and_uses_up_no_quota(
    make_caller: MakeCaller, backend: HTTPServer
) -> None:
    backend.expect_request("/base/hello").respond_with_data("ok")
    caller = make_caller(
        plan={
            "quota": 5,
            "time_unit": "hours",
            "rate_limit_count": 1,
            "rate_limit_time_unit": "sec",
        }
    )
    first, second = caller.call(), caller.call()

    assert first.headers["RateLimit-Policy"] == '"burst";q=1;w=1, "quota";q=5;w=3600'
    assert second.status_code == 429
    assert second.get_json()["code"] == Refusal.RATE_REACHED.code
    with time_machine.travel("2026-05-04T10:00:31+00:00", tick=False):
        assert caller.call().headers["RateLimit"] == '"burst";r=0;t=1, "quota";r=3;t=3569'


@time_machine.travel("2026-02-15T00:00:00+00:00", tick=False)
def test_a_monthly_window_is_the_calendars_month(
    make_caller: MakeCaller, backend: HTTPServer
) -> None:
    backend.expect_request("/base/hello").respond_with_data("ok")
    caller = make_caller(plan={"quota": 10, "time_unit": "months"})

    headers = caller.call().headers
    assert headers["RateLimit-Policy"] == f'"quota";q=10;w={28 * 86400}'
    assert headers["RateLimit"] == f'"quota";r=9;t={14 * 86400}'


@time_machine.travel("2026-05-04T10:00:30+00:00", tick=False)
def test_a_quota_of_bytes_counts_what_went_both_ways(
    make_caller: MakeCaller, backend: HTTPServer
) -> None:
    backend.expect_request("/base/hello").respond_with_data("x" * 600)
    caller = make_caller(
        plan={"quota": 1, "quota_type": "BANDWIDTHLIMIT", "quota_unit": "KB", "unit_time": 1}
    )
    first = caller.call(method="POST", data=b"y" * 100)

    assert first.headers["RateLimit-Policy"] == '"quota";q=1024;w=60;qu="content-bytes"'
    assert first.headers["RateLimit"] == '"quota";r=1024;t=30'
    assert len(first.data) == 600
    first.close()
    assert caller.call().headers["RateLimit"] == '"quota";r=324;t=30'


@time_machine.travel("2026-05-04T10:00:30+00:00", tick=False)
def test_a_body_of_unknown_length_counts_as_much_as_it_had(
    make_caller: MakeCaller, backend: HTTPServer
) -> None:
    backend.expect_request("/base/hello", method="POST").respond_with_data("ok")
    caller = make_caller(
        plan={"quota": 40, "quota_type": "BANDWIDTHLIMIT", "quota_unit": "KB", "unit_time": 1}
    )
    chunked = {
        "wsgi.input_terminated": True,
        "HTTP_TRANSFER_ENCODING": "chunked",
        "CONTENT_LENGTH": "",
    }
    statuses: list[int] = []
    for _ in range(4):
        body = io.BytesIO(b"x" * 20_000)
        answer = caller.call(method="POST", input_stream=body, environ_overrides=chunked)
        statuses.append(answer.status_code)
        answer.close()
    assert statuses == [200, 200, 200, 429]
    assert [event.bytes for event in caller.events()] == [20_002] * 3


def test_both_keys_of_an_application_share_its_quota(
    make_caller: MakeCaller, backend: HTTPServer
) -> None:
    backend.expect_request("/base/hello").respond_with_data("ok")
    caller = make_caller(plan={"quota": 1, "time_unit": "years"})

    assert caller.call(headers={"ApiKey": caller.sandbox_key}).status_code == 200
    assert caller.call().status_code == 429
