"""The seed's recipe: register a client, get a token, publish usage, ask how it went."""

import base64
import json

import pytest

from portal.extensions import db
from portal.models import OAuthClient, OAuthToken

REGISTER = "/client-registration/v0.17/register"
PUBLISH = "/api/am/admin/v4/monetization/publish-usage"
SCOPE = "apim:monetization_usage_publish"


def basic(name, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def registered(app, factories, *, grants="password refresh_token", name="admin"):
    if not factories.tenant() or db.session.query(OAuthClient).count() == 0:
        factories.user(name, "admin")
    payload = {
        "callbackUrl": "www.google.lk",
        "clientName": "rest_api_admin",
        "owner": name,
        "grantType": grants,
        "saasApp": True,
    }
    answer = app.test_client().post(REGISTER, json=payload, headers=basic(name, "open sesame"))
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return answer.json


def ask(app, client, **form):
    form = {
        "grant_type": "password",
        "username": "admin",
        "password": "open sesame",
        "scope": SCOPE,
        **form,
    }
    return app.test_client().post(
        "/oauth2/token", data=form, headers=basic(client["clientId"], client["clientSecret"])
    )


def test_registration_answers_as_wso2_does(app, factories):
    client = registered(app, factories)

    assert client["clientName"] == "rest_api_admin"
    assert client["callBackURL"] == "www.google.lk"
    assert client["isSaasApplication"] is True
    assert client["appOwner"] == "admin"
    assert json.loads(client["jsonString"])["grant_types"] == "password refresh_token"


@pytest.mark.parametrize("headers", [{}, basic("admin", "wrong"), basic("dana", "open sesame")])
def test_only_an_administrator_registers_clients(app, factories, headers):
    factories.user("admin", "admin")
    factories.user("dana", "subscriber")
    answer = app.test_client().post(REGISTER, json={"clientName": "x"}, headers=headers)
    assert answer.status_code == 401
    assert "Basic" in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    "body", [[], {}, {"clientName": "x", "grantType": "implicit"}, {"clientName": 5}, "text"]
)
def test_a_wrong_registration_is_refused_with_a_sentence(app, factories, body):
    factories.user("admin", "admin")
    answer = app.test_client().post(REGISTER, json=body, headers=basic("admin", "open sesame"))
    assert answer.status_code == 400
    assert answer.json["error"]


def test_a_registration_that_is_nested_without_end_is_refused(app, factories):
    factories.user("admin", "admin")
    answer = app.test_client().post(
        REGISTER,
        data="[" * 50_000,
        content_type="application/json",
        headers=basic("admin", "open sesame"),
    )
    assert answer.status_code == 400
    assert "Send a JSON object" in answer.json["error"]


def test_a_token_for_the_documented_scope(app, factories):
    answer = ask(app, registered(app, factories))

    assert answer.status_code == 200
    assert answer.json["scope"] == SCOPE
    assert answer.json["token_type"] == "Bearer"
    assert answer.json["expires_in"] == 3600


def test_tokens_and_secrets_are_stored_as_hashes(app, factories):
    client = registered(app, factories)
    token = ask(app, client).json

    row, stored = db.session.query(OAuthToken).one(), db.session.query(OAuthClient).one()
    kept = f"{row.access_token_hash} {row.refresh_token_hash} {stored.client_secret_hash}"
    for secret in (token["access_token"], token["refresh_token"], client["clientSecret"]):
        assert secret not in kept


def test_a_wrong_password_is_an_invalid_grant(app, factories):
    answer = ask(app, registered(app, factories), password="wrong")
    assert answer.status_code == 400
    assert answer.json["error"] == "invalid_grant"


def test_a_wrong_client_secret_is_refused(app, factories):
    client = {**registered(app, factories), "clientSecret": "wrong"}
    assert ask(app, client).status_code == 401


def test_the_password_grant_is_only_for_clients_registered_for_it(app, factories):
    client = registered(app, factories, grants="client_credentials")
    assert ask(app, client).json["error"] == "unauthorized_client"
    assert ask(app, client, grant_type="client_credentials").json["scope"] == SCOPE


def test_a_subscriber_gets_no_token_for_publishing(app, factories):
    client = registered(app, factories)
    factories.user("dana", "subscriber")
    token = ask(app, client, username="dana").json
    assert SCOPE not in token["scope"]

    answer = app.test_client().post(
        PUBLISH, headers={"Authorization": f"Bearer {token['access_token']}"}
    )
    assert answer.status_code == 403


def test_a_refreshed_token_ends_the_old_one(app, factories):
    client = registered(app, factories)
    old = ask(app, client).json
    new = ask(app, client, grant_type="refresh_token", refresh_token=old["refresh_token"])

    assert new.status_code == 200
    status = app.test_client().get(
        f"{PUBLISH}/status", headers={"Authorization": f"Bearer {old['access_token']}"}
    )
    assert status.status_code == 401
    again = ask(app, client, grant_type="refresh_token", refresh_token=old["refresh_token"])
    assert again.status_code == 400


def test_publish_usage_is_accepted_and_its_status_told(app, factories):
    token = ask(app, registered(app, factories)).json["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    client = app.test_client()

    before = client.get(f"{PUBLISH}/status", headers=headers)
    answer = client.post(PUBLISH, headers=headers)
    after = client.get(f"{PUBLISH}/status", headers=headers)

    assert before.json["state"] == "NOT_STARTED"
    assert answer.status_code == 202
    assert answer.json == {
        "status": "Request Accepted",
        "message": "Server is running the usage publisher",
    }
    assert after.json["state"] == "COMPLETED"
    assert after.json["status"] == "SUCCESSFUL"
    assert after.json["startedTime"].isdigit()
    assert "lastPublsihedTime" in after.json


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic eDp5"}]
)
def test_without_a_token_nothing_is_published(app, factories, headers):
    factories.tenant()
    answer = app.test_client().post(PUBLISH, headers=headers)
    assert answer.status_code == 401
    assert set(answer.json) == {"code", "message", "description", "moreInfo", "error"}
