"""When a session ends: on signing out, by doing nothing, by age, and on signing in anew."""

from datetime import timedelta

import pytest
import time_machine

from portal import clock, create_app
from portal.extensions import db
from portal.models import EndedSession
from portal.services import sessions

PAGE = "/devportal/applications"


@pytest.fixture
def hers(browser, factories):
    factories.user("dana", "subscriber")
    return browser.sign_in("dana")


def cookie(browser):
    return browser.client.get_cookie("portal_session").value


def with_cookie(app, value, path=PAGE):
    client = app.test_client(use_cookies=False)
    return client.get(path, headers={"Cookie": f"portal_session={value}"})


def later(**more):
    return time_machine.travel(clock.now() + timedelta(**more), tick=False)


def test_a_copy_of_the_cookie_is_worth_nothing_after_signing_out(app, hers):
    copy = cookie(hers)
    assert with_cookie(app, copy).status_code == 200
    hers.get(PAGE).post("/account/sign-out")
    assert with_cookie(app, copy).status_code == 303


def test_signing_in_begins_a_new_session_and_ends_the_one_before(app, hers):
    before = cookie(hers)
    hers.get("/account/sign-in?again=1")
    form = {"username": "dana", "password": "open sesame"}
    hers.submit("Sign in", form, follow=False, expect=303)
    assert with_cookie(app, before).status_code == 303
    assert with_cookie(app, cookie(hers)).status_code == 200


def test_what_a_visitor_brought_along_does_not_survive_signing_in(browser, factories):
    factories.user("dana", "subscriber")
    browser.get("/account/sign-in")
    with browser.client.session_transaction() as session:
        session["planted"] = "by somebody else"
    browser.sign_in("dana")
    with browser.client.session_transaction() as session:
        assert "planted" not in session


def test_half_an_hour_without_a_page_ends_it(hers):
    with later(minutes=31):
        hers.get(PAGE)
        assert "nothing was done for a while" in hers.text
        assert hers.soup.h1.get_text() == "Sign in"


def test_a_page_now_and_then_keeps_it_for_twelve_hours_and_no_longer(hers):
    start = clock.now()
    for minutes in range(20, 12 * 60, 20):
        with time_machine.travel(start + timedelta(minutes=minutes), tick=False):
            hers.get(PAGE, follow=False)
    with time_machine.travel(start + timedelta(hours=12, minutes=1), tick=False):
        hers.get(PAGE)
        assert "you signed in long ago" in hers.text


def test_what_a_page_asks_for_by_itself_does_not_keep_it(hers):
    start = clock.now()
    for minutes in (10, 20, 29):
        with time_machine.travel(start + timedelta(minutes=minutes), tick=False):
            hers.get(PAGE, follow=False, headers={"HX-Request": "true"})
    with time_machine.travel(start + timedelta(minutes=31), tick=False):
        hers.get(PAGE, follow=False, expect=303)


def test_an_old_copy_does_not_work_though_the_session_is_in_use(app, hers):
    copy, start = cookie(hers), clock.now()
    with time_machine.travel(start + timedelta(minutes=20), tick=False):
        hers.get(PAGE)
    with time_machine.travel(start + timedelta(minutes=40), tick=False):
        hers.get(PAGE, follow=False)
        assert with_cookie(app, copy).status_code == 303


def test_the_operator_sets_both_times(settings, factories, app, hers):
    short = settings.model_copy(update={"session_idle_minutes": 5})
    app.extensions["portal_settings"] = short
    with later(minutes=6):
        hers.get(PAGE, follow=False, expect=303)


def test_a_session_without_times_or_mark_is_over(hers):
    with hers.client.session_transaction() as session:
        del session["began_at"]
    hers.get(PAGE, follow=False, expect=303)


def test_over_tls_the_cookies_are_bound_to_the_host(settings, app, factories):
    factories.user("dana", "subscriber")
    secure = create_app(settings.model_copy(update={"portal_base_url": "https://portal.example"}))
    client = secure.test_client()
    answer = client.get("/account/sign-in", base_url="https://portal.example")
    found = answer.headers["Set-Cookie"]
    assert found.startswith("__Host-portal=")
    for word in ("Secure", "HttpOnly", "Path=/", "SameSite=Lax"):
        assert word in found
    assert "Domain" not in found


@pytest.mark.all_databases
def test_ending_twice_is_once_and_old_ends_are_forgotten(app):
    sessions.end("one")
    sessions.end("one")
    db.session.commit()
    assert db.session.query(EndedSession).count() == 1
    with later(days=9):
        assert sessions.forget_some() == 1
    db.session.commit()
