"""Confirming who it is, before what shows a secret, moves money or gives power."""

from datetime import timedelta

import pytest
import time_machine

from portal import clock
from portal.extensions import db
from portal.models import ApplicationKey, Tenant

#: Every act that asks. One that is added to the code and not here, or the other way, is noticed.
ACTS = {
    "admin.configuration",
    "admin.identity_provider",
    "admin.new_password",
    "admin.new_person",
    "admin.person",
    "admin.register_webhook",
    "devportal.generate_key",
    "devportal.regenerate_key",
    "publisher.monetization",
}


@pytest.fixture
def hers(browser, factories):
    return browser.sign_in(factories.user("dana", "subscriber").username)


@pytest.fixture
def keys(hers, factories):
    """The page of an application's keys, a while after signing in."""
    from portal.models import User

    application = factories.application("Shop", owner=db.session.query(User).one())
    with time_machine.travel(clock.now() + timedelta(minutes=16), tick=False):
        hers.get(f"/devportal/applications/{application.uuid}")
        yield hers


def press(browser, expect=403):
    path = browser.response.request.path
    return browser.post(f"{path}/keys", {"key_type": "PRODUCTION"}, expect=expect)


def test_these_acts_ask(app):
    asking = {name for name, view in app.view_functions.items() if hasattr(view, "confirms")}
    assert asking == ACTS


def test_right_after_signing_in_nothing_is_asked(hers, factories):
    from portal.models import User

    application = factories.application("Shop", owner=db.session.query(User).one())
    hers.get(f"/devportal/applications/{application.uuid}")
    press(hers, 200)
    assert "Copy it now" in hers.text


def test_later_the_act_waits_for_the_password_and_then_is_done(keys):
    press(keys)
    assert keys.soup.h1.get_text() == "Confirm that it is you"
    assert db.session.query(ApplicationKey).count() == 0
    keys.submit("Confirm and go on", {"confirm_password": "wrong"}, expect=403)
    assert "The password is not right." in keys.text
    assert db.session.query(ApplicationKey).count() == 0
    keys.submit("Confirm and go on", {"confirm_password": "open sesame"})
    assert "Copy it now" in keys.text
    assert db.session.query(ApplicationKey).one().key_type == "PRODUCTION"


def test_for_a_while_after_that_nothing_is_asked(keys):
    press(keys)
    keys.submit("Confirm and go on", {"confirm_password": "open sesame"})
    keys.post(f"{keys.response.request.path}/keys", {"key_type": "SANDBOX"})
    assert "Copy it now" in keys.text


def test_the_session_gets_a_new_mark(app, keys):
    before = keys.client.get_cookie("portal_session").value
    press(keys)
    keys.submit("Confirm and go on", {"confirm_password": "open sesame"})
    client = app.test_client(use_cookies=False)
    headers = {"Cookie": f"portal_session={before}"}
    assert client.get("/devportal/", headers=headers).status_code == 303


def test_guesses_on_the_page_are_counted(keys):
    press(keys)
    for _ in range(10):
        keys.submit("Confirm and go on", {"confirm_password": "wrong"}, expect=403)
    keys.submit("Confirm and go on", {"confirm_password": "open sesame"}, expect=429)
    assert "Signing in failed too often" in keys.text
    assert db.session.query(ApplicationKey).count() == 0


def test_what_was_entered_waits_unreadable_and_is_done_as_it_was_entered(browser, factories):
    factories.user("ada", "admin")
    browser.sign_in("ada")
    secret = "whsec_entered_by_hand_0001"
    with time_machine.travel(clock.now() + timedelta(minutes=16), tick=False):
        browser.get("/admin/configuration")
        entered = {"webhook_secret": secret, "grace_days": "5", "reminder_days": "2"}
        browser.submit("Save", entered, expect=403)
        assert secret not in browser.response.get_data(as_text=True)
        assert browser.response.headers["Cache-Control"] == "no-store"
        browser.submit("Confirm and go on", {"confirm_password": "open sesame"})
    tenant = db.session.query(Tenant).one()
    assert tenant.grace_days == 5
    assert secret in tenant.webhook_secrets


@pytest.mark.parametrize("change", ["another act", "another person", "too late", "made up"])
def test_what_waits_is_for_this_act_of_this_person_for_an_hour(keys, app, factories, change):
    press(keys)
    form = keys.soup.select_one("main form")
    fields = {
        "confirm_form": form.select_one("[name=confirm_form]")["value"],
        "confirm_password": "open sesame",
    }
    path, hours, browser = str(form["action"]), 0, keys
    if change == "another act":
        path = path.replace("/keys", "/keys/00000000-0000-0000-0000-000000000000/regenerate")
    elif change == "another person":
        factories.user("mallory", "subscriber")
        browser.get("/account/sign-in?again=1")
        form = {"username": "mallory", "password": "open sesame"}
        browser.submit("Sign in", form, follow=False, expect=303)
        browser.get("/account/password")
    elif change == "too late":
        hours = 1
    else:
        fields["confirm_form"] = "made up"
    moment = clock.now() + timedelta(minutes=16 + hours * 61)
    with time_machine.travel(moment, tick=False):
        with browser.client.session_transaction() as session:
            session["used_at"] = clock.epoch(clock.now())
        browser.post(path, fields, expect=403)
    assert "Go back and enter it again" in browser.text
    assert db.session.query(ApplicationKey).count() == 0


@pytest.mark.parametrize(
    ("referrer", "back"),
    [
        ("http://127.0.0.1:8000/devportal/applications?page=2", "/devportal/applications?page=2"),
        ("https://evil.example/devportal/", "/"),
        ("http://127.0.0.1:8000//evil.example/", "/"),
        ("http://127.0.0.1:8000.evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("http://127.0.0.1:8000/\\evil.example", "/"),
    ],
)
def test_cancel_leads_to_a_page_of_this_portal(keys, referrer, back):
    form = keys.soup.select_one("input[name=csrf_token]")["value"]
    answer = keys.client.post(
        f"{keys.response.request.path}/keys",
        data={"csrf_token": form, "key_type": "PRODUCTION"},
        headers={"Referer": referrer},
    )
    keys._took(answer, 403)
    assert keys.link("Cancel") == back
