"""The Stripe service signs people in as a client of the portal's own authorization server."""

import base64
import json
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from portal.extensions import db
from portal.models import OAuthClient, SystemApp
from portal.services import sessions
from portal.web import own_sign_in
from tests.functional.oauth.conftest import basic

CONFIGURE = "/api/am/stripe/configure"
DONE = {"status": "APIM Stripe Service Setup successfully"}
PAGE = "/api/am/stripe/checkout-url?subscriptionId=unknown"


@pytest.fixture
def people(factories):
    factories.user("admin", "admin")
    factories.user("dana", "subscriber")
    other = factories.tenant("other.example")
    factories.user("dana", "subscriber", tenant=other)


def rows():
    return [(row.client.client_id, row.consumer_secret) for row in db.session.query(SystemApp)]


def query_of(location):
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


def local(location):
    parts = urlsplit(location)
    return f"{parts.path}?{parts.query}"


def begin(browser):
    """Open the page as a visitor, up to the sign-in form; return the callback's address."""
    browser.get(PAGE, follow=False, expect=303)
    authorize = local(browser.location)
    browser.get(authorize)
    return authorize


def back(browser, name="dana"):
    browser.submit(
        "Sign in", {"username": name, "password": "open sesame"}, follow=False, expect=303
    )
    browser.get(browser.location, follow=False, expect=302)
    return local(browser.location)


def whoami(browser):
    browser.get("/devportal/applications", follow=False, expect=200)
    return browser.text


def test_configure_reports_without_changing_anything(app, people):
    client, admin = app.test_client(), basic("admin", "open sesame")
    assert client.post(CONFIGURE, headers=admin).json == DONE
    before = rows()
    assert client.get(CONFIGURE, headers=admin).json == DONE
    assert client.get(CONFIGURE, headers=admin).json == DONE
    assert rows() == before


def test_configuring_again_gives_a_new_secret_to_the_same_client(app, people):
    client, admin = app.test_client(), basic("admin", "open sesame")
    client.post(CONFIGURE, headers=admin)
    ((first, secret),) = rows()
    client.post(CONFIGURE, headers=admin)
    ((second, renewed),) = rows()
    assert (second, renewed != secret) == (first, True)
    stored = db.session.query(SystemApp).one()
    assert stored.client.client_name == "apim_stripe_service"
    assert renewed not in stored.consumer_secret_sealed


@pytest.mark.parametrize("method", ["get", "post"])
def test_only_an_administrator_configures(app, people, browser, method):
    call = getattr(app.test_client(), method)
    assert call(CONFIGURE).status_code == 401
    assert call(CONFIGURE, headers=basic("admin", "wrong")).status_code == 401
    assert call(CONFIGURE, headers=basic("dana", "open sesame")).status_code == 403
    assert rows() == []


def test_another_site_cannot_make_an_administrator_configure(browser, people):
    browser.sign_in("admin")
    assert browser.client.post(CONFIGURE).status_code == 400
    assert rows() == []


def test_a_visitor_is_signed_in_and_comes_back_to_the_page(browser, people):
    authorize = begin(browser)
    asked = query_of(authorize)
    assert asked["code_challenge_method"] == "S256"
    assert browser.soup.h1.get_text() == "Sign in"

    browser.get(back(browser), follow=False, expect=303)

    assert browser.location == PAGE
    assert db.session.query(OAuthClient).one().client_name == "apim_stripe_service"
    assert "Applications" in whoami(browser)


def test_people_of_every_tenant_sign_in_and_are_never_mixed_up(browser, people):
    begin(browser)
    browser.get(back(browser, "dana@other.example"), follow=False, expect=303)
    with browser.client.session_transaction() as session:
        user = sessions.person(session["_user_id"], session["mark"])
    assert user.qualified_name == "dana@other.example"


def test_a_state_comes_back_once(browser, people):
    begin(browser)
    address = back(browser)
    browser.get(address, follow=False, expect=303)
    answer = browser.client.get(address)
    assert (answer.status_code, answer.json) == (400, {"error": "Invalid state parameter"})


