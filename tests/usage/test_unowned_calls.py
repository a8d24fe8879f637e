"""Calls that a source knows of and that belong to no subscription: said once for each reading."""

import pytest

from portal import clock
from portal.extensions import db
from portal.flows import gathering
from portal.models import UsageSource
from tests.support.browser import Browser
from tests.usage.conftest import NOW
from tests.usage.sources import HOUR, Choreo, Elastic, ids, tenant_id

STRANGER = "00000000-0000-0000-0000-000000000000"


def read():
    gathering.gather(tenant_id(), clock.now())
    db.session.rollback()
    return db.session.query(UsageSource).one().nobody


@pytest.mark.parametrize("kind", [Elastic, Choreo])
def test_they_are_added_up_over_all_windows_of_a_reading_and_anew_for_the_next(
    app, factories, httpserver, metered, travel, kind
):
    travel.move_to(NOW - 3 * HOUR)
    source = kind(httpserver, factories.tenant())
    api, _ = ids(metered)
    for hours, calls in ((-2, 6), (30, 4), (50, 3)):
        source.fake.add(api, STRANGER, NOW + hours * HOUR, calls)
    travel.move_to(NOW + 60 * HOUR)
    assert read() == 13

    db.session.rollback()
    factories.user("root", "admin")
    page = Browser(app).sign_in("root").get("/admin/usage/source")
    assert "13 calls of the last reading belong to no subscription here." in page.text

    assert read() <= 13, "what was read before is read again for some days, and not added"
    travel.move_to(NOW + 140 * HOUR)
    read()
    assert read() == 0
