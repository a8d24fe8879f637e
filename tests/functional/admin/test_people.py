"""Admin > People: who they are, what they may do, and ending their sessions."""

import re

import pytest

from portal.extensions import db
from portal.models import User
from portal.services import tokens
from tests.support.browser import Browser
from tests.support.rest import token_of
from tests.support.statements import count

PEOPLE = "/admin/people"


@pytest.fixture
def admin(browser, factories):
    factories.user("ada", "admin")
    return browser.sign_in("ada")


def of(user):
    return f"{PEOPLE}/{user.uuid}"


def shown_password(browser):
    return re.search(r"\b\w{4}-\w{4}-\w{4}-\w{4}\b", browser.text)[0]


def test_somebody_new_signs_in_with_the_password_that_is_shown_once(app, admin):
    admin.get(f"{PEOPLE}/new")
    entered = {"username": "Dana.Lee", "display_name": "Dana Lee", "roles": ["publisher"]}
    admin.submit("Add person", entered)
    password = shown_password(admin)
    Browser(app).sign_in("dana.lee", password).get("/publisher/")
    admin.get(admin.response.request.path)
    assert password not in admin.text


@pytest.mark.parametrize(
    ("entered", "sentence"),
    [
        ({"username": "no spaces"}, "Use letters, digits"),
        ({"username": "ada"}, "There is somebody called ada already."),
        ({"display_name": " "}, "Enter a name"),
        ({"email": "nowhere"}, "Enter an e-mail address"),
        ({"roles": ["root"]}, "Choose among the roles"),
    ],
    ids=str,
)
def test_what_cannot_be_is_said_at_its_field(admin, entered, sentence):
    admin.get(f"{PEOPLE}/new")
    right = {"username": "dana", "display_name": "Dana", "roles": ["publisher"]}
    admin.submit("Add person", right | entered, expect=422)
    assert sentence in admin.text
    assert db.session.query(User).count() == 1


def test_a_change_of_roles_holds_from_the_next_request(app, admin, factories):
    dana = factories.user("dana", "publisher", "gold")
    hers = Browser(app).sign_in("dana")
    hers.get("/publisher/")
    admin.get(of(dana))
    admin.submit("Save", {"roles": ["subscriber"]})
    hers.get("/publisher/", expect=403)
    hers.get("/devportal/")
    db.session.expire_all()
    assert {"gold", "subscriber"} < db.session.get(User, dana.user_id).roles


@pytest.mark.parametrize("button", ["Sign out everywhere", "New password", "disable"])
def test_sessions_and_tokens_end_at_once(app, admin, factories, button):
    dana = factories.user("dana", "subscriber")
    token = token_of(dana)
    hers = Browser(app).sign_in("dana")
    admin.get(of(dana))
    if button == "disable":
        admin.submit("Save", {"disabled": "y"})
    else:
        admin.submit(button)
    hers.get("/devportal/", follow=False, expect=303)
    db.session.expire_all()
    assert tokens.find(token) is None
    if button == "New password":
        Browser(app).sign_in("dana", shown_password(admin))
    elif button == "Sign out everywhere":
        Browser(app).sign_in("dana")


def test_administrators_do_not_lock_themselves_out(admin):
    ada = db.session.query(User).one()
    for taken in ({"roles": ["publisher"]}, {"disabled": "y"}):
        admin.get(of(ada))
        admin.submit("Save", taken, expect=422)
        assert "You cannot take your own access away." in admin.text
    admin.get("/admin/")


def test_people_of_another_tenant_are_not_there(admin, factories):
    far = factories.user("zoe", "admin", tenant=factories.tenant("other.example"))
    admin.get(PEOPLE)
    assert "Zoe" not in admin.text
    admin.get(of(far), expect=404)


def test_the_list_searches_and_asks_the_same_number_of_questions(admin, factories):
    factories.user("dana", "subscriber")
    admin.get(PEOPLE, query_string={"q": "DAN"})
    assert "Dana" in admin.text
    assert "ada" not in [cell.get_text() for cell in admin.soup.select("tbody small")]
    few = count(lambda: admin.get(PEOPLE))
    for number in range(9):
        factories.user(f"p{number}", "subscriber", "publisher")
    assert count(lambda: admin.get(PEOPLE)) == few
