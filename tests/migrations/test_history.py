"""What is in a database of before survives the migrations that change its shape."""

from datetime import datetime

import flask_migrate
import pytest
import sqlalchemy as sa

from portal.extensions import db
from portal.models import Subscription, TimelineEntry
from tests.migrations.test_migrations import empty_app  # noqa: F401 - a fixture

#: What stands in a column that may not be empty and that the test says nothing about.
FILL = {int: 1, str: "1", bool: False, datetime: datetime(2026, 11, 1, 12, 0)}  # noqa: DTZ001


def insert(connection, tables, name, **values):
    """Store a row of a table as the database has it now."""
    table = tables[name]
    for column in table.columns:
        if not column.nullable and column.name not in values and not column.primary_key:
            values[column.name] = FILL.get(column.type.python_type, {})
    connection.execute(table.insert().values(**values))


@pytest.mark.all_databases
def test_a_history_in_json_becomes_numbered_lines(empty_app):  # noqa: F811
    flask_migrate.upgrade(revision="0005")
    tables = sa.MetaData()
    tables.reflect(db.engine)
    facts = {"billing": "PAID", "publisher_block": "NONE", "approval": "NOT_REQUIRED"}
    with db.engine.begin() as connection:
        rows = tables.tables
        insert(connection, rows, "am_tenant", tenant_id=1)
        insert(connection, rows, "am_user", user_id=1)
        insert(connection, rows, "am_api", api_id=1)
        insert(connection, rows, "am_application", application_id=1)
        insert(connection, rows, "am_policy_subscription", policy_id=1)
        insert(connection, rows, "am_policy_version", policy_version_id=1, policy_id=1)
        insert(
            connection,
            rows,
            "am_subscription",
            subscription_id=7,
            uuid="u-7",
            end_requested_at=FILL[datetime],
            **facts,
        )
        names = rows["am_subscription_timeline"].columns.keys()
        timeline = sa.table(
            "am_subscription_timeline",
            *(sa.column(name, sa.JSON() if name == "facts_after" else None) for name in names),
        )
        for move, billing, ending in (("PAY", "PAID", False), ("ASK_END", "PAID", True)):
            connection.execute(
                timeline.insert().values(
                    subscription_id=7,
                    at=FILL[datetime],
                    move=move,
                    status_after="DELETE_PENDING" if ending else "UNBLOCKED",
                    because="x",
                    actor="dana",
                    facts_after={
                        **facts,
                        "billing": billing,
                        "plan_change_pending": False,
                        "end_requested": ending,
                    },
                )
            )

    flask_migrate.upgrade(revision="0006")

    lines = db.session.query(TimelineEntry).order_by(TimelineEntry.line).all()
    assert [(line.line, line.move, line.end_requested) for line in lines] == [
        (1, "PAY", False),
        (2, "ASK_END", True),
        (3, "STATED", True),
    ]
    assert {line.subscription_uuid for line in lines} == {"u-7"}
    assert lines[2].status_after == "DELETE_PENDING"
    kept = db.session.execute(
        sa.select(Subscription.line, Subscription.end_requested, Subscription.billing)
    ).one()
    assert kept == (3, True, "PAID")
    db.session.remove()

    flask_migrate.downgrade(revision="0005")

    with db.engine.connect() as connection:
        moves = connection.exec_driver_sql(
            "SELECT subscription_id, move FROM am_subscription_timeline ORDER BY entry_id"
        ).all()
    assert [tuple(row) for row in moves] == [(7, "PAY"), (7, "ASK_END"), (7, "STATED")]
    flask_migrate.downgrade(revision="base")
