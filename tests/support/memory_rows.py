"""What the in-memory provider remembers."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from portal import clock
from portal.billing.engine import (
    CheckoutSession,
    CheckoutSpec,
    CustomerSpec,
    ListedMeter,
    ListedPrice,
    ListedProduct,
    PortalState,
    PriceSpec,
    SubscriptionSnapshot,
    UsageReport,
)

MONTHS = {"month": 1, "year": 12}
DAYS = {"day": 1, "week": 7}


@dataclass
class Offer:
    """A product, price or meter, and whether it is offered."""

    spec: Any
    active: bool = True


@dataclass
class Contract:
    """A subscription and what it was sold with."""

    account: str
    snapshot: SubscriptionSnapshot
    price: PriceSpec
    email: str | None


@dataclass
class Account:
    """What one connected account holds."""

    products: dict[str, Offer] = field(default_factory=dict)
    meters: dict[str, Offer] = field(default_factory=dict)
    prices: dict[str, Offer] = field(default_factory=dict)
    customers: dict[str, CustomerSpec] = field(default_factory=dict)
    portals: dict[str, PortalState] = field(default_factory=dict)
    usage: dict[str, UsageReport] = field(default_factory=dict)
    answers: dict[str, tuple[object, Any]] = field(default_factory=dict)
    charges_enabled: bool = True
    card_payments: bool = True
    timezone: str | None = "Etc/UTC"


@dataclass
class Page:
    """A payment page."""

    account: str
    spec: CheckoutSpec
    session: CheckoutSession


def period_end(start: datetime, interval: str) -> datetime:
    """Return when a cycle that begins at ``start`` ends; months keep within their last day."""
    if interval in DAYS:
        return start + timedelta(days=DAYS[interval])
    months = start.month - 1 + MONTHS[interval]
    first = start.replace(year=start.year + months // 12, month=months % 12 + 1, day=1)
    after = (first.replace(day=28) + timedelta(days=4)).replace(day=1)
    return first.replace(day=min(start.day, (after - timedelta(days=1)).day))


def second() -> datetime:
    """Return the present whole second: the provider's times have no fractions."""
    return clock.now().replace(microsecond=0)


def products(held: Account) -> Iterator[ListedProduct]:
    """Go through an account's products."""
    for name, each in held.products.items():
        yield ListedProduct(product_id=name, active=each.active, metadata=dict(each.spec.metadata))


def prices(held: Account) -> Iterator[ListedPrice]:
    """Go through an account's prices."""
    for name, each in held.prices.items():
        yield ListedPrice(
            price_id=name,
            product_id=each.spec.product_id,
            active=each.active,
            lookup_key=each.spec.lookup_key,
            currency=each.spec.currency,
            unit_minor=each.spec.unit_minor,
            interval=each.spec.interval,
            meter_id=each.spec.meter_id,
            metadata=dict(each.spec.metadata),
        )


def meters(held: Account) -> Iterator[ListedMeter]:
    """Go through an account's meters."""
    for name, each in held.meters.items():
        yield ListedMeter(meter_id=name, event_name=each.spec.event_name, active=each.active)
