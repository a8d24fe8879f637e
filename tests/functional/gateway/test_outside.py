"""What gateways that are not ours ask of ``/gateway/authorize``, in their own words.

The requests are what each of them sends by its documentation: nginx ``auth_request``, Traefik
ForwardAuth, Envoy ext_authz over HTTP with a path prefix, APISIX forward-auth.
"""

import time

import pytest
import sqlalchemy as sa
from werkzeug.test import TestResponse

from portal import clock
from portal.extensions import db
from portal.gateway.known import STATIC_SECONDS
from portal.gateway.process import gate_of
from portal.services import quotas
from portal.services.decisions import Refusal
from tests.functional.gateway.conftest import Caller, MakeCaller

ADDRESS = "/gateway/authorize"


def nginx(caller: Caller, key: str, path: str, **more: str) -> TestResponse:
    """The location of ``deploy/nginx-gateway.conf``: only these fields, nothing of the caller's."""
    headers = {"ApiKey": key, "X-Original-URI": path, **more}
    return caller.client.get(f"{ADDRESS}?meter=log&refuse=403", headers=headers)


def traefik(caller: Caller, key: str, path: str, **more: str) -> TestResponse:
    """Everything that the caller sent, and these five fields, which replace the caller's."""
    headers = {
        "ApiKey": key,
        **more,
        "X-Forwarded-Method": "POST",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "api.example.com",
        "X-Forwarded-Uri": path,
        "X-Forwarded-For": "192.0.2.7",
    }
    return caller.client.get(ADDRESS, headers=headers)


def envoy(caller: Caller, key: str, path: str, **more: str) -> TestResponse:
    """The caller's method; its path and query behind the prefix; the fields that are allowed."""
    headers = {"ApiKey": key, "X-Envoy-Internal": "true", "Content-Length": "0", **more}
    return caller.client.post(f"{ADDRESS}{path}", headers=headers)


def apisix(caller: Caller, key: str, path: str, **more: str) -> TestResponse:
    """The fields that ``request_headers`` names, and those that say which call it is."""
    headers = {
        "Authorization": f"Bearer {key}",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Method": "GET",
        "X-Forwarded-Host": "api.example.com",
        "X-Forwarded-Uri": path,
        "X-Forwarded-For": "192.0.2.7",
        **more,
    }
    return caller.client.get(ADDRESS, headers=headers)


ALL = [nginx, traefik, envoy, apisix]
THAT_COUNT = [traefik, envoy, apisix]


def _path(caller: Caller, rest: str = "/hello?from=EUR") -> str:
    return f"/{caller.api.context}/{caller.api.api_version}{rest}"


def _used(caller: Caller) -> int:
    db.session.rollback()
    policy = caller.subscription.policy_version.policy
    limits = quotas.limits_at(quotas.limits_of(policy), clock.now())
    number = caller.subscription.subscription_id
    return quotas.look(db.session.connection(), number, limits)[-1].used


@pytest.mark.parametrize("ask", ALL)
def test_a_call_that_may_go_through_gets_200_and_whose_it_is(make_caller: MakeCaller, ask) -> None:
    caller = make_caller()
    for path in (_path(caller), f"/gateway{_path(caller)}", _path(caller, "")):
        answer = ask(caller, caller.key, path)
        assert (answer.status_code, answer.data) == (200, b"")
        assert answer.headers["X-Subscription"] == caller.subscription.uuid
        assert answer.headers["X-Key-Type"] == "PRODUCTION"
        assert answer.headers["X-Api"] == caller.api.api_uuid
        assert answer.headers["RateLimit"].startswith('"quota";r=')
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("ask", ALL)
def test_a_refusal_is_a_problem_with_its_name(make_caller: MakeCaller, ask) -> None:
    caller = make_caller(publisher_block="ALL")
    blocked = ask(caller, caller.key, _path(caller))
    assert blocked.status_code == 403
    assert blocked.get_json()["code"] == Refusal.BLOCKED_BY_PUBLISHER.code
    assert blocked.headers["X-Refusal"] == Refusal.BLOCKED_BY_PUBLISHER.slug
    unknown = ask(caller, "amp_live_nobody_at_all", _path(caller))
    assert unknown.status_code == 401
    nowhere = ask(caller, caller.key, "/nothing/1.0/x")
    assert nowhere.status_code == (403 if ask is nginx else 404)
    leaving = ask(caller, caller.key, _path(caller, "/%2e%2e/%2e%2e/admin"))
    assert leaving.status_code == (403 if ask is nginx else 400)


