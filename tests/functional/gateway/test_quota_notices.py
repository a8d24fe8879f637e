"""A quota's notices are stored before the call that it refuses."""

import pytest

from portal.extensions import db
from portal.models import Notice
from portal.services import quotas
from portal.services.quotas import Kind, Limit

DAY = 86_400


def told():
    db.session.rollback()
    return [row.kind for row in db.session.query(Notice).order_by(Notice.notice_id)]


def call(subscription_id, limit):
    """Count one call as the gateway does; return whether it went through."""
    with db.engine.begin() as connection:
        granted, _ = quotas.take(connection, subscription_id, limit, 1)
    return granted == 1


@pytest.mark.all_databases
def test_eighty_per_cent_and_all_of_a_quota_are_told_once_and_before_it_refuses(app, factories):
    number = factories.subscription().subscription_id
    limit = Limit(kind=Kind.QUOTA, amount=5, start=0, end=DAY)
    seen = [(call(number, limit), told()) for _ in range(7)]

    assert seen[2] == (True, [])
    assert seen[3] == (True, ["QUOTA_80"])
    assert seen[4:] == [(ok, ["QUOTA_80", "QUOTA_100"]) for ok in (True, False, False)]
    assert call(number, Limit(kind=Kind.QUOTA, amount=5, start=DAY, end=2 * DAY))
    notice = db.session.query(Notice).filter_by(kind="QUOTA_80").one()
    assert "4 of 5 calls are used" in notice.body
    assert notice.recipient


def test_a_quota_that_does_not_stop_says_that_calls_are_billed(app, factories):
    number = factories.subscription().subscription_id
    limit = Limit(kind=Kind.QUOTA, amount=2, start=0, end=DAY, stops=False)
    for _ in range(4):
        assert call(number, limit)

    assert told() == ["QUOTA_80", "QUOTA_100"]
    assert "are billed" in db.session.query(Notice).filter_by(kind="QUOTA_100").one().body


def test_bytes_are_told_when_they_are_weighed(app, factories):
    number = factories.subscription().subscription_id
    limit = Limit(kind=Kind.QUOTA, amount=1000, start=0, end=DAY, in_bytes=True)
    with db.engine.begin() as connection:
        quotas.add(connection, number, limit, 900)
        quotas.add(connection, number, limit, 900)

    assert told() == ["QUOTA_80", "QUOTA_100"]


def test_rate_limits_are_not_told_by_letter(app, factories):
    number = factories.subscription().subscription_id
    for limit in (
        Limit(kind=Kind.BURST, amount=2, start=0, end=DAY),
        Limit(kind=Kind.QUOTA, amount=2, start=0, end=60),
    ):
        assert [call(number, limit) for _ in range(3)] == [True, True, False]

    assert told() == []
