"""The usage of one subscription, as both portals show it and hand it out as CSV."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from flask import Response, request

from portal import clock
from portal.models import Subscription
from portal.rating import price_words
from portal.services import access, catalogue, usage_report
from portal.services.usage_report import Report


def asked(subscription: Subscription) -> Report:
    """Return the usage of the period that ``?period=2026-05-01`` lies in; else of the present."""
    text = request.args.get("period", "")
    try:
        moment = datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None
        found = usage_report.report(subscription, moment)
    except (ValueError, OverflowError):
        found = usage_report.report(subscription)
    return found


def context(subscription: Subscription) -> dict[str, Any]:
    """Return what ``partials/usage.html`` shows."""
    found = asked(subscription)
    # Of the plan that the period was sold under, which need not be the present one.
    currency = (found.version.currency or "").lower()
    before = found.period.start - timedelta(seconds=1)
    return {
        "subscription": subscription,
        "report": found,
        "cap": _cap(subscription) if found.is_running else None,
        "price_words": lambda minor: price_words(Decimal(minor), currency) if currency else "–",
        "earlier": before.isoformat()[:19] if before >= subscription.created_at else None,
        "later": None if found.period.end > found.as_of else found.period.end.isoformat()[:19],
        "period_key": found.period.start.isoformat()[:19],
    }


def _cap(subscription: Subscription) -> dict[str, Any] | None:
    """Return what the bar of the quota shows; ``None`` where there is no cap."""
    state = access.cap_of(subscription) if subscription.ended_at is None else None
    if state is None:
        return None
    policy = subscription.policy_version.policy
    used = f"{state.used:,} bytes" if state.limit.in_bytes else f"{state.used:,}"
    return {
        "used": state.used,
        "limit": state.limit.amount,
        "words": f"{used} of {catalogue.quota_words(policy)}",
        "until": clock.from_epoch(state.limit.end),
    }


def as_csv(subscription: Subscription) -> Response:
    """Return the period's explanation as a file."""
    found = asked(subscription)
    name = f"usage-{found.period.start:%Y-%m-%d}.csv"
    response = Response(usage_report.to_csv(found), mimetype="text/csv")
    response.headers["Content-Disposition"] = f"attachment; filename={name}"
    return response