@pytest.mark.parametrize("ask", THAT_COUNT)
def test_each_decision_counts_as_a_call_and_the_quota_ends(make_caller: MakeCaller, ask) -> None:
    caller = make_caller(plan={"quota": 3, "time_unit": "days"})
    statuses = [ask(caller, caller.key, _path(caller)).status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    refused = ask(caller, caller.key, _path(caller))
    assert refused.headers["X-Refusal"] == Refusal.QUOTA_REACHED.slug
    assert int(refused.headers["Retry-After"]) > 0
    assert _used(caller) == 3


def test_where_the_log_counts_a_decision_only_looks(make_caller: MakeCaller) -> None:
    caller = make_caller(plan={"quota": 3, "time_unit": "days"})
    for _ in range(5):
        assert nginx(caller, caller.key, _path(caller)).status_code == 200
    assert _used(caller) == 0


def test_a_sandbox_keys_yes_can_be_told_apart_by_its_status(make_caller: MakeCaller) -> None:
    caller = make_caller(plan={"quota": 3, "time_unit": "days"})
    address = f"{ADDRESS}?meter=log&refuse=403&sandbox=403"
    answers = {}
    for key in (caller.key, caller.sandbox_key, "amp_test_nobody_at_all"):
        headers = {"ApiKey": key, "X-Original-URI": _path(caller)}
        answers[key] = caller.client.get(address, headers=headers)
    yes, apart, no = answers.values()
    assert (yes.status_code, yes.headers["X-Key-Type"]) == (200, "PRODUCTION")
    assert (apart.status_code, apart.headers["X-Key-Type"]) == (403, "SANDBOX")
    assert apart.headers["X-Subscription"] == caller.subscription.uuid
    assert "RateLimit" in apart.headers
    assert "X-Refusal" not in apart.headers
    assert (no.status_code, "X-Key-Type" in no.headers) == (401, False)
    assert nginx(caller, caller.sandbox_key, _path(caller)).status_code == 200
    assert _used(caller) == 0


def test_where_the_log_counts_an_outage_stops_nobody_who_was_let_through(
    make_caller: MakeCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller, stranger = make_caller(), make_caller()
    assert nginx(caller, caller.key, _path(caller)).status_code == 200
    gate = gate_of(caller.client.application)
    now = time.monotonic() + STATIC_SECONDS - 1

    def away() -> None:
        raise sa.exc.OperationalError("connect", {}, Exception("away"))

    for part in (gate.known, gate.looks):
        monkeypatch.setattr(part, "_tick", lambda: now)
    monkeypatch.setattr(gate.known, "_engine", type("Away", (), {"connect": staticmethod(away)}))
    monkeypatch.setattr(gate.looks, "_reading", away)
    answer = nginx(caller, caller.key, _path(caller))
    assert answer.status_code == 200
    assert answer.headers["RateLimit"].startswith('"quota";r=')
    assert nginx(stranger, stranger.key, _path(stranger)).status_code == 503
    now += 2
    assert nginx(caller, caller.key, _path(caller)).status_code == 503


def test_nobody_is_let_into_one_api_by_naming_another(make_caller: MakeCaller) -> None:
    """A gateway that passes all fields on lets callers send those of other gateways too."""
    caller, closed = make_caller(), make_caller()
    mine, not_mine = _path(caller), _path(closed)
    for field in ("X-Original-URI", "X-Original-Uri"):
        answer = traefik(caller, caller.key, not_mine, **{field: mine})
        assert answer.status_code == 400, "two fields that disagree"
    for field in ("X-Original-URI", "X-Forwarded-Uri"):
        answer = envoy(caller, caller.key, not_mine, **{field: mine})
        assert answer.status_code == 403, "the path alone says it"
        assert answer.headers["X-Refusal"] == Refusal.NO_SUBSCRIPTION.slug


def test_the_callers_own_query_turns_nothing_off(make_caller: MakeCaller) -> None:
    """Envoy appends it to the address of the decision."""
    caller = make_caller(plan={"quota": 1, "time_unit": "days"})
    for query in ("?meter=log", "?meter=log&refuse=403", "?problem=missing-key"):
        path = _path(caller, f"/hello{query}")
        expected = 200 if query == "?meter=log" else 429
        assert envoy(caller, caller.key, path).status_code == expected


def test_an_api_whose_name_begins_like_the_address_is_called_as_any_other(
    make_caller: MakeCaller, factories
) -> None:
    caller, other = make_caller(), make_caller()
    for api, context in ((caller.api, "x"), (other.api, "authorizex")):
        api.context = context
        factories.save(api)
    refused = caller.client.get("/gateway/authorizex/1.0/hello", headers={"ApiKey": caller.key})
    assert refused.status_code == 403
    assert refused.get_json()["code"] == Refusal.NO_SUBSCRIPTION.code
