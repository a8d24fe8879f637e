"""The database refuses a fact that no line of the timeline states, whoever writes it."""

import pytest
import sqlalchemy as sa

from portal.extensions import db
from portal.models import Subscription, TimelineEntry
from portal.services import subscriptions
from portal.services.subscriptions import Cause, Move
from portal.web.unit_of_work import in_unit_of_work, unit_of_work

pytestmark = pytest.mark.all_databases
CAUSE = Cause(because="for a test", actor="test")


@pytest.fixture
def paid(factories):
    """A subscription with two lines: subscribed and waiting, then paid."""
    subscription = factories.subscription(billing="PENDING")
    with unit_of_work():
        subscriptions.make(subscription, Move.PAY, CAUSE)
        return subscription.uuid


def run(statement, **values):
    """Run raw SQL in a transaction of its own."""
    with db.engine.begin() as connection:
        connection.execute(sa.text(statement), values)


def read(uuid):
    db.session.rollback()
    return db.session.query(Subscription).filter_by(uuid=uuid).one()


@pytest.mark.parametrize(
    "change",
    [
        "billing = 'OVERDUE'",
        "billing = 'paid'",
        "billing = 'ENDED', ended_at = created_at",
        "publisher_block = 'ALL'",
        "approval = 'PENDING'",
        "plan_change_pending = true",
        "end_requested = true",
        "billing = 'ENDED', line = 3",
        "line = 3",
        "line = 1",
        "line = NULL",
        "uuid = 'another'",
    ],
)
def test_no_fact_changes_by_raw_sql_alone(paid, change):
    with pytest.raises(sa.exc.IntegrityError):
        run(f"UPDATE am_subscription SET {change} WHERE uuid = :uuid", uuid=paid)  # noqa: S608

    found = read(paid)
    assert (found.billing, found.publisher_block, found.line) == ("PAID", "NONE", 2)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE am_subscription_timeline SET billing = 'OVERDUE' WHERE line = 2",
        "UPDATE am_subscription_timeline SET line = 9 WHERE line = 2",
        "DELETE FROM am_subscription_timeline WHERE line = 2",
    ],
)
def test_the_line_that_states_the_facts_stays(paid, change):
    with pytest.raises(sa.exc.IntegrityError):
        run(change)

    assert db.session.query(TimelineEntry).filter_by(line=2, billing="PAID").count() == 1


def test_one_number_has_one_line(paid):
    columns = "at, move, status_after, billing, publisher_block, approval, plan_change_pending,"
    columns += " end_requested, because, actor"
    with pytest.raises(sa.exc.IntegrityError):
        run(
            f"INSERT INTO am_subscription_timeline (subscription_uuid, line, {columns})"  # noqa: S608
            f" SELECT subscription_uuid, 2, {columns} FROM am_subscription_timeline"
            " WHERE line = 1"
        )


def test_no_subscription_begins_without_its_first_line(factories):
    made = factories.subscription()
    row = {
        column.name: getattr(made, column.name)
        for column in Subscription.__table__.columns
        if column.name not in ("subscription_id", "uuid", "live_key")
    }

    with pytest.raises(sa.exc.IntegrityError), unit_of_work():
        db.session.execute(
            sa.insert(Subscription.__table__).values(uuid="unheard-of", live_key=None, **row)
        )


def test_the_orm_is_held_to_it_too(paid):
    with pytest.raises(sa.exc.IntegrityError), unit_of_work():
        read(paid).billing = "OVERDUE"


def test_two_who_move_it_at_once_move_it_one_after_the_other(paid):
    """Both read line 2 and want to write line 3; the second reads again and writes line 4."""
    stale = read(paid)
    with db.engine.begin() as other:
        other.execute(
            sa.text(
                "INSERT INTO am_subscription_timeline (subscription_uuid, line, at, move,"
                " status_after, billing, publisher_block, approval, plan_change_pending,"
                " end_requested, because, actor) SELECT subscription_uuid, 3, at, 'BLOCK_ALL',"
                " 'BLOCKED', billing, 'ALL', approval, plan_change_pending, end_requested,"
                " because, actor FROM am_subscription_timeline WHERE line = 2"
            )
        )
        other.execute(sa.text("UPDATE am_subscription SET line = 3, publisher_block = 'ALL'"))
    assert stale.line == 2
    first = [stale]

    def fall_behind():
        found = first.pop() if first else read(paid)
        subscriptions.make(found, Move.FALL_BEHIND, CAUSE)

    in_unit_of_work(fall_behind)

    found = read(paid)
    assert (found.line, found.billing, found.publisher_block) == (4, "OVERDUE", "ALL")
