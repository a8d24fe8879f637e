"""Tiers as people write them, one on each line, and as they are stored.

    1000 = 0 + 5.00
    10000 = 0.004
    more = 0.002

The last call of the tier, the price of a request in it, and a fee once the tier is reached.
Amounts are in major units of the currency.
"""

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any

from portal import money
from portal.money import plain

LAST = "more"
FEWEST, MOST = 2, 20
LARGEST = 10**12
_LINE = re.compile(r"\s*([^=+]+?)\s*=\s*([^=+]+?)\s*(?:\+\s*([^=+]+?)\s*)?")
_HOW = f"Write it as 1000 = 0.005, or 1000 = 0.005 + 2.00 with a fee; the last as {LAST} = 0.002."

Amount = Callable[[str], Decimal]


def read(text: str, currency: str) -> list[dict[str, Any]]:
    """Return tiers as they are stored: ``up_to``, and ``unit`` and ``flat`` as plain text.

    :param currency: its code, or empty where it is not known: then only the numbers are checked
    :raise ValueError: with the sentence that stands beside the field; it names the line
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) < FEWEST:
        raise ValueError(f"Enter at least {FEWEST} tiers, one on each line. {_HOW}")
    if len(lines) > MOST:
        raise ValueError(f"Enter at most {MOST} tiers.")
    tiers = [_tier(line, number, currency) for number, line in enumerate(lines, start=1)]
    _check_ends([tier["up_to"] for tier in tiers])
    if not any(Decimal(tier["unit"]) or Decimal(tier["flat"]) for tier in tiers):
        raise ValueError("Every tier is free. A plan without a price is a free plan.")
    return tiers


def _tier(line: str, number: int, currency: str) -> dict[str, Any]:
    parts = _LINE.fullmatch(line)
    if parts is None:
        raise ValueError(f"Line {number} cannot be read. {_HOW}")
    end, unit, flat = parts.groups()
    try:
        return {
            "up_to": _end(end),
            "unit": plain(_amount(unit, currency, money.unit_in_minor)),
            "flat": plain(_amount(flat or "0", currency, money.to_minor)),
        }
    except ValueError as error:
        raise ValueError(f"Line {number}: {error}") from error


def _end(text: str) -> int | None:
    if text.lower() == LAST:
        return None
    digits = text.replace(",", "").replace("_", "")
    if not (digits.isascii() and digits.isdigit()) or not 0 < int(digits) <= LARGEST:
        raise ValueError(f"the tier's last request is a whole number, or {LAST}.")
    return int(digits)


def _amount(text: str, currency: str, in_minor: Callable[[Decimal, str], Decimal | int]) -> Decimal:
    amount = money.parse(text)
    if amount < 0:
        raise ValueError("a price cannot be below 0.")
    if currency and in_minor(amount, currency) > money.LARGEST_MINOR:
        raise ValueError(f"{text} is more than Stripe bills at a time.")
    return amount


def _check_ends(ends: Sequence[int | None]) -> None:
    if ends[-1] is not None or None in ends[:-1]:
        raise ValueError(f"The last tier, and no other, begins with {LAST}: it has no end.")
    known = [end for end in ends if end is not None]
    if any(later <= earlier for earlier, later in pairwise(known)):
        raise ValueError("Each tier ends after the one before it.")


def written(tiers: Sequence[dict[str, Any]]) -> str:
    """Return stored tiers as people write them; ``read`` gives the same tiers back."""
    return "\n".join(_line(tier) for tier in tiers)


def _line(tier: dict[str, Any]) -> str:
    end = LAST if tier["up_to"] is None else str(tier["up_to"])
    fee = f" + {tier['flat']}" if Decimal(tier["flat"]) else ""
    return f"{end} = {tier['unit']}{fee}"
