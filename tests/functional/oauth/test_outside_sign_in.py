"""The people of a tenant sign in at their own identity provider, and nobody else does."""

from urllib.parse import parse_qs, urlsplit

import pytest

from portal.extensions import db
from portal.models import ExternalIdentity, IdentityProvider, User
from tests.support import fake_provider
from tests.support.browser import Browser
from tests.support.fake_provider import CLIENT, SECRET

START = "/account/sign-in/carbon.super"
PAGE = "/devportal/applications?page=1"


def change(factories, **values):
    row = db.session.query(IdentityProvider).one()
    for name, value in values.items():
        setattr(row, name, value)
    factories.save(row)


def begin(browser, target=PAGE):
    """Press the button; return where the browser is sent."""
    browser.get(START, query_string={"next": target}, follow=False, expect=303)
    return browser.location


def come_back(browser, provider, target=PAGE, **changed):
    browser.get(provider.agree(begin(browser, target), **changed), follow=False, expect=303)


def refused(browser, provider, **changed):
    """Come back and be refused; return the page's words."""
    browser.get(provider.agree(begin(browser), **changed), follow=False, expect=403)
    browser.get("/devportal/applications", follow=False, expect=303)
    assert db.session.query(ExternalIdentity).count() == 0
    return browser.client.get("/devportal/applications").headers["Location"]


def people():
    db.session.rollback()
    return {user.username: sorted(user.roles) for user in db.session.query(User)}


# --- the way it should go -------------------------------------------------------------------


def test_the_sign_in_page_leads_there_and_the_person_comes_back_to_the_page(
    browser, provider, tenant
):
    browser.get(PAGE)
    host = urlsplit(provider.issuer).netloc
    browser.get(browser.link(f"Sign in at {host}"), follow=False, expect=303)
    asked = {name: values[0] for name, values in parse_qs(urlsplit(browser.location).query).items()}
    assert asked["code_challenge_method"] == "S256"
    assert asked["scope"] == "openid profile email"
    assert asked["redirect_uri"].endswith(f"{START}/callback")

    browser.get(provider.agree(browser.location), follow=False, expect=303)

    assert browser.location == PAGE
    browser.get(PAGE)
    assert people() == {"jane": ["Internal/everyone", "subscriber"]}


def test_somebody_who_comes_again_is_the_same_whatever_the_name(app, browser, provider, tenant):
    come_back(browser, provider)
    provider.claims["preferred_username"] = "jane.married"
    come_back(Browser(app), provider)
    assert list(people()) == ["jane"]


def test_the_same_name_in_two_tenants_never_meets(factories, browser, provider, tenant):
    other = factories.user("jane", "admin", tenant=factories.tenant("other.example"))
    come_back(browser, provider)
    with browser.client.session_transaction() as session:
        assert session["_user_id"].split(".")[0] != other.uuid


def test_roles_follow_the_claim_at_every_sign_in(app, factories, browser, provider, tenant):
    change(
        factories,
        roles_claim="groups",
        role_mapping={"api-team": ["publisher"], "board": ["admin"]},
    )
    provider.claims["groups"] = ["api-team", "chess"]
    come_back(browser, provider)
    assert people()["jane"] == ["Internal/everyone", "publisher", "subscriber"]
    provider.claims["groups"] = []
    come_back(Browser(app), provider)
    assert people()["jane"] == ["Internal/everyone", "subscriber"]


def test_keys_that_were_renewed_are_read_again(app, browser, provider, tenant, monkeypatch):
    come_back(browser, provider)
    provider.rotate()
    from datetime import timedelta

    from portal import clock

    later = clock.now() + timedelta(minutes=2)
    monkeypatch.setattr(clock, "now", lambda: later)
    second = Browser(app)
    come_back(second, provider)
    assert provider.asked.count("/keys") == 2


def test_signing_out_leads_to_the_provider(browser, provider, tenant):
    come_back(browser, provider)
    browser.get(PAGE)
    browser.submit("Sign out")
    end = browser.link("Sign out there, too")
    assert end.startswith(f"{provider.issuer}/end?")
    asked = parse_qs(urlsplit(end).query)
    assert asked["client_id"] == [CLIENT]
    assert asked["id_token_hint"][0].count(".") == 2
    assert browser.response.headers["Refresh"] == f"0;url={end}"
    browser.get(PAGE, follow=False, expect=303)


def test_passwords_are_for_administrators_only_then(app, factories, browser, provider, tenant):
    factories.user("sam", "subscriber")
    factories.user("ada", "admin")
    form = {"username": "sam", "password": "open sesame"}
    browser.get("/account/sign-in")
    browser.submit("Sign in", form, expect=401)
    assert "sign in at" in browser.text
    Browser(app).sign_in("ada").get("/admin/")


# --- who is who -----------------------------------------------------------------------------


def test_an_account_of_the_same_name_is_not_taken_over(factories, browser, provider, tenant):
    factories.user("jane", "admin")
    refused(browser, provider)
    browser.get(provider.agree(begin(browser)), expect=403)
    assert "There is an account called jane already" in browser.text


def test_it_is_linked_where_the_administrator_allows_it(app, factories, browser, provider, tenant):
    factories.user("jane", "publisher")
    change(factories, link_accounts=True)
    come_back(browser, provider)
    assert people() == {"jane": ["Internal/everyone", "publisher"]}
    # Somebody else who calls herself jane there does not get it, too.
    provider.claims["sub"] = "another"
    second = Browser(app)
    second.get(provider.agree(begin(second)), expect=403)
    assert db.session.query(ExternalIdentity).count() == 1


