"""Grace after a failed payment: until when calls go on, and what is told before they stop."""

import os
import random
from datetime import timedelta

import pytest

from portal import clock
from portal.extensions import db
from portal.flows import warning
from portal.models import Notice, Tenant
from portal.services import access, arrears, subscriptions
from portal.services.subscriptions import Cause, Move
from portal.web.unit_of_work import unit_of_work
from tests.functional.service.owing import DAY, allowed, fail, kinds, recover, told

pytestmark = pytest.mark.usefixtures("mail_waits")


@pytest.mark.all_databases
def test_without_grace_calls_stop_at_once_and_the_notice_is_there(paid, policy):
    policy(0)
    fail(paid)

    assert (paid.status, kinds()) == ("BLOCKED", ["PAYMENT_FAILED"])
    assert paid.moves[-1] == "FALL_BEHIND"


@pytest.mark.all_databases
def test_the_ladder_of_seven_days(paid, moving):
    began = clock.now()
    fail(paid)
    assert (paid.status, paid.moves[-1]) == ("UNBLOCKED", "GIVE_GRACE")
    assert paid.subscription.access_until == began + 7 * DAY
    seen = []
    while paid.status == "UNBLOCKED":
        warning.sweep()
        seen.append(len(told()))
        moving.shift(3600)

    assert clock.now() - began == 7 * DAY
    assert not allowed(paid)
    assert kinds() == ["PAYMENT_FAILED", "GRACE_ENDING", "GRACE_ENDING"]
    assert [seen.index(count) for count in (2, 3)] == [4 * 24, 6 * 24]
    warning.sweep()
    assert paid.moves[-1] == "RUN_OUT"
    assert kinds()[3:] == ["ACCESS_STOPPED"]
    recover(paid)
    assert (paid.status, kinds()[-1]) == ("UNBLOCKED", "ACCESS_BACK")
    assert paid.subscription.access_until is None


def test_calls_stop_at_the_second_before_any_worker_writes_it_down(paid, moving, policy):
    policy(2, "1")
    fail(paid)
    moving.shift(DAY)
    warning.sweep()
    stops_at = paid.subscription.stops_at
    moving.move_to(stops_at - timedelta(seconds=1))
    assert allowed(paid)
    assert access.explain(paid.subscription).until == stops_at
    moving.shift(1)

    answer = access.explain(paid.subscription)
    assert (answer.slug, answer.since) == ("payment-overdue", stops_at)
    assert paid.status == "BLOCKED"
    assert paid.moves[-1] == "GIVE_GRACE"


def test_a_worker_that_was_away_takes_no_time_from_the_subscriber(paid, moving):
    fail(paid)
    moving.shift(30 * DAY)
    assert allowed(paid)

    warning.sweep()
    assert paid.subscription.access_until == clock.now() + 3 * DAY
    assert allowed(paid)
    moving.shift(2 * DAY)
    warning.sweep()
    moving.shift(DAY)
    assert not allowed(paid)
    assert kinds() == ["PAYMENT_FAILED", "GRACE_ENDING", "GRACE_ENDING"]


def test_a_payment_within_the_grace_ends_it(paid, moving):
    fail(paid)
    moving.shift(DAY)
    recover(paid)
    moving.shift(30 * DAY)
    warning.sweep()

    assert (paid.status, kinds()) == ("UNBLOCKED", ["PAYMENT_FAILED", "ACCESS_BACK"])
    assert "goes on" in db.session.query(Notice).all()[-1].subject


def test_another_failure_within_the_grace_neither_restarts_nor_repeats_it(paid, moving):
    fail(paid)
    until = paid.subscription.access_until
    moving.shift(DAY)
    fail(paid)

    assert paid.subscription.access_until == until
    assert kinds() == ["PAYMENT_FAILED"]


def test_nothing_runs_out_before_every_notice_is_stored(paid, moving):
    fail(paid)
    moving.shift(30 * DAY)
    with pytest.raises(subscriptions.MoveRefused, match="every notice"), unit_of_work():
        subscriptions.make(paid.subscription, Move.RUN_OUT, Cause(because="x", actor="worker"))


def test_the_page_says_until_when_and_has_the_link_to_pay(paid):
    fail(paid)
    until = f"{paid.subscription.access_until:%Y-%m-%d %H:%M} UTC"
    page = paid.browser.get(f"/devportal/subscriptions/{paid.uuid}")

    assert f"Access until {until}" in page.text
    assert page.link("Pay now").startswith("https://pay.example/")


