"""Sending the letters of notices: taken from the outbox, handed over, noted.

A letter is taken by one worker, in a transaction of its own, before it is handed to the mail
server. A worker that dies in between leaves it taken; after a while it is handed over again under
the same Message-ID, by which mail servers know a letter that they have. So a letter is never lost,
and twice at most where SMTP gave no answer.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import structlog
from sqlalchemy import select, update

from portal import clock
from portal.errors import PortalError
from portal.extensions import db
from portal.models import MailState, Notice
from portal.web.unit_of_work import in_unit_of_work

log = structlog.get_logger()

PAGE = 50
#: How long a letter that was taken is left alone: longer than any mail server may take.
TAKEN = timedelta(minutes=10)
#: When it is tried again after each failure; then it has failed.
AGAIN = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 720, 1440, 1440))


class MailRefused(PortalError):
    """The mail server will not take this letter, now or later."""


class MailUnavailable(PortalError):
    """The mail server did not answer, or asked to be tried later."""


@dataclass(frozen=True, kw_only=True)
class Letter:
    """What is handed to a mail server."""

    message_id: str
    """Without the part after the @; the same whenever this letter is sent."""
    tenant_id: int
    recipient: str
    subject: str
    body: str


class Mailer(Protocol):
    """Whatever takes letters."""

    def __call__(self, letter: Letter) -> None:
        """Hand over one letter.

        :raise MailRefused: if it is of no use to try again
        :raise MailUnavailable: if it is
        """


def send_due(mailer: Mailer | None, footer: str = "") -> int:
    """Send the letters whose time has come, at most a page of them; return how many were sent.

    :param mailer: ``None`` if this portal sends no mail: the notices stand in the portal only
    :param footer: a line under each letter, with ``{}`` for the subscription's UUID
    """
    due = _due()
    if mailer is None:
        if due:
            in_unit_of_work(lambda: _set(due, mail_state=MailState.NONE))
        return 0
    return sum(_send(mailer, number, footer) for number in due)


def _due() -> list[int]:
    found = db.session.scalars(
        select(Notice.notice_id)
        .where(
            Notice.mail_state.in_((MailState.WAITING, MailState.SENDING)),
            Notice.mail_next_at <= clock.now(),
        )
        .order_by(Notice.mail_next_at, Notice.notice_id)
        .limit(PAGE)
    ).all()
    db.session.rollback()
    return list(found)


def _send(mailer: Mailer, number: int, footer: str) -> bool:
    letter = in_unit_of_work(lambda: _take(number, footer))
    if letter is None:
        return False
    try:
        mailer(letter)
    except MailRefused as error:
        problem = error.message[:255]
        in_unit_of_work(lambda: _set([number], mail_state=MailState.FAILED, mail_problem=problem))
        log.warning("mail_refused", notice=letter.message_id, error=error.message)
        return False
    except MailUnavailable as error:
        problem = error.message[:255]
        in_unit_of_work(lambda: _put_back(number, problem))
        log.warning("mail_unavailable", notice=letter.message_id, error=error.message)
        return False
    in_unit_of_work(
        lambda: _set([number], mail_state=MailState.SENT, mailed_at=clock.now(), mail_problem=None)
    )
    return True


def _take(number: int, footer: str) -> Letter | None:
    """Mark a letter as being sent; ``None`` if another worker was quicker."""
    now = clock.now()
    taken = db.session.execute(
        update(Notice)
        .where(
            Notice.notice_id == number,
            Notice.mail_state.in_((MailState.WAITING, MailState.SENDING)),
            Notice.mail_next_at <= now,
        )
        .values(
            mail_state=MailState.SENDING,
            mail_next_at=now + TAKEN,
            mail_attempts=Notice.mail_attempts + 1,
        )
        .execution_options(synchronize_session=False)
    )
    if not taken.rowcount:  # type: ignore[attr-defined]
        return None
    notice = db.session.get_one(Notice, number)
    body = f"{notice.body}\n\n{footer.format(notice.subscription.uuid)}".rstrip() + "\n"
    return Letter(
        message_id=notice.uuid,
        tenant_id=notice.tenant_id,
        recipient=notice.recipient or "",
        subject=notice.subject,
        body=body,
    )


def _put_back(number: int, problem: str) -> None:
    notice = db.session.get_one(Notice, number)
    tries = notice.mail_attempts
    notice.mail_problem = problem
    if tries > len(AGAIN):
        notice.mail_state = MailState.FAILED
        return
    notice.mail_state = MailState.WAITING
    notice.mail_next_at = clock.now() + AGAIN[tries - 1]


def _set(numbers: list[int], **values: object) -> None:
    db.session.execute(
        update(Notice)
        .where(Notice.notice_id.in_(numbers))
        .values(**values)
        .execution_options(synchronize_session=False)
    )
