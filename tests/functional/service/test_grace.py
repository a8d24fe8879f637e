"""Grace after a failed payment: until when calls go on, and what is told before they stop."""

import email
import email.policy
import os
import random
import smtplib
import socketserver
import threading
from datetime import timedelta

import pytest
import time_machine
from pydantic import SecretStr

from portal import clock
from portal.extensions import db, mail
from portal.flows import mailing, warning
from portal.models import Mail, Notice, Status, Subscription, Tenant
from portal.services import access, arrears, notices, subscriptions
from portal.services.subscriptions import Cause, Move
from portal.web import mail as web_mail
from portal.web.mail import flask_config, mailer
from portal.web.unit_of_work import in_unit_of_work, unit_of_work

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _mail_goes_when_the_test_says(monkeypatch):
    monkeypatch.setattr("portal.jobs._send_mail", lambda: None)


@pytest.fixture
def moving():
    """A clock that the test moves."""
    with time_machine.travel(clock.now(), tick=False) as traveller:
        yield traveller


@pytest.fixture
def policy():
    """Set the tenant's policy."""

    def change(days, reminders="3,1"):
        with unit_of_work():
            tenant = db.session.query(Tenant).one()
            tenant.grace_days, tenant.reminder_days = days, reminders

    return change


@pytest.fixture
def paid(sale, policy, moving):
    """A sale that has been paid, in a tenant that gives seven days of grace."""
    policy(7)
    sale.engine_id = sale.pay()
    moving.shift(60)
    return sale


def fail(sale):
    sale.deliver(*sale.engine.provider.fail_renewal(sale.engine_id))


def recover(sale):
    sale.deliver(*sale.engine.provider.pay_invoice(sale.engine_id))


def told():
    db.session.rollback()
    rows = db.session.query(Notice).order_by(Notice.notice_id)
    return [(row.kind, row.occasion) for row in rows]


def kinds():
    return [kind for kind, _ in told()]


def allowed(sale):
    answer = access.explain(sale.subscription).allowed
    db.session.rollback()
    return answer


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


# --- letters ----------------------------------------------------------------------------------


def outbox():
    db.session.rollback()
    return [(row.mail_state, row.mail_attempts) for row in db.session.query(Notice)]


class Post:
    """A mail server that can be out of order."""

    def __init__(self):
        self.letters, self.problem = [], None

    def __call__(self, letter):
        if self.problem is not None:
            raise self.problem
        self.letters.append(letter)


@pytest.mark.all_databases
def test_a_letter_is_sent_once_and_again_only_when_nobody_knows(paid, moving):
    post = Post()
    fail(paid)
    post.problem = mailing.MailUnavailable("The mail server does not answer.")
    assert mailing.send_due(post) == 0
    assert mailing.send_due(post) == 0
    assert outbox() == [("waiting", 1)]
    moving.shift(61)
    post.problem = RuntimeError("The worker dies.")
    with pytest.raises(RuntimeError):
        mailing.send_due(post)
    post.problem = None
    assert mailing.send_due(post) == 0
    moving.shift(601)

    assert mailing.send_due(post, footer="See {}") == 1
    assert mailing.send_due(post) == 0
    assert outbox() == [("sent", 3)]
    (letter,) = post.letters
    assert letter.recipient == "dana@example.com"
    assert letter.body.endswith(f"See {paid.uuid}\n")


def test_a_letter_that_is_refused_for_good_is_not_tried_again(paid, moving):
    post = Post()
    post.problem = mailing.MailRefused("The mail server refuses the letter with 550.")
    fail(paid)
    mailing.send_due(post)
    moving.shift(30 * DAY)
    mailing.send_due(post)

    assert outbox() == [("failed", 1)]


def test_a_mail_server_that_never_answers_is_given_up_after_some_days(paid, moving):
    post = Post()
    post.problem = mailing.MailUnavailable("No answer.")
    fail(paid)
    for _ in range(20):
        mailing.send_due(post)
        moving.shift(DAY)

    assert outbox() == [("failed", len(mailing.AGAIN) + 1)]


