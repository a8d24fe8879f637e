"""Rows of which some are there: which ones, by keys of one column and of two."""

import pytest
import sqlalchemy as sa

from portal import clock
from portal.extensions import db
from portal.models import UsageEvent
from portal.services.inserting import insert_missing


@pytest.fixture
def row_of(factories):
    subscription = factories.subscription()

    def make(source, event_id):
        return {
            "source": source,
            "event_id": event_id,
            "tenant_id": subscription.tenant_id,
            "subscription_id": subscription.subscription_id,
            "key_type": "PRODUCTION",
            "method": "GET",
            "resource": "/",
            "status": 200,
            "at": clock.now(),
            "counted": True,
            "received_at": clock.now(),
        }

    return make


@pytest.mark.all_databases
def test_a_key_of_two_columns_is_taken_only_where_both_are(row_of):
    table, both = UsageEvent.__table__, ("source", "event_id")
    first = [row_of("a", "1"), row_of("b", "2")]
    assert insert_missing(db.session.connection(), table, first, key=both) == set()
    more = [row_of("a", "2"), row_of("b", "2"), row_of("b", "1")]
    assert insert_missing(db.session.connection(), table, more, key=both) == {("b", "2")}
    assert db.session.scalar(sa.select(sa.func.count()).select_from(UsageEvent)) == 4


@pytest.mark.all_databases
def test_a_key_of_one_column_has_its_values(row_of):
    table = UsageEvent.__table__
    insert_missing(db.session.connection(), table, [row_of("a", "1")])
    some = [row_of("a", "1"), row_of("a", "2")]
    assert insert_missing(db.session.connection(), table, some, key="event_id") == {"1"}
