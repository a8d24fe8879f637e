"""The control room's page of planned trouble."""

import pytest
import stripe

from portal.sandbox import faults
from portal.sandbox.pages.room_faults import KINDS
from tests.sandbox.conftest import TOKEN, World
from tests.sandbox.page_support import Visitor

PAGE = "/_sandbox/ui/faults"


@pytest.fixture
def operator(world: World) -> Visitor:
    visitor = Visitor(world.app)
    assert visitor.get("/_sandbox/sign-in").press("Sign in", token=TOKEN).status == 303
    return visitor


def test_strangers_neither_see_nor_plan_faults(world: World) -> None:
    stranger = Visitor(world.app)
    assert stranger.get(PAGE).location == "/_sandbox/sign-in"
    assert stranger.post(PAGE, {"kind": "delay"}).location == "/_sandbox/sign-in"
    assert world.look("/faults") == []


def test_the_page_offers_every_kind(world: World, operator: Visitor) -> None:
    assert set(KINDS) == {kind for kinds, _ in faults.FAMILIES.values() for kind in kinds}
    page = operator.get(PAGE)
    assert "Nothing is planned to go wrong." in page.text
    source = page.answer.get_data(as_text=True)
    assert [kind for kind in KINDS if f'value="{kind}"' not in source] == []


def test_a_fault_is_planned_happens_and_is_forgotten(world: World, operator: Visitor) -> None:
    planned = operator.get(PAGE).press(
        "Plan", kind="error_before", subject="/v1/products", times="2"
    )
    assert planned.location == f"{PAGE}?done=planned"
    with pytest.raises(stripe.APIError):
        world.api.v1.products.list()
    page = operator.get(PAGE)
    assert "Request: 500, nothing was done" in page.text
    assert "1 of 2" in page.text
    assert page.press("Forget").location == f"{PAGE}?done=forgotten"
    assert world.api.v1.products.list().data == []


def test_a_charge_ends_as_chosen(world: World, operator: Visitor) -> None:
    operator.get(PAGE).press("Plan", kind="charge", subject="pm_1", outcome="expired_card")
    (fault,) = world.look("/faults")
    assert (fault["outcome"], fault["only"]) == ("expired_card", {"payment_method": "pm_1"})
    assert "expired card" in operator.get(PAGE).text


@pytest.mark.parametrize("change", [{"kind": "explode"}, {"times": "0"}, {"times": "x"}])
def test_nonsense_is_refused(world: World, operator: Visitor, change: dict[str, str]) -> None:
    good = {"kind": "delay", "times": "1", "seconds": "1"}
    assert operator.post(PAGE, {**good, **change}).status == 400
    assert world.look("/faults") == []


def test_rate_limits_are_switched_on_and_off(world: World, operator: Visitor) -> None:
    page = operator.get(PAGE)
    assert "as many requests as it likes" in page.text
    page.press("Limit to 25 a second, as Stripe does in test mode")
    for _ in range(25):
        world.api.v1.products.list()
    with pytest.raises(stripe.RateLimitError):
        world.api.v1.products.list()
    operator.get(PAGE).press("No limits")
    assert world.api.v1.products.list().data == []
