"""What the portal holds, in the words that it is compared in with the billing engine.

Everything comes as plain values, a page at a time: the engine is asked between two pages, and no
transaction stays open meanwhile.
"""

from portal.services.reconciling.buying import (
    Page,
    Sold,
    named,
    open_ids,
    pages_known,
    pages_open,
    payment_of,
    sold_as,
)
from portal.services.reconciling.metering import (
    Counted,
    Metered,
    Stretch,
    acknowledged,
    metered,
)
from portal.services.reconciling.refunds import PaidBack, refunds_since
from portal.services.reconciling.selling import (
    Priced,
    accounts,
    apis_selling,
    meters_known,
    prices_after,
    prices_known,
    tenants,
    terms,
)
from portal.services.reconciling.sent import due, subject_of
from portal.services.reconciling.waiting import (
    Waiting,
    batches,
    endings,
    events,
    events_known,
    plan_changes,
    unpaid,
)

__all__ = [
    "Counted",
    "Metered",
    "Page",
    "PaidBack",
    "Priced",
    "Sold",
    "Stretch",
    "Waiting",
    "accounts",
    "acknowledged",
    "apis_selling",
    "batches",
    "due",
    "endings",
    "events",
    "events_known",
    "metered",
    "meters_known",
    "named",
    "open_ids",
    "pages_known",
    "pages_open",
    "payment_of",
    "plan_changes",
    "prices_after",
    "prices_known",
    "refunds_since",
    "sold_as",
    "subject_of",
    "tenants",
    "terms",
    "unpaid",
]
