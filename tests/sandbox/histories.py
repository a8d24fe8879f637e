"""Random histories of a subscription on a test clock, and what they must cost.

The expectation is computed with fractions and shares no code with the sandbox.
"""

import itertools
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from tests.sandbox.clock_support import DAY, HOUR, Timeline, at, timeline
from tests.sandbox.conftest import World

START = at("2027-01-31T10:00:00")
# Four ends of a month, with the anchor's day where the month has it.
PERIODS = [
    START,
    at("2027-02-28T10:00:00"),
    at("2027-03-31T10:00:00"),
    at("2027-04-30T10:00:00"),
]
FINISH = PERIODS[-1] + 2 * HOUR
# Within the two months that Stripe lets a clock advance at once.
_FARTHEST = 58 * DAY
_GRANULARITY = {"usd": 1, "jpy": 1, "kwd": 10}
_names = itertools.count()


@dataclass(frozen=True)
class Tariff:
    """One item: how it is priced, and how many are bought where that isn't counted."""

    params: dict[str, Any]
    quantity: int | None
    step: int = 1

    @property
    def metered(self) -> bool:
        return self.quantity is None

    def cost(self, quantity: int) -> int:
        """Return the price of a line: exact, and rounded once, half up, to the currency's step."""
        exact = self._exact(max(quantity, 0)) / self.step
        whole = (2 * exact.numerator + exact.denominator) // (2 * exact.denominator)
        return whole * self.step

    def _exact(self, units: int) -> Fraction:
        package = self.params.get("transform_quantity")
        if package:
            whole, rest = divmod(units, package["divide_by"])
            units = whole + (rest > 0 and package["round"] == "up")
        if "tiers" not in self.params:
            unit = self.params.get("unit_amount_decimal", self.params.get("unit_amount"))
            return Fraction(str(unit)) * units
        if self.params["tiers_mode"] == "volume":
            reached = next(tier for tier in self._tiers() if units <= tier[1])
            return reached[2] * units + reached[3]
        begun = [tier for tier in self._tiers() if units > tier[0] or tier[0] == 0]
        return sum(
            ((min(units, upper) - lower) * unit + flat for lower, upper, unit, flat in begun),
            Fraction(0),
        )

    def _tiers(self) -> list[tuple[int, int, Fraction, Fraction]]:
        found, lower = [], 0
        for tier in self.params["tiers"]:
            upper = 10**18 if tier["up_to"] == "inf" else tier["up_to"]
            flat = Fraction(tier.get("flat_amount_decimal", "0"))
            found.append((lower, upper, Fraction(tier["unit_amount_decimal"]), flat))
            lower = upper
        return found


@dataclass(frozen=True)
class Use:
    """Calls that are made at one moment."""

    moment: int
    item: int
    value: int


@dataclass(frozen=True)
class History:
    """What is bought and what happens to it until the third renewal is settled."""

    currency: str
    tariffs: list[Tariff]
    uses: list[Use]
    card_fails_from: int | None

    def totals(self) -> list[int]:
        """Return what each invoice must come to, the first one (if any) included."""
        fees = sum(each.cost(each.quantity) for each in self.tariffs if each.quantity is not None)
        licensed = any(not each.metered for each in self.tariffs)
        result = [fees] if licensed else []
        for begin, end in itertools.pairwise(PERIODS):
            counted = sum(
                tariff.cost(self._used(index, begin, end))
                for index, tariff in enumerate(self.tariffs)
                if tariff.metered
            )
            result.append(fees + counted)
        return result

    def _used(self, item: int, begin: int, end: int) -> int:
        return sum(use.value for use in self.uses if use.item == item and begin <= use.moment < end)


@dataclass
class Run:
    """A history on its way through the sandbox."""

    history: History
    line: Timeline
    subscription: str
    meters: list[str | None]

    def stops(self, extra: list[int]) -> list[int]:
        """Return where the clock must stand still, and where it happens to."""
        events = [use.moment for use in self.history.uses]
        broken = self.history.card_fails_from
        wanted = sorted({*events, FINISH, *extra, *([broken] if broken else [])} - {START})
        result = [START]
        for moment in wanted:
            while moment > result[-1] + _FARTHEST:
                result.append(result[-1] + _FARTHEST)
            result.append(moment)
        return result[1:]

    def stop(self, moment: int) -> None:
        """Advance to `moment` and do what happens there."""
        if moment > START:
            self.line.to(moment)
        if moment == self.history.card_fails_from:
            self.line.card("pm_card_chargeCustomerFail")
        for use in self.history.uses:
            if use.moment == moment:
                self._use(use)

    def _use(self, use: Use) -> None:
        payload = {"stripe_customer_id": self.line.customer, "value": str(use.value)}
        self.line.world.api.v1.billing.meter_events.create(
            {"event_name": str(self.meters[use.item]), "payload": payload}
        )

    def books(self) -> dict[str, Any]:
        """Return everything about money that this history left behind."""
        world = self.line.world
        subscription = self.line.subscription(self.subscription)
        return {
            "status": subscription.status,
            "balance": world.api.v1.customers.retrieve(self.line.customer).balance,
            "invoices": [
                {
                    "created": each.created,
                    "status": each.status,
                    "total": each.total,
                    "due": each.amount_due,
                    "paid": each.amount_paid,
                    "tries": each.attempt_count,
                    "next": each.next_payment_attempt,
                    "lines": [(line.amount, line.quantity) for line in each.lines.data],
                }
                for each in self.line.invoices(self.subscription)
            ],
        }