def test_a_disabled_person_stays_out(app, factories, browser, provider, tenant):
    come_back(browser, provider)
    jane = db.session.query(User).one()
    jane.disabled = True
    factories.save(jane)
    second = Browser(app)
    second.get(provider.agree(begin(second)), expect=403)
    assert "disabled" in second.text


@pytest.mark.parametrize(
    ("claim", "claims"),
    [
        ("email", {"email": "jane@example.com", "email_verified": False}),
        ("preferred_username", {"preferred_username": None}),
        ("preferred_username", {"preferred_username": "../../admin"}),
        ("preferred_username", {"preferred_username": ["jane"]}),
        ("sub", {"sub": None}),
        ("sub", {"sub": ""}),
    ],
)
def test_a_name_that_cannot_be_used_lets_nobody_in(
    factories, browser, provider, tenant, claim, claims
):
    change(factories, subject_claim=claim)
    provider.claims |= claims
    refused(browser, provider)
    assert people() == {}


# --- attacks --------------------------------------------------------------------------------


def test_a_state_works_once(browser, provider, tenant):
    address = provider.agree(begin(browser))
    browser.get(address, follow=False, expect=303)
    browser.get(address, follow=False, expect=403)
    assert "begun in another browser" in browser.text


def test_an_answer_that_was_begun_in_another_browser_signs_nobody_in(
    app, browser, provider, tenant
):
    """Login CSRF: the attacker's own code in the victim's browser."""
    stolen = provider.agree(begin(Browser(app)))
    browser.get(stolen, follow=False, expect=403)
    browser.get(PAGE, follow=False, expect=303)


@pytest.mark.parametrize(
    "changed",
    [
        {"state": "guessed"},
        {"state": None},
        {"iss": "https://other.example"},
        {"iss": None},
        {"code": None},
        {"code": "guessed"},
        {"code": None, "error": "access_denied"},
    ],
    ids=str,
)
def test_an_answer_that_was_changed_signs_nobody_in(browser, provider, tenant, changed):
    address = provider.agree(begin(browser), **changed)
    answer = browser.client.get(address)
    assert answer.status_code in (403, 502)
    browser.get(PAGE, follow=False, expect=303)
    assert people() == {}


def test_the_answer_of_one_provider_is_not_taken_for_anothers(factories, browser, provider, tenant):
    """Mix-up: the other tenant's provider, honest or not, answers at its own address only."""
    with fake_provider.running() as other:
        far = factories.tenant("other.example")
        row = IdentityProvider(
            tenant_id=far.tenant_id, issuer=other.issuer, client_id=CLIENT, enabled=True
        )
        row.client_secret = SECRET
        factories.save(row)
        address = provider.agree(begin(browser))
        moved = address.replace("carbon.super", "other.example")
        browser.get(moved, follow=False, expect=403)
        assert "/token" not in other.asked
        browser.get(address, follow=False, expect=403)
    assert people() == {}


def test_a_nonce_of_another_attempt_is_refused(browser, provider, tenant):
    first = provider.agree(begin(browser))
    token = provider.id_token(parse_qs(urlsplit(begin(browser)).query)["nonce"][0])
    provider.id_token = lambda nonce: token
    browser.get(first, follow=False, expect=403)
    assert "does not prove who you are" in browser.text


@pytest.mark.parametrize(
    "lie",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "another client"},
        {"aud": [CLIENT, "another"], "azp": "another"},
        {"iss": "https://other.example"},
        {"exp": 1},
        {"exp": None},
        {"iat": 4_000_000_000},
        {"at_hash": "wrong"},
    ],
    ids=str,
)
def test_an_id_token_that_is_wrong_in_one_claim_is_refused(browser, provider, tenant, lie):
    provider.claims |= lie
    refused(browser, provider)


def test_an_id_token_signed_with_a_key_that_is_not_the_providers_is_refused(
    browser, provider, tenant
):
    provider.forge()
    refused(browser, provider)


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_an_id_token_that_the_provider_did_not_sign_is_refused(
    browser, provider, tenant, algorithm
):
    provider.algorithm = algorithm
    refused(browser, provider)


def test_an_unknown_key_asks_for_the_keys_at_most_once_a_minute(browser, provider, tenant):
    come_back(browser, provider)
    provider.rotate()
    provider.published = []
    for _ in range(3):
        browser.get(provider.agree(begin(browser)), follow=False, expect=403)
    assert provider.asked.count("/keys") == 1


@pytest.mark.parametrize(
    "target",
    ["//evil.example/", "https://evil.example/", "/\\evil.example", "/@evil.example", "\t/x"],
)
def test_the_way_back_stays_on_this_portal(browser, provider, tenant, target):
    come_back(browser, provider, target)
    assert browser.location == "/"


def test_a_way_back_that_was_changed_in_the_session_is_checked_again(browser, provider, tenant):
    address = provider.agree(begin(browser))
    with browser.client.session_transaction() as session:
        for attempt in session["signing_in_outside"].values():
            attempt[4] = "//evil.example/"
        session.modified = True
    browser.get(address, follow=False, expect=303)
    assert browser.location == "/"
