"""Switching an API's monetization on and off, as the billing engine sees it."""

from dataclasses import replace
from decimal import Decimal
from threading import Barrier, Thread

import pytest

from portal.errors import BillingEngineError, Conflict, EngineUnavailable, Invalid
from portal.extensions import db
from portal.flows import monetizing
from portal.models import EnginePrice, Offer, Policy, PortalConfiguration
from portal.services import apis, monetization, policies, subscriptions
from portal.services.subscriptions import Cause, Move
from portal.web.unit_of_work import unit_of_work

ACCOUNT = "acct_northwind"
BACK = "http://127.0.0.1:8000/devportal/"


@pytest.fixture
def bronze(factories):
    return factories.fixed_policy("9.99", name="Bronze")


@pytest.fixture
def metered(factories):
    return factories.dynamic_policy("0.0025", name="Pay-as-you-go")


@pytest.fixture
def api(factories, bronze, metered):
    return factories.api("Weather", bronze, metered, factories.policy("Free"))


def enable(engine, api, account=ACCOUNT):
    return monetizing.enable(
        engine, api.api_uuid, {"ConnectedAccountKey": account}, return_url=BACK
    )


def change_price(policy, **price):
    with unit_of_work():
        plan = db.session.get_one(Policy, policy.policy_id)
        changed = replace(policies.draft_of(plan), **price)
        assert policies.update(plan, changed, revision=plan.revision, actor="admin")


def held(engine, account=ACCOUNT):
    return engine.provider.account(account)


def test_enable_makes_product_meter_and_prices_in_the_connected_account(engine, api):
    result = enable(engine, api)
    assert (result.enabled, result.is_complete) == (True, True)
    assert result.monetized == ("Bronze", "Pay-as-you-go")
    account = held(engine)
    product_id = "apim_" + api.api_uuid.replace("-", "")
    assert account.products[product_id].spec.name == f"Weather-1.0-{api.provider.username}"
    prices = {price.spec.nickname: price.spec for price in account.prices.values()}
    assert (str(prices["Bronze"].unit_minor), prices["Bronze"].meter_id) == ("999", None)
    assert str(prices["Pay-as-you-go"].unit_minor) == "0.25"
    assert prices["Pay-as-you-go"].meter_id in account.meters
    (meter,) = account.meters.values()
    assert meter.spec.event_name.startswith(f"apim_{api.api_uuid[:8]}_")
    assert len(meter.spec.event_name) <= 100
    assert db.session.query(PortalConfiguration).one().configuration_id in account.portals
    assert api.is_monetization_enabled
    assert api.monetization_properties == {"ConnectedAccountKey": ACCOUNT}


def test_enable_again_changes_nothing(engine, api):
    enable(engine, api)
    before = {offer.tier_name: offer.stripe_plan_id for offer in db.session.query(Offer)}
    assert enable(engine, api).is_complete
    after = {offer.tier_name: offer.stripe_plan_id for offer in db.session.query(Offer)}
    assert after == before
    assert len(held(engine).prices) == 2
    assert db.session.query(EnginePrice).count() == 2


def test_a_plan_that_is_attached_later_is_sold_at_the_next_save(engine, api, factories):
    enable(engine, api)
    silver = factories.fixed_policy("500", "JPY", name="Tokyo")
    with unit_of_work():
        apis.attach(api, [*(policy.uuid for policy in api.policies), silver.uuid])
    assert [state.is_monetized for state in monetization.plan_states(api)] == [True, True, False]
    assert enable(engine, api).is_complete
    assert all(state.is_monetized for state in monetization.plan_states(api))


def test_one_price_that_is_refused_does_not_undo_the_others(engine, api, monkeypatch):
    sell = engine.ensure_price

    def refuse_bronze(account, spec, *, key):
        if spec.nickname == "Bronze":
            raise BillingEngineError("This amount is not taken.")
        return sell(account, spec, key=key)

    monkeypatch.setattr(engine, "ensure_price", refuse_bronze)
    result = enable(engine, api)
    assert result.enabled
    assert result.monetized == ("Pay-as-you-go",)
    assert result.failed == (("Bronze", "This amount is not taken."),)
    monkeypatch.undo()
    assert enable(engine, api).monetized == ("Bronze", "Pay-as-you-go")


