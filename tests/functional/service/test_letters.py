"""Notices as letters: sent once, again where nobody knows, and given up in the end."""

import email
import email.policy
import smtplib
import socketserver
import threading

import pytest
from pydantic import SecretStr

from portal import clock
from portal.extensions import db, mail
from portal.flows import mailing, warning
from portal.models import Mail, Notice, Status, Subscription
from portal.services import notices
from portal.web import mail as web_mail
from portal.web.mail import flask_config, mailer
from portal.web.unit_of_work import in_unit_of_work, unit_of_work
from tests.functional.service.owing import DAY, fail, kinds

pytestmark = pytest.mark.usefixtures("mail_waits")


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
