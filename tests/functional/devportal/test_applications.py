"""Applications and their keys."""

import re
from datetime import timedelta

import pytest
import sqlalchemy as sa
import time_machine

from portal import clock
from portal.extensions import db
from portal.models import Application, ApplicationKey
from portal.services import applications
from portal.web.unit_of_work import unit_of_work
from tests.support.browser import Browser


def keys() -> list[ApplicationKey]:
    db.session.rollback()
    return list(db.session.scalars(sa.select(ApplicationKey).order_by(ApplicationKey.key_id)))


def test_an_empty_list_says_what_an_application_is_for(market):
    browser = market.browser.get("/devportal/applications")
    assert "No applications yet" in browser.text
    assert browser.link("Create application") == "/devportal/applications/new"


def test_creating_one_leads_to_its_keys(market):
    browser = market.browser.get("/devportal/applications/new")
    browser.submit("Create application", {"name": "  Fleet   Dashboard ", "description": "Vans"})
    assert browser.soup.h1.get_text() == "Fleet Dashboard"
    assert "No keys yet" in browser.text
    assert "Fleet Dashboard" in browser.get("/devportal/applications").text


@pytest.mark.parametrize("name", ["", "   ", "x" * 101, "a\x00b", "a\x1b[31mb"])
def test_a_wrong_name_is_refused_beside_its_field(market, name):
    browser = market.browser.get("/devportal/applications/new")
    browser.submit("Create application", {"name": name}, expect=422)
    assert browser.soup.select_one("#name-error")
    assert db.session.scalar(sa.select(sa.func.count(Application.application_id))) == 0


@pytest.mark.all_databases
def test_a_name_is_used_once_but_is_free_again_after_deletion(market):
    market.factories.application("Fleet", owner=market.developer)
    browser = market.browser.get("/devportal/applications/new")
    browser.submit("Create application", {"name": "Fleet"}, expect=422)
    assert "already have an application called Fleet" in browser.text
    row = db.session.scalars(sa.select(Application)).one()
    browser.get(f"/devportal/applications/{row.uuid}/delete").submit("Delete")
    assert "Fleet is deleted" in browser.text
    browser.get("/devportal/applications/new").submit("Create application", {"name": "Fleet"})
    assert browser.soup.h1.get_text() == "Fleet"


def test_two_people_may_use_the_same_name(market):
    market.factories.application("Fleet")
    browser = market.browser.get("/devportal/applications/new")
    browser.submit("Create application", {"name": "Fleet"})
    assert browser.soup.h1.get_text() == "Fleet"


def test_creating_comes_back_to_where_it_was_needed_but_never_leaves_the_site(market):
    api = market.api("Currency", market.factories.policy())
    browser = market.browser.get(f"/devportal/apis/{api.api_uuid}/subscribe")
    browser.get(browser.link("Create application")).submit("Create application", {"name": "A"})
    assert browser.soup.h1.get_text() == "Subscribe to Currency 1.0"
    browser.get("/devportal/applications/new?next=https://evil.example/")
    browser.submit(
        "Create application", {"name": "B", "next": "//evil.example"}, follow=False, expect=303
    )
    assert browser.location.startswith("/devportal/applications/")


@pytest.mark.all_databases
def test_renaming_keeps_keys(market):
    row = market.factories.application("Fleet", owner=market.developer)
    market.factories.application("Taken", owner=market.developer)
    browser = market.browser.get(f"/devportal/applications/{row.uuid}/edit")
    assert browser.soup.select_one("#name")["value"] == "Fleet"
    browser.submit("Save", {"name": "Taken"}, expect=422)
    assert "already have an application called Taken" in browser.text
    browser.submit("Save", {"name": "Vans", "description": "All of them"})
    assert browser.soup.h1.get_text() == "Vans"
    assert "All of them" in browser.text


def test_a_key_is_shown_once_and_only_its_hash_is_kept(market):
    row = market.factories.application("Fleet", owner=market.developer)
    home = f"/devportal/applications/{row.uuid}"
    browser = market.browser.get(home).submit("Generate production key")
    text = browser.soup.select_one("#new-key").get_text()
    assert re.fullmatch(r"amp_live_[A-Za-z0-9]{32}", text)
    [key] = keys()
    assert key.key_hash == applications.hash_of(text)
    assert text.startswith(key.prefix)
    assert len(key.prefix) == len("amp_live_") + 6
    assert text not in str(browser.get(home).soup)
    browser.submit("Generate sandbox key")
    assert browser.soup.select_one("#new-key").get_text().startswith("amp_test_")


