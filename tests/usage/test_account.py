"""Admin > Usage: counted, sent, acknowledged and at Stripe, for each subscription."""

import pytest

from portal.extensions import db
from portal.models import BatchState, UsageBatch
from tests.support import statements
from tests.support.browser import Browser

PAGE = "/admin/usage/subscriptions"


@pytest.fixture
def admin(app, factories, engine):
    factories.user("root", "admin")
    app.extensions["portal_engines"]._factory = lambda _settings: engine
    return Browser(app).sign_in("root")


def look(admin, path=PAGE):
    # Requests share the test's session, which may still see what was there before.
    db.session.rollback()
    return admin.get(path)


def row_of(admin):
    (row,) = admin.soup.select("table tbody tr")
    return " ".join(row.get_text(" ", strip=True).split())


@pytest.mark.all_databases
def test_each_step_from_counted_to_stripe_is_shown_and_a_difference_stands_out(
    admin, metered, engine, publish
):
    metered.call(25)
    look(admin)
    assert "25 0 0 0 –" in row_of(admin)
    publish()
    metered.call(2)
    look(admin)
    assert "27 25 25 25 –" in row_of(admin)
    look(admin, f"{PAGE}?compare=1")
    assert "25, the same" in row_of(admin)
    engine.ledger.clear()
    look(admin, f"{PAGE}?compare=1")
    assert "0 of 25 acknowledged here" in row_of(admin)


def test_the_receipts_of_a_subscription_are_shown(app, admin, metered, publish, factories):
    metered.call(25)
    publish()
    admin.get(f"{PAGE}/{metered.uuid}")
    assert "25 ACKNOWLEDGED" in row_of(admin)
    assert "req_1" in row_of(admin)
    other = factories.user("chief", "admin", tenant=factories.tenant("other.example"))
    Browser(app).sign_in(other.qualified_name).get(f"{PAGE}/{metered.uuid}", expect=404)


def test_only_what_was_refused_is_sent_again(admin, make_metered, engine, publish):
    rows = [make_metered(account=f"acct_{number}") for number in range(3)]
    for row in rows:
        row.call(2)
    engine.faults = ["refuse", "refuse"]
    publish()
    admin.get("/admin/usage").submit("Send all refused again")
    assert "The next run sends 2 refused batches again." in admin.text
    publish()
    assert [row.total for row in rows] == [2, 2, 2]
    db.session.rollback()
    assert {batch.state for batch in db.session.query(UsageBatch)} == {BatchState.ACKNOWLEDGED}


def test_the_page_asks_as_often_for_five_as_for_fifteen(admin, make_metered, publish):
    def grow(count):
        for number in range(count):
            made = make_metered(account=f"acct_{count}{number}")
            made.call(1)
            db.session.rollback()
        publish()

    grow(3)
    few = statements.count(lambda: look(admin))
    grow(8)
    assert statements.count(lambda: look(admin)) == few
