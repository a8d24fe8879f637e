"""Slowing down who guesses passwords, without locking out whose account it is.

Every try counts as failed before its password is looked at, so that a hundred at the same moment
are a hundred. Failures of strangers lock the account for strangers, and their own address; at a
place where the account has signed in before, only failures of that place count. So nobody far away
can keep an administrator out of their own office. A name that nobody has is counted alike.
"""

import hashlib
import ipaddress
import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select, update

from portal import clock
from portal.errors import TooManyTries
from portal.extensions import db
from portal.models import SignInGuard, User
from portal.models.tenant import SUPER_TENANT
from portal.services import accounts
from portal.services.inserting import insert_missing

#: How long a place stays known after signing in there.
KNOWN = timedelta(days=30)
#: Failures are forgotten after a time without any.
FORGET = timedelta(days=1)
#: Rows that are deleted in one transaction.
SOME = 1000


@dataclass(frozen=True, kw_only=True)
class Limit:
    """How many failures are free, and how long the first and the longest lock are, in seconds."""

    free: int
    first: int
    longest: int

    def seconds(self, failures: int) -> int:
        """Return for how long to lock after so many failures; each lock doubles the one before."""
        over = failures - self.free
        return 0 if over < 0 else int(min(self.first * 2 ** min(over, 20), self.longest))


ACCOUNT = Limit(free=5, first=30, longest=15 * 60)
KNOWN_PLACE = Limit(free=10, first=30, longest=15 * 60)
ADDRESS = Limit(free=20, first=60, longest=15 * 60)
#: An address inside a network is often a proxy's, behind which everybody is.
SHARED_ADDRESS = Limit(free=200, first=60, longest=15 * 60)


_INNER = tuple(
    ipaddress.ip_network(each)
    for each in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1", "fc00::/7")
)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where somebody signs in: the network address, and the browser if it was here before."""

    address: str
    device: str = ""


@dataclass(frozen=True, kw_only=True)
class Counted:
    """One thing that a try was counted on, and the account that it belongs to, if it does."""

    key: str
    account: str | None
    limit: Limit


def count(name: str, place: Place) -> list[Counted]:
    """Count a try as failed, before its password is looked at; return what it was counted on.

    :raise portal.errors.TooManyTries: if no password would be looked at now
    """
    counted = _counted_on(name, place)
    rows = [_locked_row(item.key, item.account) for item in counted]
    now = clock.now()
    wait = max((row.locked_until - now for row in rows if row.locked_until), default=timedelta(0))
    if wait > timedelta(0):
        raise TooManyTries(math.ceil(wait.total_seconds()))
    for row, item in zip(rows, counted, strict=True):
        _fail(row, item.limit)
    return counted


def _counted_on(name: str, place: Place) -> list[Counted]:
    account, places = account_key(name), _places(name, place)
    query = select(SignInGuard.guard_key).where(
        SignInGuard.guard_key.in_(places), SignInGuard.known_until > clock.now()
    )
    known = set(db.session.scalars(query))
    for key in places:
        # The browser rather than the address, which it may share with others.
        if key in known:
            return [Counted(key=key, account=account, limit=KNOWN_PLACE)]
    address = _digest("address", _network(place.address))
    found = [
        Counted(key=account, account=account, limit=ACCOUNT),
        Counted(key=address, account=None, limit=_limit_of(place.address)),
    ]
    # In one order, so that two tries never wait for each other in a circle.
    return sorted(found, key=lambda item: item.key)


def succeeded(name: str, place: Place, counted: list[Counted]) -> None:
    """Take a try back that was right, and remember the place."""
    for item in counted:
        row = _locked_row(item.key, item.account)
        # Others behind the same address may be guessing: only this try is taken back there.
        row.failures = 0 if item.account else max(row.failures - 1, 0)
        if row.failures < item.limit.free:
            row.locked_until = None
    for key in sorted(_places(name, place)):
        _locked_row(key, account_key(name)).known_until = clock.now() + KNOWN


def unlock(user: User) -> int:
    """Let an account sign in at once, from everywhere; return how many locks that took away."""
    account = _account(user.username, user.tenant_domain)
    change: Any = db.session.execute(
        update(SignInGuard)
        .where(_of(account), SignInGuard.failures > 0)
        .values(failures=0, locked_until=None)
    )
    return int(change.rowcount)


def forget_places(user: User) -> None:
    """Forget where an account has signed in; after a password that others may have known."""
    account = _account(user.username, user.tenant_domain)
    db.session.execute(update(SignInGuard).where(_of(account)).values(known_until=None))


def locked_until(user: User) -> datetime | None:
    """Return until when strangers cannot try this account's password, if they cannot now."""
    account = _account(user.username, user.tenant_domain)
    return db.session.scalar(
        select(SignInGuard.locked_until)
        .where(_of(account), SignInGuard.locked_until > clock.now())
        .order_by(SignInGuard.locked_until.desc())
        .limit(1)
    )


def forget_some() -> int:
    """Delete at most :data:`SOME` rows that say nothing any more; return how many."""
    past = clock.now() - FORGET
    keys = db.session.scalars(
        select(SignInGuard.guard_key)
        .where(
            SignInGuard.failed_at < past,
            (SignInGuard.known_until.is_(None)) | (SignInGuard.known_until < clock.now()),
        )
        .limit(SOME)
    ).all()
    if keys:
        db.session.execute(delete(SignInGuard).where(SignInGuard.guard_key.in_(keys)))
    return len(keys)


def account_key(name: str) -> str:
    """Return what stands for an account in the log: not readable, the same for the same name."""
    return _account(*accounts.split_name(name))


def _account(username: str, domain: str) -> str:
    return _digest("account", username, domain or SUPER_TENANT)


def _places(name: str, place: Place) -> tuple[str, ...]:
    account = account_key(name)
    device = (_digest("device", account, place.device),) if place.device else ()
    return (*device, _digest("at", account, _network(place.address)))


def _network(address: str) -> str:
    """Return what one subscriber of an internet provider has: an IPv4 address, an IPv6 /64."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if found.version == 6:
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)


def _limit_of(address: str) -> Limit:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return SHARED_ADDRESS
    inner = any(found.version == net.version and found in net for net in _INNER)
    return SHARED_ADDRESS if inner else ADDRESS


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _of(account: str) -> Any:
    return (SignInGuard.guard_key == account) | (SignInGuard.account_key == account)


def _locked_row(key: str, account: str | None) -> SignInGuard:
    """Return a row that nobody else can change before this transaction ends."""
    query = select(SignInGuard).where(SignInGuard.guard_key == key).with_for_update()
    row = db.session.scalars(query.execution_options(populate_existing=True)).one_or_none()
    if row is None:
        values = {"guard_key": key, "account_key": account, "failures": 0}
        table: Any = SignInGuard.__table__
        insert_missing(db.session.connection(), table, [values])
        row = db.session.scalars(query).one()
    return row


def _fail(row: SignInGuard, limit: Limit) -> None:
    now = clock.now()
    if row.failed_at is not None and row.failed_at < now - FORGET:
        row.failures = 0
    row.failures, row.failed_at = row.failures + 1, now
    seconds = limit.seconds(row.failures)
    row.locked_until = now + timedelta(seconds=seconds) if seconds else None
