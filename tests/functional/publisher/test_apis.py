"""APIs, through the publisher's pages."""

import io
import json
from dataclasses import replace

import pytest

from portal.errors import Invalid
from portal.extensions import db
from portal.models import Api
from portal.services import apis
from portal.web.unit_of_work import unit_of_work
from tests.support import statements

DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "Weather Insights", "version": "2.1.0", "description": "Rain or shine."},
    "servers": [{"url": "https://api.example.com/v2"}],
    "paths": {"/now": {"get": {"responses": {"200": {"description": "ok"}}}}},
}
HAND_MADE = {
    "name": "Tides",
    "version": "1.0",
    "context": "tides",
    "endpoint_url": "https://tides.example.com/",
}


@pytest.fixture
def paula(factories):
    return factories.user("paula", "publisher")


@pytest.fixture
def publisher(paula, browser):
    return browser.sign_in("paula")


def test_an_api_is_made_by_hand(publisher):
    publisher.get("/publisher/")
    assert "No APIs yet" in publisher.text
    publisher.get(publisher.link("Create API")).submit("Save", HAND_MADE)
    assert "Tides is created. Attach a plan, then publish it." in publisher.text
    api = db.session.query(Api).one()
    assert (api.api_name, api.context, api.status) == ("Tides", "tides", "CREATED")
    assert api.endpoint_url == "https://tides.example.com"
    assert api.provider.username == "paula"


@pytest.mark.parametrize("way", ["file", "text", "yaml"])
def test_an_api_is_made_from_an_openapi_document(publisher, way):
    publisher.get("/publisher/apis/import")
    if way == "file":
        content = (io.BytesIO(json.dumps(DOCUMENT).encode()), "weather.json")
        publisher.post("/publisher/apis/import", {"file": content})
    else:
        import yaml

        text = yaml.safe_dump(DOCUMENT) if way == "yaml" else json.dumps(DOCUMENT)
        publisher.submit("Import", {"document": text})
    assert "Weather Insights is created." in publisher.text
    api = db.session.query(Api).one()
    assert (api.api_name, api.api_version, api.context) == (
        "Weather Insights",
        "2.1.0",
        "weather-insights",
    )
    assert api.description == "Rain or shine."
    assert json.loads(api.definition) == DOCUMENT


def test_what_is_entered_beside_a_document_goes_first(publisher):
    publisher.get("/publisher/apis/import").submit(
        "Import",
        {
            "document": json.dumps({**DOCUMENT, "servers": [{"url": "/v1"}]}),
            "context": "wx",
            "endpoint_url": "https://wx.example.com",
        },
    )
    api = db.session.query(Api).one()
    assert (api.context, api.endpoint_url) == ("wx", "https://wx.example.com")


@pytest.mark.parametrize(
    ("document", "field", "words"),
    [
        ("", "document", "paste the document"),
        ("nonsense", "document", "must be an object"),
        ({**DOCUMENT, "x": {"$ref": "file:///etc/passwd"}}, "document", "file:///etc/passwd"),
        ({**DOCUMENT, "servers": []}, "endpoint_url", "enter one"),
        ({**DOCUMENT, "servers": [{"url": "http://169.254.169.254/"}]}, "endpoint_url", "private"),
        ({**DOCUMENT, "info": {"title": " ", "version": "1"}}, "document", "name"),
    ],
)
def test_a_document_that_cannot_be_used_changes_nothing(publisher, document, field, words):
    text = document if isinstance(document, str) else json.dumps(document)
    publisher.get("/publisher/apis/import").submit("Import", {"document": text}, expect=422)
    assert words in publisher.soup.select_one(f"#{field}-error").get_text()
    assert db.session.query(Api).count() == 0


