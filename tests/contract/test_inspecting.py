"""What a provider tells about its set-up, for whoever looks for what is wrong with it."""

import pytest

from portal import clock
from portal.billing.engine import EVENT_TYPES
from portal.errors import EngineAccessDenied, EngineObjectMissing
from tests.contract.worlds import HOOK

RETURN = "https://portal.example/devportal/applications"


def test_a_registered_webhook_is_listed_as_it_was_registered(world, engine):
    hooks = engine.webhooks()
    assert [hook.url for hook in hooks] == [HOOK]
    assert hooks[0].is_enabled
    assert hooks[0].hears_connected
    assert hooks[0].api_version == "2026-04-22.dahlia"
    assert hooks[0].misses(frozenset(EVENT_TYPES)) == frozenset()
    assert hooks[0].misses(frozenset({"payout.paid"})) == {"payout.paid"}


def test_the_customer_portal_is_described_as_it_was_configured(world, engine):
    made = engine.ensure_portal_configuration(world.account, return_url=RETURN, key="portal")
    state = engine.portal_state(world.account, made)
    assert state.return_url == RETURN
    assert state.is_active
    assert state.cancels
    assert state.updates_card
    assert state.lists_invoices


def test_a_customer_portal_that_is_gone_is_said_to_be_missing(world, engine):
    with pytest.raises(EngineObjectMissing):
        engine.portal_state(world.account, "bpc_gone")


def test_a_key_that_may_do_everything_misses_nothing(world, engine):
    assert list(engine.missing_rights(world.account)) == []
    with pytest.raises(EngineAccessDenied):
        engine.missing_rights("no account")


def test_the_time_of_the_answer_is_the_providers_own_if_it_is_told(engine):
    said = engine.test_key().answered_at
    assert said is None or abs((said - clock.now()).total_seconds()) <= 1
