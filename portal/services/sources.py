"""What a source says, brought into the ledger: each call once, however often it is read again.

A source tells how many calls of a kind there were in an hour, and tells a larger number when it
has learned of more. What was taken over is kept beside it, so only the difference is new.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any

import structlog
from sqlalchemy import Table, delete, select, tuple_, update

from portal import clock
from portal.analytics.source import Found, Scope, SourceUnavailable
from portal.extensions import db
from portal.models import Api, Application, KeyType, PolicyVersion, Subscription, UsageSource
from portal.models.source import SourceKind, UsageSourceCount
from portal.services import ledger, periods
from portal.services.inserting import insert_missing, parts
from portal.services.ledger import LONGEST_RESOURCE, Alike, Group, Groups

log = structlog.get_logger()

HOUR_MS = 3_600_000
#: How much is read and stored at a time.
LONGEST = timedelta(days=1)
#: Numbers that were taken over are kept beyond any looking back.
KEEP = timedelta(days=40)
_COUNT: Table = UsageSourceCount.__table__  # type: ignore[assignment]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be read of a source now. ``chosen_at`` tells its choice from a later one."""

    tenant_id: int
    chosen_at: datetime
    scopes: Sequence[Scope]
    is_first: bool
    """Whether nothing was ever read of it."""


def of(tenant_id: int) -> UsageSource | None:
    """Return what the tenant has chosen instead of the portal's own ledger, or nothing."""
    found = db.session.get(UsageSource, tenant_id)
    return found if found is not None and found.kind != SourceKind.PORTAL else None


def problem(tenant_id: int) -> str | None:
    """Return why the tenant's source does not work, in a sentence; ``None``: nothing is known."""
    found = of(tenant_id)
    return found.problem if found is not None else None


def plan(source: UsageSource, until: datetime, look_back: timedelta) -> Plan:
    """Return what to read now: what is new, and again what the source may have learned of late."""
    start = source.chosen_at
    if source.read_until is not None:
        again = (source.read_until - look_back).replace(minute=0, second=0, microsecond=0)
        start = max(start, again)
    apis = _apis(source.tenant_id)
    scopes = []
    while apis and start < until:
        # Whole hours: a kind of calls is told apart by its hour.
        day = (start + LONGEST).replace(minute=0, second=0, microsecond=0)
        end = min(day, until)
        scopes.append(
            Scope(tenant_domain=source.tenant.tenant_domain, apis=apis, start=start, end=end)
        )
        start = end
    return Plan(
        tenant_id=source.tenant_id,
        chosen_at=source.chosen_at,
        scopes=scopes,
        is_first=source.read_until is None,
    )


def latest(source: UsageSource, now: datetime) -> Scope:
    """Return what a test of the source asks for: the last day."""
    return Scope(
        tenant_domain=source.tenant.tenant_domain,
        apis=_apis(source.tenant_id),
        start=now - LONGEST,
        end=now,
    )


def _apis(tenant_id: int) -> list[str]:
    query = (
        select(Api.api_uuid)
        .where(
            Api.tenant_id == tenant_id,
            select(Subscription.subscription_id).where(Subscription.api_id == Api.api_id).exists(),
        )
        .order_by(Api.api_uuid)
    )
    return list(db.session.scalars(query))


