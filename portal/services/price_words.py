"""The words of a price from its columns, for lists that read no objects."""

from functools import lru_cache
from typing import Any

from portal.models import PolicyVersion

VERSION: Any = PolicyVersion.__table__
_NAMES = ("pricing_model", "price_per_request", "fixed_rate", "currency", "billing_cycle")
#: The columns of a price that :func:`price_words` needs.
PRICE = tuple(VERSION.c[name] for name in (*_NAMES, "tiers"))


def price_words(row: Any) -> str:
    """Return the words of the price whose columns a row has, as ``PolicyVersion`` writes them."""
    if row.tiers:
        return PolicyVersion(
            tiers=row.tiers, **{name: getattr(row, name) for name in _NAMES}
        ).price_words
    return _words(
        row.pricing_model, row.price_per_request, row.fixed_rate, row.currency, row.billing_cycle
    )


@lru_cache(maxsize=512)
def _words(*values: Any) -> str:
    return PolicyVersion(**dict(zip(_NAMES, values, strict=True))).price_words