def test_the_cookie_that_carries_a_new_key_does_not_reveal_it(market):
    from base64 import urlsafe_b64decode

    row = market.factories.application("Fleet", owner=market.developer)
    browser = market.browser.get(f"/devportal/applications/{row.uuid}")
    browser.submit("Generate production key", follow=False, expect=303)
    cookie = browser.client.get_cookie("portal_session").value.lstrip(".").split(".")[0]
    raw = urlsafe_b64decode(cookie + "=" * (-len(cookie) % 4))
    import zlib

    for candidate in (raw, zlib.decompress(raw) if raw[:1] == b"x" else raw):
        assert b"amp_live_" not in candidate
    assert browser.get(f"/devportal/applications/{row.uuid}").soup.select_one("#new-key")


def test_a_new_key_is_not_shown_on_another_application(market):
    first = market.factories.application("One", owner=market.developer)
    second = market.factories.application("Two", owner=market.developer)
    browser = market.browser.get(f"/devportal/applications/{first.uuid}")
    browser.submit("Generate production key", follow=False, expect=303)
    assert not browser.get(f"/devportal/applications/{second.uuid}").soup.select("#new-key")


def test_revoking_asks_first_and_stops_a_key_at_once(market):
    row = market.factories.application("Fleet", owner=market.developer)
    browser = market.browser.get(f"/devportal/applications/{row.uuid}")
    browser.submit("Generate production key")
    browser.get(browser.link("Revoke"))
    assert "cannot be brought back" in browser.text
    browser.submit("Revoke")
    assert "The key is revoked" in browser.text
    assert "No keys yet" in browser.text
    [key] = keys()
    assert not key.works_at(clock.now())
    ended = key.revoked_at
    browser.post(f"/devportal/applications/{row.uuid}/keys/{key.uuid}/revoke")
    assert keys()[0].revoked_at == ended


@pytest.mark.parametrize(("grace", "hours"), [("none", 0), ("day", 24), ("week", 168)])
def test_regenerating_lets_the_old_key_work_as_long_as_chosen(market, grace, hours):
    row = market.factories.application("Fleet", owner=market.developer)
    browser = market.browser.get(f"/devportal/applications/{row.uuid}")
    browser.submit("Generate sandbox key")
    browser.get(browser.link("Regenerate")).submit("Regenerate", {"grace": grace})
    assert browser.soup.select_one("#new-key").get_text().startswith("amp_test_")
    old, new = keys()
    assert new.revoked_at is None
    assert abs(old.revoked_at - clock.now() - timedelta(hours=hours)) < timedelta(minutes=1)
    with time_machine.travel(clock.now() + timedelta(hours=hours, minutes=2), tick=True):
        assert not old.works_at(clock.now())
        assert new.works_at(clock.now())


def test_a_key_that_has_stopped_cannot_be_regenerated(market):
    row = market.factories.application("Fleet", owner=market.developer)
    browser = market.browser.get(f"/devportal/applications/{row.uuid}")
    browser.submit("Generate production key")
    page = browser.link("Regenerate")
    browser.get(browser.link("Revoke")).submit("Revoke")
    browser.get(page).submit("Regenerate")
    assert "This key no longer works" in browser.text
    assert len(keys()) == 1


def test_nonsense_for_a_kind_or_a_grace_changes_nothing(market):
    row = market.factories.application("Fleet", owner=market.developer)
    home = f"/devportal/applications/{row.uuid}"
    market.browser.get(home).post(home + "/keys", {"key_type": "GOLD"}, expect=400)
    assert keys() == []
    market.browser.get(home).submit("Generate production key")
    page = market.browser.link("Regenerate")
    market.browser.get(page).submit("Regenerate", {"grace": "forever"}, expect=422)
    assert len(keys()) == 1


def test_an_application_holds_a_bounded_number_of_keys(market):
    row = market.factories.application("Fleet", owner=market.developer)
    browser = market.browser.get(f"/devportal/applications/{row.uuid}")
    for _ in range(applications.MOST_KEYS + 1):
        browser.submit("Generate production key")
    assert "Revoke one that is no longer used" in browser.text
    assert len(keys()) == applications.MOST_KEYS


def test_an_application_with_a_paid_subscription_stays(market):
    row = market.factories.application("Fleet", owner=market.developer)
    plan = market.factories.fixed_policy()
    market.factories.subscription(application=row, policy=plan, billing="PAID")
    browser = market.browser.get(f"/devportal/applications/{row.uuid}/delete")
    assert "Unsubscribe first" in browser.text
    assert not [item for item in browser.soup.select("button") if item.get_text() == "Delete"]
    browser.post(f"/devportal/applications/{row.uuid}/delete")
    assert "still has a paid subscription" in browser.text
    db.session.rollback()
    assert row.deleted_at is None


