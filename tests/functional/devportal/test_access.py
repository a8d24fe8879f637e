"""Can I call? Why not, since when, until when: the answer that pages, JSON and gateway share."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from portal.extensions import db
from portal.models import KeyType, QuotaUse, Subscription
from portal.services import access, subscribing, subscriptions
from portal.services.decisions import Refusal
from portal.services.subscriptions import Cause, Move
from portal.web.unit_of_work import unit_of_work

MORNING = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)
ACCOUNT = "acct_publisher1"


def act(uuid, move, at):
    with time_machine.travel(at, tick=False), unit_of_work():
        row = db.session.query(Subscription).filter_by(uuid=uuid).one()
        subscriptions.make(row, move, Cause(because="for a test", actor="test"))


def answer(uuid, key_type=KeyType.PRODUCTION, at=None):
    db.session.rollback()
    row = db.session.query(Subscription).filter_by(uuid=uuid).one()
    with time_machine.travel(at or MORNING + timedelta(days=1), tick=False):
        return access.explain(row, key_type)


@pytest.fixture
def bought(factories, engine):
    """A subscription that was begun at nine and paid a minute later."""
    policy = factories.fixed_policy()
    api = factories.api(None, policy)
    factories.offer(api, policy, engine, ACCOUNT)
    owner = factories.user("dana", "subscriber")
    application = factories.application(owner=owner)
    with time_machine.travel(MORNING, tick=False), unit_of_work():
        return subscribing.subscribe(owner, application, api, policy).uuid


def test_what_waits_for_payment_says_since_when_and_until_when(bought):
    found = answer(bought)

    assert (found.allowed, found.slug, found.code) == (False, "payment-pending", 900909)
    assert found.since == MORNING
    assert found.until == MORNING + timedelta(hours=24)
    assert found.link == f"/devportal/subscriptions/{bought}"
    assert "Complete Payment" in found.remedy


def test_what_works_says_since_when_and_what_is_left(bought):
    act(bought, Move.PAY, MORNING + timedelta(minutes=1))

    found = answer(bought)

    assert found.allowed
    assert found.http_status == 200
    assert found.remedy == ""
    assert found.since == MORNING + timedelta(minutes=1)
    assert found.until is None
    assert [state.remaining for state in found.quota] == [1000]


def test_a_block_is_dated_from_the_block_not_from_what_came_after_it(bought):
    act(bought, Move.PAY, MORNING + timedelta(minutes=1))
    act(bought, Move.BLOCK_ALL, MORNING + timedelta(minutes=2))
    act(bought, Move.FALL_BEHIND, MORNING + timedelta(minutes=3))

    found = answer(bought)

    assert found.refusal is Refusal.BLOCKED_BY_PUBLISHER
    assert found.since == MORNING + timedelta(minutes=2)
    assert found.also == (Refusal.PAYMENT_OVERDUE,)

    act(bought, Move.UNBLOCK, MORNING + timedelta(minutes=4))

    found = answer(bought)
    assert found.refusal is Refusal.PAYMENT_OVERDUE
    assert found.since == MORNING + timedelta(minutes=3)
    assert found.also == ()


def test_a_production_block_has_two_answers(bought):
    act(bought, Move.PAY, MORNING + timedelta(minutes=1))
    act(bought, Move.BLOCK_PRODUCTION, MORNING + timedelta(minutes=2))

    assert answer(bought).refusal is Refusal.PRODUCTION_BLOCKED
    with_sandbox_key = answer(bought, KeyType.SANDBOX)
    assert with_sandbox_key.allowed
    assert with_sandbox_key.since == MORNING + timedelta(minutes=1)


def test_a_quota_that_is_used_up_says_when_it_starts_anew(bought):
    act(bought, Move.PAY, MORNING)
    row = db.session.query(Subscription).filter_by(uuid=bought).one()
    number, start = row.subscription_id, int(MORNING.timestamp())
    with unit_of_work():
        db.session.add(
            QuotaUse(subscription_id=number, kind="quota", used=1000, window_start=start)
        )

    found = answer(bought, at=MORNING + timedelta(seconds=20))

    assert (found.slug, found.http_status) == ("quota-reached", 429)
    assert found.until == MORNING + timedelta(minutes=1)
    assert answer(bought, at=MORNING + timedelta(minutes=1)).allowed


def test_a_retired_api_and_one_without_a_subscription_have_answers_of_their_own(bought):
    row = db.session.query(Subscription).filter_by(uuid=bought).one()
    api_uuid = row.api.api_uuid
    with unit_of_work():
        row.api.status = "RETIRED"

    assert answer(bought).slug == "api-retired"
    nobody = access.without_subscription(api_uuid)
    assert (nobody.slug, nobody.link) == ("no-subscription", f"/devportal/apis/{api_uuid}")


def test_the_links_are_pages_of_the_portal(bought, browser):
    row = db.session.query(Subscription).filter_by(uuid=bought).one()
    browser.sign_in("dana")

    browser.get(answer(bought).link)
    browser.get(access.page_of(api_uuid=row.api.api_uuid))
