"""An application that several people share."""

import pytest

from portal.extensions import db
from portal.models import ApplicationMember
from tests.support.browser import Browser
from tests.support.rest import Rest


@pytest.fixture
def shop(factories, browser):
    """Olga's application, with Olga at the browser."""
    owner = factories.user("olga", "subscriber")
    factories.user("mia", "subscriber")
    factories.user("stranger", "subscriber", tenant=factories.tenant("other.example"))
    browser.sign_in("olga")
    return factories.application("Shop", owner=owner)


def home(application):
    return f"/devportal/applications/{application.uuid}"


def share(browser, application, name, **more):
    browser.get(f"{home(application)}/members")
    return browser.submit("Add member", {"name": name}, **more)


def test_a_member_finds_the_application_and_generates_keys(app, browser, shop):
    share(browser, shop, "Mia")
    assert "Mia can use this application now." in browser.text

    mia = Browser(app).sign_in("mia")
    mia.get("/devportal/applications")
    assert "shared by Olga" in mia.text
    mia.get(home(shop))
    assert "Edit" not in mia.text
    mia.submit("Generate production key")
    assert "amp_live_" in mia.text


def test_a_member_subscribes_with_it_and_the_owner_sees_it(app, browser, shop, factories):
    free = factories.policy("Free")
    api = factories.api("Weather", free)
    share(browser, shop, "mia@carbon.super")
    mia = Browser(app).sign_in("mia")
    chosen = {"application": shop.uuid, "policy": free.uuid}
    mia.get(f"/devportal/apis/{api.api_uuid}/subscribe", query_string=chosen)
    mia.submit("Subscribe")
    made = mia.response.request.path

    browser.get(made)
    assert "Weather" in browser.text
    browser.get(f"/devportal/apis/{api.api_uuid}/subscribe")
    assert "Shop" in browser.text


def test_only_the_owner_changes_deletes_and_shares(app, browser, shop):
    share(browser, shop, "mia")
    mia = Browser(app).sign_in("mia")
    for path in ("edit", "delete"):
        mia.get(f"{home(shop)}/{path}", expect=403)
        assert "belongs to Olga" in mia.text
    mia.post(f"{home(shop)}/members", {"name": "sam"}, expect=403)
    mia.get(f"{home(shop)}/members")
    assert "Share it" not in mia.text


def test_who_was_removed_has_it_no_more(app, browser, shop):
    share(browser, shop, "mia")
    browser.submit("Remove")
    assert "Mia can no longer use Shop." in browser.text
    mia = Browser(app).sign_in("mia")
    mia.get(home(shop), expect=404)
    mia.get("/devportal/applications")
    assert "Shop" not in mia.text


def test_a_member_leaves_and_cannot_remove_others(app, browser, shop, factories):
    sam = factories.user("sam", "subscriber")
    share(browser, shop, "mia")
    share(browser, shop, "sam")
    mia = Browser(app).sign_in("mia")
    mia.get(f"{home(shop)}/members")
    mia.post(f"{home(shop)}/members/{sam.uuid}/remove", expect=403)
    mia.get(f"{home(shop)}/members")
    mia.submit("Leave")
    assert "You have left Shop." in mia.text
    assert [row.user.username for row in db.session.query(ApplicationMember)] == ["sam"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nobody", "Nobody of carbon.super goes by this name."),
        ("stranger", "Nobody of carbon.super goes by this name."),
        ("stranger@other.example", "Nobody of carbon.super goes by this name."),
        ("olga", "Olga has this application already."),
        ("", "Enter a user name."),
    ],
)
def test_an_application_is_shared_within_the_tenant_once(browser, shop, name, sentence):
    share(browser, shop, name, expect=422)
    assert sentence in browser.text
    assert db.session.query(ApplicationMember).count() == 0


def test_rest_lists_what_is_shared_and_keeps_the_owners_acts(app, browser, shop, factories):
    share(browser, shop, "mia")
    from portal.services import accounts

    rest = Rest(app, accounts.find("mia"), "devportal/v3")
    listed = rest.get("/applications").json["list"]
    assert [(row["name"], row["owner"]) for row in listed] == [("Shop", "olga")]
    assert rest.post(f"/applications/{shop.uuid}/api-keys/PRODUCTION/generate").status_code == 200
    refused = rest.delete(f"/applications/{shop.uuid}")
    assert refused.status_code == 403
    assert "belongs to Olga" in refused.json["description"]
