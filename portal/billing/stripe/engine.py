"""Selling through Stripe: direct charges on the publishers' connected accounts."""

from typing import ClassVar

from portal.billing.engine import BillingEngine
from portal.billing.stripe.buying import Buying
from portal.billing.stripe.changing import Changing
from portal.billing.stripe.events import Events
from portal.billing.stripe.inspecting import Inspecting
from portal.billing.stripe.invoices import Invoices
from portal.billing.stripe.listing import Listing
from portal.billing.stripe.refunds import Refunds
from portal.billing.stripe.selling import Selling
from portal.billing.stripe.setting_up import SetUp
from portal.billing.stripe.usage import Usage


class StripeBillingEngine(
    SetUp,
    Inspecting,
    Selling,
    Buying,
    Usage,
    Changing,
    Invoices,
    Refunds,
    Listing,
    Events,
    BillingEngine,
):
    """The billing engine ``stripe``: one client with one tenant's key."""

    name: ClassVar[str] = "stripe"
