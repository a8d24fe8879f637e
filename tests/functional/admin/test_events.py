"""The events page: what Stripe sent, and what each changed."""

import json

import pytest

from portal.models import InboxEvent
from tests.support import statements


@pytest.fixture
def event(factories):
    def store(event_id, kind="invoice.payment_succeeded", outcome="applied", **more):
        tenant = more.pop("tenant", None) or factories.tenant()
        body = {"id": event_id, "type": kind, "data": {"object": {"name": "<b>Größe</b>"}}}
        return factories.save(
            InboxEvent(
                tenant_id=tenant.tenant_id,
                event_id=event_id,
                type=kind,
                account="acct_northwind",
                livemode=False,
                created=1_780_000_000,
                payload_zlib=InboxEvent.pack(json.dumps(body).encode()),
                outcome=outcome,
                **more,
            )
        )

    return store


@pytest.fixture
def admin(factories, browser):
    factories.user("admin", "admin")
    return browser.sign_in("admin")


def listed(page):
    return [row.th.small.get_text() for row in page.soup.select("table tbody tr")]


def test_without_events_the_page_leads_to_the_set_up(admin):
    admin.get("/admin/events")
    assert "No events yet" in admin.text
    assert admin.link("Set-up").endswith("/admin/")


def test_events_stand_newest_first_with_what_they_changed(admin, event):
    event("evt_1", status_before="ON_HOLD", status_after="UNBLOCKED", detail="Paid.")
    event("evt_2", outcome="stale", deliveries=3)
    admin.get("/admin/events")
    assert listed(admin) == ["evt_2", "evt_1"]
    assert "ON_HOLD → UNBLOCKED" in admin.text
    assert "delivered 3 times" in admin.text


def test_the_address_narrows_the_list(admin, event):
    event("evt_1", outcome="applied")
    event("evt_2", "checkout.session.expired", "ignored")
    event("evt_3", "checkout.session.expired", "applied")
    assert listed(admin.get("/admin/events?type=checkout.session.expired")) == ["evt_3", "evt_2"]
    assert listed(admin.get("/admin/events?outcome=applied")) == ["evt_3", "evt_1"]
    admin.get("/admin/events?outcome=applied&type=checkout.session.expired")
    assert listed(admin) == ["evt_3"]
    assert admin.soup.select_one("#outcome option[selected]").get_text() == "applied"
    admin.get("/admin/events?outcome=%00nonsense&type='; drop")
    assert "No such events" in admin.text


def test_an_event_is_shown_with_its_body_and_its_subscription(admin, event, factories):
    subscription = factories.subscription()
    event("evt_1", am_subscription_id=subscription.subscription_id, detail="Paid.")
    admin.get("/admin/events").get(admin.link("invoice.payment_succeeded"))
    assert json.loads(admin.soup.select_one("#event-body").get_text())["id"] == "evt_1"
    assert "<b>Größe</b>" in admin.text
    assert f"/publisher/subscriptions/{subscription.uuid}" in admin.response.get_data(as_text=True)


def test_another_tenants_event_is_not_found(admin, event, factories):
    event("evt_1", tenant=factories.tenant("acme.example"))
    admin.get("/admin/events/evt_1", expect=404)
    assert "evt_1" not in admin.get("/admin/events").text


def test_refused_deliveries_are_said(admin, factories):
    tenant = factories.tenant()
    tenant.refused_events = 4
    factories.save(tenant)
    assert "4 deliveries with a wrong signature" in admin.get("/admin/events").text


def test_long_lists_are_turned_and_keep_the_filter(admin, event):
    for number in range(105):
        event(f"evt_{number}", outcome="ignored")
    names = [f"evt_{number}" for number in range(104, -1, -1)]
    first = statements.count(lambda: admin.get("/admin/events?outcome=ignored"))
    assert listed(admin) == names[:50]
    assert "The newest events" in admin.text
    assert "outcome=ignored" in admin.link("Older")
    assert not admin.soup.select("a[rel=prev]")

    assert statements.count(lambda: admin.get(admin.link("Older"))) == first
    assert listed(admin) == names[50:100]
    admin.get(admin.link("Older"))
    assert listed(admin) == names[100:]
    assert not admin.soup.select("a[rel=next]")

    admin.get(admin.link("Newer"))
    assert listed(admin) == names[50:100]
    assert "outcome=ignored" in admin.link("Newer")
    admin.get(admin.link("Newer"))
    assert listed(admin) == names[:50]


def test_a_page_is_as_it_was_though_newer_events_came(admin, event):
    for number in range(60):
        event(f"evt_{number}")
    older = admin.get("/admin/events").link("Older")
    before = listed(admin.get(older))
    event("evt_60")
    assert listed(admin.get(older)) == before
    assert listed(admin.get(admin.link("Newer"))) == [f"evt_{n}" for n in range(59, 9, -1)]


@pytest.mark.all_databases
@pytest.mark.parametrize(
    "place",
    ["before=nonsense", "before=-1", "before=1", f"after={2**63 - 1}", f"after={2**63}", "after=1"],
)
def test_a_place_that_leads_nowhere_shows_the_newest(admin, event, place):
    event("evt_1")
    assert listed(admin.get(f"/admin/events?{place}")) == ["evt_1"]
    assert "The newest events" in admin.text


def test_a_type_that_is_asked_for_stands_among_the_choices(admin, event):
    event("evt_1", "tax.updated", "ignored")
    assert listed(admin.get("/admin/events?type=tax.updated")) == ["evt_1"]
    assert admin.soup.select_one("#type option[selected]").get_text() == "tax.updated"
