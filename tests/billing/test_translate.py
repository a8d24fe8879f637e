import contextlib
import copy
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from portal.billing.engine import CheckoutState, EngineStatus, EventKind
from portal.billing.stripe import translate
from portal.billing.stripe.errors import Malformed
from portal.errors import Invalid

SEVEN = [kind.value for kind in EventKind]
UUID = "0b6c1a52-7d5e-4c0e-9a64-6f0f6c1d2e3f"


@pytest.mark.parametrize("name", SEVEN)
def test_each_recorded_event_names_account_and_subscription(recorded, name):
    event = translate.event(recorded(name))
    assert event.type == name
    assert event.kind == EventKind(name)
    assert event.account == "acct_1PubWeather"
    assert event.livemode is False
    expected = None if name == "checkout.session.expired" else "sub_1Weather0001"
    assert event.subscription_id == expected


def test_a_completed_checkout(recorded):
    page = translate.event(recorded("checkout.session.completed")).checkout
    assert page.state is CheckoutState.COMPLETE
    assert page.is_paid
    assert page.url is None
    assert (page.reference, page.customer_id) == (UUID, "cus_Sandbox0001")
    assert (page.subscription_id, page.invoice_id) == ("sub_1Weather0001", "in_1Weather0001")
    assert page.expires_at == datetime.fromtimestamp(1776959400, UTC)


@pytest.mark.parametrize(
    ("status", "payment", "paid"),
    [
        ("complete", "paid", True),
        ("complete", "no_payment_required", True),
        ("complete", "unpaid", False),
        ("open", "paid", False),
        ("expired", "no_payment_required", False),
    ],
)
def test_only_a_complete_session_that_needs_no_more_money_is_paid(recorded, status, payment, paid):
    source = recorded("checkout.session.completed")["data"]["object"]
    source |= {"status": status, "payment_status": payment}
    assert translate.checkout(source).is_paid is paid


def test_an_open_checkout_has_an_address(recorded):
    page = translate.checkout(recorded("_checkout_session_open"))
    assert page.state is CheckoutState.OPEN
    assert page.url.startswith("https://checkout.stripe.com/c/pay/")
    assert not page.is_paid


def test_a_subscription_in_arrears(recorded):
    found = translate.event(recorded("customer.subscription.updated")).subscription
    assert found.status is EngineStatus.PAST_DUE
    assert found.status.is_arrears
    assert (found.item_id, found.price_id) == ("si_Weather0001", "price_1WeatherGold")
    assert found.period_start == datetime.fromtimestamp(1779465600, UTC)
    assert found.period_end == datetime.fromtimestamp(1782057600, UTC)
    assert found.reference == UUID
    assert found.cancel_at is None


def test_a_subscription_that_ended(recorded):
    found = translate.event(recorded("customer.subscription.deleted")).subscription
    assert found.status.is_over
    assert found.ended_at is not None
    assert found.cancel_reason == "cancellation_requested"


def test_cancelled_for_later_in_either_of_stripes_two_ways(recorded):
    flexible = recorded("customer.subscription.updated")["data"]["object"]
    classic = copy.deepcopy(flexible)
    flexible["cancel_at"] = 1782057600
    classic["cancel_at_period_end"] = True
    assert translate.subscription(flexible).cancel_at == datetime.fromtimestamp(1782057600, UTC)
    assert translate.subscription(classic).cancel_at == datetime.fromtimestamp(1782057600, UTC)


def test_a_failed_renewal(recorded):
    bill = translate.event(recorded("invoice.payment_failed")).invoice
    assert (bill.status, bill.billing_reason) == ("open", "subscription_cycle")
    assert (bill.total, bill.amount_remaining, bill.amount_paid) == (1500, 1500, 0)
    assert bill.period_start == datetime.fromtimestamp(1779465600, UTC)
    assert bill.period_end == datetime.fromtimestamp(1782057600, UTC)
    assert bill.next_payment_attempt is not None
    assert bill.hosted_url.startswith("https://invoice.stripe.com/i/")
    assert bill.lines[0].unit_minor == Decimal(1500)
    assert not bill.needs_authentication


def test_authentication_is_asked_for(recorded):
    bill = translate.event(recorded("invoice.payment_action_required")).invoice
    assert bill.needs_authentication


def test_fractions_of_a_cent_stay_exact(recorded):
    source = recorded("invoice.payment_failed")["data"]["object"]
    line = source["lines"]["data"][0]
    line["pricing"]["unit_amount_decimal"] = "0.000000000001"
    line["quantity"] = None
    source["total_taxes"] = [{"amount": 7}, {"amount": 5}]
    bill = translate.invoice(source)
    assert bill.lines[0].unit_minor == Decimal("0.000000000001")
    assert bill.lines[0].quantity is None
    assert bill.tax == 12


