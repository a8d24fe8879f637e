"""Admin > Audit log: who changed what, from where, with which program, before and after."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
import time_machine

from portal import clock
from portal.extensions import db
from portal.models import AuditEntry, Subscription, Tenant, User
from portal.services import audit
from portal.web.unit_of_work import in_unit_of_work
from tests.support.browser import Browser
from tests.support.rest import Rest
from tests.support.statements import count

PAGE = "/admin/audit"
KEY = "sk_test_memory_entered_5678"
#: Columns that are named after a secret and hold none.
PUBLIC = ("choreo_token_endpoint",)
HOOK = "whsec_entered_by_hand_0001"


@pytest.fixture
def admin(browser, factories):
    factories.user("ada", "admin")
    return browser.sign_in("ada")


def configure(admin, **entered):
    admin.get("/admin/configuration")
    return admin.submit("Save", {"grace_days": "3", "reminder_days": "1", **entered})


def last():
    db.session.expire_all()
    return db.session.scalars(sa.select(AuditEntry).order_by(AuditEntry.audit_id.desc())).first()


def test_a_change_is_told_before_and_after_and_secrets_are_not(admin):
    configure(admin, platform_key=KEY, webhook_secret=HOOK)
    admin.get(PAGE)
    assert "Changed the advanced configuration Configuration carbon.super" in admin.text
    assert "grace_days 0 → 3" in admin.text
    assert "platform_key_sealed a secret → a new secret" in admin.text
    entry = last()
    assert (entry.actor, entry.address, entry.via) == ("ada", "127.0.0.1", "page")
    for text in (str(entry.changes), admin.response.get_data(as_text=True)):
        assert KEY not in text
        assert HOOK not in text
        assert KEY[-4:] not in text


def test_no_column_that_holds_a_secret_is_ever_told():
    known = {"sealed", "hash", "secret", "password", "token"}
    for mapper in db.Model.registry.mappers:
        for column in mapper.columns:
            named = known & set(column.key.split("_")) and column.key not in PUBLIC
            if named and isinstance(column.type, sa.String):
                assert audit.is_secret(column.key) or mapper.class_ in audit.UNTOLD, column


def test_an_act_that_fails_leaves_nothing(admin):
    admin.get("/admin/configuration")
    admin.submit("Save", {"grace_days": "many"}, expect=422)
    assert last() is None


def test_the_entry_and_the_change_are_one_transaction(app, admin, monkeypatch):
    def fails(*_arguments):
        raise RuntimeError

    monkeypatch.setattr(audit, "entry", fails)
    admin.get("/admin/configuration")
    admin.submit("Save", {"grace_days": "3", "reminder_days": "1"}, expect=500)
    db.session.expire_all()
    assert db.session.query(Tenant).one().grace_days == 0


def test_an_act_that_changes_nothing_of_ours_is_noted_too(admin):
    admin.get("/admin/")
    admin.post("/admin/test-key")
    assert last().act == "admin.test_key"


def test_roles_are_told_as_they_were_and_are(admin, factories):
    dana = factories.user("dana", "publisher", "gold")
    admin.get(f"/admin/people/{dana.uuid}")
    admin.submit("Save", {"roles": ["subscriber"]})
    [change] = last().changes
    assert (change["row"], change["name"]) == ("User", "dana")
    assert change["fields"]["role_rows"] == ["publisher", "subscriber"]


def test_a_program_is_named(app, factories):
    ada = factories.user("ada", "admin")
    rest = Rest(app, ada, "admin/v4")
    body = {"policyName": "Silver", "billingPlan": "FREE"}
    body["defaultLimit"] = {
        "type": "REQUESTCOUNTLIMIT",
        "requestCount": {"requestCount": 10, "timeUnit": "min", "unitTime": 1},
    }
    assert rest.post("/throttling/policies/subscription", body).status_code == 201
    entry = last()
    assert (entry.act, entry.via, entry.target) == ("api.create_policy", "tests", "Policy Silver")


@pytest.mark.all_databases
def test_a_change_by_statement_is_told_before_and_after(app, factories):
    """Facts of a subscription change by UPDATE … WHERE, not through the row."""
    row = factories.subscription()
    other = factories.subscription()
    change = sa.update(Subscription).where(Subscription.subscription_id == row.subscription_id)
    [told] = audit.told_by_statement(
        db.session(), change.values(publisher_block="ALL"), Subscription
    )
    assert told["name"] == row.uuid
    assert told["name"] != other.uuid
    assert told["fields"] == {"publisher_block": ["NONE", "ALL"]}


def test_a_block_is_told_with_the_subscription(browser, factories):
    paula = factories.user("paula", "publisher")
    plan = factories.policy()
    row = factories.subscription(api=factories.api("Weather", plan, provider=paula), policy=plan)
    browser.sign_in("paula").get(f"/publisher/subscriptions/{row.uuid}")
    browser.post(f"/publisher/subscriptions/{row.uuid}/block", {"move": "BLOCK_ALL"})
    entry = last()
    assert (entry.act, entry.actor) == ("publisher.block", "paula")
    assert entry.target == f"Subscription {row.uuid}"
    [change] = [c for c in entry.changes if "publisher_block" in c["fields"]]
    assert change["fields"]["publisher_block"][0] == "NONE"


def test_the_address_narrows_the_list_and_other_tenants_are_not_there(app, admin, factories):
    far = factories.user("zoe", "admin", tenant=factories.tenant("other.example"))
    configure(admin)
    configure(Browser(app).sign_in("zoe@other.example"), grace_days="7")
    admin.get(PAGE)
    assert "zoe" not in admin.text
    assert far.uuid not in admin.response.get_data(as_text=True)
    for query, found in (
        ({"who": "ada", "act": "admin.configuration"}, True),
        ({"act": "admin.person"}, False),
        ({"who": "zoe@other.example"}, False),
        ({"since": "2020-01-01", "until": "2020-01-02"}, False),
        ({"since": "no day"}, True),
    ):
        admin.get(PAGE, query_string=query)
        assert ("grace_days" in admin.text) is found, query


def test_many_entries_cost_as_many_questions_as_few_and_come_in_pages(admin):
    configure(admin)
    few = count(lambda: admin.get(PAGE))

    def fill():
        row = db.session.query(AuditEntry).one()
        kept = {c.key: getattr(row, c.key) for c in sa.inspect(AuditEntry).columns}
        del kept["audit_id"]
        db.session.add_all([AuditEntry(**kept) for _ in range(60)])

    in_unit_of_work(fill)
    assert count(lambda: admin.get(PAGE)) == few
    assert "1 to 50 of 61 acts" in admin.text
    admin.get(PAGE, query_string={"page": 2, "who": "ada"})
    assert "51 to 61 of 61 acts" in admin.text


def test_entries_stay_when_their_author_goes(admin, factories):
    configure(admin)
    with time_machine.travel(clock.now() + timedelta(days=400), tick=False):
        db.session.query(User).filter_by(username="ada").one().disabled = True
        db.session.commit()
    assert last().actor == "ada"