@pytest.mark.all_databases
def test_deleting_ends_free_subscriptions_and_keys_and_keeps_the_history(market):
    row = market.factories.application("Fleet", owner=market.developer)
    free = market.factories.subscription(application=row)
    lapsed = market.factories.subscription(
        application=row, policy=market.factories.fixed_policy(), billing="LAPSED"
    )
    browser = market.browser.get(f"/devportal/applications/{row.uuid}")
    browser.submit("Generate production key")
    browser.get(f"/devportal/applications/{row.uuid}/delete").submit("Delete")
    db.session.rollback()
    assert free.status == lapsed.status == "ENDED"
    assert not keys()[0].works_at(clock.now())
    browser.get(f"/devportal/applications/{row.uuid}", expect=404)
    assert (
        "The application was deleted." in browser.get(f"/devportal/subscriptions/{free.uuid}").text
    )


def test_a_hostile_name_is_shown_as_text_everywhere(market):
    evil = "<script>alert('x')</script>"
    api = market.api("Currency", market.factories.policy("Free"))
    browser = market.browser.get("/devportal/applications/new")
    browser.submit("Create application", {"name": evil, "description": evil})
    row = db.session.scalars(sa.select(Application)).one()
    uuid = market.subscribe(api, api.policies[0], row)
    for path in (
        "applications",
        f"applications/{row.uuid}",
        f"applications/{row.uuid}/edit",
        f"applications/{row.uuid}/delete",
        f"applications/{row.uuid}/subscriptions",
        f"subscriptions/{uuid}",
        f"subscriptions/{uuid}/unsubscribe",
        f"apis/{api.api_uuid}",
    ):
        page = browser.get(f"/devportal/{path}")
        assert not [tag for tag in page.soup.select("script") if "alert" in tag.get_text()], path
        assert evil in page.soup.get_text() + str(page.soup.select_one("#name")), path


def test_a_long_list_needs_no_more_queries_than_a_short_one(market, queries):
    def fill(number: int) -> None:
        for _ in range(number):
            row = market.factories.application(owner=market.developer)
            with unit_of_work():
                applications.generate_key(row, "PRODUCTION")

    fill(5)
    with queries() as few:
        market.browser.get("/devportal/applications")
    fill(45)
    with queries() as many:
        market.browser.get("/devportal/applications")
    assert "1 to 20 of 50 applications" in market.browser.text
    assert len(many) == len(few)


@pytest.mark.parametrize(
    "path",
    ["", "/edit", "/delete", "/subscriptions", "/keys/{key}/revoke", "/keys/{key}/regenerate"],
)
@pytest.mark.parametrize("whose", ["colleague", "other tenant"])
def test_somebody_elses_application_is_not_there(market, path, whose):
    f = market.factories
    tenant = f.tenant("other.example") if whose == "other tenant" else None
    row = f.application("Secret", owner=f.user("olga", "subscriber", tenant=tenant))
    with unit_of_work():
        key, _ = applications.generate_key(row, "PRODUCTION")
    target = f"/devportal/applications/{row.uuid}{path.format(key=key.uuid)}"
    assert "Secret" not in market.browser.get(target, expect=404).text
    if path not in ("", "/subscriptions"):
        market.browser.post(target, {"name": "Mine", "grace": "none"}, expect=404)
    market.browser.post(
        f"/devportal/applications/{row.uuid}/keys", {"key_type": "SANDBOX"}, expect=404
    )
    db.session.rollback()
    assert row.name == "Secret"
    assert row.deleted_at is None
    assert [item.revoked_at for item in keys()] == [None]


def test_a_key_of_another_application_of_mine_is_not_there_either(market):
    one = market.factories.application("One", owner=market.developer)
    two = market.factories.application("Two", owner=market.developer)
    with unit_of_work():
        key, _ = applications.generate_key(one, "PRODUCTION")
    market.browser.get(f"/devportal/applications/{two.uuid}/keys/{key.uuid}/revoke", expect=404)


@pytest.mark.parametrize("uuid", ["1", "..%2f", "'", "00000000-0000-0000-0000-000000000000"])
def test_nonsense_for_an_id_is_not_found(market, uuid):
    for place in ("applications", "apis", "subscriptions"):
        market.browser.get(f"/devportal/{place}/{uuid}", expect=404)


def test_people_without_a_role_for_it_are_told_so(app, factories):
    factories.user("guest", "Internal/guest")
    browser = Browser(app).sign_in("guest")
    assert "role subscriber" in browser.get("/devportal/applications", expect=403).text
