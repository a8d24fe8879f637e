"""Where a source's calls are told apart: wherever the ledger tells them apart."""

from datetime import timedelta

import pytest

from portal import clock
from portal.extensions import db
from portal.flows import publishing
from portal.models import Subscription
from portal.models.subscription import UNKNOWN
from portal.services import plan_moves, usage
from tests.usage.conftest import MONTH, NOW
from tests.usage.sources import HOUR, Choreo, Elastic


@pytest.mark.parametrize("kind", [Elastic, Choreo])
def test_a_plan_that_begins_within_an_hour_stops_nobodys_billing(
    kind, app, factories, httpserver, make_metered, publish, engine, travel
):
    travel.move_to(MONTH[0])
    metered, other = make_metered(), make_metered(account="acct_2")
    travel.move_to(NOW - 3 * HOUR)
    source = kind(httpserver, factories.tenant())
    begun = NOW - timedelta(minutes=90)
    # As an event from the engine does it, nine seconds after the page was paid.
    travel.move_to(begun + timedelta(seconds=9))
    row = db.session.get_one(Subscription, metered.id)
    row.period_start, row.period_end = begun, begun + timedelta(days=31)
    row.plan_since, row.billed_from = clock.epoch(begun) + 3, UNKNOWN
    plan_moves.begin_billing(row)
    db.session.commit()
    for second in range(0, 60, 2):
        source.add(metered, begun + timedelta(seconds=second))
    source.add(other, NOW - HOUR, 9)
    travel.move_to(NOW)
    run = publish()
    assert (run.status, other.total) == ("SUCCESSFUL", 9)
    found = usage.summary(metered.id, None, None)
    assert found.total == 30
    assert sum(each.calls for each in found.not_counted) == 5
    publishing.flush(engine, other.id)