def test_a_document_over_a_megabyte_is_refused(publisher):
    publisher.get("/publisher/apis/import")
    publisher.submit("Import", {"document": "x" * (1024 * 1024 + 10)}, expect=413)
    assert db.session.query(Api).count() == 0


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 61}, "name"),
        ({"version": "one two"}, "version"),
        ({"version": ""}, "version"),
        ({"context": ""}, "context"),
        ({"context": "a/b"}, "context"),
        ({"context": "Tides"}, "context"),
        ({"context": ".."}, "context"),
        ({"context": "t"}, "context"),
        ({"context": "authorize"}, "context"),
        ({"endpoint_url": ""}, "endpoint_url"),
        ({"endpoint_url": "http://localhost:6379"}, "endpoint_url"),
        ({"endpoint_url": "ftp://tides.example.com"}, "endpoint_url"),
        ({"sandbox_endpoint_url": "http://10.0.0.1"}, "sandbox_endpoint_url"),
        ({"description": "x" * 16_001}, "description"),
    ],
)
def test_a_wrong_value_is_named_at_its_field(publisher, changes, field):
    publisher.get("/publisher/apis/new").submit("Save", {**HAND_MADE, **changes}, expect=422)
    assert publisher.soup.select_one(f"#{field}-error") is not None
    assert db.session.query(Api).count() == 0


def test_a_name_or_context_that_is_taken_for_this_version_is_refused(publisher, factories):
    factories.api("Tides", version="1.0")
    publisher.get("/publisher/apis/new").submit("Save", HAND_MADE, expect=422)
    assert publisher.soup.select_one("#name-error") is not None
    assert publisher.soup.select_one("#context-error") is not None
    publisher.submit("Save", {"version": "2.0"})
    assert db.session.query(Api).count() == 2


def test_the_back_end_can_be_changed_and_the_name_can_not(publisher, paula, factories):
    api = factories.api("Tides", provider=paula)
    publisher.get(f"/publisher/apis/{api.api_uuid}/edit").submit(
        "Save", {"name": "Other", "endpoint_url": "https://new.example.com", "description": "Ebb."}
    )
    db.session.refresh(api)
    assert (api.api_name, api.endpoint_url, api.description) == (
        "Tides",
        "https://new.example.com",
        "Ebb.",
    )
    publisher.get(f"/publisher/apis/{api.api_uuid}/edit")
    publisher.submit("Save", {"endpoint_url": "http://192.168.1.1"}, expect=422)
    assert "private network" in publisher.text


def test_an_api_lives_from_created_to_retired(publisher, paula, factories):
    free = factories.policy("Free")
    api = factories.api("Tides", provider=paula, status="CREATED")
    page = f"/publisher/apis/{api.api_uuid}"
    publisher.get(page)
    assert "Attach a plan first" in publisher.text
    publisher.post(f"{page}/lifecycle", {"step": "publish"})
    assert "Attach at least one plan first" in publisher.text
    publisher.get(f"{page}/plans").submit("Save", {"policies": [free.uuid]})
    assert "The plans are saved." in publisher.text
    for button, words in (
        ("Publish", "is published"),
        ("Deprecate", "is deprecated"),
        ("Publish", "is published"),
        ("Deprecate", "is deprecated"),
        ("Retire", "is retired"),
    ):
        publisher.get(page).submit(button)
        assert words in publisher.text
    publisher.post(f"{page}/lifecycle", {"step": "publish"})
    assert "cannot be changed this way" in publisher.text
    publisher.post(f"{page}/lifecycle", {"step": "nonsense"})
    db.session.refresh(api)
    assert api.status == "RETIRED"


def test_pressing_publish_twice_does_no_harm(publisher, paula, factories):
    api = factories.api("Tides", factories.policy(), provider=paula)
    publisher.get(f"/publisher/apis/{api.api_uuid}")
    publisher.post(f"/publisher/apis/{api.api_uuid}/lifecycle", {"step": "publish"})
    assert "Tides is published." in publisher.text


def test_an_api_with_paid_subscriptions_is_not_retired(publisher, paula, factories):
    plan = factories.fixed_policy()
    api = factories.api("Tides", plan, provider=paula, status="DEPRECATED")
    factories.subscription(api=api, policy=plan, billing="PAID")
    publisher.get(f"/publisher/apis/{api.api_uuid}").submit("Retire")
    assert "1 paid subscription is still running" in publisher.text
    db.session.refresh(api)
    assert api.status == "DEPRECATED"


