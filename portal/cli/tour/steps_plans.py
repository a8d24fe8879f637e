"""Making business plans of both kinds."""

from portal.cli.tour.forms import Value
from portal.cli.tour.walk import Walk

FIXED = "Tour-Monthly"
DYNAMIC = "Tour-Usage"


def _plan(name: str, **fields: Value) -> dict[str, Value]:
    return {
        "name": name,
        "quota": "600",
        "unit_time": "1",
        "time_unit": "min",
        "billing_plan": "COMMERCIAL",
        "billing_cycle": "month",
        "currency": "USD",
        **fields,
    }


def create_a_fixed_plan(walk: Walk) -> str:
    """Create a plan with a fixed rate of 1.05 USD per month."""
    walk.admin.open("/admin/plans/new")
    plan = _plan(FIXED, monetization_plan="FIXEDRATE", fixed_price="1.05")
    page = walk.admin.press("Save", plan).says(FIXED, "1.05 USD")
    return page.row(FIXED)


def create_a_usage_plan(walk: Walk) -> str:
    """Create a plan with a price of 0.0025 USD per request."""
    walk.admin.open("/admin/plans/new")
    plan = _plan(
        DYNAMIC,
        monetization_plan="DYNAMICRATE",
        price_per_request="0.0025",
        stop_on_quota_reach=False,
    )
    page = walk.admin.press("Save", plan).says(DYNAMIC, "0.0025 USD")
    return page.row(DYNAMIC)


def refuse_a_price_that_cannot_be_charged(walk: Walk) -> str:
    """Try a fixed rate of 1.005 USD, which no invoice can hold."""
    walk.admin.open("/admin/plans/new")
    plan = _plan("Tour-Odd", monetization_plan="FIXEDRATE", fixed_price="1.005")
    walk.admin.press("Save", plan, expect=422)
    walk.admin.open("/admin/plans").says_not("Tour-Odd")
    return "422, and no such plan in the list"


STEPS = (create_a_fixed_plan, create_a_usage_plan, refuse_a_price_that_cannot_be_charged)
