"""`flask reconcile`: payment pages and what is sold, on both sides."""

from dataclasses import replace

import pytest

from portal.billing.engine import CheckoutState
from portal.extensions import db
from portal.models import Api, CheckoutAttempt, EnginePrice, Offer
from tests.faults.comparing import alike, change, everywhere, held, kinds, repaired
from tests.functional.service.conftest import ACCOUNT

pytestmark = pytest.mark.usefixtures("travel")


def test_a_page_that_expired_unheard(sale, reconcile):
    sale.engine.provider.expire(sale.open_page())
    repaired(reconcile, "page_closed")
    assert sale.status == "REJECTED"


@everywhere
def test_a_page_that_can_be_paid_after_its_attempt_was_closed(sale, reconcile):
    page = sale.open_page()
    change(CheckoutAttempt, status="EXPIRED", open_key=None)
    repaired(reconcile, "page_orphaned")
    assert sale.engine.checkout(ACCOUNT, page).state is CheckoutState.EXPIRED


def test_a_page_whose_answer_was_lost_waits_for_its_attempt(sale, reconcile):
    sale.open_page()
    change(CheckoutAttempt, session_id=None)
    alike(reconcile)


def test_a_page_without_any_attempt_is_closed(sale, reconcile):
    page = sale.open_page()
    db.session.query(CheckoutAttempt).delete()
    db.session.commit()
    repaired(reconcile, "page_orphaned")
    assert sale.engine.checkout(ACCOUNT, page).state is CheckoutState.EXPIRED


@everywhere
def test_a_price_that_is_not_for_sale_any_more_is_archived(paid, reconcile):
    db.session.query(Offer).delete()
    db.session.commit()
    repaired(reconcile, "price_not_withdrawn")
    assert [price.active for price in held(paid).prices.values()] == [False]
    assert db.session.query(EnginePrice).one().archived_at is not None


def test_a_price_that_somebody_is_still_to_pay_stays(sale, reconcile):
    db.session.query(Offer).delete()
    db.session.commit()
    alike(reconcile)


def test_a_price_whose_answer_was_lost_is_archived_until_it_is_saved_again(paid, reconcile):
    (price,) = held(paid).prices.values()
    marked = {"apim_mapping_uuid": db.session.query(EnginePrice).one().uuid}
    copy = replace(price.spec, lookup_key="another", metadata=marked)
    held(paid).prices["price_copy"] = replace(price, spec=copy)
    repaired(reconcile, "price_without_row")
    assert not held(paid).prices["price_copy"].active


def test_a_price_that_was_archived_or_deleted_or_changed_there_is_for_a_person(paid, reconcile):
    (price,) = held(paid).prices.values()
    price.active = False
    assert kinds(reconcile("--repair")[1]) == ["price_archived"]
    price.active, price.spec = True, replace(price.spec, unit_minor=price.spec.unit_minor + 1)
    found = reconcile("--repair")[1]["differences"][0]
    assert (found["portal"].split(": ")[1], found["engine"]) == (
        "999 usd per month",
        "1000 usd per month",
    )
    held(paid).prices.clear()
    assert kinds(reconcile("--repair")[1]) == ["price_missing"]


@everywhere
def test_a_product_that_sells_nothing_is_archived(paid, reconcile):
    (product,) = held(paid).products.values()
    marked = {"apim_api_uuid": db.session.query(Api).one().api_uuid}
    product.spec = replace(product.spec, metadata=marked)
    alike(reconcile)
    db.session.query(Offer).delete()
    db.session.commit()
    repaired(reconcile, "price_not_withdrawn", "product_not_withdrawn")
    assert not product.active


def test_a_meter_without_a_row_is_for_a_person(paid, reconcile):
    from portal.billing.engine import MeterSpec

    meter = MeterSpec(event_name="apim_lost", display_name="Lost")
    paid.engine.ensure_meter(ACCOUNT, meter, key="lost")
    assert kinds(reconcile("--repair")[1]) == ["meter_without_row"]
