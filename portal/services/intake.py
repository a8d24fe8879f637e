"""Calls that other gateways report, as CloudEvents 1.0, and that files bring.

An event is taken in once, by its source and id, and each is answered for itself: accepted,
duplicate, or refused with the reason. The names inside ``data`` are those of WSO2's analytics
events (``apim_event_response``).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, select, tuple_

from portal import clock
from portal.errors import Invalid
from portal.extensions import db
from portal.models import Api, Application, ApplicationKey, KeyType, Subscription
from portal.services import usage
from portal.services.applications import hash_of
from portal.services.inserting import parts

EVENT_TYPE = "apim.event.response"
MOST_EVENTS = 1_000
#: Stripe takes no usage that is older; a day is left for sending.
OLDEST = timedelta(days=34)
#: How far the clock of another gateway may be ahead.
AHEAD = timedelta(minutes=5)
LONGEST_NAME = 110
LONGEST_METHOD = 10
#: Of one call: a terabyte. Eight million such calls still fit one number of a database.
MOST_BYTES = 2**40
#: Control characters, and halves of a character that no database takes.
_UNREADABLE = re.compile("[\x00-\x1f\ud800-\udfff]")
_KEY_TYPES = {kind.value: kind for kind in KeyType}
T = TypeVar("T")


class Outcome(StrEnum):
    """What became of one event."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True)
class Item:
    """The answer for one event, by its place in what was sent."""

    index: int
    id: str
    source: str
    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Reported:
    """One event, read but not judged: whose call it was is still to be found out."""

    index: int
    id: str
    source: str
    at: datetime
    subscription: str
    """Its UUID, or empty."""
    api: str
    application: str
    key: str
    """An application's key in clear; it is never stored."""
    key_type: KeyType | None
    method: str
    resource: str
    status: int
    bytes: int


class _Refused(Exception):
    """Why one event is not taken in."""


def take_in(connection: Connection, tenant_id: int, events: Sequence[Any]) -> list[Item]:
    """Take events into the ledger and answer each of them, in their order.

    Sent again, those that were accepted are duplicates. The number of statements does not depend
    on how many events there are, but for long lists of ids that are cut into parts.

    :raise portal.errors.Invalid: if there are more than ``MOST_EVENTS``
    """
    if len(events) > MOST_EVENTS:
        raise Invalid(f"A batch has at most {MOST_EVENTS:,} events. Send the rest in another one.")
    items: dict[int, Item] = {}
    found: list[Reported] = []
    now = clock.now()
    for index, event in enumerate(events):
        try:
            found.append(_read(index, event, now))
        except _Refused as refusal:
            items[index] = _refusal(index, event, str(refusal))
    items |= record(connection, tenant_id, found)
    return [items[index] for index in range(len(events))]


def record(connection: Connection, tenant_id: int, found: Sequence[Reported]) -> dict[int, Item]:
    """Take in what was read; return the answers by the events' places."""
    owners = _Owners(tenant_id, found)
    items: dict[int, Item] = {}
    counted: list[Reported] = []
    calls: list[tuple[str, usage.Call]] = []
    for event in found:
        try:
            # The tenant is part of the source, so that nobody can use up another tenant's ids.
            calls.append((f"{tenant_id}:{event.source}", owners.call(event)))
            counted.append(event)
        except _Refused as refusal:
            items[event.index] = _answer(event, Outcome.REFUSED, str(refusal))
    for event, is_new in zip(counted, usage.record_all(connection, calls), strict=True):
        outcome = Outcome.ACCEPTED if is_new else Outcome.DUPLICATE
        items[event.index] = _answer(event, outcome)
    return items


def _answer(event: Reported, outcome: Outcome, reason: str = "") -> Item:
    return Item(index=event.index, id=event.id, source=event.source, outcome=outcome, reason=reason)


def _refusal(index: int, event: Any, reason: str) -> Item:
    named = event if isinstance(event, Mapping) else {}
    # Lists and objects may be nested deeper than they can be written.
    names = {
        name: str(value)[:LONGEST_NAME] if isinstance(value, str | int | float) else ""
        for name, value in ((name, named.get(name)) for name in ("id", "source"))
    }
    return Item(index=index, outcome=Outcome.REFUSED, reason=reason, **names)


# --- reading an event ----------------------------------------------------------------------


def _read(index: int, event: Any, now: datetime) -> Reported:
    if not isinstance(event, Mapping):
        raise _Refused("It is not an object.")
    if event.get("specversion") != "1.0":
        raise _Refused("specversion has to be 1.0.")
    if event.get("type") != EVENT_TYPE:
        raise _Refused(f"type has to be {EVENT_TYPE}.")
    data = event.get("data")
    if not isinstance(data, Mapping):
        raise _Refused("data has to be an object.")
    return Reported(
        index=index,
        id=_text(event, "id", LONGEST_NAME),
        source=_text(event, "source", LONGEST_NAME),
        at=moment(event.get("time"), now),
        subscription=_text(data, "subscriptionId", 36, ""),
        api=_text(data, "apiId", 36, ""),
        application=_text(data, "applicationId", 36, ""),
        key=_text(data, "apiKey", 255, ""),
        key_type=_key_type(data.get("keyType")),
        method=_method(data),
        resource=_text(data, "apiResourceTemplate", usage.LONGEST_RESOURCE, "/"),
        status=_number(data, "targetResponseCode", 100, 599),
        bytes=_number(data, "bytes", 0, MOST_BYTES, 0),
    )


