"""Charges, fees and refunds: what arrives on the publisher's balance, and what leaves it again."""

from fractions import Fraction
from typing import Any

import pytest
import stripe

from portal.sandbox.engine import balance
from tests.sandbox.conftest import World


def bought(world: World, amount: int = 1000, currency: str = "usd", **data: Any) -> stripe.Charge:
    subscription = world.subscribe(world.licensed(amount, currency), **data)
    paid = world.api.v1.invoice_payments.list({"invoice": str(subscription.latest_invoice)}).data[0]
    intent = world.api.v1.payment_intents.retrieve(
        str(paid.payment.payment_intent), {"expand": ["latest_charge"]}
    )
    assert isinstance(intent.latest_charge, stripe.Charge)
    return intent.latest_charge


def shared(percent: float) -> dict[str, Any]:
    return {"subscription_data": {"application_fee_percent": percent}}


def movement(world: World, source: str) -> stripe.BalanceTransaction:
    (found,) = world.api.v1.balance_transactions.list({"source": source}).data
    return found


def test_a_payment_arrives_less_its_fee(world):
    charge = bought(world)
    found = movement(world, charge.id)
    assert (found.type, found.amount, found.fee, found.net) == ("charge", 1000, 59, 941)
    assert found.id == charge.balance_transaction
    assert charge.payment_method_details.card.last4 == "4242"
    assert "charge.succeeded" in world.event_types()


@pytest.mark.parametrize(("currency", "fee"), [("usd", 320), ("jpy", 290), ("kwd", 290)])
def test_the_fee_follows_the_currency(currency, fee):
    assert balance.stripe_fee(10_000, currency) == fee


@pytest.mark.parametrize("percent", [0.01, 12.5, 33.33, 100])
def test_the_platforms_share_is_rounded_once(percent):
    exact = Fraction(str(percent)) * 999 / 100
    assert abs(balance.application_fee(999, percent, "usd") - exact) <= Fraction(1, 2)


def test_the_platform_takes_its_share(world):
    charge = bought(world, **shared(12.5))
    found = movement(world, charge.id)
    parts = {each.type: each.amount for each in found.fee_details}
    assert parts == {"stripe_fee": 59, "application_fee": 125}
    assert (found.fee, found.net) == (184, 816)
    (fee,) = world.platform_api.v1.application_fees.list().data
    assert (fee.amount, fee.account, fee.charge) == (125, world.account, charge.id)
    own = world.platform_api.v1.balance_transactions.list().data
    assert [(each.type, each.net) for each in own] == [("application_fee", 125)]
    # Neither side sees the other's balance.
    assert world.api.v1.application_fees.list().data == []


def test_a_refund_gives_everything_back_and_keeps_the_fee(world):
    charge = bought(world, **shared(12.5))
    made = world.api.v1.refunds.create({"charge": charge.id, "reason": "duplicate"})
    assert (made.amount, made.status, made.reason) == (1000, "succeeded", "duplicate")
    found = movement(world, made.id)
    assert (found.type, found.amount, found.fee, found.net) == ("refund", -1000, 0, -1000)
    charge = world.api.v1.charges.retrieve(charge.id)
    assert (charge.refunded, charge.amount_refunded) == (True, 1000)
    (event,) = world.look(f"/events?type=charge.refunded&account={world.account}")
    assert event["data"]["object"]["amount_refunded"] == 1000
    assert event["data"]["previous_attributes"] == {"amount_refunded": 0, "refunded": False}
    with pytest.raises(stripe.InvalidRequestError) as again:
        world.api.v1.refunds.create({"charge": charge.id})
    assert again.value.code == "charge_already_refunded"


def test_parts_add_up_with_the_platforms_share(world):
    charge = bought(world, 999, **shared(10))
    for amount in (333, 333, 333):
        world.api.v1.refunds.create(
            {
                "payment_intent": str(charge.payment_intent),
                "amount": amount,
                "refund_application_fee": True,
            }
        )
    (fee,) = world.platform_api.v1.application_fees.list().data
    assert (fee.amount, fee.amount_refunded, fee.refunded) == (100, 100, True)
    own = world.platform_api.v1.balance_transactions.list().data
    assert sum(each.net for each in own) == 0
    theirs = world.api.v1.balance_transactions.list().data
    assert sum(each.net for each in theirs) == -balance.stripe_fee(999, "usd")
    assert len(world.api.v1.refunds.list({"charge": charge.id}).data) == 3


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"amount": 1001}, "greater than unrefunded amount"),
        ({"amount": 0}, "Invalid positive integer"),
        ({"charge": "ch_x"}, "No such charge"),
        ({"reverse_transfer": True}, "not modelled"),
    ],
)
def test_what_can_not_be_refunded(world, params, words):
    charge = bought(world)
    with pytest.raises(stripe.InvalidRequestError, match=words):
        world.api.v1.refunds.create({"charge": charge.id, **params})
    assert world.api.v1.charges.retrieve(charge.id).amount_refunded == 0


def test_a_dinar_is_refunded_in_tens(world):
    charge = bought(world, 1000, "kwd")
    with pytest.raises(stripe.InvalidRequestError, match="multiple of 10"):
        world.api.v1.refunds.create({"charge": charge.id, "amount": 105})


def test_an_invoice_that_nobody_paid_has_no_charge(world):
    subscription = world.subscribe(world.metered())
    assert subscription.latest_invoice is None
    assert world.api.v1.charges.list().data == []


def test_money_is_available_after_two_days(world):
    charge = bought(world)
    assert movement(world, charge.id).status == "pending"
    world.clock.advance(2 * 86400)
    assert movement(world, charge.id).status == "available"
