"""Letters by way of the mail library: to a mail server, or into the local mailbox."""

import smtplib
import ssl
from typing import Any
from urllib.parse import unquote, urlsplit

from flask_mailman import EmailMessage
from flask_mailman.backends.base import BaseEmailBackend
from flask_mailman.backends.smtp import EmailBackend as Smtp
from flask_mailman.utils import DNS_NAME

from portal import clock
from portal.config import Settings
from portal.extensions import db, mail
from portal.flows.mailing import Letter, Mailer, MailRefused, MailUnavailable
from portal.models import Mail
from portal.services.inserting import insert_missing
from portal.web.engines import settings
from portal.web.unit_of_work import in_unit_of_work

SECONDS = 10.0
TENANT = "X-Portal-Tenant"


def flask_config(wanted: Settings) -> dict[str, Any]:
    """Return the mail library's configuration from ``MAIL_URL`` and ``MAIL_FROM``."""
    parts = urlsplit(wanted.mail_url.get_secret_value())
    host = urlsplit(wanted.portal_base_url).hostname or "localhost"
    common = {
        "MAIL_DEFAULT_SENDER": wanted.mail_from or f"no-reply@{host}",
        "MAIL_TIMEOUT": SECONDS,
    }
    if parts.scheme == "mailbox":
        return {**common, "MAIL_BACKEND": MailboxBackend}
    return {
        **common,
        "MAIL_BACKEND": SmtpBackend,
        "MAIL_SERVER": parts.hostname or "localhost",
        "MAIL_PORT": parts.port or (465 if parts.scheme == "smtps" else 587),
        "MAIL_USERNAME": unquote(parts.username) if parts.username else None,
        "MAIL_PASSWORD": unquote(parts.password) if parts.password else None,
        "MAIL_USE_SSL": parts.scheme == "smtps",
        "MAIL_USE_TLS": parts.scheme == "smtp+starttls",
    }


def mailer() -> Mailer | None:
    """Return what takes this portal's letters; ``None`` if it sends none."""
    return _send if settings().mail_url.get_secret_value() else None


def has_mailbox() -> bool:
    """Whether letters go into the local mailbox, where people can read them."""
    return settings().mail_url.get_secret_value().startswith("mailbox:")


def _send(letter: Letter) -> None:
    host = urlsplit(settings().portal_base_url).hostname or "localhost"
    message = EmailMessage(
        subject=" ".join(letter.subject.split()),
        body=letter.body,
        to=[letter.recipient],
        headers={
            "Message-ID": f"<{letter.message_id}@{host}>",
            "Auto-Submitted": "auto-generated",
            TENANT: str(letter.tenant_id),
        },
        connection=mail.get_connection(),
    )
    try:
        message.send()
    except (smtplib.SMTPRecipientsRefused, smtplib.SMTPResponseException) as error:
        raise _answer(error) from error
    except (smtplib.SMTPException, OSError) as error:
        what = type(error).__name__
        raise MailUnavailable(f"The mail server does not answer: {what}.") from error
    except ValueError as error:
        raise MailRefused("The address cannot be written into a letter.") from error


def _answer(error: smtplib.SMTPException) -> MailRefused | MailUnavailable:
    """Tell a refusal for good (5xx) from one for now (4xx)."""
    codes = [getattr(error, "smtp_code", 0)]
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = [code for code, _ in error.recipients.values()]
    if isinstance(error, smtplib.SMTPAuthenticationError) or not all(c >= 500 for c in codes):
        return MailUnavailable(f"The mail server answers {codes[0]}.")
    return MailRefused(f"The mail server refuses the letter with {codes[0]}.")


class SmtpBackend(Smtp):
    """The library's SMTP, but STARTTLS checks the server's certificate."""

    connection: Any

    def open(self) -> bool:
        """Connect, unless that was done; return whether a connection was made."""
        if self.connection:
            return False
        options: dict[str, Any] = {"local_hostname": DNS_NAME.get_fqdn(), "timeout": self.timeout}
        if self.use_ssl:
            options["context"] = ssl.create_default_context()
        self.connection = self.connection_class(self.host, self.port, **options)
        if self.use_tls:
            self.connection.starttls(context=ssl.create_default_context())
        if self.username and self.password:
            self.connection.login(self.username, self.password)
        return True


class MailboxBackend(BaseEmailBackend):
    """Keeps letters in a table instead of sending them. One that comes twice is kept once."""

    def send_messages(self, email_messages: list[EmailMessage]) -> int:
        """Store letters; return how many there were."""
        for message in email_messages:
            row = {
                "message_id": message.extra_headers["Message-ID"],
                "tenant_id": int(message.extra_headers[TENANT]),
                "recipient": message.to[0],
                "subject": message.subject,
                "body": message.body,
                "at": clock.now(),
            }
            in_unit_of_work(lambda kept=row: _keep(kept))  # type: ignore[misc]
        return len(email_messages)


def _keep(row: dict[str, Any]) -> None:
    insert_missing(db.session.connection(), Mail.__table__, [row])  # type: ignore[arg-type]