@pytest.mark.parametrize("lost_at", range(1, 7))
def test_a_lost_answer_is_repaired_by_pressing_again(engine, api, lost_at, monkeypatch):
    call = engine._call
    count = iter(range(1, 1000))

    def losing(what, account=None):
        if next(count) == lost_at:
            engine.provider.lose_answers = 1
        return call(what, account)

    monkeypatch.setattr(engine, "_call", losing)
    if lost_at == 1:
        with pytest.raises(EngineUnavailable):
            enable(engine, api)
    else:
        assert not enable(engine, api).is_complete
    result = enable(engine, api)
    assert result.monetized == ("Bronze", "Pay-as-you-go")
    assert len(held(engine).prices) == 2
    assert len(held(engine).meters) == 1


def test_a_provider_that_is_down_leaves_nothing_half_written(engine, api):
    engine.provider.is_down = True
    with pytest.raises(EngineUnavailable):
        enable(engine, api)
    db.session.refresh(api)
    assert not api.is_monetization_enabled
    assert api.monetization_properties == {}
    assert db.session.query(EnginePrice).count() == 0


@pytest.mark.parametrize("account", ["", "  ", "cus_1", "acct_gone"])
def test_an_account_that_does_not_exist_is_refused_at_its_field(engine, api, account):
    engine.provider.disconnect("acct_gone")
    with pytest.raises(Invalid) as refused:
        enable(engine, api, account)
    assert list(refused.value.fields) == ["ConnectedAccountKey"]


@pytest.mark.parametrize("lacks", ["charges_enabled", "card_payments"])
def test_an_account_that_cannot_charge_is_refused(engine, api, lacks):
    setattr(held(engine), lacks, False)
    with pytest.raises(Invalid, match="cannot take payments yet"):
        enable(engine, api)


@pytest.mark.parametrize("status", ["CREATED", "DEPRECATED", "RETIRED"])
def test_only_a_published_api_can_be_monetized(engine, factories, bronze, status):
    api = factories.api("Draft", bronze, status=status)
    with pytest.raises(Invalid, match="Publish it first") as refused:
        enable(engine, api)
    assert refused.value.code == 904300


def test_an_api_without_a_commercial_plan_has_nothing_to_sell(engine, factories):
    with pytest.raises(Invalid, match="nothing to sell"):
        enable(engine, factories.api("Free", factories.policy("Free")))


def test_a_new_price_is_sold_after_the_next_save_and_the_old_one_archived(engine, api, bronze):
    enable(engine, api)
    old = monetization.current_price(api, bronze)
    change_price(bronze, fixed_price="12.50")
    assert monetization.current_price(api, bronze) == old
    assert not monetization.plan_states(api)[0].is_current
    result = enable(engine, api)
    assert (result.monetized, result.archived) == (("Bronze", "Pay-as-you-go"), ("Bronze",))
    new = monetization.current_price(api, bronze)
    prices = held(engine).prices
    assert str(prices[new.plan_id].spec.unit_minor) == "1250"
    assert (prices[new.plan_id].active, prices[old.plan_id].active) == (True, False)


def test_a_price_that_somebody_is_still_to_pay_is_not_archived(engine, api, bronze, factories):
    enable(engine, api)
    old = monetization.current_price(api, bronze)
    waiting = factories.subscription(api=api, policy=bronze, billing="PENDING")
    change_price(bronze, fixed_price="12.50")
    assert enable(engine, api).archived == ()
    assert held(engine).prices[old.plan_id].active
    with unit_of_work():
        subscriptions.make(waiting, Move.END, Cause(because="for a test", actor="test"))
    assert enable(engine, api).archived == ("Bronze",)


def test_a_meter_survives_a_change_of_price(engine, api, metered):
    enable(engine, api)
    before = monetization.current_price(api, metered).meter_id
    change_price(metered, price_per_request="0.01")
    enable(engine, api)
    assert monetization.current_price(api, metered).meter_id == before


def test_a_plan_that_is_taken_off_is_archived_at_the_next_save(engine, api, bronze, metered):
    enable(engine, api)
    price = monetization.current_price(api, bronze)
    with unit_of_work():
        apis.attach(api, [metered.uuid])
    assert monetization.current_price(api, bronze) is None
    assert enable(engine, api).archived == ("Bronze",)
    assert not held(engine).prices[price.plan_id].active