def begin(world: World, history: History, percent: float | None = None) -> Run:
    """Create a clock, a customer, prices and the subscription, with `percent` off for ever."""
    line = timeline(world, START)
    meters: list[str | None] = []
    items: list[dict[str, Any]] = []
    for tariff in history.tariffs:
        price, name = price_of(world, tariff, history.currency)
        meters.append(name)
        items.append({"price": price} | ({} if name else {"quantity": tariff.quantity}))
    made: Any = {"customer": line.customer, "items": items}
    if percent is not None:
        off: Any = {"percent_off": percent, "duration": "forever"}
        made["discounts"] = [{"coupon": world.api.v1.coupons.create(off).id}]
    return Run(history, line, world.api.v1.subscriptions.create(made).id, meters)


def price_of(world: World, tariff: Tariff, currency: str) -> tuple[str, str | None]:
    """Create the price of a tariff; return its id, and its meter's event name if it has one."""
    name = f"calls_{next(_names)}" if tariff.metered else None
    recurring: dict[str, Any] = {"interval": "month"}
    if name is not None:
        meter = world.api.v1.billing.meters.create(
            {
                "display_name": name,
                "event_name": name,
                "default_aggregation": {"formula": "sum"},
            }
        )
        recurring |= {"usage_type": "metered", "meter": meter.id}
    params: Any = {
        **tariff.params,
        "product": world.api.v1.products.create({"name": "Rates"}).id,
        "currency": currency,
        "recurring": recurring,
    }
    return world.api.v1.prices.create(params).id, name


def _decimals(largest: int, places: int) -> st.SearchStrategy[str]:
    return st.decimals(0, largest, places=places, allow_nan=False).map(lambda d: format(d, "f"))


_halves = st.sampled_from(["0.5", "0.25", "0.125", "1.5", "0.000000000001"])
_unit = st.one_of(_decimals(5000, 0), _decimals(100, 2), _decimals(1, 12), _halves)


@st.composite
def _tiered(draw: st.DrawFn) -> dict[str, Any]:
    bounds = draw(st.lists(st.integers(1, 3000), max_size=3, unique=True).map(sorted))
    tiers = [
        {
            "up_to": bound,
            "unit_amount_decimal": draw(_unit),
            "flat_amount_decimal": draw(_decimals(500, 3)),
        }
        for bound in [*bounds, "inf"]
    ]
    mode = draw(st.sampled_from(["graduated", "volume"]))
    return {"billing_scheme": "tiered", "tiers_mode": mode, "tiers": tiers}


@st.composite
def tariffs(draw: st.DrawFn, currency: str) -> Tariff:
    """Draw a licensed or metered item: whole, sub-cent, in packages or tiered."""
    step = _GRANULARITY[currency]
    whole = st.integers(0, 5000).map(lambda amount: {"unit_amount": amount * step})
    fine = _unit.map(lambda unit: {"unit_amount_decimal": unit})
    package = st.builds(
        lambda price, by, how: {**price, "transform_quantity": {"divide_by": by, "round": how}},
        whole,
        st.integers(2, 1000),
        st.sampled_from(["up", "down"]),
    )
    params = draw(st.one_of(whole, fine, package, _tiered()))
    quantity = draw(st.one_of(st.none(), st.integers(1, 2000)))
    return Tariff(params, quantity, step)


@st.composite
def histories(draw: st.DrawFn, *, broken_cards: bool = False) -> History:
    """Draw a history."""
    currency = draw(st.sampled_from(["usd", "jpy", "kwd"]))
    items = draw(st.lists(tariffs(currency), min_size=1, max_size=3))
    counted = [index for index, each in enumerate(items) if each.metered]
    moments = st.integers(START, PERIODS[-1] - 1) | st.sampled_from(PERIODS[:-1])
    values = st.integers(0, 5000) | st.integers(-500, -1)
    uses = st.builds(Use, moments, st.sampled_from(counted or [0]), values)
    happened = draw(st.lists(uses, max_size=5)) if counted else []
    broken = st.none() | st.integers(START + DAY, PERIODS[-1])
    return History(currency, items, happened, draw(broken) if broken_cards else None)