def _text(holder: Mapping[str, Any], name: str, longest: int, default: str | None = None) -> str:
    value = holder.get(name)
    if value is None and default is not None and name not in holder:
        return default
    if not isinstance(value, str) or (default is None and not value.strip()):
        raise _Refused(f"{name} has to be text.")
    if len(value) > longest or _UNREADABLE.search(value):
        raise _Refused(f"{name} has to be at most {longest} readable characters.")
    return value.strip()


def _method(data: Mapping[str, Any]) -> str:
    method = _text(data, "apiMethod", LONGEST_METHOD)
    # Other letters can become two when they are made capitals, and no method has them.
    if not method.isascii():
        raise _Refused("apiMethod has to be a method such as GET.")
    return method.upper()


def _number(
    holder: Mapping[str, Any], name: str, least: int, most: int, default: int | None = None
) -> int:
    value = holder.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise _Refused(f"{name} has to be a whole number from {least} to {most:,}.")
    return value


def _key_type(value: Any) -> KeyType | None:
    if value is None:
        return None
    found = _KEY_TYPES.get(value) if isinstance(value, str) else None
    if found is None:
        raise _Refused("keyType has to be PRODUCTION or SANDBOX.")
    return found


def moment(value: Any, now: datetime) -> datetime:
    """Read a time of RFC 3339 that usage can still be billed at."""
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise _Refused("time has to be a time such as 2026-05-01T12:00:00Z.") from None
    if found.tzinfo is None:
        raise _Refused("time has to say its zone, for example by a Z at its end.")
    if found > now + AHEAD:
        raise _Refused("time lies in the future.")
    if found < now - OLDEST:
        raise _Refused(f"time is more than {OLDEST.days} days ago: nobody can bill that any more.")
    return found


# --- whose calls they are ------------------------------------------------------------------


class _Owner(NamedTuple):
    """A subscription that calls may belong to."""

    subscription_id: int
    uuid: str
    api: str
    application: str
    created_at: datetime
    ended_at: datetime | None


class _Key(NamedTuple):
    """A key that calls may be made with, and the UUID of its application."""

    key_type: KeyType
    application: str


class _Owners:
    """The subscriptions and keys that some events name, read with few statements."""

    def __init__(self, tenant_id: int, events: Sequence[Reported]) -> None:
        self._by_uuid = dict[str, _Owner]()
        self._by_pair = dict[tuple[str, str], list[_Owner]]()
        self._by_key = dict[str, _Key]()
        self._tenant_id = tenant_id
        self._read_keys({event.key for event in events if event.key})
        self._read_subscriptions(events)

    def _read_keys(self, texts: set[str]) -> None:
        hashes = {hash_of(text): text for text in texts}
        for part in parts(list(hashes)):
            rows = db.session.execute(
                select(ApplicationKey.key_hash, ApplicationKey.key_type, Application.uuid)
                .join(Application, Application.application_id == ApplicationKey.application_id)
                .where(ApplicationKey.key_hash.in_(part), Application.tenant_id == self._tenant_id)
            )
            self._by_key |= {
                hashes[key_hash]: _Key(KeyType(key_type), application)
                for key_hash, key_type, application in rows
            }

    def _read_subscriptions(self, events: Sequence[Reported]) -> None:
        uuids = sorted({event.subscription for event in events if event.subscription})
        pairs = sorted({self._pair(event) for event in events if not event.subscription})
        pair = tuple_(Api.api_uuid, Application.uuid)
        for rows in (self._found(uuids, Subscription.uuid), self._found(pairs, pair)):
            for row in rows:
                self._by_uuid[row.uuid] = row
                known = self._by_pair.setdefault((row.api, row.application), [])
                if row not in known:
                    known.append(row)

    def _found(self, values: Sequence[T], column: Any) -> list["_Owner"]:
        found: list[_Owner] = []
        for part in parts(values):
            query = (
                select(
                    Subscription.subscription_id,
                    Subscription.uuid,
                    Api.api_uuid,
                    Application.uuid,
                    Subscription.created_at,
                    Subscription.ended_at,
                )
                .join(Api, Api.api_id == Subscription.api_id)
                .join(Application, Application.application_id == Subscription.application_id)
                .where(Subscription.tenant_id == self._tenant_id, column.in_(part))
                .order_by(Subscription.subscription_id)
            )
            found += [_Owner(*row) for row in db.session.execute(query)]
        return found

    def _pair(self, event: Reported) -> tuple[str, str]:
        key = self._by_key.get(event.key)
        return event.api, key.application if key else event.application

    def call(self, event: Reported) -> usage.Call:
        """Return the call that an event tells of.

        :raise _Refused: if nobody is found who it could belong to
        """
        key = self._by_key.get(event.key)
        if event.key and key is None:
            raise _Refused("apiKey is unknown.")
        row = self._owner(event)
        key_type = event.key_type or (key.key_type if key else KeyType.PRODUCTION)
        return usage.Call(
            event_id=event.id,
            tenant_id=self._tenant_id,
            subscription_id=row.subscription_id,
            key_type=key_type,
            method=event.method,
            resource=event.resource,
            status=event.status,
            at=event.at,
            bytes=event.bytes,
        )

    def _owner(self, event: Reported) -> _Owner:
        if event.subscription:
            found = [row for row in [self._by_uuid.get(event.subscription)] if row]
            what = "subscriptionId is unknown."
        elif event.api and (event.application or event.key):
            found = self._by_pair.get(self._pair(event), [])
            what = "This application has no subscription to this API."
        else:
            raise _Refused("Name subscriptionId, or apiId with applicationId or apiKey.")
        if not found:
            raise _Refused(what)
        for row in found:
            if row.created_at <= event.at and (row.ended_at is None or event.at <= row.ended_at):
                return row
        raise _Refused("The subscription was not running at this time.")
