"""Names that are markup stand on every list as the text that they are."""

import pytest

from portal.models import InboxEvent
from tests.support.browser import Browser

HOSTILE = """"><img src=x onerror=alert(1)><script>alert('1')</script>%(uuid)s {{ 7 * 7 }} 100%"""
#: No address has a slash in one of its parts.
EVENT = "evt_" + HOSTILE.replace("/", "")
LISTS = {
    "/devportal/": "dana",
    "/devportal/applications": "dana",
    "/devportal/applications/{application}/subscriptions": "dana",
    "/publisher/": "pat",
    "/publisher/apis/{api}/subscriptions": "pat",
    "/publisher/plans": "pat",
    "/admin/approvals": "admin",
    "/admin/events": "admin",
    "/admin/plans": "admin",
    "/admin/people": "admin",
    "/admin/usage/subscriptions": "admin",
}


@pytest.fixture
def names(factories) -> dict[str, str]:
    """Rows of every list, whose names are markup wherever somebody may choose them."""
    roles = {"pat": "publisher", "dana": "subscriber", "admin": "admin"}
    people = {name: factories.user(name, role) for name, role in roles.items()}
    for person in people.values():
        person.display_name = HOSTILE
        factories.save(person)
    plan = factories.fixed_policy(name="Gold")
    plan.display_name = plan.description = HOSTILE
    factories.save(plan)
    api = factories.api(
        HOSTILE, plan, provider=people["pat"], description=HOSTILE, version="1<b>2</b>"
    )
    api.context = "hostile"
    factories.save(api)
    application = factories.application(HOSTILE, owner=people["dana"])
    for approval in ("PENDING", "APPROVED"):
        row = factories.subscription(
            api=factories.api(f"{approval} {HOSTILE}", plan, provider=people["pat"])
            if approval == "PENDING"
            else api,
            application=application, policy=plan, billing="PAID", approval=approval,
        )  # fmt: skip
    factories.save(
        InboxEvent(
            tenant_id=api.tenant_id, event_id=EVENT, type=HOSTILE[:100], detail=HOSTILE,
            livemode=False, created=1_780_000_000, outcome="<b>dead</b>", status_before="<b>A</b>",
            status_after="<b>B</b>", payload_zlib=InboxEvent.pack(b"{}"),
            am_subscription_id=row.subscription_id,
        )
    )  # fmt: skip
    return {"application": application.uuid, "api": api.api_uuid}


def test_no_list_lets_a_name_through_as_markup(app, names: dict[str, str]) -> None:
    browsers = {name: Browser(app).sign_in(name) for name in ("dana", "pat", "admin")}
    for path, who in LISTS.items():
        page = browsers[who].get(path.format(**names))
        assert page.response is not None
        assert "onerror=alert(1)><script>" in page.soup.get_text(), path
        assert page.soup.select("img, b") == [], path
        assert [each for each in page.soup.select("script") if not each.get("src")] == [], path
        written = page.response.get_data(as_text=True)
        assert "<img" not in written, path
        assert "<script>" not in written, path


def test_an_event_with_a_strange_id_can_still_be_opened(app, names: dict[str, str]) -> None:
    admin = Browser(app).sign_in("admin").get("/admin/events")
    admin.get(admin.link(HOSTILE[:100].strip()))
    assert EVENT in admin.text
