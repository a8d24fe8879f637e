"""A preview is the later invoice, to the minor unit: random plans, changes, ends and moments.

SANDBOX_HISTORIES=1000 tries that many; the default is small.
"""

import os
from typing import Any

import stripe
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.sandbox.clock_support import HOUR, Timeline
from tests.sandbox.conftest import World
from tests.sandbox.histories import PERIODS, START, History, Tariff, begin, price_of, tariffs

BEHAVIOURS = ["create_prorations", "always_invoice", "none"]
KINDS = ["swap", "anchor", "cancel_now", "cancel_at_period_end"]


@st.composite
def _plans(draw: st.DrawFn) -> tuple[str, Tariff, Tariff]:
    currency = draw(st.sampled_from(["usd", "jpy", "kwd"]))
    return currency, draw(tariffs(currency)), draw(tariffs(currency))


def use(world: World, line: Timeline, event_name: str | None, value: int) -> None:
    if event_name is not None:
        payload = {"stripe_customer_id": line.customer, "value": str(value)}
        world.api.v1.billing.meter_events.create({"event_name": event_name, "payload": payload})


def book(invoice: Any) -> dict[str, Any]:
    return {
        "lines": sorted((each.amount, each.quantity) for each in invoice.lines.data),
        "total": invoice.total,
        "due": invoice.amount_due,
        "balance": invoice.starting_balance,
    }


def foreseen(world: World, subscription: str, details: dict[str, Any]) -> dict[str, Any] | None:
    params: Any = {"subscription": subscription, "subscription_details": details}
    try:
        return book(world.api.v1.invoices.create_preview(params))
    except stripe.InvalidRequestError as nothing:
        if nothing.code != "invoice_upcoming_none":
            raise
        return None


@settings(
    max_examples=int(os.environ.get("SANDBOX_HISTORIES", "15")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    plans=_plans(),
    kind=st.sampled_from(KINDS),
    behaviour=st.sampled_from(BEHAVIOURS),
    moment=st.integers(START + 1, PERIODS[1] - 1),
    used=st.tuples(st.integers(0, 5000), st.integers(0, 5000)),
    percent=st.none() | st.integers(1, 10_000).map(lambda number: number / 100),
)
def test_what_a_preview_says_is_what_is_invoiced(
    world: World,
    plans: tuple[str, Tariff, Tariff],
    kind: str,
    behaviour: str,
    moment: int,
    used: tuple[int, int],
    percent: float | None,
) -> None:
    currency, old, new = plans
    run = begin(world, History(currency, [old], [], None), percent)
    line, name = run.line, run.subscription
    use(world, line, run.meters[0], used[0])
    line.to(moment)
    use(world, line, run.meters[0], used[1])
    api, before = world.api.v1.subscriptions, len(line.invoices(name))
    details = wanted(world, line, name, (currency, new), kind, behaviour)
    seen = foreseen(world, name, details)
    if kind == "cancel_now":
        prorate = behaviour != "none"
        api.cancel(name, {"invoice_now": True, "prorate": prorate})
    else:
        api.update(name, details)  # type: ignore[arg-type]
        at_once = kind == "anchor" or (kind == "swap" and behaviour == "always_invoice")
        if not at_once:
            assert (foreseen(world, name, {})) == seen
            line.to(PERIODS[1] + 2 * HOUR)
    made = line.invoices(name)[before:]
    assert [book(each) for each in made] == ([seen] if seen else [])
    step = 10 if currency == "kwd" else 1
    assert all(each.amount % step == 0 for invoice in made for each in invoice.lines.data)


def wanted(
    world: World,
    line: Timeline,
    name: str,
    to: tuple[str, Tariff],
    kind: str,
    behaviour: str,
) -> dict[str, Any]:
    """Return the parameters that mean the same in a preview and in the change itself."""
    if kind == "swap":
        currency, tariff = to
        entry: dict[str, Any] = {
            "id": line.subscription(name)["items"].data[0].id,
            "price": price_of(world, tariff, currency)[0],
        }
        entry |= {} if tariff.metered else {"quantity": tariff.quantity}
        return {"items": [entry], "proration_behavior": behaviour}
    if kind == "anchor":
        return {"billing_cycle_anchor": "now", "proration_behavior": behaviour}
    if kind == "cancel_now":
        return {"cancel_now": True, "proration_behavior": behaviour}
    return {"cancel_at_period_end": True}
