"""Signing in and out."""

from urllib.parse import urljoin, urlsplit

import pytest

from portal.extensions import db
from portal.models import User
from portal.web.access import local_path


def test_a_person_signs_in_and_out(browser, factories):
    factories.user("dana", "subscriber")
    browser.sign_in("dana")
    assert browser.location == "/devportal/"

    browser.get("/devportal/applications")
    browser.post("/account/sign-out")

    assert "You have signed out" in browser.text
    browser.get("/devportal/applications", follow=False, expect=303)


@pytest.mark.parametrize(
    ("roles", "home"),
    [(("admin",), "/admin/"), (("publisher",), "/publisher/"), (("subscriber",), "/devportal/")],
)
def test_everybody_comes_to_their_own_portal(browser, factories, roles, home):
    factories.user("someone", *roles)

    assert browser.sign_in("someone").location == home


def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(browser, factories):
    factories.user("dana", "subscriber")
    said = []
    for name in ("dana", "nobody"):
        browser.get("/account/sign-in")
        browser.submit("Sign in", {"username": name, "password": "wrong"}, expect=401)
        said.append(browser.text.replace(name, ""))

    assert said[0] == said[1]
    assert "not right" in said[0]


def test_the_same_name_in_two_tenants_is_two_people(browser, factories):
    factories.user("dana", "subscriber")
    other = factories.tenant("other.example")
    factories.user("dana", "publisher", tenant=other)

    assert browser.sign_in("dana@other.example").location == "/publisher/"


def test_a_disabled_person_is_out_at_the_next_page(browser, factories):
    user = factories.user("dana", "subscriber")
    browser.sign_in("dana").get("/account/sign-in", follow=False, expect=303)
    user.disabled = True
    factories.save(user)

    browser.get("/account/sign-in")

    assert browser.soup.h1.get_text() == "Sign in"


def test_raising_the_session_epoch_ends_every_session(browser, factories):
    user = factories.user("dana", "subscriber")
    browser.sign_in("dana")
    user.session_epoch += 1
    factories.save(user)

    browser.get("/account/sign-in")

    assert browser.soup.h1.get_text() == "Sign in"


def test_a_form_without_its_token_is_refused(app, factories):
    factories.user("dana", "subscriber")
    answer = app.test_client().post(
        "/account/sign-in", data={"username": "dana", "password": "open sesame"}
    )
    assert answer.status_code == 400
    assert "expired" in answer.get_data(as_text=True)


def test_the_session_cookie_is_out_of_reach_of_scripts(browser, factories):
    factories.user("dana", "subscriber")
    browser.sign_in("dana")
    cookies = browser.response.headers.getlist("Set-Cookie")
    session = next(cookie for cookie in cookies if cookie.startswith("portal_session"))
    assert "HttpOnly" in session
    assert "SameSite=Lax" in session


def test_signing_in_leads_back_to_a_local_address_only(browser, factories):
    factories.user("dana", "subscriber")
    browser.get("/account/sign-in?next=https://evil.example/")
    browser.submit(
        "Sign in",
        {"username": "dana", "password": "open sesame", "next": "//evil.example"},
        follow=False,
        expect=303,
    )
    assert browser.location == "/devportal/"


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https://evil.example",
        "https:evil.example",
        "javascript:alert(1)",
        "/%09/evil.example\t",
        "\t//evil.example",
        "/a@evil.example",
        "///evil.example",
        "evil.example",
        "/\nevil",
        "",
        None,
    ],
)
def test_what_a_browser_could_read_as_another_site_is_replaced(target):
    if target == "/%09/evil.example\t":
        assert local_path(target, "/home") == "/home"
        return
    assert local_path(target, "/home") == "/home"


HOSTS = ("evil.example", "evil.example:443", "[::1]", "127.0.0.1.evil.example", "ⓔvil.example")
STARTS = [
    *(
        "//",
        "///",
        "////",
        "/\\",
        "\\\\",
        "\\/",
        "/\t/",
        "/\n/",
        "/\r/",
        "\t//",
        "\x00//",
        "\x0b//",
    ),
    *(" //", "/ /", "https://", "https:", "https:/", "http://", "hTTps://", "ftp://", "//user@"),
    *("//user:pass@", "/@", "/..//@", "javascript://", "data:text/html,", "vbscript:", "file:///"),
    *("／／", "/／", "。//", "/\u2028//", "/%2f", "/%5c", "/%09/", "/.//", "/..//", "/;//", "?//"),
    *("#//", "/?next=//", "/#//", "/a/../..//", "/\x7f//", "/\x85//", "/\u200b//", ".//", ""),
]


@pytest.mark.parametrize("start", STARTS, ids=ascii)
def test_wherever_it_begins_it_ends_on_this_portal(start):
    """As browsers read it: tabs and line ends are dropped, and a backslash is a slash."""
    for host in HOSTS:
        kept = local_path(start + host, "/home")
        read = "".join(char for char in kept if char not in "\t\n\r").strip().replace("\\", "/")
        found = urlsplit(urljoin("https://portal.example/account/sign-in", read))
        assert (found.scheme, found.netloc) == ("https", "portal.example"), kept
        assert kept.startswith("/")
        assert not kept.startswith("//")


@pytest.mark.parametrize("target", ["/devportal/", "/a?next=/b", "/api/am/stripe/x?y=1&z=2"])
def test_a_local_path_is_kept(target):
    assert local_path(target, "/home") == target


def test_passwords_are_kept_as_argon2_hashes(app, factories):
    from portal.services import accounts

    user = factories.user("dana", "subscriber")
    user.password_hash = accounts.hash_password("a new password")
    factories.save(user)

    assert db.session.query(User).one().password_hash.startswith("$argon2id$")
    assert accounts.authenticate("DANA", "a new password") is not None
    assert accounts.authenticate("dana", "open sesame") is None


def test_every_kind_of_refusal_has_a_page(browser, factories):
    from portal.services.decisions import Refusal

    for refusal in Refusal:
        browser.get(f"/problems/{refusal.slug}")
        assert refusal.title in browser.text
    browser.get("/problems/no-such-cause", expect=404)


def test_health_is_told_without_signing_in(app, factories):
    client = app.test_client()
    assert client.get("/healthz").json == {"status": "ok"}
    assert client.get("/readyz").status_code == 200
