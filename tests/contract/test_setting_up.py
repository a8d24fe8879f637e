import pytest

from portal.errors import EngineAccessDenied, EngineUnavailable


def test_the_key_says_whose_it_is(engine):
    check = engine.test_key()
    assert check.account.startswith("acct_")
    assert check.livemode is False


def test_a_key_that_is_not_known_is_denied(world):
    stranger = world.with_wrong_key()
    with pytest.raises(EngineAccessDenied) as caught:
        stranger.test_key()
    assert "unknown" not in caught.value.message
    with pytest.raises(EngineAccessDenied):
        stranger.subscription(world.account, "sub_1")


def test_a_connected_account_can_charge_until_it_cannot(world, engine):
    check = engine.check_account(world.account)
    assert check.account == world.account
    assert check.can_charge
    assert check.default_currency == "usd"
    world.forbid_charges()
    assert not engine.check_account(world.account).can_charge


@pytest.mark.parametrize("account", ["acct_nobody000", "", "not an account"])
def test_an_account_that_is_not_connected_is_denied(world, engine, account):
    for named in (account if account != "acct_nobody000" else world.stranger,):
        with pytest.raises(EngineAccessDenied):
            engine.check_account(named)
        with pytest.raises(EngineAccessDenied):
            engine.subscription(named, "sub_1")


def test_registering_a_webhook_twice_with_one_key_makes_one(engine):
    first = engine.register_webhook("https://portal.example/other", key="k")
    again = engine.register_webhook("https://portal.example/other", key="k")
    assert first == again
    assert first.secret


def test_a_provider_that_is_down_leaves_the_outcome_open(world, engine, seller):
    spec = seller.page_spec()
    world.go_down()
    for call in (
        engine.test_key,
        lambda: engine.open_checkout(world.account, spec, key="page"),
        lambda: engine.checkout(world.account, "cs_1"),
        lambda: engine.cancel_subscription(world.account, "sub_1"),
        lambda: engine.preview(world.account, "sub_1"),
    ):
        with pytest.raises(EngineUnavailable):
            call()
