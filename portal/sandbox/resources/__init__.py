"""One module per resource; importing this package registers their operations."""

from portal.sandbox.resources import (
    account,
    customers,
    endpoints,
    event_log,
    invoices,
    meter_events,
    meters,
    payment_methods,
    payment_pages,
    portals,
    previews,
    prices,
    products,
    sessions,
    subscriptions,
    test_clocks,
)

__all__ = [
    "account",
    "customers",
    "endpoints",
    "event_log",
    "invoices",
    "meter_events",
    "meters",
    "payment_methods",
    "payment_pages",
    "portals",
    "previews",
    "prices",
    "products",
    "sessions",
    "subscriptions",
    "test_clocks",
]
