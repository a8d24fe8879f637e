"""Webhook calls that are nonsense: refused, never an error of ours, never a change."""

import gzip
import json
import time

import pytest

from portal.billing import registry
from portal.extensions import db
from portal.models import InboxEvent
from tests.support.events import signed

WEBHOOK = "/api/am/stripe/webhook"
SECRET = "whsec_memory_secret_0001"
EVENT = {
    "id": "evt_1",
    "object": "event",
    "type": "customer.subscription.updated",
    "created": 1_780_000_000,
    "livemode": False,
    "api_version": "2026-04-22.dahlia",
    "data": {"object": {"id": "sub_1", "object": "subscription"}},
}


@pytest.fixture
def send(app, factories):
    """Send a body to the webhook of a tenant whose events Stripe's own engine checks."""
    factories.tenant()
    app.extensions["portal_engines"]._factory = registry.load("stripe")
    client = app.test_client()

    def send(body, headers=None, **more):
        given = signed(body, SECRET) if headers is None else headers
        return client.post(WEBHOOK, data=body, headers=given, **more)

    return send


def without(name):
    return {key: value for key, value in EVENT.items() if key != name}


def with_(**changed):
    return json.dumps(EVENT | changed).encode()


NO_EVENTS = {
    "nothing": b"",
    "a nul": b"\0",
    "no text": b"\xff\xfe{}",
    "utf-16": json.dumps(EVENT).encode("utf-16"),
    "a mark before it": b"\xef\xbb\xbf" + json.dumps(EVENT).encode(),
    "compressed": gzip.compress(json.dumps(EVENT).encode(), mtime=0),
    "a list": b"[]",
    "a text": b'"evt"',
    "null": b"null",
    "a number": b"1",
    "half": json.dumps(EVENT).encode()[:-5],
    "deep": b"[" * 10_000 + b"]" * 10_000,
    "deep inside": b'{"id": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    "a huge number": b'{"id": "evt_1", "created": 1' + b"0" * 400 + b"}",
    "nan": b'{"id": "evt_1", "created": NaN}',
    "no id": json.dumps(without("id")).encode(),
    "no type": json.dumps(without("type")).encode(),
    "no data": json.dumps(without("data")).encode(),
    "no time": json.dumps(without("created")).encode(),
    "id is a list": with_(id=["evt_1"]),
    "id is empty": with_(id=""),
    "id is long": with_(id="evt_" + "x" * 300),
    "type is an object": with_(type={}),
    "time is text": with_(created="yesterday"),
    "data is a list": with_(data=[]),
    "object is a list": with_(data={"object": []}),
    "object is text": with_(data={"object": "sub_1"}),
}


@pytest.mark.parametrize("name", NO_EVENTS)
def test_a_body_that_is_no_event_is_refused_even_when_it_is_signed(send, name):
    answer = send(NO_EVENTS[name])
    assert 400 <= answer.status_code < 500, answer.get_data(as_text=True)
    assert db.session.query(InboxEvent).count() == 0


#: Strange, and yet somebody's genuine event: kept or refused, but never an error.
STRANGE = {
    "a quote": with_(id="evt_'; DROP TABLE am_tenant; --"),
    "a nul inside": with_(id="evt_\0"),
    "unknown type": with_(type="nobody.knows.this"),
    "negative time": with_(created=-1),
    "far time": with_(created=253_402_300_799),
    "beyond time": with_(created=10**15),
    "fraction": with_(created=1.5),
    "twice": json.dumps(EVENT).encode()[:-1] + b', "id": "evt_2"}',
    "long type": with_(type="x" * 1000),
}


@pytest.mark.parametrize("name", STRANGE)
def test_a_strange_event_is_kept_or_refused(send, name):
    assert send(STRANGE[name]).status_code < 500


NOW = int(time.time())
HEADERS = {
    "none": "",
    "no time": "v1=" + "0" * 64,
    "no signature": f"t={NOW}",
    "only v0": f"t={NOW},v0={'0' * 64}",
    "huge time": f"t={10**400},v1={'0' * 64}",
    "negative time": f"t=-1,v1={'0' * 64}",
    "other digits": f"t=\u0661\u0662\u0663,v1={'0' * 64}".encode().decode("latin-1"),
    "a thousand": f"t={NOW}," + ",".join(f"v1={number:064x}" for number in range(1000)),
    "not hexadecimal": f"t={NOW},v1=zz",
    "not ascii": f"t={NOW},v1=\xff",
    "equals": "====,,,,",
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_that_is_no_signature_is_refused(send, name):
    answer = send(json.dumps(EVENT).encode(), {"Stripe-Signature": HEADERS[name]})
    assert answer.status_code == 400
    assert db.session.query(InboxEvent).count() == 0


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_only_post_is_taken(app, factories, method):
    factories.tenant()
    assert app.test_client().open(WEBHOOK, method=method).status_code == 405


def test_a_slash_at_the_end_is_no_redirect_that_stripe_would_not_follow(app, factories):
    factories.tenant()
    assert app.test_client().post(WEBHOOK + "/").status_code == 404
