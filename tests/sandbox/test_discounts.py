"""Coupons and promotion codes: at Checkout, on invoices, and for as long as they last."""

from typing import Any

import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st

from portal.sandbox.engine import discounts
from tests.sandbox.clock_support import HOUR, Timeline, at, timeline
from tests.sandbox.conftest import World
from tests.sandbox.page_support import Visitor, card

START = at("2027-06-01T00:00:00")
RENEWALS = [at(f"2027-{month:02d}-01T00:00:00") for month in range(7, 12)]


@pytest.fixture
def line(world: World) -> Timeline:
    return timeline(world, START)


def coupon(world: World, **terms: Any) -> str:
    params: Any = {"duration": "forever", **terms}
    return world.api.v1.coupons.create(params).id


def code(world: World, of: str, text: str = "WELCOME", **more: Any) -> str:
    params: Any = {"promotion": {"type": "coupon", "coupon": of}, "code": text, **more}
    return world.api.v1.promotion_codes.create(params).id


def totals(line: Timeline, subscription: str, renewals: int) -> list[int]:
    for moment in RENEWALS[:renewals]:
        line.to(moment + 2 * HOUR)
    return [each.total for each in line.invoices(subscription)]


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ({"percent_off": 25}, [2250, 2250, 2250, 2250]),
        ({"percent_off": 33.33, "duration": "once"}, [2000, 3000, 3000, 3000]),
        (
            {"percent_off": 50, "duration": "repeating", "duration_in_months": 2},
            [1500, 1500, 3000, 3000],
        ),
        ({"amount_off": 700, "currency": "usd"}, [2300, 2300, 2300, 2300]),
        ({"amount_off": 9000, "currency": "usd", "duration": "once"}, [0, 3000, 3000, 3000]),
    ],
)
def test_a_coupon_lasts_as_long_as_it_says(world, line, terms, expected):
    used = coupon(world, **terms)
    subscription = line.subscribe(world.licensed(3000).id, discounts=[{"coupon": used}])
    assert totals(line, subscription, 3) == expected
    assert world.api.v1.coupons.retrieve(used).times_redeemed == 1


def test_an_invoice_shows_what_was_taken_off(world, line):
    used = coupon(world, percent_off=25)
    subscription = line.subscribe(world.licensed(3000).id, discounts=[{"coupon": used}])
    (invoice,) = line.invoices(subscription)
    assert (invoice.subtotal, invoice.total, invoice.amount_paid) == (3000, 2250, 2250)
    taken = invoice.lines.data[0].discount_amounts[0]
    assert (taken.amount, taken.discount) == (750, invoice.discounts[0])
    shown = world.api.v1.subscriptions.retrieve(subscription, {"expand": ["discounts"]})
    (found,) = shown.discounts
    assert (found.id, found.source.coupon, found.end) == (invoice.discounts[0], used, None)
    page = Visitor(world.app).get(str(invoice.hosted_invoice_url))
    assert "Subtotal $30.00 Discount $-7.50 Total $22.50" in page.text
    seen = world.api.v1.invoices.create_preview({"subscription": subscription})
    assert (seen.subtotal, seen.total) == (3000, 2250)


def test_usage_is_discounted_too(world, line):
    used = coupon(world, percent_off=10)
    subscription = line.subscribe(world.metered("10").id, discounts=[{"coupon": used}])
    payload = {"stripe_customer_id": line.customer, "value": "100"}
    world.api.v1.billing.meter_events.create({"event_name": "calls", "payload": payload})
    assert totals(line, subscription, 1) == [900]


def test_a_session_begins_with_a_coupon(world):
    used = coupon(world, percent_off=20)
    session = world.session(world.licensed(1000), discounts=[{"coupon": used}])
    assert (session.amount_subtotal, session.amount_total) == (1000, 800)
    assert session.total_details.amount_discount == 200
    assert session.discounts[0].coupon == used
    page = Visitor(world.app).get(str(session.url))
    assert "Discount $-2.00 Total due today $8.00" in page.text
    assert page.press("Subscribe", **card()).status == 303
    paid = world.api.v1.checkout.sessions.retrieve(session.id, {"expand": ["invoice"]})
    assert (paid.status, paid.invoice.total, paid.invoice.amount_paid) == ("complete", 800, 800)


def test_nothing_to_pay_still_makes_a_subscription(world):
    used = coupon(world, percent_off=100, duration="once")
    session = world.session(world.licensed(1000), discounts=[{"coupon": used}])
    assert session.amount_total == 0
    world.pay(session)
    paid = world.api.v1.checkout.sessions.retrieve(session.id)
    assert (paid.payment_status, paid.status) == ("no_payment_required", "complete")


