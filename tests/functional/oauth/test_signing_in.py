"""A program signs people in: consent, code, tokens, id token, renewal, end."""

from joserfc import jwt
from joserfc.jwk import KeySet

from portal import clock
from portal.extensions import db
from portal.models import OAuthClient, OAuthCode, OAuthToken, SigningKey
from portal.services import signing
from tests.functional.oauth.conftest import CALLBACK, basic, sent_back


def claims(app, id_token):
    keys = KeySet.import_key_set(app.test_client().get("/oauth2/jwks").json)
    return jwt.decode(id_token, keys, algorithms=["RS256"])


def test_a_person_agrees_and_the_program_gets_tokens(app, dana, program, code):
    answer = program.exchange(code())

    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json["scope"] == "openid profile apim:subscribe"
    assert answer.json["expires_in"] == 3600
    token = claims(app, answer.json["id_token"])
    assert token.header["kid"]
    assert token.claims["iss"] == "http://127.0.0.1:8000"
    assert token.claims["aud"] == [program.client_id]
    assert token.claims["sub"] == "dana@carbon.super"
    assert token.claims["nonce"] == "the nonce"
    assert abs(token.claims["auth_time"] - clock.epoch(clock.now())) < 60
    assert "subscriber" in token.claims["roles"]


def test_the_page_says_who_asks_and_what_for(dana, program):
    dana.get(program.request())

    assert "A program" in dana.text
    assert "Read the catalogue" in dana.text
    assert "client.example" in dana.text
    assert "https://client.example" in dana.response.headers["Content-Security-Policy"]


def test_only_the_consent_page_lets_a_form_lead_elsewhere(dana, program):
    dana.get(program.request())
    dana.get("/account/nowhere")
    assert "client.example" not in dana.response.headers["Content-Security-Policy"]


def test_what_the_roles_do_not_include_is_left_out(dana, program):
    dana.get(program.request(scope="openid apim:admin"))
    assert "left out" in dana.text
    dana.submit("Allow", follow=False, expect=302)

    answer = program.exchange(sent_back(dana.location)["code"])

    assert answer.json["scope"] == "openid"


def test_a_refusal_is_told_to_the_program(dana, program):
    dana.get(program.request())
    dana.submit("Deny", follow=False, expect=302)

    told = sent_back(dana.location)
    assert told["error"] == "access_denied"
    assert told["state"] == "the state"
    assert told["iss"] == "http://127.0.0.1:8000"


def test_a_visitor_signs_in_first_and_comes_back(browser, factories, program):
    factories.user("dana", "subscriber")
    browser.get(program.request())
    browser.submit("Sign in", {"username": "dana", "password": "open sesame"})

    assert browser.soup.h1.get_text() == "Allow A program?"


def test_a_program_that_wants_no_page_is_told_that_one_is_needed(browser, factories, program):
    factories.user("dana", "subscriber")
    browser.get(program.request(prompt="none"), follow=False, expect=303)
    assert sent_back(browser.location)["error"] == "login_required"
    browser.sign_in("dana")
    browser.get(program.request(prompt="none"), follow=False, expect=303)
    assert sent_back(browser.location)["error"] == "consent_required"


def test_signing_in_again_can_be_asked_for(dana, program):
    dana.get(program.request(prompt="login"))
    assert dana.soup.h1.get_text() == "Sign in"
    dana.submit("Sign in", {"username": "dana", "password": "open sesame"})
    assert dana.soup.h1.get_text() == "Allow A program?"


def test_a_person_of_another_tenant_is_refused_unless_the_program_is_for_all(
    browser, factories, register
):
    other = factories.tenant("other.example")
    factories.user("dana", "subscriber", tenant=other)
    browser.sign_in("dana@other.example")

    browser.get(register().request(), follow=False, expect=303)
    assert sent_back(browser.location)["error"] == "access_denied"
    shared = register(saas=True)
    browser.get(shared.request())
    browser.submit("Allow", follow=False, expect=302)
    answer = shared.exchange(sent_back(browser.location)["code"])
    assert claims(browser.client.application, answer.json["id_token"]).claims["sub"] == (
        "dana@other.example"
    )


def test_the_token_tells_who_it_is_for(app, code, program):
    token = program.exchange(code()).json["access_token"]
    told = app.test_client().get("/oauth2/userinfo", headers={"Authorization": f"Bearer {token}"})
    assert told.json["sub"] == "dana@carbon.super"
    assert told.json["name"] == "Dana"
    assert "email" not in told.json


def test_codes_tokens_and_secrets_are_kept_as_hashes(code, program):
    text = code()
    issued = program.exchange(text).json
    rows = [db.session.query(model).one() for model in (OAuthCode, OAuthToken, OAuthClient)]
    kept = " ".join(str(vars(row)) for row in rows)
    for secret in (text, issued["access_token"], issued["refresh_token"], program.secret):
        assert secret not in kept
    assert "PRIVATE KEY" not in db.session.query(SigningKey).one().private_key_sealed


def test_a_rotated_key_still_verifies_what_it_signed(app, code, program):
    old = program.exchange(code()).json["id_token"]
    signing.rotate()
    db.session.commit()

    new = program.exchange(code()).json["id_token"]

    assert claims(app, old).header["kid"] != claims(app, new).header["kid"]
    assert len(app.test_client().get("/oauth2/jwks").json["keys"]) == 2


def test_discovery_names_only_addresses_of_this_portal(app):
    document = app.test_client().get("/.well-known/openid-configuration").json
    assert document["issuer"] == "http://127.0.0.1:8000"
    assert document["code_challenge_methods_supported"] == ["S256"]
    for name, value in document.items():
        if name.endswith(("_endpoint", "_uri")):
            assert value.startswith("http://127.0.0.1:8000/"), name


def test_a_token_can_be_asked_about_and_ended(app, code, program, register):
    issued = program.exchange(code()).json
    client, headers = app.test_client(), basic(program.client_id, program.secret)

    def ask(who=headers, kind="access_token"):
        form = {"token": issued[kind]}
        return client.post("/oauth2/introspect", data=form, headers=who).json

    told = ask()
    assert (told["active"], told["username"]) == (True, "dana")
    assert ask(kind="refresh_token")["token_type"] == "refresh_token"
    other = register()
    stranger = basic(other.client_id, other.secret)
    assert ask(stranger) == {"active": False}
    form = {"token": issued["refresh_token"]}
    assert client.post("/oauth2/revoke", data=form, headers=stranger).status_code == 200
    assert ask()["active"] is True

    assert client.post("/oauth2/revoke", data=form, headers=headers).status_code == 200

    assert ask() == {"active": False}
    assert program.refresh(issued["refresh_token"]).json["error"] == "invalid_grant"


def test_a_public_program_signs_in_with_pkce_alone(dana, register):
    program = register(public=True)
    dana.get(program.request())
    dana.submit("Allow", follow=False, expect=302)
    answer = program.exchange(sent_back(dana.location)["code"])
    assert answer.status_code == 200
    assert program.refresh(answer.json["refresh_token"]).status_code == 200


def test_registration_by_rfc_7591(app, factories):
    factories.user("admin", "admin")
    body = {
        "client_name": "Tool",
        "redirect_uris": [CALLBACK],
        "grant_types": ["authorization_code"],
    }
    client = app.test_client()

    assert client.post("/oauth2/register", json=body).status_code == 401
    answer = client.post("/oauth2/register", json=body, headers=basic("admin", "open sesame"))

    assert answer.status_code == 201
    assert answer.json["client_secret"]
    assert answer.json["client_secret_expires_at"] == 0
    assert answer.json["response_types"] == ["code"]