# --- whose calls they are ------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Owner:
    """A subscription that calls of a pair of API and application may belong to."""

    subscription_id: int
    since: int
    until: int | None
    """Epoch milliseconds."""
    period: tuple[datetime, datetime, str] | None
    trial_end: int | None
    plan_marks: tuple[int, ...]
    """When its plan was changed last, and from when on that plan counts calls."""

    def has(self, moment: int) -> bool:
        """Whether it was running then."""
        return self.since <= moment and (self.until is None or moment <= self.until)

    def bounds(self, first: int, last: int) -> Iterable[int]:
        """Return the moments after ``first`` and not after ``last`` that calls must not cross."""
        marks = [self.since, self.trial_end, *self.plan_marks]
        if self.until is not None:
            marks.append(self.until + 1)
        if self.period is not None:
            found = periods.find(clock.from_epoch(first // 1000), *self.period)
            marks.append(clock.epoch(found.end) * 1000)
        return (mark for mark in marks if mark is not None and first < mark <= last)


Pair = tuple[str, str]


def owners(tenant_id: int, pairs: set[Pair]) -> dict[Pair, list[Owner]]:
    """Return who calls of these APIs and applications may belong to, oldest first."""
    found: dict[Pair, list[Owner]] = {}
    for part in parts(sorted(pairs)):
        query = (
            select(Subscription, Api.api_uuid, Application.uuid, PolicyVersion.billing_cycle)
            .join(Api, Api.api_id == Subscription.api_id)
            .join(Application, Application.application_id == Subscription.application_id)
            .join(PolicyVersion, PolicyVersion.policy_version_id == Subscription.policy_version_id)
            .where(
                Subscription.tenant_id == tenant_id,
                tuple_(Api.api_uuid, Application.uuid).in_(part),
            )
            .order_by(Subscription.subscription_id)
        )
        for row, api, application, cycle in db.session.execute(query).unique():
            found.setdefault((api, application), []).append(_owner(row, cycle))
    return found


def _owner(row: Subscription, cycle: str | None) -> Owner:
    period = None
    if row.period_start and row.period_end and row.period_start < row.period_end:
        period = (row.period_start, row.period_end, cycle or "month")
    return Owner(
        subscription_id=row.subscription_id,
        since=ledger.millis(row.created_at),
        until=ledger.millis(row.ended_at) if row.ended_at else None,
        period=period,
        trial_end=ledger.millis(row.trial_end) if row.trial_end else None,
        plan_marks=(row.plan_since * 1000, row.billed_from * 1000),
    )


def cut(found: Found, whose: Sequence[Owner]) -> int | None:
    """Return the first moment at which these calls have to be told apart; ``None``: none."""
    return min(
        (mark for owner in whose for mark in owner.bounds(found.first, found.last)), default=None
    )


# --- taking over ---------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Piece:
    """Calls of one subscription; ``since`` is where in the hour they begin."""

    alike: Alike
    since: int
    group: Group

    def digest(self, chosen_at: datetime, *, with_since: bool) -> str:
        """Return a name of these calls for one choice of a source."""
        what = (chosen_at.isoformat(), *self.alike, *((self.since,) if with_since else ()))
        return blake2b(repr(what).encode(), digest_size=16).hexdigest()


def take_over(
    asked: Plan, scope: Scope, found: Sequence[Found], whose: dict[Pair, list[Owner]]
) -> int:
    """Count what is new of ``found``, which is all of a scope; return how many calls that was.

    Twice the same adds nothing. Nothing is taken over when another source was chosen meanwhile.
    """
    source = db.session.scalars(
        select(UsageSource).where(UsageSource.tenant_id == asked.tenant_id).with_for_update()
    ).one()
    if source.chosen_at != asked.chosen_at:
        return 0
    pieces, nobody = _assigned(found, whose)
    news, rows = _news(asked, scope, pieces)
    for groups in _rounds(news):
        ledger.count(db.session.connection(), groups, _never)
    _keep(rows)
    source.read_until = max(source.read_until or scope.end, scope.end)
    source.problem = source.problem_at = None
    # The plan's first scope begins a reading.
    source.nobody = nobody if scope == asked.scopes[0] else source.nobody + nobody
    if nobody:
        log.warning("usage_of_nobody", tenant=asked.tenant_id, calls=nobody)
    db.session.execute(
        delete(UsageSourceCount).where(
            UsageSourceCount.tenant_id == asked.tenant_id,
            UsageSourceCount.hour < ledger.hour_of(clock.now() - KEEP),
        )
    )
    return sum(group.calls for _, group in news)


def _assigned(found: Sequence[Found], whose: dict[Pair, list[Owner]]) -> tuple[list[_Piece], int]:
    pieces: dict[tuple[Alike, int], _Piece] = {}
    nobody = 0
    for calls in found:
        possible = whose.get((calls.api, calls.application), [])
        owner = next((each for each in possible if each.has(calls.first)), None)
        if owner is None:
            nobody += calls.calls
            continue
        alike = Alike(
            owner.subscription_id,
            calls.hour,
            calls.method,
            calls.resource[:LONGEST_RESOURCE],
            calls.status,
            calls.key_type if calls.key_type in set(KeyType) else KeyType.SANDBOX,
        )
        since = _since(owner, calls)
        known = pieces.get((alike, since))
        group = Group(calls.calls, 0, calls.first, calls.last)
        if known is None:
            pieces[alike, since] = _Piece(alike=alike, since=since, group=group)
        else:
            known.group.calls += group.calls
            known.group.first = min(known.group.first, group.first)
            known.group.last = max(known.group.last, group.last)
    return list(pieces.values()), nobody


def _since(owner: Owner, calls: Found) -> int:
    """Return the latest bound in the hour that is not after the calls; the hour's start else."""
    start = calls.hour * HOUR_MS
    return max((mark for mark in owner.bounds(start, calls.first)), default=start)


def _news(
    asked: Plan, scope: Scope, pieces: Sequence[_Piece]
) -> tuple[list[tuple[Alike, Group]], list[dict[str, Any]]]:
    known = _known(asked.tenant_id, scope)
    totals: dict[str, int] = {}
    for row in known.values():
        totals[row["kind"]] = totals.get(row["kind"], 0) + row["calls"]
    room: dict[str, int] = {}
    for piece in pieces:
        kind = piece.digest(asked.chosen_at, with_since=False)
        room[kind] = room.get(kind, -totals.get(kind, 0)) + piece.group.calls
    news: list[tuple[Alike, Group]] = []
    rows = []
    for piece in pieces:
        kind = piece.digest(asked.chosen_at, with_since=False)
        digest = piece.digest(asked.chosen_at, with_since=True)
        before = known[digest]["calls"] if digest in known else 0
        # Where a bound became known meanwhile, the pieces differ, but their sum must not.
        more = min(piece.group.calls - before, room[kind])
        if more <= 0:
            continue
        room[kind] -= more
        news.append((piece.alike, Group(more, 0, piece.group.first, piece.group.last)))
        row = {"digest": digest, "tenant_id": asked.tenant_id, "kind": kind}
        rows.append(row | {"hour": piece.alike.hour, "calls": before + more})
    return news, rows


def _rounds(news: Sequence[tuple[Alike, Group]]) -> list[Groups]:
    """Put the groups into rounds without two of one kind: those lie in different periods."""
    rounds: list[Groups] = []
    for alike, group in news:
        free = next((each for each in rounds if alike not in each), None)
        if free is None:
            rounds.append(free := {})
        free[alike] = group
    return rounds


def _known(tenant_id: int, scope: Scope) -> dict[str, dict[str, Any]]:
    query = select(_COUNT).where(
        _COUNT.c.tenant_id == tenant_id,
        _COUNT.c.hour >= ledger.hour_of(scope.start),
        _COUNT.c.hour <= ledger.hour_of(scope.end),
    )
    return {row["digest"]: dict(row) for row in db.session.execute(query).mappings()}


def _keep(rows: Sequence[dict[str, Any]]) -> None:
    if not rows:
        return
    connection = db.session.connection()
    taken = insert_missing(connection, _COUNT, rows, key="digest")
    for row in rows:
        if row["digest"] in taken:
            connection.execute(
                update(_COUNT).where(_COUNT.c.digest == row["digest"]).values(calls=row["calls"])
            )


def _never(alike: Alike, moment: int) -> Group:
    raise SourceUnavailable(
        "A billing period changed while the usage was read. The next run reads it again."
    )


def note_problem(tenant_id: int, chosen_at: datetime, words: str) -> None:
    """Keep why the source could not be read, for the pages that warn of it."""
    source = db.session.get(UsageSource, tenant_id)
    if source is not None and source.chosen_at == chosen_at:
        source.problem, source.problem_at = words, clock.now()


def note_success(tenant_id: int, chosen_at: datetime) -> None:
    """Note that the source answered a test."""
    source = db.session.get(UsageSource, tenant_id)
    if source is not None and source.chosen_at == chosen_at:
        source.problem = source.problem_at = None
        source.tested_at = clock.now()