class TestCodes:
    def test_a_customer_types_a_code(self, world):
        promotion = code(world, coupon(world, percent_off=50))
        session = world.session(world.licensed(1000), allow_promotion_codes=True)
        page = Visitor(world.app).get(str(session.url))
        applied = page.press("Apply", code="welcome").follow()
        assert "Total due today $5.00" in applied.text
        found = world.api.v1.checkout.sessions.retrieve(session.id)
        assert (found.amount_total, found.discounts[0].promotion_code) == (500, promotion)
        assert applied.press("Subscribe", **card()).status == 303
        assert world.api.v1.promotion_codes.retrieve(promotion).times_redeemed == 1

    def test_a_code_is_taken_away_again(self, world):
        code(world, coupon(world, percent_off=50))
        session = world.session(world.licensed(1000), allow_promotion_codes=True)
        page = Visitor(world.app).get(str(session.url))
        applied = page.press("Apply", code="WELCOME").follow()
        assert "Total due today $10.00" in applied.press("Apply", code="").follow().text

    @pytest.mark.parametrize("change", ["unknown", "off", "used up", "expired", "euro"])
    def test_a_code_that_can_not_be_used_is_said_to_be(self, world, change):
        terms = {"amount_off": 100, "currency": "eur"} if change == "euro" else {"percent_off": 5}
        more: dict[str, Any] = {"max_redemptions": 1} if change == "used up" else {}
        more |= {"expires_at": world.clock.now() + 60} if change == "expired" else {}
        made = code(world, coupon(world, **terms), **more)
        if change == "off":
            world.api.v1.promotion_codes.update(made, {"active": False})
        if change == "used up":
            world.subscribe(world.licensed(), discounts=[{"promotion_code": made}])
        session = world.session(world.licensed(1000), allow_promotion_codes=True)
        world.clock.advance(61)
        text = "NOTHING" if change == "unknown" else "WELCOME"
        refused = Visitor(world.app).get(str(session.url)).press("Apply", code=text)
        assert refused.status == 422
        assert "can't be used here" in refused.error("code")
        assert world.api.v1.checkout.sessions.retrieve(session.id).amount_total == 1000

    def test_only_sessions_that_allow_codes_take_them(self, world):
        code(world, coupon(world, percent_off=50))
        session = world.session(world.licensed(1000))
        visitor = Visitor(world.app)
        assert "Promotion code" not in visitor.get(str(session.url)).text
        visitor.post(f"{session.url}/code", {"code": "WELCOME"})
        assert world.api.v1.checkout.sessions.retrieve(session.id).amount_total == 1000


class TestRefused:
    @pytest.mark.parametrize(
        "terms",
        [
            {},
            {"percent_off": 10, "amount_off": 5, "currency": "usd"},
            {"percent_off": 101},
            {"percent_off": 10.123},
            {"amount_off": 100},
            {"amount_off": 105, "currency": "kwd"},
            {"percent_off": 10, "duration": "repeating"},
            {"percent_off": 10, "duration_in_months": 3},
            {"percent_off": 10, "max_redemptions": 0},
            {"percent_off": 10, "redeem_by": 1},
        ],
    )
    def test_a_coupon_that_makes_no_sense(self, world, terms):
        with pytest.raises(stripe.InvalidRequestError):
            world.api.v1.coupons.create(terms)
        assert world.api.v1.coupons.list().data == []

    def test_two_ways_to_a_discount(self, world):
        used = coupon(world, percent_off=10)
        for more in (
            {"discounts": [{"coupon": used}, {"coupon": used}]},
            {"discounts": [{"coupon": used}], "allow_promotion_codes": True},
            {"discounts": [{"coupon": "nothing"}]},
            {
                "discounts": [{"coupon": used}],
                "subscription_data": {"trial_period_days": 7},
            },
        ):
            with pytest.raises(stripe.InvalidRequestError):
                world.session(world.licensed(), **more)

    def test_a_deleted_or_used_up_coupon(self, world, line):
        used = coupon(world, percent_off=10, max_redemptions=1)
        subscription = line.subscribe(world.licensed(1000).id, discounts=[{"coupon": used}])
        with pytest.raises(stripe.InvalidRequestError) as refused:
            line.subscribe(world.licensed(1000).id, discounts=[{"coupon": used}])
        assert refused.value.code == "coupon_expired"
        world.api.v1.coupons.delete(used)
        with pytest.raises(stripe.InvalidRequestError, match="No such coupon"):
            line.subscribe(world.licensed(1000).id, discounts=[{"coupon": used}])
        # Who has it keeps it.
        assert totals(line, subscription, 1) == [900, 900]

    def test_a_code_that_exists_already(self, world):
        used = coupon(world, percent_off=10)
        first = code(world, used)
        with pytest.raises(stripe.InvalidRequestError, match="already exists"):
            code(world, used, "welcome")
        world.api.v1.promotion_codes.update(first, {"active": False})
        code(world, used, "welcome")

    def test_prorating_what_was_paid_with_a_passing_discount(self, world, line):
        used = coupon(world, amount_off=500, currency="usd", duration="once")
        subscription = line.subscribe(world.licensed(1000).id, discounts=[{"coupon": used}])
        with pytest.raises(stripe.InvalidRequestError) as refused:
            world.api.v1.subscriptions.update(subscription, {"billing_cycle_anchor": "now"})
        assert refused.value.code == "sandbox_unsupported"


@given(
    amounts=st.lists(st.integers(-5000, 10_000), min_size=1, max_size=6),
    currency=st.sampled_from([("usd", 1), ("jpy", 1), ("kwd", 10)]),
    off=st.integers(1, 20_000),
)
def test_an_amount_is_spread_without_a_rest(
    amounts: list[int], currency: tuple[str, int], off: int
) -> None:
    code, step = currency
    lines = [amount * step for amount in amounts]
    terms = {"percent_off": None, "amount_off": off * step}
    parts = discounts.parts(lines, terms, code)
    whole = sum(max(amount, 0) for amount in lines)
    assert sum(parts) == min(off * step, whole)
    assert all(part % step == 0 for part in parts)
    assert all(0 <= part <= max(line, 0) for part, line in zip(parts, lines, strict=True))
