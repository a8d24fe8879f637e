"""Money, exactly: integers of minor units, and unit prices as ``Decimal``. Never a float.

The exponents are Stripe's, which differ from ISO 4217's in places (Stripe: docs/currencies).
"""

from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation

ZERO_DECIMAL = frozenset(
    "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split()  # noqa: SIM905
)
THREE_DECIMAL = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})
#: Logically without decimals, but Stripe's API takes two-decimal amounts that end in 00.
WHOLE_IN_TWO_DECIMALS = frozenset({"isk", "ugx"})
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
#: Stripe: unit_amount has at most eight digits, unit_amount_decimal at most twelve decimals.
LARGEST_MINOR = 99_999_999
UNIT_PLACES = 12
#: Python's own context silently rounds to 28 digits; this one never rounds.
_EXACT = Context(prec=100, traps=[InvalidOperation, Inexact])


def exponent(currency: str) -> int:
    """Return how many decimals the currency has in Stripe's API.

    :raise ValueError: if Stripe does not support the currency
    """
    code = currency.lower()
    if code not in SUPPORTED:
        raise ValueError(f"{currency} is not a currency that Stripe supports.")
    if code in ZERO_DECIMAL:
        return 0
    return 3 if code in THREE_DECIMAL else 2


def parse(text: str) -> Decimal:
    """Read a plain decimal number such as ``9.99``.

    :raise ValueError: for anything else: signs other than a leading minus, exponents, ``NaN``,
        thousands separators, non-ASCII digits
    """
    stripped = text.strip()
    plain = stripped.removeprefix("-")
    if not plain.isascii() or len(plain) > 40 or not plain.replace(".", "", 1).isdigit():
        raise ValueError("Enter a plain number such as 9.99.")
    try:
        return Decimal(stripped)
    except InvalidOperation as error:
        raise ValueError("Enter a plain number such as 9.99.") from error


def plain(amount: Decimal) -> str:
    """Write a ``Decimal`` without exponent or superfluous zeros: ``0.0025``, never ``2.5E-3``."""
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def to_minor(amount: Decimal, currency: str) -> int:
    """Convert an amount in major units (1.05 USD) to minor units (105).

    :raise ValueError: if the amount has more decimals than the currency, so that it could only
        be rounded; the message says so
    """
    places = exponent(currency)
    minor = _EXACT.scaleb(amount, places)
    if minor != minor.to_integral_value():
        raise ValueError(_too_precise(currency, places))
    whole = int(minor)
    if currency.lower() in WHOLE_IN_TWO_DECIMALS and whole % 100:
        raise ValueError(_too_precise(currency, 0))
    if places == 3 and whole % 10:
        # Stripe: three-decimal currencies take amounts whose last digit is 0.
        raise ValueError(f"{currency.upper()} amounts end at two decimals at Stripe.")
    return whole


def _too_precise(currency: str, places: int) -> str:
    if places == 0:
        return f"{currency.upper()} has no decimals. Enter a whole number."
    return f"{currency.upper()} has {places} decimals. Enter no more than that."


def to_major(minor: int, currency: str) -> Decimal:
    """Convert minor units (105) to an amount in major units (1.05)."""
    return Decimal(minor).scaleb(-exponent(currency))


def unit_in_minor(unit_price: Decimal, currency: str) -> Decimal:
    """Convert a unit price in major units to minor units, decimals kept: 0.0025 USD is 0.25.

    :raise ValueError: if more than twelve decimals would be needed (Stripe's limit)
    """
    minor = _EXACT.scaleb(unit_price, exponent(currency))
    if -int(minor.normalize(_EXACT).as_tuple().exponent) > UNIT_PLACES:
        raise ValueError("This price per request has more decimals than Stripe can bill.")
    return minor


def step(currency: str) -> int:
    """Return what every amount at Stripe is a multiple of, in minor units.

    10 with three decimals, 100 in ISK and UGX, else 1 (Stripe: docs/currencies).

    :raise ValueError: if Stripe does not support the currency
    """
    if currency.lower() in WHOLE_IN_TWO_DECIMALS:
        return 100
    return 10 if exponent(currency) == 3 else 1


@dataclass(frozen=True, order=False)
class Money:
    """An amount in minor units and its currency (lower case)."""

    minor: int
    currency: str

    @property
    def major(self) -> Decimal:
        """The amount in major units, with the currency's decimals."""
        return to_major(self.minor, self.currency)

    def __add__(self, other: "Money") -> "Money":
        if other.currency != self.currency:
            raise ValueError("Amounts in different currencies cannot be added.")
        return Money(self.minor + other.minor, self.currency)

    def __str__(self) -> str:
        places = exponent(self.currency)
        return f"{self.major:,.{places}f} {self.currency.upper()}"
