"""What an account's books say: invoices with their payments, and what those did to the balance."""

from datetime import timedelta
from decimal import Decimal

import pytest

from portal import clock
from portal.billing.engine import MovementKind
from portal.errors import EngineAccessDenied
from tests.contract.worlds import SandboxWorld


def test_a_paid_invoice_names_the_payment_that_the_balance_knows(world, engine, seller):
    subscription = seller.bought()
    (invoice,) = engine.account_invoices(world.account, None)
    (moved,) = engine.movements(world.account, None)

    assert (invoice.subscription_id, invoice.status, invoice.amount_paid) == (
        subscription,
        "paid",
        999,
    )
    assert moved.payment_id in invoice.payment_ids
    assert (moved.kind, moved.currency, moved.amount) == (MovementKind.CHARGE, "usd", 999)
    assert (moved.paid_currency, moved.paid_amount) == ("usd", 999)
    assert moved.fee > 0
    assert moved.net == moved.amount - moved.fee
    assert list(engine.account_invoices(world.other_account, None)) == []
    assert list(engine.movements(world.other_account, None)) == []


def test_only_what_was_made_since_then_is_listed(world, engine, seller):
    subscription = seller.bought()
    world.wait(days=40)
    since = clock.now() - timedelta(days=1)
    assert list(engine.account_invoices(world.account, since)) == []
    assert list(engine.movements(world.account, since)) == []

    world.renew(subscription)
    assert len(list(engine.account_invoices(world.account, None))) == 2
    assert len(list(engine.movements(world.account, None))) == 2


def test_an_open_invoice_was_attempted_and_moved_nothing(world, engine, seller):
    subscription = seller.bought()
    world.fail_renewal(subscription)
    newest = next(iter(engine.account_invoices(world.account, None)))

    assert (newest.status, newest.amount_paid, newest.amount_remaining) == ("open", 0, 999)
    assert len(list(engine.movements(world.account, None))) == 1


def test_a_refund_names_the_charge_that_it_is_of(world, engine, seller):
    seller.bought()
    (invoice,) = engine.account_invoices(world.account, None)
    world.refund(invoice, 400)
    moves = {moved.kind: moved for moved in engine.movements(world.account, None)}
    charge, refund = moves[MovementKind.CHARGE], moves[MovementKind.REFUND]

    assert (refund.amount, refund.fee, refund.net) == (-400, 0, -400)
    assert (refund.charge_id, refund.payment_id) == (charge.charge_id, charge.payment_id)


def test_the_tenants_part_is_told_apart_from_the_providers_fee(world, engine, seller):
    if not isinstance(world, SandboxWorld):
        pytest.skip("The engine for tests knows no platform.")
    page = engine.open_checkout(
        world.account, seller.page_spec(fee_percent=Decimal("2.5")), key="with a fee"
    )
    world.pay(page.session_id)
    (moved,) = engine.movements(world.account, None)

    assert moved.platform_fee == 25
    assert moved.fee > 25
    assert moved.net == moved.amount - moved.fee


def test_an_account_that_is_not_connected_is_denied(world, engine):
    for listed in (engine.account_invoices, engine.movements):
        with pytest.raises(EngineAccessDenied):
            list(listed(world.stranger, None))
