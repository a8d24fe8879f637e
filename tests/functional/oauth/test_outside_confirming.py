"""Confirming who it is where people sign in at their own provider."""

import time
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import time_machine

from portal import clock
from portal.extensions import db
from portal.models import ApplicationKey, User
from tests.functional.oauth.test_outside_sign_in import come_back


@pytest.fixture
def jane(browser, provider, tenant, factories):
    """Jane, who signed in at the provider two hours ago, at her application's keys."""
    provider.claims["auth_time"] = int(time.time()) - 7200
    come_back(browser, provider)
    application = factories.application("Shop", owner=db.session.query(User).one())
    browser.home = f"/devportal/applications/{application.uuid}"
    return browser.get(browser.home)


def ask(jane):
    """Press Generate; return where the button of the page leads, with the provider's request."""
    referrer = {"Referer": f"http://127.0.0.1:8000{jane.home}"}
    token = jane.soup.select_one("input[name=csrf_token]")["value"]
    form = {"csrf_token": token, "key_type": "PRODUCTION"}
    jane._took(jane.client.post(f"{jane.home}/keys", data=form, headers=referrer), 403)
    link = next(a["href"] for a in jane.soup.select("main a") if "Confirm at" in a.get_text())
    return jane.get(link, follow=False, expect=303).location


def test_the_provider_is_made_to_ask_and_its_word_is_checked(jane, provider):
    asked = ask(jane)
    query = parse_qs(urlsplit(asked).query)
    assert (query["prompt"], query["max_age"]) == (["login"], ["0"])
    assert db.session.query(ApplicationKey).count() == 0
    provider.claims["auth_time"] = int(time.time())
    jane.get(provider.agree(asked), follow=False, expect=303)
    assert jane.location == jane.home
    jane.get(jane.home)
    jane.post(f"{jane.home}/keys", {"key_type": "PRODUCTION"})
    assert "Copy it now" in jane.text


@pytest.mark.parametrize("said", [None, "now", -1, 0, 10**12, "old"])
def test_a_provider_that_did_not_ask_again_confirms_nothing(jane, provider, said):
    asked = ask(jane)
    provider.claims["auth_time"] = int(time.time()) - 600 if said == "old" else said
    jane.get(provider.agree(asked), follow=False, expect=403)
    assert "Nobody was signed in" in jane.text
    assert said == "now" or "did not ask you again" in jane.text


def test_who_signed_in_there_just_now_is_not_asked(browser, provider, tenant, factories):
    come_back(browser, provider)
    application = factories.application("Shop", owner=db.session.query(User).one())
    browser.get(f"/devportal/applications/{application.uuid}")
    browser.post(f"/devportal/applications/{application.uuid}/keys", {"key_type": "PRODUCTION"})
    assert "Copy it now" in browser.text


def test_a_long_session_at_the_provider_does_not_end_ours_at_once(browser, provider, tenant):
    provider.claims["auth_time"] = int(time.time()) - 13 * 3600
    come_back(browser, provider)
    browser.get("/devportal/applications", follow=False)
    with time_machine.travel(clock.now() + timedelta(hours=13), tick=False):
        browser.get("/devportal/applications", follow=False, expect=303)


def test_a_password_is_not_taken_from_who_signs_in_there(jane):
    user = db.session.query(User).one()
    from portal.services import accounts

    user.password_hash = accounts.hash_password("open sesame")
    db.session.commit()
    ask(jane)
    assert jane.client.get("/account/password").status_code == 200


@pytest.mark.usefixtures("provider", "tenant")
def test_no_program_gets_a_token_for_a_password_either(app, browser, factories):
    """Also a right password opens nothing, tells nothing and counts as wrong."""
    from portal.models import SignInGuard
    from portal.services import clients
    from tests.functional.oauth.conftest import basic

    factories.user("dana", "subscriber")
    owner = factories.user("ada", "admin")
    program = clients.Wanted(name="one", grants=["password"])
    client, secret = clients.register(owner, program)
    shown = basic(client.client_id, secret)
    db.session.commit()
    form = {"grant_type": "password", "username": "dana", "password": "open sesame"}
    answer = app.test_client().post("/oauth2/token", data=form, headers=shown)
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_grant")
    browser.get("/account/sign-in")
    form = {"username": "dana", "password": "open sesame"}
    browser.submit("Sign in", form, follow=False, expect=401)
    assert "portal_browser" not in str(browser.response.headers)
    failures = db.session.query(SignInGuard.failures).filter(SignInGuard.account_key.is_not(None))
    assert failures.scalar() == 2
    form = {"grant_type": "password", "username": "ada", "password": "open sesame"}
    assert app.test_client().post("/oauth2/token", data=form, headers=shown).status_code == 200
