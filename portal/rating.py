"""What a number of calls costs: one reckoning for every page, estimate, explanation and test.

A line costs its exact product, or the exact sum over its tiers with their flat amounts, rounded
once, half up, to what the currency can be charged in (Stripe: invoice line items; docs/sandbox.md
says what Stripe leaves open). Nothing in between is rounded, and nothing is ever a float.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal, Inexact, InvalidOperation
from enum import StrEnum

from portal.money import UNIT_PLACES, Money, exponent, plain, step

#: Eight digits and twelve decimals times any number of calls: never rounded, or an error.
_EXACT = Context(prec=120, traps=[InvalidOperation, Inexact])
#: For sharing, where a third has no end.
_ROUNDING = Context(prec=120)
_NOTHING = Decimal(0)
_SMALLEST = Decimal(1).scaleb(-UNIT_PLACES)


class Scheme(StrEnum):
    """How a price turns calls into money."""

    FIXED = "fixed"
    """The same each cycle, whatever is called."""
    PER_UNIT = "per_unit"
    GRADUATED = "graduated"
    """Each call costs what its own tier says (Stripe: tiers_mode=graduated)."""
    VOLUME = "volume"
    """All calls cost what the tier of their total says (Stripe: tiers_mode=volume)."""


@dataclass(frozen=True, kw_only=True)
class Tier:
    """One tier. Amounts are in minor units; ``up_to`` is its last call, ``None`` the last tier."""

    up_to: int | None
    unit_minor: Decimal = _NOTHING
    flat_minor: Decimal = _NOTHING


@dataclass(frozen=True, kw_only=True)
class Package:
    """Calls that are charged by the ``size`` (Stripe: transform_quantity)."""

    size: int
    rounds_up: bool = True
    """Whether a package that was begun is charged."""

    def units(self, calls: int) -> int:
        """Return how many packages so many calls are charged as."""
        whole, rest = divmod(calls, self.size)
        return whole + (1 if rest and self.rounds_up else 0)


@dataclass(frozen=True, kw_only=True)
class Price:
    """A price that cannot be changed: amounts in minor units of ``currency`` (lower case).

    :raise ValueError: for what Stripe could not bill either; the message says what is wrong
    """

    currency: str
    scheme: Scheme
    unit_minor: Decimal = _NOTHING
    """Of a cycle (fixed), or of one call or package (per unit)."""
    tiers: tuple[Tier, ...] = ()
    package: Package | None = None

    def __post_init__(self) -> None:
        exponent(self.currency)
        tiered = self.scheme in (Scheme.GRADUATED, Scheme.VOLUME)
        if tiered != bool(self.tiers):
            raise ValueError("A graduated or volume price has tiers, and no other price has any.")
        if self.package and (self.scheme is not Scheme.PER_UNIT or self.package.size < 1):
            raise ValueError("Only a price per call can be charged in packages of one or more.")
        _check_tiers(self.tiers)
        for amount in (self.unit_minor, *_amounts(self.tiers)):
            _check_amount(amount)

    @property
    def is_fixed(self) -> bool:
        """Whether calls change nothing."""
        return self.scheme is Scheme.FIXED

    @property
    def included(self) -> int:
        """How many calls cost nothing more, because the first tier asks nothing for them."""
        if self.scheme is not Scheme.GRADUATED or self.tiers[0].unit_minor:
            return 0
        return self.tiers[0].up_to or 0


def _amounts(tiers: Sequence[Tier]) -> list[Decimal]:
    return [amount for tier in tiers for amount in (tier.unit_minor, tier.flat_minor)]


def _check_tiers(tiers: Sequence[Tier]) -> None:
    lower = 0
    for number, tier in enumerate(tiers, start=1):
        if (tier.up_to is None) != (number == len(tiers)):
            raise ValueError("The last tier, and no other, is without an end.")
        if tier.up_to is not None and tier.up_to <= lower:
            raise ValueError("Each tier ends after the one before.")
        lower = tier.up_to or lower


def _check_amount(amount: Decimal) -> None:
    if not amount.is_finite() or amount < 0:
        raise ValueError("A price is a number that is not negative.")
    if -int(amount.normalize(_EXACT).as_tuple().exponent) > UNIT_PLACES:
        raise ValueError("A price has at most twelve decimals of a minor unit (Stripe's limit).")


# --- prices by their names -----------------------------------------------------------------


def fixed(minor: int, currency: str) -> Price:
    """Return a price of so much each cycle."""
    return Price(currency=currency, scheme=Scheme.FIXED, unit_minor=Decimal(minor))


def per_call(unit_minor: Decimal, currency: str, *, package: Package | None = None) -> Price:
    """Return a price of so much for each call, or for each package of calls."""
    return Price(currency=currency, scheme=Scheme.PER_UNIT, unit_minor=unit_minor, package=package)


def graduated(currency: str, *tiers: Tier) -> Price:
    """Return a price whose tiers each apply to the calls inside them."""
    return Price(currency=currency, scheme=Scheme.GRADUATED, tiers=tiers)


def volume(currency: str, *tiers: Tier) -> Price:
    """Return a price whose one tier, found by the total, applies to all calls."""
    return Price(currency=currency, scheme=Scheme.VOLUME, tiers=tiers)


def with_included(calls: int, unit_minor: Decimal, currency: str, *, base_minor: int = 0) -> Price:
    """Return a price that includes ``calls`` for ``base_minor``, and charges those beyond."""
    return graduated(
        currency,
        Tier(up_to=calls, flat_minor=Decimal(base_minor)),
        Tier(up_to=None, unit_minor=unit_minor),
    )


# --- the reckoning -------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Step:
    """One row of the arithmetic: ``units`` × ``unit_minor`` + ``flat_minor`` = ``exact``."""

    currency: str
    first: int
    """The first call that the row is about; 0 where there is none."""
    up_to: int | None
    """The last call of the tier; ``None``: it has no end."""
    calls: int
    units: int
    """What is charged: calls, packages, or one cycle."""
    unit_minor: Decimal
    flat_minor: Decimal

    @property
    def exact(self) -> Decimal:
        """What the row comes to, in minor units with all decimals."""
        return _EXACT.add(_EXACT.multiply(Decimal(self.units), self.unit_minor), self.flat_minor)

    @property
    def words(self) -> str:
        """The row as people reckon it: ``1,500 × 0.0025 USD + 5.00 USD``."""
        unit = price_words(self.unit_minor, self.currency)
        flat = price_words(self.flat_minor, self.currency)
        if not self.flat_minor:
            return f"{self.units:,} × {unit}"
        if not self.units:
            return flat
        charged = f"{self.units:,} × {unit}" if self.unit_minor else f"{self.units:,} included"
        return f"{flat} + {charged}"

    @property
    def exact_words(self) -> str:
        """What the row comes to, with the currency and no fewer decimals than it has."""
        return price_words(self.exact, self.currency)


@dataclass(frozen=True, kw_only=True)
class Rating:
    """What ``calls`` cost at ``price``, with the arithmetic that leads there."""

    price: Price
    calls: int
    steps: tuple[Step, ...]

    @property
    def exact(self) -> Decimal:
        """The exact sum of the steps, in minor units with all decimals."""
        total = _NOTHING
        for row in self.steps:
            total = _EXACT.add(total, row.exact)
        return total

    @property
    def minor(self) -> int:
        """The amount of the invoice line: the exact sum, rounded once, half up."""
        return rounded(self.exact, self.price.currency)

    @property
    def amount(self) -> Money:
        """The amount of the invoice line with its currency."""
        return Money(self.minor, self.price.currency)

    @property
    def is_rounded(self) -> bool:
        """Whether the exact sum has a fraction of a minor unit."""
        return self.exact != self.minor

    @property
    def exact_words(self) -> str:
        """The exact sum with its currency."""
        return price_words(self.exact, self.price.currency)


def rounded(minor: Decimal, currency: str) -> int:
    """Return what can be charged for an exact sum, half a step rounded up.

    A step is one minor unit, ten with three decimals, a hundred in ISK and UGX (Stripe:
    docs/currencies).
    """
    unit = step(currency)
    steps = _EXACT.divide(minor, Decimal(unit)).to_integral_value(rounding=ROUND_HALF_UP)
    return int(steps) * unit


def rate(price: Price, calls: int) -> Rating:
    """Return what ``calls`` calls of one billing period cost.

    :raise ValueError: if ``calls`` is negative
    """
    if calls < 0:
        raise ValueError("Calls are counted from zero.")
    reckon = {
        Scheme.FIXED: _fixed,
        Scheme.PER_UNIT: _per_unit,
        Scheme.GRADUATED: _graduated,
        Scheme.VOLUME: _volume,
    }[price.scheme]
    return Rating(price=price, calls=calls, steps=reckon(price, calls))


def _step(price: Price, tier: Tier, lower: int, calls: int, units: int | None = None) -> Step:
    return Step(
        currency=price.currency,
        first=lower + 1 if calls else 0,
        up_to=tier.up_to,
        calls=calls,
        units=calls if units is None else units,
        unit_minor=tier.unit_minor,
        flat_minor=tier.flat_minor,
    )


def _fixed(price: Price, calls: int) -> tuple[Step, ...]:
    return (_step(price, Tier(up_to=None, unit_minor=price.unit_minor), 0, calls, 1),)


def _per_unit(price: Price, calls: int) -> tuple[Step, ...]:
    units = price.package.units(calls) if price.package else calls
    return (_step(price, Tier(up_to=None, unit_minor=price.unit_minor), 0, calls, units),)


def _graduated(price: Price, calls: int) -> tuple[Step, ...]:
    steps: list[Step] = []
    lower = 0
    for tier in price.tiers:
        # The first tier's flat amount is owed without a single call, too.
        if calls <= lower and steps:
            break
        upper = calls if tier.up_to is None else min(tier.up_to, calls)
        steps.append(_step(price, tier, lower, upper - lower))
        lower = upper
    return tuple(steps)


def _volume(price: Price, calls: int) -> tuple[Step, ...]:
    tier = next(tier for tier in price.tiers if tier.up_to is None or calls <= tier.up_to)
    return (_step(price, tier, 0, calls),)


@dataclass(frozen=True, kw_only=True)
class Shares:
    """One line, shared exactly: ``base`` and the ``parts`` add up to the line's exact sum."""

    currency: str
    base: Decimal
    """What is owed without any call; in minor units with all decimals."""
    parts: tuple[Decimal, ...]

    @property
    def whole(self) -> tuple[int, ...]:
        """Base and parts in whole minor units, which add up to the line to the minor unit."""
        found, total, before = [], _NOTHING, 0
        for part in (self.base, *self.parts):
            total = _EXACT.add(total, part)
            after = rounded(total, self.currency)
            found.append(after - before)
            before = after
        return tuple(found)


