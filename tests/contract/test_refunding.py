import pytest

from portal.errors import BillingEngineError, EngineObjectMissing, EngineUnavailable


def test_what_was_paid_goes_back_whole(world, engine, seller):
    subscription = seller.bought()
    engine.cancel_subscription(world.account, subscription)

    back = engine.refund(world.account, subscription, key="refund:1")

    assert (back.amount_minor, back.currency) == (999, "usd")
    assert world.paid_back() == 999


def test_each_payment_goes_back_once_however_often_it_is_asked(world, engine, seller):
    subscription = seller.bought()
    world.renew(subscription)
    first = engine.refund(world.account, subscription, key="refund:1")

    assert first.amount_minor == 2 * 999
    assert engine.refund(world.account, subscription, key="refund:1") == first
    assert engine.refund(world.account, subscription, key="refund:2") == first
    assert world.paid_back() == 2 * 999


def test_what_went_back_can_be_read(world, engine, seller):
    subscription = seller.bought()
    assert engine.paid_back(world.account, subscription).amount_minor == 0
    made = engine.refund(world.account, subscription, key="refund:1")
    assert engine.paid_back(world.account, subscription) == made


def test_a_refund_whose_answer_was_lost_is_made_once(world, engine, seller):
    subscription = seller.bought()
    world.lose_next_answer()
    with pytest.raises(EngineUnavailable):
        engine.refund(world.account, subscription, key="refund:1")

    assert engine.refund(world.account, subscription, key="refund:1").amount_minor == 999
    assert world.paid_back() == 999


def test_where_nothing_was_paid_nothing_goes_back(world, engine, seller):
    subscription = seller.bought(seller.metered())

    back = engine.refund(world.account, subscription, key="refund:1")

    assert (back.amount_minor, back.currency) == (0, None)


def test_an_unknown_subscription_is_refused(world, engine):
    with pytest.raises(BillingEngineError):
        engine.refund(world.account, "", key="refund:1")


def test_nothing_of_another_account_goes_back(world, engine, seller):
    subscription = seller.bought()
    with pytest.raises(EngineObjectMissing):
        engine.refund(world.other_account, subscription, key="refund:1")
    assert world.paid_back() == 0
