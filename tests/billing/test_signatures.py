import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta

import pytest
import stripe
import time_machine

from portal.billing.engine import EventKind
from portal.errors import Invalid, InvalidSignature

SECRET = "whsec_one"
NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
SENTENCE = "The signature of this event is not valid."


def sign(payload: bytes, secret: str = SECRET, at: datetime = NOW) -> str:
    moment = int(at.timestamp())
    mac = hmac.new(secret.encode(), f"{moment}.".encode() + payload, hashlib.sha256)
    return f"t={moment},v1={mac.hexdigest()}"


@pytest.fixture(autouse=True)
def _at_noon():
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def engine(scripted):
    return scripted[0]


@pytest.fixture
def payload(recorded):
    return json.dumps(recorded("customer.subscription.updated")).encode()


def refused(engine, payload, header, secrets=(SECRET,)):
    with pytest.raises(InvalidSignature) as caught:
        engine.verify_event(payload, header, list(secrets))
    return caught.value.message == SENTENCE


def test_a_genuine_event_is_translated(engine, payload):
    event = engine.verify_event(payload, sign(payload), [SECRET])
    assert event.kind is EventKind.SUBSCRIPTION_UPDATED
    assert event.subscription_id == "sub_1Weather0001"


def test_the_sdk_agrees_that_it_is_genuine(engine, payload):
    header = stripe.WebhookSignature._compute_signature(
        f"{int(NOW.timestamp())}.{payload.decode()}", SECRET
    )
    assert sign(payload).endswith(header)
    assert stripe.WebhookSignature.verify_header(payload.decode(), sign(payload), SECRET, 300)


def test_any_of_the_secrets_and_any_of_the_signatures_will_do(engine, payload):
    rolled = f"{sign(payload, 'whsec_old')},{sign(payload).split(',')[1]},v0=ff"
    assert engine.verify_event(payload, rolled, ["whsec_other", SECRET]).event_id
    assert engine.verify_event(payload, rolled, ["whsec_old"]).event_id


@pytest.mark.parametrize("seconds", [-301, 301, -100_000_000])
def test_events_from_long_ago_and_from_the_future_are_refused(engine, payload, seconds):
    assert refused(engine, payload, sign(payload, at=NOW + timedelta(seconds=seconds)))


@pytest.mark.parametrize("seconds", [-300, 300])
def test_five_minutes_of_difference_are_accepted(engine, payload, seconds):
    assert engine.verify_event(
        payload, sign(payload, at=NOW + timedelta(seconds=seconds)), [SECRET]
    )


@pytest.mark.parametrize("secrets", [[], [""], ["  "]])
def test_without_a_secret_nothing_is_genuine(engine, payload, secrets):
    assert refused(engine, payload, sign(payload, secret=""), secrets)


def test_every_changed_byte_is_noticed(engine, payload):
    header = sign(payload)
    assert refused(engine, payload + b" ", header)
    assert refused(engine, json.dumps(json.loads(payload), indent=1).encode(), header)


def test_bytes_that_are_no_text_are_refused_even_when_signed(engine):
    body = b'{"id": "\xff\xfe"}'
    assert refused(engine, body, sign(body))


@pytest.mark.parametrize(
    "change",
    [
        lambda h: "",
        lambda h: "t=,v1=",
        lambda h: h.split(",")[1],
        lambda h: h.split(",")[0],
        lambda h: h.replace("v1=", "v2="),
        lambda h: h.replace("t=1", "t=\uff11"),
        lambda h: h.replace("v1=", "v1=\u0661"),
        lambda h: h.replace("t=", "t=-"),
        lambda h: h.replace("t=", "t=+"),
        lambda h: "t=" + "9" * 400 + "," + h.split(",")[1],
        lambda h: h + ",t=1",
        lambda h: h.upper(),
        lambda h: h + ",v1=" + "0" * 64 * 1000,
        lambda h: h + (",v1=" + "0" * 64) * 1000,
        lambda h: h + (",v1=" + "0" * 64) * 16,
        lambda h: "," * 4000,
        lambda h: "t=1=2,v1=3=4",
        lambda h: "\x00\ud800",
    ],
)
def test_junk_in_the_header_is_refused(engine, payload, change):
    assert refused(engine, payload, change(sign(payload)))


@pytest.mark.parametrize(
    "body",
    [b"", b"no json", b"[]", b"null", b"7", b'"text"', b"{}", b"[" * 100_000, b'{"id": "evt_1"}'],
)
def test_what_is_signed_but_no_event_is_invalid(engine, body):
    with pytest.raises(Invalid):
        engine.verify_event(body, sign(body), [SECRET])
