"""What an attacker tries at the authorization server, each once (RFC 9700)."""

import pytest

from portal.extensions import db
from portal.models import OAuthCode, OAuthToken, User
from tests.functional.oauth.conftest import CALLBACK, basic, sent_back

USERINFO = "/oauth2/userinfo"


def works(app, token):
    headers = {"Authorization": f"Bearer {token}"}
    return app.test_client().get(USERINFO, headers=headers).status_code == 200


def test_a_code_that_is_used_twice_ends_what_was_made_of_it(app, code, program):
    text = code()
    first = program.exchange(text).json
    assert works(app, first["access_token"])

    assert program.exchange(text).json["error"] == "invalid_grant"

    assert not works(app, first["access_token"])
    assert program.refresh(first["refresh_token"]).status_code == 400


def test_another_program_cannot_use_a_code_nor_end_its_tokens(app, code, program, register):
    text = code()
    issued = program.exchange(text).json
    assert register().exchange(text).json["error"] == "invalid_grant"
    assert works(app, issued["access_token"])


def test_a_code_works_for_a_minute(code, program, monkeypatch):
    from datetime import timedelta

    from portal import clock

    text, later = code(), clock.now() + timedelta(seconds=61)
    monkeypatch.setattr(clock, "now", lambda: later)
    assert program.exchange(text).json["error"] == "invalid_grant"


@pytest.mark.parametrize(
    "changed",
    [
        {"code_challenge": None, "code_challenge_method": None},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": None},
        {"code_challenge": "short"},
    ],
)
def test_pkce_cannot_be_left_out_or_weakened(dana, program, changed):
    dana.get(program.request(**changed), follow=False, expect=303)
    assert sent_back(dana.location)["error"] == "invalid_request"
    assert db.session.query(OAuthCode).count() == 0


@pytest.mark.parametrize("verifier", [None, "x" * 50, ""])
def test_a_code_without_its_verifier_is_worth_nothing(code, program, verifier):
    answer = program.exchange(code(), code_verifier=verifier)
    assert answer.status_code == 400
    assert db.session.query(OAuthToken).count() == 0


@pytest.mark.parametrize(
    "uri",
    [
        "https://client.example/cb/",
        "https://client.example/cb?x=1",
        "https://client.example/CB",
        "https://client.example.evil.example/cb",
        "https://evil.example/https://client.example/cb",
        "https://client.example@evil.example/cb",
        "https://client.example/cb/../evil",
        "https://client.example/cb#x",
        "https://client.example:444/cb",
        "http://client.example/cb",
        "//client.example/cb",
        "javascript:alert(1)//https://client.example/cb",
        "",
        None,
    ],
)
@pytest.mark.parametrize("also", [{}, {"scope": "nonsense"}, {"response_type": "token"}])
def test_nothing_is_sent_to_an_address_that_was_not_registered(dana, program, uri, also):
    dana.get(program.request(redirect_uri=uri, **also), expect=400)
    assert "Location" not in dana.response.headers


def test_an_unknown_program_is_shown_to_the_person_only(dana, program):
    dana.get(program.request(client_id="unknown"), expect=400)
    assert "not right" in dana.text


@pytest.mark.parametrize("kind", ["token", "id_token", "code token", "code id_token", "none"])
def test_there_is_no_implicit_grant(dana, program, kind):
    dana.get(program.request(response_type=kind), follow=False, expect=303)
    assert sent_back(dana.location)["error"] == "unsupported_response_type"


def test_the_address_must_be_repeated_with_the_code(code, program):
    answer = program.exchange(code(), redirect_uri="https://client.example/other")
    assert answer.json["error"] == "invalid_grant"


def test_every_answer_names_the_server_that_gives_it(dana, program):
    dana.get(program.request())
    dana.submit("Allow", follow=False, expect=302)
    assert sent_back(dana.location)["iss"] == "http://127.0.0.1:8000"


def test_consent_cannot_be_given_by_another_site(dana, program):
    answer = dana.client.post(program.request(), data={"answer": "allow"})
    assert answer.status_code == 400
    assert db.session.query(OAuthCode).count() == 0