def test_a_notice_can_be_dismissed_and_stays_in_the_list(paid):
    fail(paid)
    subject = db.session.query(Notice.subject).scalar()
    uuid = db.session.query(Notice.uuid).scalar()
    assert subject in paid.browser.get("/devportal/").text
    paid.browser.get("/devportal/notices")
    paid.browser.post(f"/devportal/notices/{uuid}/dismiss", {})

    assert subject not in paid.browser.get("/devportal/").text
    assert subject in paid.browser.get("/devportal/notices").text


# --- a month of random failures ---------------------------------------------------------------

STEP = timedelta(hours=6)
#: How many months are tried; a large number takes minutes.
MONTHS = int(os.environ.get("GRACE_MONTHS", "3"))


@pytest.mark.parametrize("seed", range(MONTHS))
def test_no_block_comes_before_its_notices_in_a_month_of_random_failures(
    paid, policy, moving, seed
):
    chance = random.Random(seed)
    state = _Watch(paid, policy, chance)
    for _ in range(30 * 4):
        state.act()
        moving.shift(STEP)
        state.look()
    assert state.blocks or state.recovered


class _Watch:
    """What the test does at random, and what it holds to be true at each step."""

    def __init__(self, sale, policy, chance):
        self.sale, self.policy, self.chance = sale, policy, chance
        self.blocks = self.recovered = 0
        self.behind = False
        self.was_allowed = True

    def act(self):
        act = self.chance.choice(
            ["wait", "wait", "sweep", "sweep", "sweep", "fail", "pay", "policy"]
        )
        if act == "sweep":
            warning.sweep()
        elif act == "fail" and not self.behind:
            fail(self.sale)
            self.behind = True
        elif act == "pay" and self.behind and self.chance.random() < 0.3:
            recover(self.sale)
            self.behind = False
            self.recovered += 1
            assert allowed(self.sale)
        elif act == "policy" and not self.behind:
            self.policy(self.chance.choice([0, 1, 2, 7]), self.chance.choice(["", "1", "3,1"]))

    def look(self):
        now_allowed = allowed(self.sale)
        if self.was_allowed and not now_allowed:
            self.blocks += 1
            self._complete()
        self.was_allowed = now_allowed
        assert len(told()) == len(set(told()))

    def _complete(self):
        subscription = self.sale.subscription
        tenant = db.session.query(Tenant).one()
        line = str(subscription.arrears_line)
        wanted = {("PAYMENT_FAILED", line)} | {
            ("GRACE_ENDING", f"{line}:{days}")
            for days in arrears.reminders(tenant.reminders, tenant.grace_days)
        }
        assert wanted <= set(told())


# --- other notices, and a real mail server ----------------------------------------------------


def test_a_trial_that_ends_is_told_three_days_before_and_once(paid, moving):
    with unit_of_work():
        subscription = paid.subscription
        subscription.engine_status = "trialing"
        subscription.period_end = clock.now() + 5 * DAY
    warning.sweep()
    assert kinds() == []
    moving.shift(2 * DAY + timedelta(minutes=1))
    warning.sweep()
    warning.sweep()

    assert kinds() == ["TRIAL_ENDING"]
    assert "trial ends on" in db.session.query(Notice.subject).scalar()


def test_a_cancellation_is_confirmed_and_withdrawn_again(paid, moving):
    paid.deliver(*paid.engine.provider.cancel_at_period_end(paid.engine_id))
    notice = db.session.query(Notice).one()
    assert notice.kind == "CANCELLED"
    assert notice.relevant_until == paid.subscription.cancel_at
    moving.shift(60)
    paid.deliver(*paid.engine.provider.keep(paid.engine_id))

    db.session.rollback()
    assert db.session.query(Notice).one().closed_at is not None


def test_an_end_is_told_and_settles_what_was_told_before(paid, moving):
    fail(paid)
    moving.shift(60)
    paid.deliver(*paid.engine.provider.end(paid.engine_id))

    db.session.rollback()
    assert kinds() == ["PAYMENT_FAILED", "ENDED"]
    first, last = db.session.query(Notice).order_by(Notice.notice_id)
    assert first.closed_at is not None
    assert last.closed_at is None
