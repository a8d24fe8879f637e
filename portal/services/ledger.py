"""Writing the usage ledger: calls go into buckets, and how many there are into tallies.

Everything happens inside the caller's transaction. Whoever counts locks the tallies that it
touches, in one order, and so does whoever freezes them: a call is in exactly one batch. Why it is
built so: ``docs/decisions``, "Usage is counted in buckets".
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple

import structlog
from sqlalchemy import Connection, Table, bindparam, case, select, tuple_, update

from portal import clock
from portal.models import (
    KeyType,
    MonetizationPlan,
    PolicyVersion,
    Subscription,
    UsageBucket,
    UsageTally,
)
from portal.services import inserting, periods
from portal.services.inserting import insert_missing, parts

log = structlog.get_logger()

FIRST_FAILURE = 400
HOUR_MS = 3_600_000
LONGEST_RESOURCE = 255
NEVER = -1
"""``claim`` of calls that no batch will ever have."""

_written = lru_cache(maxsize=8, typed=True)(repr)
_bucket: Table = UsageBucket.__table__  # type: ignore[assignment]
_tally: Table = UsageTally.__table__  # type: ignore[assignment]
_subscription: Table = Subscription.__table__  # type: ignore[assignment]
_version: Table = PolicyVersion.__table__  # type: ignore[assignment]


class Alike(NamedTuple):
    """What calls of one bucket have in common. ``hour`` counts hours since 1970."""

    subscription_id: int
    hour: int
    method: str
    resource: str
    status: int
    key_type: str


@dataclass(slots=True)
class Group:
    """How many calls are alike; times are epoch milliseconds of the first and the last."""

    calls: int
    bytes: int
    first: int
    last: int

    def add(self, at: int, size: int) -> None:
        """Count one more call."""
        self.calls += 1
        self.bytes += size
        self.first = min(self.first, at)
        self.last = max(self.last, at)

    def plus(self, other: "Group") -> "Group":
        """Return both together."""
        return Group(
            self.calls + other.calls,
            self.bytes + other.bytes,
            min(self.first, other.first),
            max(self.last, other.last),
        )


Groups = dict[Alike, Group]
#: Is asked for the calls of a group that were made from a moment on (epoch milliseconds).
Split = Callable[[Alike, int], Group]


def is_counted(key_type: KeyType | str, status: int) -> bool:
    """Whether a call is billable. The one written rule, for every way in which calls arrive.

    Production key, and the back end answered with a status below 400. Nothing is billable that
    was made during a free trial (Stripe bills no usage of a trial).
    """
    return key_type == KeyType.PRODUCTION and status < FIRST_FAILURE


#: Names of the ``usage.Reason`` of calls that were made before the plan counted calls, and of calls
#: that came when their plan had been left for one that counts none.
FREE_PLAN, PLAN_LEFT = "FREE_PLAN", "PLAN_LEFT"


def reason_of(key_type: KeyType | str, status: int, *, free: str = "") -> str:
    """Return the name of the ``usage.Reason`` for which a call is not billable, or nothing.

    :param free: the reason for which calls of this time cost nothing, if there is one
    """
    if is_counted(key_type, status):
        return free
    return "FAILED" if key_type == KeyType.PRODUCTION else "SANDBOX"


def grouped(calls: Iterable[tuple[Alike, int, int]]) -> Groups:
    """Put calls together that are alike. Each comes with its time in milliseconds and its size."""
    groups: Groups = {}
    for alike, at, size in calls:
        group = groups.get(alike)
        if group is None:
            groups[alike] = Group(1, size, at, at)
        else:
            group.add(at, size)
    return groups


def splitter(calls: Sequence[tuple[Alike, int, int]]) -> Split:
    """Return what splits groups made of these calls."""

    def split(alike: Alike, moment: int) -> Group:
        later = [(at, size) for kind, at, size in calls if kind == alike and at >= moment]
        return Group(len(later), sum(size for _, size in later), min(later)[0], max(later)[0])

    return split


class _Entry:
    """A group inside one billing period."""

    __slots__ = ("alike", "billable", "end", "group", "owner", "place", "reason", "start")

    def __init__(self, alike: Alike, group: Group, period: tuple[int, int], owner: Any) -> None:
        self.alike = alike
        self.group = group
        self.start, self.end = period
        self.owner = owner
        self.place = (alike.subscription_id, self.start)
        self.reason = reason_of(alike.key_type, alike.status, free=_free_for(group.first, owner))
        self.billable = bool(owner.metered) and not self.reason

    @property
    def starts_at(self) -> int:
        if self.owner.metered and not self.start:
            # The hour may begin before the first period does, which the engine has yet to name.
            return self.group.first // 1000
        return max(self.alike.hour * 3600, self.start)


def count(connection: Connection, groups: Groups, split: Split) -> int:
    """Count groups of calls; return how many calls that were.

    Calls of a subscription that does not exist are left out, and logged.
    """
    owners = _owners(connection, {alike.subscription_id for alike in groups})
    entries: list[_Entry] = []
    known: dict[int, tuple[int, int]] = {}
    for alike, group in groups.items():
        owner = owners.get(alike.subscription_id)
        if owner is None:
            log.error("usage_of_nobody", subscription=alike.subscription_id, calls=group.calls)
            continue
        start, end = known.get(alike.subscription_id, (0, 0))
        if not start * 1000 <= group.first < end * 1000:
            start, end = known[alike.subscription_id] = _period(group.first, owner)
        entries += _placed(alike, group, (start, end), owner, split)
    if entries:
        claims = _lock_tallies(connection, entries)
        _write_buckets(connection, entries, claims)
        _raise_tallies(connection, entries)
    return sum(entry.group.calls for entry in entries)


def _owners(connection: Connection, ids: set[int]) -> dict[int, Any]:
    columns = _subscription.c
    query = (
        select(
            columns.subscription_id,
            columns.tenant_id,
            columns.period_start,
            columns.period_end,
            columns.trial_end,
            columns.billed_from,
            columns.plan_since,
            _version.c.billing_cycle,
            (_version.c.monetization_plan == MonetizationPlan.DYNAMIC).label("metered"),
        )
        .join(_version, _version.c.policy_version_id == columns.policy_version_id)
        .where(columns.subscription_id.in_(bindparam("ids", expanding=True)))
    )
    return {
        row.subscription_id: row
        for part in parts(sorted(ids))
        for row in connection.execute(query, {"ids": part})
    }


def _plan_mark(owner: Any) -> int:
    """Return the second before which no call is of the present plan."""
    return int(owner.billed_from if owner.metered else owner.plan_since)


def _free_for(first: int, owner: Any) -> str:
    """Return the reason for which a group costs nothing; it lies on one side of where that ends."""
    if first < _plan_mark(owner) * 1000:
        return FREE_PLAN if owner.metered else PLAN_LEFT
    trial = owner.trial_end
    return "TRIAL" if trial is not None and first < clock.epoch(trial) * 1000 else ""


def _placed(
    alike: Alike, group: Group, period: tuple[int, int], owner: Any, split: Split
) -> list[_Entry]:
    """Put a group into its billing period, in parts where one ends, or another plan did."""
    marks = (period[1], _plan_mark(owner))
    cut = min((mark for mark in marks if group.first < mark * 1000 <= group.last), default=None)
    if cut is None:
        return [_Entry(alike, group, period, owner)]
    later = split(alike, cut * 1000)
    earlier = Group(
        group.calls - later.calls, group.bytes - later.bytes, group.first, cut * 1000 - 1
    )
    rest = _placed(alike, later, _period(later.first, owner), owner, split)
    return [_Entry(alike, earlier, period, owner), *rest]


def _period(at: int, owner: Any) -> tuple[int, int]:
    if owner.period_start is None or owner.period_end is None:
        return 0, 0
    if owner.period_start >= owner.period_end:
        return 0, 0
    moment = clock.from_epoch(at // 1000)
    found = periods.find(
        moment, owner.period_start, owner.period_end, owner.billing_cycle or "month"
    )
    return clock.epoch(found.start), clock.epoch(found.end)


def _lock_tallies(connection: Connection, entries: list[_Entry]) -> Mapping[tuple[int, int], int]:
    """Lock the tally of each metered entry, made where it is missing; return how far each is."""
    places = {entry.place: entry for entry in entries if entry.billable}
    ordered = sorted(places)
    found = _locked(connection, ordered)
    missing = [place for place in ordered if place not in found]
    if missing:
        rows = [
            {
                "subscription_id": sub,
                "period_start": start,
                "period_end": places[sub, start].end,
                "tenant_id": places[sub, start].owner.tenant_id,
                "counted": 0,
                "claimed": 0,
                "batches": 0,
            }
            for sub, start in missing
        ]
        insert_missing(connection, _tally, rows)
        found |= _locked(connection, missing)
    return found


def _locked(connection: Connection, places: list[tuple[int, int]]) -> dict[tuple[int, int], int]:
    columns = _tally.c
    query = (
        select(columns.subscription_id, columns.period_start, columns.claimed)
        .where(
            tuple_(columns.subscription_id, columns.period_start).in_(
                bindparam("places", expanding=True)
            )
        )
        .order_by(columns.subscription_id, columns.period_start)
        .with_for_update()
    )
    return {
        (row.subscription_id, row.period_start): row.claimed
        for part in parts(places)
        for row in connection.execute(query, {"places": part})
    }


def _write_buckets(
    connection: Connection, entries: list[_Entry], claims: Mapping[tuple[int, int], int]
) -> None:
    found: dict[str, _Bucket] = {}
    for entry in entries:
        made = _Bucket(entry, claims[entry.place] if entry.billable else NEVER)
        known = found.setdefault(made.digest, made)
        if known is not made:
            known.calls += made.calls
            known.bytes += made.bytes
    # Calls that are not billable have no tally to lock, so that another drainer may be first.
    rows = [found[digest].row() for digest in sorted(found)]
    inserting.add(connection, _bucket, rows, ("calls", "bytes"), key="digest")


class _Bucket:
    """What entries add to one bucket, and the bucket's row where it is missing."""

    __slots__ = ("bytes", "calls", "claim", "digest", "entry", "starts_at")

    def __init__(self, entry: _Entry, claim: int) -> None:
        self.entry, self.claim = entry, claim
        self.calls, self.bytes = entry.group.calls, entry.group.bytes
        self.starts_at = starts_at = entry.starts_at
        sub, _, method, resource, status, key_type = entry.alike
        # The representation of a tuple, as it always was: a bucket keeps its digest.
        where = f"{sub}, {entry.start}, {starts_at}, {method!r}, {resource!r}"
        place = f"({where}, {status}, {_written(key_type)}, {claim})"
        self.digest = blake2b(place.encode(), digest_size=16).hexdigest()

    def row(self) -> dict[str, Any]:
        """Return the bucket as it is inserted."""
        alike = self.entry.alike
        return {
            "digest": self.digest,
            "tenant_id": self.entry.owner.tenant_id,
            "subscription_id": alike.subscription_id,
            "period_start": self.entry.start,
            "starts_at": self.starts_at,
            "method": alike.method,
            "resource": alike.resource,
            "status": alike.status,
            "key_type": alike.key_type,
            "reason": self.entry.reason,
            "claim": self.claim,
            "calls": self.calls,
            "bytes": self.bytes,
        }