def test_a_parameter_that_comes_twice_is_refused(dana, program):
    dana.get(program.request() + "&redirect_uri=https://evil.example/", expect=400)


def test_renewing_cannot_widen_what_was_agreed_to(code, program):
    issued = program.exchange(code(scope="openid")).json
    answer = program.refresh(issued["refresh_token"], scope="openid apim:subscribe")
    assert answer.json["error"] == "invalid_scope"


def test_a_stolen_refresh_token_ends_the_family(app, code, program):
    first = program.exchange(code()).json
    second = program.refresh(first["refresh_token"]).json
    assert works(app, second["access_token"])
    assert not works(app, first["access_token"])

    assert program.refresh(first["refresh_token"]).json["error"] == "invalid_grant"

    assert not works(app, second["access_token"])
    assert program.refresh(second["refresh_token"]).status_code == 400


def test_another_program_cannot_renew_nor_end_the_family(app, code, program, register):
    issued = program.exchange(code()).json
    assert register().refresh(issued["refresh_token"]).json["error"] == "invalid_grant"
    assert works(app, issued["access_token"])


def test_a_family_ends_after_thirty_days_however_often_it_was_renewed(code, program, monkeypatch):
    from datetime import timedelta

    from portal import clock

    issued, begun = program.exchange(code()).json, clock.now()
    for day in (20, 29):
        moment = begun + timedelta(days=day)
        monkeypatch.setattr(clock, "now", lambda moment=moment: moment)
        issued = program.refresh(issued["refresh_token"]).json
    monkeypatch.setattr(clock, "now", lambda: begun + timedelta(days=30, minutes=1))
    assert program.refresh(issued["refresh_token"]).json["error"] == "invalid_grant"


def test_a_disabled_person_gets_and_uses_nothing(app, code, program):
    text, issued = code(), program.exchange(code()).json
    db.session.query(User).filter_by(username="dana").one().disabled = True
    db.session.commit()

    assert program.exchange(text).json["error"] == "invalid_grant"
    assert program.refresh(issued["refresh_token"]).json["error"] == "invalid_grant"
    assert not works(app, issued["access_token"])


def test_a_program_of_one_tenant_gets_nothing_with_another_tenants_password(factories, register):
    other = factories.tenant("other.example")
    factories.user("otto", "admin", tenant=other)
    program = register(grants=["password"])
    answer = program.token(
        grant_type="password",
        username="otto@other.example",
        password="open sesame",
        scope="apim:monetization_usage_publish",
    )
    assert not answer.json.get("scope")


def test_a_public_program_cannot_pose_as_one_with_a_secret(app, code, program):
    form = {
        "grant_type": "authorization_code",
        "client_id": program.client_id,
        "code": code(),
        "redirect_uri": CALLBACK,
        "code_verifier": "a-verifier-that-is-long-enough-for-the-standard-0123456789",
    }
    answer = app.test_client().post("/oauth2/token", data=form)
    assert answer.status_code == 401
    assert answer.json["error"] == "invalid_client"
    wrong = app.test_client().post(
        "/oauth2/token", data=form, headers=basic(program.client_id, "wrong")
    )
    assert wrong.status_code == 401


@pytest.mark.parametrize(
    "uri",
    [
        "http://client.example/cb",
        "https://*.example/cb",
        "https://client.example/cb#x",
        "https://user@client.example/",
        "javascript:alert(1)",
        "/cb",
        "",
    ],
)
def test_a_dangerous_address_cannot_be_registered(app, factories, uri):
    factories.user("admin", "admin")
    body = {"client_name": "Tool", "redirect_uris": [uri], "grant_types": ["authorization_code"]}
    answer = app.test_client().post(
        "/oauth2/register", json=body, headers=basic("admin", "open sesame")
    )
    assert answer.status_code == 400
    assert answer.json["error"] == "invalid_redirect_uri"


@pytest.mark.all_databases
def test_of_two_who_use_a_code_at_the_same_moment_both_end_with_nothing(app, code, program):
    from portal.services import tokens

    text = code()
    row = db.session.query(OAuthCode).one()
    assert tokens.use_code(row) is True
    assert tokens.use_code(row) is False
    db.session.commit()
    assert program.exchange(text).json["error"] == "invalid_grant"
