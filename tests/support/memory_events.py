"""How the in-memory provider writes and signs its events. On purpose not as Stripe does."""

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from portal.billing.engine import (
    BillingEvent,
    CheckoutSession,
    EventKind,
    Invoice,
    SubscriptionSnapshot,
)
from portal.clock import now
from portal.errors import Invalid, InvalidSignature

TOLERANCE_SECONDS = 300
#: What an event's object is called in a body, and what it is read as.
OBJECTS = {"page": CheckoutSession, "contract": SubscriptionSnapshot, "bill": Invoice}


@dataclass(frozen=True, kw_only=True)
class SignedEvent:
    """An event as it goes over the wire: post ``payload`` with ``header``."""

    event_id: str
    type: str
    payload: bytes
    header: str


def write(
    event_id: str, what: str, account: str, created: int, thing: object, *, live: bool = False
) -> bytes:
    """Return the body of an event about ``thing``."""
    body: dict[str, Any] = {
        "event": event_id,
        "what": what,
        "seller": account,
        "live": live,
        "when": created,
    }
    for name, kind in OBJECTS.items():
        if isinstance(thing, kind):
            body[name] = dump(thing)
    return json.dumps(body).encode()


def sign(payload: bytes, secret: str, at: datetime | None = None) -> str:
    """Return the header for a body."""
    moment = int((at or now()).timestamp())
    mac = hmac.new(secret.encode(), b"%d:" % moment + payload, hashlib.sha256)
    return f"when={moment};mac={mac.hexdigest()}"


def verify(payload: bytes, header: str, secrets: Sequence[str]) -> None:
    """Refuse what was not signed with one of the secrets within five minutes."""
    try:
        when, mac = (part.partition("=")[2] for part in header.split(";"))
        moment = datetime.fromtimestamp(int(when), UTC)
        payload.decode()
    except (ValueError, OverflowError):
        raise InvalidSignature("The signature is unreadable.") from None
    expected = [sign(payload, secret, moment) for secret in secrets if secret.strip()]
    known = any(hmac.compare_digest(f"when={when};mac={mac}", one) for one in expected)
    if not known or abs((now() - moment).total_seconds()) > TOLERANCE_SECONDS:
        raise InvalidSignature("The signature is not valid.")


def parse(payload: bytes) -> Any:
    """Read a body."""
    try:
        return json.loads(payload)
    except ValueError:
        raise Invalid("This is no event.") from None


def read(body: Mapping[str, Any]) -> BillingEvent:
    """Translate a body; unknown keys are passed over."""
    try:
        what = body["what"]
        kind = EventKind(what) if what in {each.value for each in EventKind} else None
        things = {
            name: load(OBJECTS[name], body[name]) if kind and name in body else None
            for name in OBJECTS
        }
        if kind and not any(things.values()):
            raise ValueError("no object")
        return BillingEvent(
            event_id=str(body["event"]),
            type=str(what),
            kind=kind,
            account=body.get("seller"),
            livemode=bool(body["live"]),
            created=int(body["when"]),
            checkout=things["page"],
            subscription=things["contract"],
            invoice=things["bill"],
        )
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise Invalid("This is no event.") from error


def dump(value: object) -> Any:
    """Return JSON's form of one of the interface's values."""
    if is_dataclass(value):
        return {each.name: dump(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, list | tuple):
        return [dump(each) for each in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal | StrEnum) else value


def load(kind: Any, value: Any) -> Any:
    """Return one of the interface's values from JSON's form."""
    if isinstance(kind, UnionType):
        if value is None:
            return None
        kind = next(each for each in get_args(kind) if each is not NoneType)
    if get_origin(kind) is not None:
        return [load(get_args(kind)[0], each) for each in value]
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{name: load(hints[name], value[name]) for name in hints if name in value})
    if kind is datetime:
        return datetime.fromisoformat(value)
    if kind in (Decimal, int, str) or issubclass(kind, StrEnum):
        return kind(value)
    return bool(value)