def test_plans_are_attached_and_taken_off(publisher, paula, factories):
    free, bronze = factories.policy("Free"), factories.fixed_policy(name="Bronze")
    api = factories.api("Tides", free, provider=paula)
    page = f"/publisher/apis/{api.api_uuid}/plans"
    publisher.get(page)
    assert [box["value"] for box in publisher.soup.select("input[checked]")] == [free.uuid]
    publisher.submit("Save", {"policies": [free.uuid, bronze.uuid]})
    assert "Bronze cannot be bought yet" in publisher.text
    publisher.submit("Save", {"policies": [bronze.uuid]})
    db.session.refresh(api)
    assert [policy.name for policy in api.policies] == ["Bronze"]


def test_a_published_api_keeps_at_least_one_plan(publisher, paula, factories):
    api = factories.api("Tides", factories.policy(), provider=paula)
    publisher.get(f"/publisher/apis/{api.api_uuid}/plans")
    publisher.submit("Save", {"policies": []}, expect=422)
    assert "needs at least one plan" in publisher.text


def test_another_tenants_plan_cannot_be_attached(publisher, paula, factories):
    theirs = factories.policy("Theirs", tenant=factories.tenant("acme.example"))
    api = factories.api("Tides", factories.policy(), provider=paula)
    publisher.get(f"/publisher/apis/{api.api_uuid}/plans")
    assert "Theirs" not in publisher.text
    publisher.submit("Save", {"policies": [theirs.uuid]}, expect=422)
    assert "does not exist any more" in publisher.text


PAGES = ("", "/edit", "/plans", "/monetization", "/subscriptions")


def test_an_api_of_another_publisher_or_tenant_is_not_found(publisher, factories):
    acme = factories.tenant("acme.example")
    foreign = [
        factories.api("Others"),
        factories.api("Theirs", provider=factories.user("pat", "publisher", tenant=acme)),
    ]
    for api in foreign:
        for page in PAGES:
            publisher.get(f"/publisher/apis/{api.api_uuid}{page}", expect=404)
        for page in (*PAGES[1:4], "/lifecycle"):
            publisher.post(f"/publisher/apis/{api.api_uuid}{page}", HAND_MADE, expect=404)
    assert "Others" not in publisher.get("/publisher/").text


def test_an_administrator_sees_the_apis_of_all_publishers(factories, browser):
    api = factories.api("Others")
    factories.user("admin", "admin")
    browser.sign_in("admin").get("/publisher/")
    assert "Others" in browser.text
    browser.get(f"/publisher/apis/{api.api_uuid}")


def test_developers_do_not_enter_the_publisher_portal(factories, browser):
    factories.user("dev", "subscriber")
    browser.sign_in("dev")
    for page in ("", "apis/new", "apis/import", "plans"):
        browser.get(f"/publisher/{page}", expect=403)


def test_the_list_asks_no_more_for_fifty_apis_than_for_five(publisher, paula, factories):
    plan = factories.fixed_policy(name="Bronze")
    for number in range(5):
        factories.api(f"Api-{number}", plan, provider=paula)
    few = statements.count(lambda: publisher.get("/publisher/"))
    for number in range(5, 50):
        factories.api(f"Api-{number}", plan, provider=paula)
    assert statements.count(lambda: publisher.get("/publisher/")) == few


@pytest.mark.all_databases
def test_two_who_take_the_same_context_at_the_same_moment_get_a_sentence(
    paula, factories, monkeypatch
):
    factories.api("Tides", version="1.0")
    monkeypatch.setattr(apis, "_taken", lambda *_: {})
    draft = apis.ApiDraft(**HAND_MADE)
    with pytest.raises(Invalid, match="Somebody just took"), unit_of_work():
        apis.create(paula, draft, ())
    assert db.session.query(Api).count() == 1


@pytest.mark.all_databases
def test_a_long_document_is_kept_on_every_database(paula, factories):
    text = json.dumps({**DOCUMENT, "x-notes": "ä" * 200_000}, ensure_ascii=False)
    draft = replace(apis.ApiDraft(**HAND_MADE), definition=text, description="€" * 16_000)
    with unit_of_work():
        uuid = apis.create(paula, draft, ()).api_uuid
    db.session.expire_all()
    kept = db.session.query(Api).filter_by(api_uuid=uuid).one()
    assert (kept.definition, len(kept.description)) == (text, 16_000)