def _raise_tallies(connection: Connection, entries: list[_Entry]) -> None:
    sums: dict[tuple[int, int], Group] = {}
    for entry in entries:
        group = entry.group
        # Bytes that were found out after their call open nothing: it may be in a batch already.
        if not entry.billable or not group.calls:
            continue
        total = sums.setdefault(entry.place, Group(0, 0, group.first, group.last))
        total.calls += group.calls
        total.first, total.last = min(total.first, group.first), max(total.last, group.last)
    if not sums:
        return
    columns = _tally.c
    first: Any = bindparam("first_call")
    last: Any = bindparam("last_call")
    connection.execute(
        update(_tally)
        .where(columns.subscription_id == bindparam("sub"), columns.period_start == bindparam("at"))
        .values(
            counted=columns.counted + bindparam("more"),
            open_since=case((columns.open_since < first, columns.open_since), else_=first),
            open_until=case((columns.open_until > last, columns.open_until), else_=last),
        ),
        [
            {"sub": sub, "at": start, "more": n.calls, "first_call": n.first, "last_call": n.last}
            for (sub, start), n in sorted(sums.items())
        ],
    )


def hour_of(moment: datetime) -> int:
    """Return the hour since 1970 that a moment lies in."""
    return clock.epoch(moment) // 3600


def millis(moment: datetime) -> int:
    """Return whole milliseconds since 1970."""
    return clock.epoch(moment) * 1000 + moment.microsecond // 1000
