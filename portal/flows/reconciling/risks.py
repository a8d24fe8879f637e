"""What each kind of difference does to people and money, and what ending it touches."""

from typing import NamedTuple


class Risk(NamedTuple):
    """How bad a kind of difference is: ``high``, ``medium`` or ``low``, and why."""

    level: str
    danger: str


RISKS = {
    "paid_without_service": Risk("high", "Somebody pays and gets nothing."),
    "lives_after_end": Risk("high", "Somebody pays on for what has ended."),
    "page_orphaned": Risk("high", "Somebody may pay there and get nothing."),
    "status": Risk("high", "Somebody calls unpaid, or is kept out although it is paid."),
    "subscription_missing": Risk("high", "Calls are served that nobody bills."),
    "price": Risk("high", "Another price is charged than was agreed."),
    "price_terms": Risk("high", "Another price is charged than the portal shows."),
    "usage": Risk("high", "The invoice has another number of calls than were counted."),
    "usage_unacknowledged": Risk("high", "Calls are not billed until somebody decides."),
    "not_compared": Risk("medium", "What differs in this account is not known."),
    "page_closed": Risk("medium", "A payment or its lapse has not been noticed."),
    "page_missing": Risk("medium", "The payment page that is waited for cannot be paid."),
    "event_undelivered": Risk("medium", "Something has happened that the portal was not told."),
    "event_without_effect": Risk("medium", "Something was told and has changed nothing yet."),
    "ending_unfinished": Risk("medium", "Somebody has left and is still charged."),
    "plan_change_unfinished": Risk("medium", "Somebody has another plan than was asked for."),
    "refund_waiting": Risk("high", "Somebody paid for nothing and has not got it back."),
    "refund_differs": Risk("high", "Somebody was told of another sum than went back."),
    "unpaid_too_long": Risk("low", "It waits for a payment that cannot come any more."),
    "subscription_unknown": Risk("medium", "It may be another portal's, or was lost here."),
    "cancel_at": Risk("medium", "Another last day is shown than the one that counts."),
    "period": Risk("low", "Another billing period is shown than the one that counts."),
    "price_archived": Risk("medium", "The plan is shown and cannot be bought."),
    "price_missing": Risk("medium", "The plan is shown and cannot be bought."),
    "price_not_withdrawn": Risk("low", "A price can be sold that is not for sale."),
    "price_without_row": Risk("low", "A price can be sold that the portal does not know."),
    "product_not_withdrawn": Risk("low", "A product is offered that sells nothing."),
    "meter_without_row": Risk("low", "A meter counts for no price."),
}
#: Ending these changes something at the engine: somebody has to press. The worker repairs others.
OUTWARD = frozenset(
    {
        "paid_without_service",
        "lives_after_end",
        "page_orphaned",
        "plan_change_unfinished",
        "refund_waiting",
        "price_not_withdrawn",
        "price_without_row",
        "product_not_withdrawn",
    }
)
