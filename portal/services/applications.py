"""A developer's applications, and the keys with which they call."""

import hashlib
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.exc import IntegrityError

from portal import clock
from portal.errors import Conflict
from portal.extensions import db
from portal.models import (
    Application,
    ApplicationKey,
    Billing,
    KeyType,
    PolicyVersion,
    Subscription,
    User,
)
from portal.services import members, subscriptions
from portal.services.paging import Page, Slice, page_of
from portal.services.subscriptions import Cause, Move

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
#: 32 characters of 62 are 190 bits: nobody guesses one, so a plain SHA-256 is enough to keep.
_RANDOM_LENGTH = 32
_MARKS = {KeyType.PRODUCTION: "amp_live_", KeyType.SANDBOX: "amp_test_"}
_SHOWN = 6
#: Enough to rotate several machines one after another; more is a program that went wrong.
MOST_KEYS = 10
#: How long a replaced key may go on working, by the name of the choice.
GRACE = {"none": timedelta(0), "day": timedelta(hours=24), "week": timedelta(days=7)}


@dataclass(frozen=True, kw_only=True)
class Overview:
    """An application in the list, with what it has."""

    application: Application
    subscriptions: int
    keys: int


def hash_of(key: str) -> str:
    """Return what is stored of a key, and what the gateway looks for: SHA-256 in hexadecimal."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def owned_by(user: User, number: int | Slice) -> Page[Overview]:
    """Return a page of the person's own and shared applications by name, with their counts.

    Three queries, however many there are.
    """
    living = (
        select(func.count(Subscription.subscription_id))
        .where(
            Subscription.application_id == Application.application_id,
            Subscription.ended_at.is_(None),
        )
        .correlate(Application)
        .scalar_subquery()
    )
    working = (
        select(func.count(ApplicationKey.key_id))
        .where(ApplicationKey.application_id == Application.application_id, _works())
        .correlate(Application)
        .scalar_subquery()
    )
    query = (
        select(Application, living, working)
        .where(members.shares(user), Application.deleted_at.is_(None))
        .order_by(Application.name, Application.application_id)
    )
    return page_of(query, number).map(
        lambda row: Overview(application=row[0], subscriptions=row[1], keys=row[2])
    )


def choices(user: User) -> Sequence[Application]:
    """Return all of the person's own and shared applications by name, to choose one of them."""
    return db.session.scalars(
        select(Application)
        .where(members.shares(user), Application.deleted_at.is_(None))
        .order_by(Application.name, Application.application_id)
    ).all()


def create(owner: User, name: str, description: str = "") -> Application:
    """Create an application.

    :raise portal.errors.Conflict: if the person already has one of this name
    """
    application = Application(
        tenant_id=owner.tenant_id, owner_id=owner.user_id, name=name, description=description
    )
    with _one_of_a_name(name):
        db.session.add(application)
    return application


def rename(application: Application, name: str, description: str) -> None:
    """Give an application another name and description. Keys and subscriptions stay.

    :raise portal.errors.Conflict: if the person already has another one of this name
    """
    with _one_of_a_name(name):
        application.name = application.live_name = name
        application.description = description


@contextmanager
def _one_of_a_name(name: str) -> Iterator[None]:
    try:
        with db.session.begin_nested():
            yield
    except IntegrityError as error:
        raise Conflict(
            f"You already have an application called {name}. Choose another name."
        ) from error


def paid_subscriptions(application: Application) -> int:
    """Count the living subscriptions for which money is owed, awaited or flowing."""
    query = (
        select(func.count(Subscription.subscription_id))
        .join(PolicyVersion, Subscription.policy_version_id == PolicyVersion.policy_version_id)
        .where(
            Subscription.application_id == application.application_id,
            Subscription.ended_at.is_(None),
            Subscription.billing.in_(
                (Billing.PENDING, Billing.PAID, Billing.GRACE, Billing.OVERDUE)
            ),
        )
    )
    return db.session.scalar(query) or 0


def delete(application: Application, actor: User) -> None:
    """Delete an application: its keys stop at once, its free subscriptions end.

    The row stays, so that what was used is still billed and explained.

    :raise portal.errors.Conflict: while it has living paid subscriptions, which have to be ended
        at the billing engine first
    """
    paid = paid_subscriptions(application)
    if paid:
        some = "a paid subscription" if paid == 1 else f"{paid} paid subscriptions"
        raise Conflict(
            f"{application.name} still has {some}. Open its Subscriptions, press Unsubscribe "
            "there, and delete it afterwards."
        )
    cause = Cause(because="The application was deleted.", actor=actor.qualified_name)
    for subscription in db.session.scalars(
        select(Subscription).where(
            Subscription.application_id == application.application_id,
            Subscription.ended_at.is_(None),
        )
    ).unique():
        subscriptions.make(subscription, Move.END, cause)
    for key in keys_of(application):
        revoke(key)
    application.deleted_at = clock.now()
    application.live_name = None


# --- keys -----------------------------------------------------------------------------------


def _works() -> ColumnElement[bool]:
    return or_(ApplicationKey.revoked_at.is_(None), ApplicationKey.revoked_at > clock.now())


def keys_of(application: Application) -> Sequence[ApplicationKey]:
    """Return the application's keys that work now, oldest first."""
    return db.session.scalars(
        select(ApplicationKey)
        .where(ApplicationKey.application_id == application.application_id, _works())
        .order_by(ApplicationKey.key_id)
    ).all()


def generate_key(application: Application, key_type: KeyType) -> tuple[ApplicationKey, str]:
    """Make a key; return its row and the key itself, which nobody can see again.

    :raise portal.errors.Conflict: if the application has too many keys of this type already
    """
    held = sum(key.key_type == key_type for key in keys_of(application))
    if held >= MOST_KEYS:
        raise Conflict(
            f"{application.name} already has {held} {key_type.lower()} keys. Revoke one that is "
            "no longer used, then generate a new one."
        )
    random = "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_LENGTH))
    text = _MARKS[key_type] + random
    key = ApplicationKey(
        application_id=application.application_id,
        key_type=key_type,
        key_hash=hash_of(text),
        prefix=text[: len(_MARKS[key_type]) + _SHOWN],
    )
    db.session.add(key)
    db.session.flush()
    return key, text


def revoke(key: ApplicationKey, *, after: timedelta = timedelta(0)) -> None:
    """Let a key stop working, at once or after a while. An earlier end is never put off."""
    end = clock.now() + after
    if key.revoked_at is None or end < key.revoked_at:
        key.revoked_at = end


def regenerate(key: ApplicationKey, *, grace: timedelta) -> tuple[ApplicationKey, str]:
    """Make a key of the same type in place of this one, which stops after ``grace``.

    :raise portal.errors.Conflict: if the key no longer works: there is nothing to replace
    """
    if not key.works_at(clock.now()):
        raise Conflict("This key no longer works. Generate a new one instead.")
    revoke(key, after=grace)
    db.session.flush()
    return generate_key(key.application, KeyType(key.key_type))
