"""The page of the publish job."""

import pytest

from portal.models import PublishRun


@pytest.fixture
def admin(factories, browser):
    factories.user("admin", "admin")
    return browser.sign_in("admin")


def test_before_the_first_run_the_page_says_what_to_press(admin):
    admin.get("/admin/usage")
    assert "Not started NOT_STARTED" in admin.text
    assert "Press Publish Usage" in admin.text


def test_pressing_publish_usage_starts_one_run(admin, factories):
    admin.get("/admin/usage").submit("Publish Usage")
    assert "Publishing has started." in admin.text
    run = factories_run()
    assert run.started_by == "admin"
    if run.finished_at is None:
        admin.submit("Publish Usage")
        assert "A job is already running" in admin.text


def factories_run():
    from portal.extensions import db

    db.session.rollback()
    return db.session.query(PublishRun).one()


def test_the_history_shows_how_each_run_ended(admin, factories):
    tenant = factories.tenant()
    for status, error in (("SUCCESSFUL", None), ("FAILED", "The provider does not answer.")):
        factories.save(
            PublishRun(
                tenant_id=tenant.tenant_id,
                started_by="paula",
                status=status,
                until=tenant.created_at,
                finished_at=tenant.created_at,
                calls=12_345,
                error=error,
            )
        )
    admin.get("/admin/usage")
    rows = [row.get_text(" ", strip=True) for row in admin.soup.select("table tbody tr")]
    assert "FAILED The provider does not answer." in rows[0]
    assert "SUCCESSFUL" in rows[1]
    assert "12,345" in rows[1]


def test_another_tenants_runs_are_not_shown(admin, factories):
    acme = factories.tenant("acme.example")
    factories.save(
        PublishRun(tenant_id=acme.tenant_id, started_by="x", status="FAILED", until=acme.created_at)
    )
    assert "FAILED" not in admin.get("/admin/usage").text
