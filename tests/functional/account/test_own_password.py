"""Changing one's own password."""

import pytest

from portal.extensions import db
from portal.services import people, tokens
from tests.support.browser import Browser
from tests.support.rest import token_of

NEW = "four words of mine"


@pytest.fixture
def hers(browser, factories):
    factories.user("dana.lee", "subscriber")
    return browser.sign_in("dana.lee")


def change(browser, expect=200, **entered):
    browser.get("/account/password")
    form = {"present": "open sesame", "new": NEW, "repeated": NEW} | entered
    return browser.submit("Change password", form, expect=expect)


def test_it_changes_and_every_other_session_and_token_ends(app, hers):
    from portal.models import User

    token = token_of(db.session.query(User).one())
    other = Browser(app).sign_in("dana.lee")
    change(hers)
    assert "Changed. Your other sessions" in hers.text
    hers.get("/devportal/")
    other.get("/devportal/", follow=False, expect=303)
    assert tokens.find(token) is None
    Browser(app).sign_in("dana.lee", NEW)


@pytest.mark.parametrize(
    ("entered", "sentence"),
    [
        ({"present": "wrong"}, "This is not the password that you sign in with now."),
        ({"repeated": "another one"}, "The two do not match."),
        ({"new": "short", "repeated": "short"}, "Use at least 12 characters"),
        ({"new": "Password-12345", "repeated": "Password-12345"}, "one of the first"),
        ({"new": "a" * 14, "repeated": "a" * 14}, "one of the first"),
        ({"new": "dana.lee for ever", "repeated": "dana.lee for ever"}, "Leave your user name"),
        ({"new": "x y z w" * 200, "repeated": "x y z w" * 200}, "Use at most 1024"),
    ],
    ids=str,
)
def test_what_cannot_be_is_said(app, hers, entered, sentence):
    change(hers, 422, **entered)
    assert sentence in hers.text
    Browser(app).sign_in("dana.lee")


def test_guesses_of_the_present_password_are_counted(hers):
    for _ in range(10):
        change(hers, 422, present="wrong")
    change(hers, 429)
    assert "Signing in failed too often" in hers.text


def test_passwords_that_the_portal_makes_are_good_enough(factories):
    user = factories.user("dana", "subscriber")
    for _ in range(50):
        assert people.password_problem(user, people.new_password()) is None


def test_who_signs_in_elsewhere_is_told_to_change_it_there(hers, factories):
    from portal.models import IdentityProvider, User

    tenant_id = db.session.query(User).one().tenant_id
    factories.save(
        IdentityProvider(
            tenant_id=tenant_id, issuer="http://127.0.0.1:9", client_id="p", enabled=True
        )
    )
    hers.get("/account/password")
    assert "identity provider" in hers.text