@pytest.mark.parametrize(
    ("changed", "status", "error"),
    [
        ({"state": "guessed"}, 400, "Invalid state parameter"),
        ({"state": None}, 400, "Invalid state parameter"),
        ({"code": None}, 400, "Authorization code is missing"),
        ({"code": "guessed"}, 401, "Authentication failed"),
        ({"iss": "https://evil.example"}, 401, "Authentication failed"),
        ({"iss": None}, 401, "Authentication failed"),
        ({"error": "access_denied"}, 401, "Authentication failed"),
    ],
)
def test_what_is_not_as_it_was_asked_for_signs_nobody_in(browser, people, changed, status, error):
    begin(browser)
    address = back(browser)
    with browser.client.session_transaction() as session:
        # The sign-in page has made a session; what is tried here is the one of the callback.
        del session["_user_id"]
    arguments = {**query_of(address), **changed}
    kept = {name: value for name, value in arguments.items() if value is not None}
    answer = browser.client.get(f"{urlsplit(address).path}?{urlencode(kept)}")
    assert (answer.status_code, answer.json) == (status, {"error": error})
    browser.get("/devportal/", follow=False, expect=303)


def test_a_code_of_another_browser_is_worth_nothing(app, browser, people):
    """Login CSRF: the attacker's own code in the victim's browser."""
    begin(browser)
    stolen = back(browser)
    answer = app.test_client().get(stolen)
    assert answer.status_code == 400


def test_a_target_elsewhere_is_not_followed(browser, people):
    begin(browser)
    address = back(browser)
    with browser.client.session_transaction() as session:
        for attempt in session["signing_in_elsewhere"].values():
            attempt[2] = "//evil.example/"
        session.modified = True
    browser.get(address, follow=False, expect=303)
    assert browser.location == "/devportal/"


@pytest.fixture
def issued(browser, people, app):
    """An id token that is right, its client and its nonce."""
    begin(browser)
    address = back(browser)
    with browser.client.session_transaction() as session:
        nonce, verifier, *_ = session["signing_in_elsewhere"][query_of(address)["state"]]
    row = db.session.query(SystemApp).one()
    client_id, secret = row.client.client_id, row.consumer_secret
    form = {
        "grant_type": "authorization_code",
        "code": query_of(address)["code"],
        "redirect_uri": own_sign_in.callback_url(),
        "code_verifier": verifier,
    }
    token = app.test_client().post("/oauth2/token", data=form, headers=basic(client_id, secret))
    return token.json, client_id, nonce


def test_an_id_token_that_is_right_is_taken(issued):
    assert own_sign_in.check_id_token(*issued)["sub"] == "dana@carbon.super"


def forged(token, **changed):
    _, body, _ = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    header = {"alg": "none"}
    part = [
        base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
        for value in (header, {**claims, **changed})
    ]
    return f"{part[0]}.{part[1]}."


@pytest.mark.parametrize("wrong", ["nonce", "audience", "issuer", "expired", "unsigned", "none"])
def test_an_id_token_that_is_wrong_in_one_thing_is_refused(app, issued, wrong, monkeypatch):
    token, client_id, nonce = issued
    if wrong == "nonce":
        nonce = "another"
    elif wrong == "audience":
        client_id = "another"
    elif wrong == "issuer":
        settings = own_sign_in.settings()
        other = settings.model_copy(update={"portal_base_url": "https://other.example"})
        monkeypatch.setitem(app.extensions, "portal_settings", other)
    elif wrong == "expired":
        from datetime import timedelta

        from portal import clock

        later = clock.now() + timedelta(hours=2)
        monkeypatch.setattr(clock, "now", lambda: later)
    elif wrong == "unsigned":
        token = {**token, "id_token": forged(token["id_token"], sub="admin@carbon.super")}
    else:
        token = {"access_token": token["access_token"]}
    with pytest.raises(own_sign_in.SignInRefused):
        own_sign_in.check_id_token(token, client_id, nonce)
