"""From a consumer key over an access token to a call, as a developer's program does it."""

from typing import Any

import pytest
from flask import Flask
from pytest_httpserver import HTTPServer

from portal.extensions import db
from tests.functional.gateway.conftest import Caller, MakeCaller
from tests.support.rest import Rest

CLIENT = ["client_credentials"]


def _generate(rest: Rest, caller: Caller, expect: int = 200, **more: Any) -> Any:
    place = f"/applications/{caller.application.uuid}/generate-keys"
    body = {"keyType": "PRODUCTION", "grantTypesToBeSupported": CLIENT} | more
    answer = rest("POST", place, json=body)
    assert answer.status_code == expect, answer.text
    return answer.get_json()


def _token(app: Flask, made: dict[str, str]) -> str:
    answer = app.test_client().post(
        "/oauth2/token",
        data={"grant_type": "client_credentials"},
        auth=(made["consumerKey"], made["consumerSecret"]),
    )
    assert answer.status_code == 200, answer.text
    token: str = answer.get_json()["access_token"]
    return token


@pytest.fixture
def rest(app: Flask, caller: Caller) -> Rest:
    return Rest(app, caller.application.owner, "devportal/v3")


@pytest.fixture
def caller(make_caller: MakeCaller) -> Caller:
    return make_caller()


@pytest.mark.parametrize("key_type", ["PRODUCTION", "SANDBOX"])
def test_the_token_of_a_consumer_key_calls_as_a_key_of_the_application(
    rest: Rest, caller: Caller, app: Flask, backend: HTTPServer, key_type: str
) -> None:
    backend.expect_request("/base/hello").respond_with_data("hello")
    made = _generate(rest, caller, keyType=key_type)
    assert (made["keyType"], made["supportedGrantTypes"]) == (key_type, CLIENT)
    bearer = {"Authorization": f"Bearer {_token(app, made)}"}
    assert caller.call(headers=bearer).status_code == 200
    assert [entry.key_type for entry in caller.events()] == [key_type]


def test_a_consumer_key_is_the_owners_and_there_are_only_so_many(
    rest: Rest, caller: Caller, app: Flask, factories
) -> None:
    other = Rest(app, factories.user(None, "subscriber"), "devportal/v3")
    _generate(other, caller, expect=404)
    _generate(rest, caller, expect=400, grantTypesToBeSupported=["implicit"])
    _generate(rest, caller, expect=400, grantTypesToBeSupported=["authorization_code"])
    for _ in range(10):
        _generate(rest, caller)
    refused = _generate(rest, caller, expect=409)
    assert "at most 10" in refused["description"]
    db.session.rollback()
