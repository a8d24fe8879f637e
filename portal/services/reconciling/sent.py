"""Usage that the engine acknowledged lately, in the days in which its meters are compared.

By customer and meter, as the engine adds up: whatever became of the subscription since, its plan
or its billing period, and however many subscriptions of one customer count on one meter.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

from sqlalchemy import and_, case, func, or_, select

from portal import clock
from portal.extensions import db
from portal.models import (
    BatchState,
    Drift,
    DriftState,
    EnginePrice,
    Subscription,
    UsageBatch,
)
from portal.services.inserting import parts
from portal.services.reconciling.metering import Stretch

#: Usage is compared again and again for so long after it was acknowledged.
LATELY = timedelta(hours=49)
#: Each is compared once in so many hours, and in each hour so near to a billing period's end.
TURN_HOURS, NEAR = 12, timedelta(hours=3)
DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What one customer used on one meter, and the last subscription that it was of."""

    account: str
    customer_id: str
    event_name: str
    meter_id: str
    uuid: str


def due(tenant_id: int, account: str, now: datetime, until: datetime) -> list[Stretch]:
    """Return the days that are compared in this hour, up to ``until``; a few queries for all.

    Those whose turn it is, those near to the end of a billing period, and those that differed when
    they were compared last.
    """
    rows = db.session.execute(_lately(tenant_id, account, now)).all()
    open_ = list(_open(tenant_id, account))
    names = {row.meter_event_name for row in rows} | {name for name, _, _ in open_}
    meters = _meters(account, names)
    uuids = _uuids({row.subscription_id for row in rows})
    found: dict[tuple[str, str, datetime], Stretch] = {}

    def add(event_name: str, customer_id: str, day: datetime, uuid: str) -> None:
        of = Sent(
            account=account,
            customer_id=customer_id,
            event_name=event_name,
            meter_id=meters[event_name],
            uuid=uuid,
        )
        if day < until:
            stretch = Stretch(of=of, start=day, end=min(day + DAY, until))
            found.setdefault((event_name, customer_id, day), stretch)

    for row in rows:
        for day in _days(row.first, row.last):
            if row.meter_event_name in meters:
                add(
                    row.meter_event_name,
                    row.engine_customer_id,
                    day,
                    uuids.get(row.subscription_id, ""),
                )
    for event_name, customer_id, day in open_:
        if event_name in meters:
            add(event_name, customer_id, day, _uuid(account, event_name, customer_id))
    return list(found.values())


def _lately(tenant_id: int, account: str, now: datetime) -> Any:
    closes, second = UsageBatch.closes_at, clock.epoch(now)
    near = int(NEAR.total_seconds())
    is_near = case((and_(closes > second - near, closes < second + near), 1), else_=0)
    newest = func.max(UsageBatch.subscription_id)
    return (
        select(
            UsageBatch.engine_customer_id,
            UsageBatch.meter_event_name,
            func.min(UsageBatch.stamp).label("first"),
            func.max(UsageBatch.stamp).label("last"),
            newest.label("subscription_id"),
        )
        .where(
            UsageBatch.tenant_id == tenant_id,
            UsageBatch.acknowledged_at > now - LATELY,
            UsageBatch.state == BatchState.ACKNOWLEDGED,
            UsageBatch.connected_account == account,
        )
        .group_by(UsageBatch.engine_customer_id, UsageBatch.meter_event_name)
        .having(or_(newest % TURN_HOURS == now.hour % TURN_HOURS, func.max(is_near) == 1))
        .order_by(UsageBatch.engine_customer_id, UsageBatch.meter_event_name)
    )


def _days(first: datetime, last: datetime) -> Iterator[datetime]:
    day = datetime.combine(first.date(), time(), first.tzinfo)
    while day <= last:
        yield day
        day += DAY


def subject_of(stretch: Stretch) -> str:
    """Return what tells a day of a customer's use of a meter from others."""
    of = stretch.of
    return f"{of.event_name} {of.customer_id} {stretch.start:%Y-%m-%d}"


def _open(tenant_id: int, account: str) -> Iterator[tuple[str, str, datetime]]:
    """Yield what :func:`subject_of` named, of differences that are open."""
    subjects = db.session.scalars(
        select(Drift.subject).where(
            Drift.tenant_id == tenant_id,
            Drift.account == account,
            Drift.kind == "usage",
            Drift.state == DriftState.OPEN,
        )
    )
    for subject in subjects:
        event_name, customer_id, day = subject.rsplit(" ", 2)
        yield event_name, customer_id, datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)


def _meters(account: str, names: Iterable[str]) -> dict[str, str]:
    return {
        str(row.meter_event_name): str(row.meter_id)
        for part in parts(sorted(names))
        for row in db.session.execute(
            select(EnginePrice.meter_event_name, EnginePrice.meter_id).where(
                EnginePrice.connected_account == account,
                EnginePrice.meter_event_name.in_(part),
                EnginePrice.meter_id.is_not(None),
            )
        )
    }


def _uuids(numbers: Iterable[int]) -> dict[int, str]:
    return {
        row.subscription_id: row.uuid
        for part in parts(sorted(numbers))
        for row in db.session.execute(
            select(Subscription.subscription_id, Subscription.uuid).where(
                Subscription.subscription_id.in_(part)
            )
        )
    }


def _uuid(account: str, event_name: str, customer_id: str) -> str:
    found = db.session.scalar(
        select(Subscription.uuid)
        .join(UsageBatch, UsageBatch.subscription_id == Subscription.subscription_id)
        .where(
            UsageBatch.connected_account == account,
            UsageBatch.meter_event_name == event_name,
            UsageBatch.engine_customer_id == customer_id,
        )
        .order_by(UsageBatch.batch_id.desc())
        .limit(1)
    )
    return found or ""