def test_an_invoice_finds_its_subscription_in_its_old_and_other_places(recorded):
    source = recorded("invoice.payment_failed")["data"]["object"]
    source["parent"] = None
    assert translate.invoice(source).subscription_id == "sub_1Weather0001"
    source["lines"]["data"] = []
    assert translate.invoice(source).subscription_id is None
    source["subscription"] = {"id": "sub_expanded", "object": "subscription"}
    assert translate.invoice(source).subscription_id == "sub_expanded"


@pytest.mark.parametrize("name", SEVEN)
def test_unknown_keys_are_passed_over(recorded, name):
    plain = recorded(name)
    grown = _with_extra_keys(plain)
    assert translate.event(grown) == translate.event(plain)


def _with_extra_keys(value):
    if isinstance(value, list):
        return [_with_extra_keys(each) for each in value]
    if not isinstance(value, dict):
        return value
    grown = {key: _with_extra_keys(each) for key, each in value.items()}
    return grown | {"never_heard_of": {"object": "surprise", "data": [None]}}


@pytest.mark.parametrize("name", SEVEN)
def test_optional_keys_may_be_missing(recorded, name):
    source = recorded(name)
    bare = {key: value for key, value in source.items() if key not in ("request", "account")}
    bare["data"]["object"] = {
        key: value for key, value in source["data"]["object"].items() if value is not None
    }
    assert translate.event(bare).account is None
    assert translate.event(bare).subscription_id == translate.event(source).subscription_id


def test_other_types_are_events_that_the_portal_does_not_act_on(recorded):
    source = recorded("invoice.payment_failed") | {"type": "invoice.voided", "data": None}
    event = translate.event(source)
    assert event.kind is None
    assert event.invoice is None


@pytest.mark.parametrize("key", ["id", "account"])
def test_an_id_that_no_database_would_keep_is_no_event(recorded, key):
    source = recorded("customer.subscription.deleted") | {key: "x" * 256}
    with pytest.raises(Malformed):
        translate.event(source)


@pytest.mark.parametrize(
    ("says", "like"),
    [
        ("invoice.paid", "invoice.payment_succeeded"),
        ("checkout.session.async_payment_succeeded", "checkout.session.completed"),
        ("checkout.session.async_payment_failed", "checkout.session.completed"),
    ],
)
def test_types_that_say_the_same_as_one_of_the_seven_are_read_like_it(recorded, says, like):
    event = translate.event(recorded(like) | {"type": says})
    assert (event.type, event.kind) == (says, like)
    if event.checkout is not None:
        has_failed = says.endswith("failed")
        assert (event.checkout.has_failed, event.checkout.is_paid) == (has_failed, not has_failed)


@pytest.mark.parametrize("name", SEVEN)
def test_a_broken_value_anywhere_is_refused_or_read_but_never_a_crash(scripted, recorded, name):
    engine, _ = scripted
    whole = recorded(name)
    assert _paths(whole)
    for path in _paths(whole):
        for broken in (None, [], {}, True, -1, 1e300, "", "\ud800", 10**40, [None], {"id": 7}):
            source = copy.deepcopy(whole)
            target = source
            for step in path[:-1]:
                target = target[step]
            target[path[-1]] = broken
            with contextlib.suppress(Invalid):
                assert engine.translate_event(source).event_id


def _paths(value, prefix=()):
    found = []
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in pairs:
        found.append((*prefix, key))
        if isinstance(each, dict | list):
            found += _paths(each, (*prefix, key))
    return found


@pytest.mark.parametrize("status", ["", "sleeping", None, 7])
def test_a_status_that_is_not_known_is_refused(recorded, status):
    source = recorded("customer.subscription.updated")["data"]["object"] | {"status": status}
    with pytest.raises(Malformed):
        translate.subscription(source)


def test_another_kind_of_object_is_refused(recorded):
    session = recorded("checkout.session.completed")["data"]["object"]
    with pytest.raises(Malformed):
        translate.subscription(session)


def test_counts_are_added_exactly():
    assert translate.whole_sum([25.0, 1, Decimal("3")]) == 29
    assert translate.whole_sum([]) == 0
    with pytest.raises(Malformed):
        translate.whole_sum([0.5])
    with pytest.raises(Malformed):
        translate.whole_sum([float("nan")])
