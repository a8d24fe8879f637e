"""The warning ladder: what subscribers are told, each once, and always before calls stop.

A notice is a row that is stored in the transaction of what it announces, and the row is its
letter in the outbox. Calls stop for debt in two ways only, and both pass here: the move that
blocks at once stores its notice first, and a grace gets the moment at which it stops (``stops_at``)
together with the last notice that the tenant's policy asks for. See docs/decisions/0016.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Table, bindparam, exists, select, update

from portal import clock
from portal.errors import MoveRefused
from portal.extensions import db
from portal.models import Application, Notice, Policy, PolicyVersion, Subscription, Tenant, User
from portal.models.api import Api
from portal.models.notice import MailState, NoticeKind
from portal.models.subscription import Billing, Facts
from portal.models.types import new_uuid
from portal.services import arrears, notice_words
from portal.services.arrears import Announcement, Arrears
from portal.services.inserting import insert_missing
from portal.services.notice_words import About

#: A reminder that is later than this moves the end, so that it gives the time that it names.
LATE = timedelta(hours=1)
#: How long before its end a free trial's subscriber is reminded.
TRIAL_NOTICE = timedelta(days=3)
PAGE = 200

_TABLE: Table = Notice.__table__  # type: ignore[assignment]


def about(subscription: Subscription, **more: Any) -> About:
    """Return what every notice says of a subscription."""
    return About(
        api=f"{subscription.api.api_name} {subscription.api.api_version}",
        application=subscription.application.name,
        plan=subscription.policy_version.policy.display_name,
        asks_bank=subscription.needs_authentication,
        **more,
    )


def tell(
    subscription: Subscription,
    kind: NoticeKind,
    occasion: str,
    *,
    relevant_until: datetime | None = None,
    **more: Any,
) -> None:
    """Store a notice and with it its letter. The same kind and occasion again changes nothing."""
    row = row_of(
        subscription.tenant_id,
        subscription.subscription_id,
        (kind, occasion),
        about(subscription, **more),
        relevant_until=relevant_until,
        email=subscription.application.owner.email,
    )
    insert_missing(db.session.connection(), _TABLE, [row])


def row_of(
    tenant_id: int,
    subscription_id: int,
    what: tuple[NoticeKind, str],
    facts: About,
    *,
    relevant_until: datetime | None,
    email: str | None,
) -> dict[str, Any]:
    """Return the row of a notice, with every column that is not empty.

    :param what: its kind and occasion
    """
    words, now = notice_words.of(what[0], facts), clock.now()
    return {
        "uuid": new_uuid(),
        "tenant_id": tenant_id,
        "subscription_id": subscription_id,
        "kind": what[0],
        "occasion": what[1],
        "at": now,
        "subject": words.subject,
        "body": words.body,
        "relevant_until": relevant_until,
        "recipient": email,
        "mail_state": MailState.WAITING if email else MailState.NONE,
        "mail_attempts": 0,
        "mail_next_at": now,
    }


# --- what moves announce ----------------------------------------------------------------------


def before_move(
    subscription: Subscription, move: str, before: Facts, after: Facts, line: int
) -> None:
    """Store what a move has to announce. Called by ``subscriptions.make`` before it is made.

    :raise portal.errors.MoveRefused: if calls were to stop before every notice is stored
    """
    told = _of_debt(subscription, before, after, line)
    if told is not None:
        _announce(subscription, told)
    elif move == "RUN_OUT":
        if subscription.stops_at is None or subscription.stops_at > clock.now():
            raise MoveRefused("The subscriber has not had every notice and all of the time yet.")
        tell(subscription, NoticeKind.ACCESS_STOPPED, str(subscription.arrears_line))
    elif move == "GO_FREE":
        _settle(subscription, tuple(NoticeKind))
        _forget_arrears(subscription)
    elif after.billing is Billing.ENDED:
        _settle(subscription, tuple(NoticeKind))
        if subscription.engine_subscription_id is not None:
            tell(
                subscription, NoticeKind.ENDED, str(line), relevant_until=clock.now() + arrears.NEWS
            )
        _forget_arrears(subscription)


def _of_debt(
    subscription: Subscription, before: Facts, after: Facts, line: int
) -> Announcement | None:
    if not (before.billing.is_arrears or after.billing.is_arrears):
        return None
    tenant = db.session.get_one(Tenant, subscription.tenant_id)
    held = Arrears(**{name: getattr(subscription, name) for name in arrears.COLUMNS})
    return arrears.announce(
        before,
        after,
        held,
        line,
        grace_days=tenant.grace_days,
        days_before=tenant.reminders,
    )


def _announce(subscription: Subscription, told: Announcement) -> None:
    for name in arrears.COLUMNS:
        setattr(subscription, name, getattr(told.arrears, name))
    if told.settles:
        _settle(subscription, told.settles)
    tell(
        subscription,
        told.kind,
        told.occasion,
        relevant_until=told.relevant_until,
        until=told.until,
        was_blocked=told.was_blocked,
    )


def _forget_arrears(subscription: Subscription) -> None:
    subscription.arrears_line = subscription.access_until = subscription.stops_at = None


def cancel_scheduled(subscription: Subscription, line: int) -> None:
    """Confirm that a subscription ends on a day to come."""
    until, wanted = subscription.cancel_at, subscription.pending_version
    then = wanted.policy.display_name if wanted is not None and subscription.goes_free else ""
    tell(
        subscription,
        NoticeKind.CANCELLED,
        str(line),
        relevant_until=until,
        until=until,
        then=then,
    )


def cancel_withdrawn(subscription: Subscription) -> None:
    """Take back from above the pages what was withdrawn."""
    _settle(subscription, (NoticeKind.CANCELLED,))


def _settle(subscription: Subscription, kinds: tuple[NoticeKind, ...]) -> None:
    db.session.execute(
        update(Notice)
        .where(
            Notice.subscription_id == subscription.subscription_id,
            Notice.kind.in_(kinds),
            Notice.closed_at.is_(None),
        )
        .values(closed_at=clock.now())
        .execution_options(synchronize_session=False)
    )


# --- what time announces ----------------------------------------------------------------------


def in_grace(after_id: int = 0) -> list[int]:
    """Return a page of subscriptions whose grace runs."""
    return list(
        db.session.scalars(
            select(Subscription.subscription_id)
            .where(
                Subscription.billing == Billing.GRACE,
                Subscription.subscription_id > after_id,
            )
            .order_by(Subscription.subscription_id)
            .limit(PAGE)
        )
    )


def remind(subscription: Subscription) -> bool:
    """Store the reminder that is due, and fix when calls stop once the last one is stored.

    One that comes late, because no worker ran, gives all the time that it names: the end moves.
    Returns whether the grace has run out by now and nothing is missing.
    """
    if subscription.facts.billing is not Billing.GRACE or subscription.access_until is None:
        return False
    now = clock.now()
    if subscription.stops_at is None:
        _remind(subscription, now)
    return subscription.stops_at is not None and subscription.stops_at <= now


def _remind(subscription: Subscription, now: datetime) -> None:
    missing = _missing(subscription)
    if missing:
        left = timedelta(days=missing[0])
        due = (subscription.access_until or now) - left
        if now < due:
            return
        if now - due > LATE:
            subscription.access_until = now + left
        tell(
            subscription,
            NoticeKind.GRACE_ENDING,
            f"{subscription.arrears_line}:{missing[0]}",
            days=missing[0],
            until=subscription.access_until,
        )
        missing = missing[1:]
    if not missing:
        subscription.stops_at = subscription.access_until


def _missing(subscription: Subscription) -> list[int]:
    """Return the reminders that this grace has still to come, in days before its end."""
    line = str(subscription.arrears_line)
    told = dict(
        db.session.execute(
            select(Notice.occasion, Notice.at).where(
                Notice.subscription_id == subscription.subscription_id,
                Notice.kind.in_((NoticeKind.PAYMENT_FAILED, NoticeKind.GRACE_ENDING)),
                Notice.occasion.like(f"{line}:%") | (Notice.occasion == line),
            )
        ).all()
    )
    tenant = db.session.get_one(Tenant, subscription.tenant_id)
    until = subscription.access_until or clock.now()
    # Rounded: the two moments were read one after the other.
    given = round((until - told.get(line, until)) / timedelta(days=1))
    wanted = arrears.reminders(tenant.reminders, given)
    return [days for days in wanted if f"{line}:{days}" not in told]


def trials_ending(now: datetime) -> list[int]:
    """Return subscriptions whose free trial ends within three days and who do not know yet."""
    known = exists().where(
        Notice.subscription_id == Subscription.subscription_id,
        Notice.kind == NoticeKind.TRIAL_ENDING,
    )
    return list(
        db.session.scalars(
            select(Subscription.subscription_id)
            .where(
                Subscription.engine_status == "trialing",
                Subscription.ended_at.is_(None),
                Subscription.cancel_at.is_(None),
                Subscription.period_end > now,
                Subscription.period_end <= now + TRIAL_NOTICE,
                ~known,
            )
            .limit(PAGE)
        )
    )


def trial_ending(subscription: Subscription) -> None:
    """Remind that a free trial ends. A trial is had once, so it is told once."""
    until = subscription.period_end
    tell(subscription, NoticeKind.TRIAL_ENDING, "trial", relevant_until=until, until=until)


# --- what the gateway announces ---------------------------------------------------------------

#: Shorter windows are rate limits: the header fields tell of them, and no letter every minute.
SHORTEST_WINDOW = 86_400


def quota_steps(amount: int) -> Iterator[tuple[int, NoticeKind]]:
    """Return from how many units on a quota is 80 % and wholly used."""
    yield (amount * 4 + 4) // 5, NoticeKind.QUOTA_80
    yield amount, NoticeKind.QUOTA_100


def quota_used(
    connection: Connection,
    subscription_id: int,
    *,
    window: tuple[int, int],
    amount: int,
    counts: tuple[int, int],
    unit: str = "calls",
    stops: bool = True,
) -> None:
    """Store that a quota is 80 % or wholly used, in the transaction that counts the call.

    :param window: its start and end in epoch seconds
    :param counts: how much was used before the call, and after it
    """
    before, after = counts
    crossed = [kind for step, kind in quota_steps(amount) if before < step <= after]
    if not crossed or window[1] - window[0] < SHORTEST_WINDOW or amount < 1:
        return
    row: Any = connection.execute(ABOUT, {"number": subscription_id}).one()
    facts = facts_of(
        row,
        until=clock.from_epoch(window[1]),
        used=after,
        amount=amount,
        unit=unit,
        stops=stops,
    )
    insert_missing(
        connection,
        _TABLE,
        [_of_quota(row, subscription_id, window, facts, kind) for kind in crossed],
    )


def _of_quota(
    row: Any, subscription_id: int, window: tuple[int, int], facts: About, kind: NoticeKind
) -> dict[str, Any]:
    return row_of(
        row.tenant_id,
        subscription_id,
        (kind, str(window[0])),
        facts,
        relevant_until=facts.until,
        email=row.email,
    )


def facts_of(row: Any, **more: Any) -> About:
    """Return what every notice says of a subscription, from a row of :data:`ABOUT`."""
    return About(
        api=f"{row.api_name} {row.api_version}", application=row.application, plan=row.plan, **more
    )


#: What every notice about the subscription ``number`` needs, in one query.
ABOUT = (
    select(
        Subscription.tenant_id,
        Api.api_name,
        Api.api_version,
        Application.name.label("application"),
        Policy.display_name.label("plan"),
        User.email,
    )
    .join(Api, Api.api_id == Subscription.api_id)
    .join(Application, Application.application_id == Subscription.application_id)
    .join(User, User.user_id == Application.owner_id)
    .join(PolicyVersion, PolicyVersion.policy_version_id == Subscription.policy_version_id)
    .join(Policy, Policy.policy_id == PolicyVersion.policy_id)
    .where(Subscription.subscription_id == bindparam("number"))
)