def test_a_portal_without_mail_keeps_its_notices_to_itself(paid):
    fail(paid)
    assert mailer() is None
    mailing.send_due(None)

    assert outbox() == [("none", 0)]


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (smtplib.SMTPRecipientsRefused({"x": (550, b"no such user")}), "failed"),
        (smtplib.SMTPRecipientsRefused({"x": (450, b"later")}), "waiting"),
        (smtplib.SMTPDataError(554, b"spam"), "failed"),
        (smtplib.SMTPAuthenticationError(535, b"who?"), "waiting"),
        (smtplib.SMTPServerDisconnected("gone"), "waiting"),
        (TimeoutError(), "waiting"),
        (None, "sent"),
    ],
)
def test_what_the_mail_server_answers_decides(paid, monkeypatch, error, state):
    sent = []

    class Backend:
        def send_messages(self, messages):
            if error is not None:
                raise error
            sent.extend(messages)
            return len(messages)

    monkeypatch.setattr(mail, "get_connection", Backend, raising=False)
    fail(paid)
    mailing.send_due(web_mail._send)

    assert outbox()[0][0] == state
    for message in sent:
        assert message.extra_headers["Message-ID"].startswith("<")
        assert message.subject.startswith(paid.subscription.api.api_name)


def test_two_workers_at_once_store_and_send_each_notice_once(paid, moving):
    post = Post()
    fail(paid)
    moving.shift(4 * DAY)
    for _ in range(2):
        warning.sweep()
        mailing.send_due(post)
        in_unit_of_work(lambda: notices.remind(db.session.query(Subscription).one()))

    assert kinds() == ["PAYMENT_FAILED", "GRACE_ENDING"]
    assert len(post.letters) == 2
    assert paid.subscription.status is Status.UNBLOCKED


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


class MailServer(socketserver.StreamRequestHandler):
    """As much of a mail server as takes one letter."""

    def handle(self):
        self.say("220 mail.test")
        for line in self.rfile:
            word = line.split()[0].upper()
            if word == b"DATA":
                self.say("354 go on")
                self.server.letter = b"".join(iter(self.rfile.readline, b".\r\n"))
            self.say("221 bye" if word == b"QUIT" else "250 fine")
            if word == b"QUIT":
                return

    def say(self, text):
        self.wfile.write(f"{text}\r\n".encode())


def test_a_mail_server_gets_the_whole_letter(paid, settings, app):
    fail(paid)
    with socketserver.TCPServer(("127.0.0.1", 0), MailServer) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        wanted = settings.model_copy(
            update={"mail_url": SecretStr(f"smtp://127.0.0.1:{server.server_address[1]}")}
        )
        app.config.update(flask_config(wanted))
        mail.init_app(app)
        assert mailing.send_due(web_mail._send, footer="http://portal.test/{}") == 1
        thread.join(20)

    letter = email.message_from_bytes(server.letter, policy=email.policy.default)
    assert letter["To"] == "dana@example.com"
    assert letter["Message-ID"] == f"<{db.session.query(Notice.uuid).scalar()}@127.0.0.1>"
    assert letter["Auto-Submitted"] == "auto-generated"
    assert paid.uuid in letter.get_content()
    assert outbox() == [("sent", 1)]


@pytest.mark.all_databases
def test_the_mailbox_keeps_a_letter_once_and_shows_it_to_its_tenant_only(
    paid, settings, app, factories, browser
):
    fail(paid)
    wanted = settings.model_copy(update={"mail_url": SecretStr("mailbox:")})
    app.config.update(flask_config(wanted))
    app.extensions["portal_settings"] = wanted
    mail.init_app(app)
    assert mailing.send_due(mailer()) == 1
    with unit_of_work():
        db.session.query(Notice).one().mail_state = "waiting"
        db.session.query(Notice).one().mail_next_at = clock.now()
    assert mailing.send_due(mailer()) == 1

    assert db.session.query(Mail).count() == 1
    subject = db.session.query(Mail.subject).scalar()
    factories.user("adam", "admin")
    browser.client.delete_cookie("portal_session")
    browser.sign_in("adam")
    assert subject in browser.get("/admin/mailbox").text
    assert "Calls go through until" in browser.get(browser.link(subject)).text
    number = db.session.query(Mail.mail_id).scalar()
    factories.user("eve", "admin", tenant=factories.tenant("other.example"))
    browser.client.delete_cookie("portal_session")
    browser.sign_in("eve@other.example")
    browser.get(f"/admin/mailbox/{number}", expect=404)
