"""When something is to be done about a subscription."""

from __future__ import annotations

from portal.sandbox.store import Record

TRIAL_NOTICE = 3 * 86400


def max_period_end(subscription: Record) -> int:
    """Return the end of the longest running period."""
    return max(int(item["current_period_end"]) for item in subscription["items"])


def next_due(subscription: Record) -> int:
    """Return the next moment of a running subscription: renewal, planned end, notice of a trial."""
    moments = [min(int(item["current_period_end"]) for item in subscription["items"])]
    if subscription["cancel_at"] is not None:
        moments.append(int(subscription["cancel_at"]))
    if notice_owed(subscription):
        moments.append(int(subscription["trial_end"]) - TRIAL_NOTICE)
    return min(moments)


def notice_owed(subscription: Record) -> bool:
    """Tell whether a trial runs whose end has not been announced yet."""
    return subscription["status"] == "trialing" and not subscription.get("_trial_noticed")
