import json
from datetime import timedelta

import pytest

from portal import clock
from portal.billing.engine import EventKind
from portal.errors import Invalid, InvalidSignature


@pytest.fixture
def signed(world, seller):
    """The webhook request of a paid page."""
    world.pay(seller.page().session_id)
    completed = [
        (payload, header) for payload, header in world.signed() if b"session.completed" in payload
    ]
    return completed[0]


def test_a_genuine_event_is_read(world, engine, signed):
    event = engine.verify_event(*signed, world.secrets)
    assert event.kind is EventKind.CHECKOUT_COMPLETED
    assert event.type == "checkout.session.completed"
    assert event.account == world.account
    assert abs(event.created - clock.epoch(clock.now())) < 60
    assert event.subscription_id == event.checkout.subscription_id


def test_a_stored_event_is_read_again_alike(world, engine, signed):
    event = engine.verify_event(*signed, world.secrets)
    assert engine.translate_event(json.loads(signed[0])) == event


def test_each_event_has_its_own_id(world, seller):
    world.pay(seller.page().session_id)
    told = [event.event_id for event in world.events()]
    assert len(told) > 1
    assert len(set(told)) == len(told)


def test_one_of_several_secrets_is_enough(world, engine, signed):
    secrets = ["whsec_of_another", *world.secrets, ""]
    assert engine.verify_event(*signed, secrets).event_id


@pytest.mark.parametrize("secrets", [[], [""], ["whsec_of_another"]])
def test_without_the_right_secret_nothing_is_genuine(engine, signed, secrets):
    with pytest.raises(InvalidSignature):
        engine.verify_event(*signed, secrets)


@pytest.mark.parametrize(
    "change", [lambda body: body + b" ", lambda body: body[:-1], lambda body: b"\xff" + body]
)
def test_a_changed_body_is_not_genuine(world, engine, signed, change):
    payload, header = signed
    with pytest.raises(InvalidSignature):
        engine.verify_event(change(payload), header, world.secrets)


@pytest.mark.parametrize(
    "header", ["", "junk", "t=1,v1=2", ";;;", "=" * 5000, "t=\uff11,v1=\u0661"]
)
def test_a_junk_header_is_not_genuine(world, engine, signed, header):
    with pytest.raises(InvalidSignature):
        engine.verify_event(signed[0], header, world.secrets)


@pytest.mark.parametrize("seconds", [310, -310])
def test_an_old_event_and_one_from_the_future_are_not_genuine(world, engine, signed, seconds):
    world.wait(seconds=seconds)
    with pytest.raises(InvalidSignature):
        engine.verify_event(*signed, world.secrets)


def test_a_difference_of_some_minutes_is_accepted(world, engine, signed):
    world.wait(seconds=timedelta(minutes=4).total_seconds())
    assert engine.verify_event(*signed, world.secrets).event_id


@pytest.mark.parametrize("body", [{}, {"id": "evt_1"}, [], None, 7, "text"])
def test_what_is_no_event_is_invalid(engine, body):
    with pytest.raises(Invalid):
        engine.translate_event(body)


def test_unknown_keys_are_passed_over(world, engine, signed):
    body = json.loads(signed[0])
    grown = body | {"never_heard_of": {"deep": [1]}}
    assert engine.translate_event(grown) == engine.translate_event(body)
