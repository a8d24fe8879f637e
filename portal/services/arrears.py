"""What a debt announces as it begins and as it is settled: one pure function, without a database.

Every way in which an event is stored takes from here what is told to the subscriber, and until
when calls go on. See ``notices`` and docs/decisions/0016.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from portal import clock
from portal.models.notice import NoticeKind
from portal.models.subscription import Billing, Facts, in_force

#: Good news stands above the pages for this long.
NEWS = timedelta(days=3)
#: The notices of a debt, which say nothing more once it is settled.
KINDS = (NoticeKind.PAYMENT_FAILED, NoticeKind.GRACE_ENDING, NoticeKind.ACCESS_STOPPED)


@dataclass(frozen=True, kw_only=True)
class Arrears:
    """What is held of a debt: columns of the subscription, by their names."""

    arrears_line: int | None = None
    access_until: datetime | None = None
    stops_at: datetime | None = None


#: The columns of :class:`Arrears`.
COLUMNS = ("arrears_line", "access_until", "stops_at")


@dataclass(frozen=True, kw_only=True)
class Announcement:
    """One notice, what is held of the debt with it, and which notices say nothing more."""

    arrears: Arrears
    kind: NoticeKind
    occasion: str
    relevant_until: datetime | None = None
    until: datetime | None = None
    """Until when calls go on; ``None``: they do not, or nothing threatens them."""
    was_blocked: bool = True
    settles: tuple[NoticeKind, ...] = ()


def reminders(days_before: Sequence[int], grace_days: int) -> list[int]:
    """Return how many days before the end of a grace is reminded, the first reminder first.

    :param days_before: what the tenant asks for
    """
    return [days for days in days_before if days < grace_days]


def announce(
    before: Facts,
    after: Facts,
    held: Arrears,
    line: int,
    *,
    grace_days: int,
    days_before: Sequence[int],
) -> Announcement | None:
    """Return what a move has to announce of a debt; ``None``: nothing of a debt.

    :param held: what was held of the debt before the move
    :param line: the number that the move has in the timeline
    :param grace_days: how long the tenant lets calls go on after a failed payment
    :param days_before: how many days before the end of that the tenant reminds, the first first
    """
    now = clock.now()
    if after.billing.is_arrears and not before.billing.is_arrears:
        until = stops_at = None
        if after.billing is Billing.GRACE:
            until = now + timedelta(days=grace_days)
            stops_at = None if reminders(days_before, grace_days) else until
        return Announcement(
            arrears=Arrears(arrears_line=line, access_until=until, stops_at=stops_at),
            kind=NoticeKind.PAYMENT_FAILED,
            occasion=str(line),
            until=until,
        )
    if before.billing.is_arrears and after.billing is Billing.PAID:
        return Announcement(
            arrears=Arrears(),
            kind=NoticeKind.ACCESS_BACK,
            occasion=str(held.arrears_line),
            relevant_until=now + NEWS,
            was_blocked=in_force(before, held.stops_at, now).billing is Billing.OVERDUE,
            settles=KINDS,
        )
    return None
