"""Single calls of a subscription, as the gateways wrote them down: what its usage was made of.

They are kept for ``usage.KEEP_RECORDS``; the counts that were made of them stay for ever. Calls
that the tenant's own Elasticsearch or Choreo counts never were single ones here.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select

from portal import clock
from portal.extensions import db
from portal.models import Subscription, UsageEvent, UsageSegment
from portal.services import evidence, gateway_log, log_lines, log_places, spool, spool_place
from portal.services.call_ids import Names
from portal.services.ledger import is_counted, millis
from portal.services.log_places import Place

OWN, NGINX = "gateway", "nginx"


@dataclass(frozen=True, kw_only=True)
class KeptCall:
    """One call, and who wrote it down: ``gateway``, ``nginx``, or the source that reported it."""

    at: datetime
    call_id: str
    source: str
    method: str
    resource: str
    status: int
    key_type: str
    bytes: int | None
    """Of a call of the portal's own gateway, what was known when it was answered."""

    @property
    def is_counted(self) -> bool:
        """Whether the written rule counts it: production key, and answered below 400.

        What is counted costs nothing all the same in a trial, or before the plan counted calls.
        """
        return is_counted(self.key_type, self.status)


def calls_of(subscription: Subscription, start: datetime, end: datetime) -> Iterator[KeptCall]:
    """Yield the calls that are kept of a subscription, from ``start`` to before ``end``.

    As they came into the ledger, those that other gateways reported behind. Reads what was kept of
    all subscriptions in that time, a portion of a gateway's file at a time.
    """
    place = log_places.find(db.session.connection(), {subscription.uuid}).get(subscription.uuid)
    names = Names(spool_place.number_of(db.session.connection()))
    for segment in _segments(start, end):
        for call in _calls_in(segment, subscription, place, names):
            if start <= call.at < end:
                yield call
    yield from _reported(subscription, start, end)


def _segments(start: datetime, end: datetime) -> Iterator[UsageSegment]:
    """Yield what is kept, one after the other: old ones may be deleted meanwhile."""
    query = (
        select(UsageSegment)
        .where(UsageSegment.last_at >= millis(start), UsageSegment.first_at < millis(end))
        .order_by(UsageSegment.segment_id)
        .limit(1)
    )
    after = 0
    while segment := db.session.scalar(query.where(UsageSegment.segment_id > after)):
        after = segment.segment_id
        yield segment
        db.session.expunge(segment)


def _calls_in(
    segment: UsageSegment, subscription: Subscription, place: Place | None, names: Names
) -> Iterator[KeptCall]:
    if segment.format == gateway_log.FORMAT:
        return _of_log(zlib.decompress(segment.records), subscription, place)
    return _of_spool(evidence.unpacked(segment.records), subscription, names)


def _of_spool(records: bytes, subscription: Subscription, names: Names) -> Iterator[KeptCall]:
    for entry in spool.entries(records):
        if entry.subscription_id == subscription.subscription_id:
            yield KeptCall(
                at=_moment(entry.at),
                call_id=names.of(UUID(entry.call_id)),
                source=OWN,
                method=entry.method,
                resource=entry.resource,
                status=entry.status,
                key_type=entry.key_type,
                bytes=entry.bytes,
            )


def _of_log(lines: bytes, subscription: Subscription, place: Place | None) -> Iterator[KeptCall]:
    named = subscription.uuid.encode()
    mine = b"".join(line for line in lines.splitlines(keepends=True) if named in line)
    for line in log_lines.parse(mine):
        if line.subscription == subscription.uuid:
            yield KeptCall(
                at=_moment(line.at),
                call_id=line.call_id,
                source=NGINX,
                method=line.method,
                resource=place.resource_of(line.path) if place else line.path,
                status=line.status,
                key_type=line.key_type,
                bytes=line.bytes,
            )


def _reported(subscription: Subscription, start: datetime, end: datetime) -> Iterator[KeptCall]:
    query = (
        select(UsageEvent)
        .where(
            UsageEvent.subscription_id == subscription.subscription_id,
            UsageEvent.at >= start,
            UsageEvent.at < end,
        )
        .order_by(UsageEvent.usage_event_id)
        .execution_options(yield_per=1000)
    )
    for event in db.session.scalars(query):
        yield KeptCall(
            at=event.at,
            call_id=event.event_id,
            source=event.source,
            method=event.method,
            resource=event.resource,
            status=event.status,
            key_type=event.key_type,
            bytes=None,
        )


def _moment(milliseconds: int) -> datetime:
    return clock.from_epoch(milliseconds // 1000) + timedelta(milliseconds=milliseconds % 1000)
