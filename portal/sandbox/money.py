"""Amounts in minor units, unit prices with up to twelve decimals, and the one rounding rule.

A line costs its exact product (or the exact sum over its tiers, flat amounts included), rounded
once, half up, to the smallest step of its currency: a minor unit, ten of them where there are three
decimals. An invoice is the sum of its lines. Nothing else is rounded.
Stripe does not publish what it does at exactly one half: `docs/sandbox.md` has the open question.
"""

from __future__ import annotations

from decimal import Context, Decimal, Inexact, InvalidOperation, localcontext
from fractions import Fraction
from typing import Any

ZERO_DECIMAL = frozenset(
    ["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv",
     "xaf", "xof", "xpf"]
)  # fmt: skip
THREE_DECIMAL = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])
# Without decimals for people, but the API takes amounts that end in 00.
WHOLE_IN_TWO_DECIMALS = frozenset(["isk", "ugx"])

# https://docs.stripe.com/currencies#presentment-currencies
SUPPORTED = frozenset(
    """
    aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd bwp byn
    bzd cad cdf chf clp cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd
    gnf gtq gyd hkd hnl hrk htg huf idr ils inr isk jmd jod jpy kes kgs khr kmf krw kwd kyd kzt
    lak lbp lkr lrd lsl mad mdl mga mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr
    nzd omr pab pen pgk php pkr pln pyg qar ron rsd rub rwf sar sbd scr sek sgd shp sle sll sos
    srd std szl thb tjs tnd top try ttd twd tzs uah ugx usd uyu uzs vnd vuv wst xaf xcd xof xpf
    yer zar zmw
    """.split()  # noqa: SIM905
)

# https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts
_MINIMUM_CHARGE = {
    "usd": 50, "aed": 200, "aud": 50, "bgn": 100, "brl": 50, "cad": 50, "chf": 50, "czk": 1500,
    "dkk": 250, "eur": 50, "gbp": 30, "hkd": 400, "huf": 17500, "inr": 50, "jpy": 50,
    "mxn": 1000, "myr": 200, "nok": 300, "nzd": 50, "pln": 200, "ron": 200, "sek": 300,
    "sgd": 50, "thb": 1000,
}  # fmt: skip

MAXIMUM_AMOUNT = 99_999_999

# Eight digits and twelve decimals times a large quantity exceed the 28 digits that are usual.
_EXACT = Context(prec=100, traps=[InvalidOperation, Inexact])


def exponent(currency: str) -> int:
    """Return how many decimals the major unit of `currency` has in Stripe's API."""
    if currency in ZERO_DECIMAL:
        return 0
    return 3 if currency in THREE_DECIMAL else 2


def granularity(currency: str) -> int:
    """Return the step (minor units) that chargeable amounts of `currency` are multiples of."""
    if currency in WHOLE_IN_TWO_DECIMALS:
        return 100
    return 10 if currency in THREE_DECIMAL else 1


def minimum_charge(currency: str) -> int:
    """Return the smallest amount (minor units) that can be charged; 1 where Stripe names none."""
    return _MINIMUM_CHARGE.get(currency, 1)


def plain(value: Decimal) -> str:
    """Return `value` as Stripe writes decimals: no exponent, no trailing zeros."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def rounded(value: Decimal | Fraction, currency: str) -> int:
    """Return `value` (minor units with a fraction) as an amount, half a step away from zero.

    https://docs.stripe.com/currencies#three-decimal
    """
    step = granularity(currency)
    exact = Fraction(value) / step
    whole = (2 * abs(exact.numerator) + exact.denominator) // (2 * exact.denominator)
    return (whole if exact >= 0 else -whole) * step


def display(amount: int, currency: str) -> str:
    """Return `amount` (minor units) for people, e.g. ``$15.00`` or ``500 JPY``."""
    digits = exponent(currency)
    value = Decimal(amount).scaleb(-digits)
    text = f"{value:,.{digits}f}"
    symbol = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥"}.get(currency)
    return symbol + text if symbol else f"{text} {currency.upper()}"


def billable_units(price: dict[str, Any], quantity: int) -> int:
    """Return the units that are charged: never negative, in packages where the price says so."""
    units = max(quantity, 0)
    package = price.get("transform_quantity")
    if package is None:
        return units
    whole, rest = divmod(units, int(package["divide_by"]))
    return whole + (1 if rest and package["round"] == "up" else 0)


def line_amount(price: dict[str, Any], quantity: int) -> int:
    """Return what `quantity` costs at `price`, in minor units, rounded once for the line."""
    currency = price["currency"]
    units = billable_units(price, quantity)
    with localcontext(_EXACT):
        if price["billing_scheme"] == "tiered":
            return rounded(_tiered(price, units), currency)
        return rounded(Decimal(price["unit_amount_decimal"]) * units, currency)


def _tiered(price: dict[str, Any], units: int) -> Decimal:
    total = Decimal(0)
    lower = 0
    for tier in price["tiers"]:
        upper = tier["up_to"]
        inside = upper is None or units <= upper
        unit = Decimal(tier["unit_amount_decimal"] or 0)
        flat = Decimal(tier["flat_amount_decimal"] or 0)
        if price["tiers_mode"] == "volume":
            if inside:
                return unit * units + flat
        elif units > lower or lower == 0:
            total += unit * ((units if inside else upper) - lower) + flat
        if inside:
            break
        lower = upper
    return total