@pytest.mark.parametrize("status", ["PUBLISHED", "DEPRECATED", "RETIRED", "CREATED"])
def test_disable_archives_everything_in_any_state(engine, api, factories, status):
    enable(engine, api)
    api.status = status
    factories.save(api)
    result = monetizing.disable(engine, api.api_uuid)
    assert result.is_complete
    assert result.archived == ("Bronze", "Pay-as-you-go")
    assert not any(price.active for price in held(engine).prices.values())
    assert not any(product.active for product in held(engine).products.values())
    assert all(meter.active for meter in held(engine).meters.values())
    assert not api.is_monetization_enabled
    assert db.session.query(Offer).count() == 0
    assert db.session.query(EnginePrice).count() == 2


def test_disable_uses_the_account_that_was_sold_through(engine, api):
    enable(engine, api)
    enable(engine, api, "acct_other")
    assert not any(price.active for price in held(engine).prices.values())
    monetizing.disable(engine, api.api_uuid)
    other = held(engine, "acct_other")
    assert not any(price.active for price in other.prices.values())
    assert not any(product.active for product in other.products.values())


def test_disable_twice_and_disable_of_what_is_gone_count_as_done(engine, api):
    enable(engine, api)
    held(engine).prices.clear()
    held(engine).products.clear()
    assert monetizing.disable(engine, api.api_uuid).is_complete
    engine.provider.is_down = True
    assert monetizing.disable(engine, api.api_uuid).is_complete


def test_disable_that_was_interrupted_goes_on(engine, api):
    enable(engine, api)
    engine.provider.is_down = True
    result = monetizing.disable(engine, api.api_uuid)
    assert result.failed[0][0] == "Bronze"
    assert not api.is_monetization_enabled
    engine.provider.is_down = False
    assert monetizing.disable(engine, api.api_uuid).is_complete
    assert not any(product.active for product in held(engine).products.values())


def test_enable_after_disable_revives_the_same_objects(engine, api):
    enable(engine, api)
    before = set(held(engine).prices)
    monetizing.disable(engine, api.api_uuid)
    assert enable(engine, api).is_complete
    assert set(held(engine).prices) == before
    assert all(price.active for price in held(engine).prices.values())
    assert all(product.active for product in held(engine).products.values())
    assert db.session.query(EnginePrice).filter(EnginePrice.archived_at.is_not(None)).count() == 0


@pytest.mark.all_databases
def test_the_whole_way_works_on_every_database(engine, api):
    assert enable(engine, api).is_complete
    assert enable(engine, api).is_complete
    assert monetizing.disable(engine, api.api_uuid).is_complete
    assert enable(engine, api).is_complete


def test_a_plan_that_became_free_is_archived_at_the_next_save(engine, api, bronze):
    enable(engine, api)
    price = monetization.current_price(api, bronze)
    change_price(bronze, billing_plan="FREE")
    assert monetization.current_price(api, bronze) is None
    assert enable(engine, api).archived == ("Bronze",)
    assert not held(engine).prices[price.plan_id].active
    assert [state.policy.name for state in monetization.plan_states(api)] == ["Pay-as-you-go"]


@pytest.mark.all_databases
def test_two_who_save_at_once_sell_each_plan_once(app, engine, api):
    uuid, problems = api.api_uuid, []
    db.session.rollback()
    together = Barrier(2)

    def save():
        with app.app_context():
            together.wait(5)
            try:
                monetizing.enable(engine, uuid, {"ConnectedAccountKey": ACCOUNT}, return_url=BACK)
            except Conflict:
                pass
            except Exception as error:
                problems.append(error)
            finally:
                db.session.remove()

    threads = [Thread(target=save) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert db.session.query(Offer).count() == 2
    assert db.session.query(EnginePrice).count() == 2
    assert db.session.query(PortalConfiguration).count() == 1


def test_a_tiered_plan_is_sold_with_its_tiers(engine, factories, metered):
    change_price(
        metered,
        pricing_model="GRADUATED",
        price_per_request="",
        tiers="1000 = 0 + 5.00\nmore = 0.004",
    )
    api = factories.api("Tides", metered)
    assert enable(engine, api).is_complete
    (price,) = (price.spec for price in held(engine).prices.values())
    assert price.meter_id
    assert not price.is_volume
    assert [(tier.up_to, tier.unit_minor, tier.flat_minor) for tier in price.tiers] == [
        (1000, Decimal(0), Decimal(500)),
        (None, Decimal("0.4"), Decimal(0)),
    ]