def share(price: Price, calls: Sequence[int]) -> Shares:
    """Share one line among parts with so many calls each, in the order in which they came.

    A graduated price gives each part the tiers that its own calls reach. A fixed or volume price
    and packages have no such order: they share by the number of calls.
    """
    total = rate(price, sum(calls)).exact
    if not sum(calls):
        return Shares(currency=price.currency, base=total, parts=(_NOTHING,) * len(calls))
    if price.package is None and price.scheme in (Scheme.PER_UNIT, Scheme.GRADUATED):
        return _marginal(price, calls)
    return Shares(currency=price.currency, base=_NOTHING, parts=_proportional(total, calls))


def _marginal(price: Price, calls: Sequence[int]) -> Shares:
    base = before = rate(price, 0).exact
    parts, seen = [], 0
    for part in calls:
        seen += part
        after = rate(price, seen).exact
        parts.append(_EXACT.subtract(after, before))
        before = after
    return Shares(currency=price.currency, base=base, parts=tuple(parts))


def _proportional(total: Decimal, calls: Sequence[int]) -> tuple[Decimal, ...]:
    """Share by calls, to twelve decimals each, with nothing lost between them."""
    whole = sum(calls)
    parts, seen, before = [], 0, _NOTHING
    for part in calls:
        seen += part
        after = total if seen == whole else _cut(_EXACT.multiply(total, Decimal(seen)), whole)
        parts.append(_EXACT.subtract(after, before))
        before = after
    return tuple(parts)


def _cut(amount: Decimal, by: int) -> Decimal:
    return _ROUNDING.quantize(_ROUNDING.divide(amount, Decimal(by)), _SMALLEST)


def price_words(minor: Decimal, currency: str) -> str:
    """Write minor units as an amount: all its decimals, and never fewer than the currency's."""
    places = exponent(currency)
    major = minor.scaleb(-places, _EXACT)
    text = plain(major)
    shown = len(text.partition(".")[2])
    return f"{major:,.{max(places, shown)}f} {currency.upper()}"
