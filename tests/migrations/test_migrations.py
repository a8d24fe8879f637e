"""Migrations build an empty database, agree with the tables, and can be taken back."""

import flask_migrate
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from portal import create_app
from portal.extensions import db


@pytest.fixture
def empty_app(settings, database_url):
    """A portal on a database without any table."""
    app = create_app(settings)
    with app.app_context():
        db.drop_all()
        with db.engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE IF EXISTS alembic_version")
        yield app
        db.session.remove()
        with db.engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE IF EXISTS alembic_version")
        db.create_all()
        db.engine.dispose()


@pytest.mark.all_databases
def test_upgrade_check_and_downgrade(empty_app):
    flask_migrate.upgrade()
    flask_migrate.check()
    tables = set(sa.inspect(db.engine).get_table_names())
    assert {table.name for table in db.metadata.sorted_tables} <= tables

    flask_migrate.downgrade(revision="base")

    assert set(sa.inspect(db.engine).get_table_names()) == {"alembic_version"}


@pytest.mark.all_databases
def test_the_sql_can_be_printed_instead(empty_app, capsys):
    dialect = make_url(str(db.engine.url)).get_backend_name()
    if dialect == "sqlite":
        # It changes a table by copying it, for which the table must be there to look at.
        with pytest.raises(SystemExit):
            flask_migrate.upgrade(sql=True)
        return

    flask_migrate.upgrade(sql=True)

    printed = capsys.readouterr().out
    assert "CREATE TABLE am_subscription" in printed
    assert ("SERIAL" in printed) == (dialect == "postgresql")


def test_the_seeds_five_tables_carry_its_columns(app):
    columns = {table.name: set(table.columns.keys()) for table in db.metadata.sorted_tables}
    assert {"api_id", "tier_name", "stripe_product_id", "stripe_plan_id"} <= columns[
        "am_monetization"
    ]
    assert {"policy_uuid", "product_id", "plan_id"} <= columns["am_policy_plan_mapping"]
    assert {"id", "application_id", "api_provider", "tenant_id", "shared_customer_id"} <= columns[
        "am_monetization_shared_customers"
    ]
    assert {
        "id",
        "subscribed_application_id",
        "subscribed_api_id",
        "tenant_id",
        "subscription_id",
        "shared_customer_id",
    } <= columns["am_monetization_subscriptions"]
    assert {
        "session_id",
        "workflow_reference",
        "subscriber_id",
        "tenant_id",
        "api_uuid",
        "checkout_url",
        "status",
        "created_at",
        "updated_at",
    } <= columns["am_stripe_checkout_sessions"]
