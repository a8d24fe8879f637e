"""What every template may use: navigation, filters for money and time, the theme."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from flask import Flask, request
from jinja2 import StrictUndefined

from portal import clock
from portal.config import Settings
from portal.models.subscription import Status
from portal.money import Money, plain
from portal.web import navigation

STATUS_WORDS = {
    Status.ON_HOLD: "Awaiting payment or approval",
    Status.UNBLOCKED: "Active",
    Status.BLOCKED: "Blocked",
    Status.PROD_ONLY_BLOCKED: "Production blocked",
    Status.REJECTED: "Cancelled",
    Status.TIER_UPDATE_PENDING: "Plan change pending",
    Status.DELETE_PENDING: "Ending",
    Status.ENDED: "Ended",
}


def init_app(app: Flask, settings: Settings) -> None:
    """Add the context and the filters, and make a misspelt name in a template an error."""
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.filters.update(
        money=money, decimal=plain, moment=moment, day=day, ago=ago, status_words=status_words
    )

    @app.context_processor
    def provide() -> dict[str, Any]:
        return {
            "portal_name": navigation.portal_name(),
            "navigation": navigation.navigation,
            "portals_for_user": navigation.portals_for_user,
            "test_mode": not settings.is_real_stripe,
            "theme": _theme(),
            "base_url": settings.portal_base_url,
        }


def _theme() -> str:
    wanted = request.cookies.get("theme", "auto")
    return wanted if wanted in ("light", "dark") else "auto"


def money(minor: int | Decimal, currency: str) -> str:
    """Write an amount of minor units: ``999, "usd"`` is ``9.99 USD``."""
    return str(Money(int(minor), currency.lower()))


def moment(value: datetime | None) -> str:
    """Write a moment to the minute, in UTC and saying so."""
    return value.strftime("%Y-%m-%d %H:%M UTC") if value else "–"


def day(value: datetime | None) -> str:
    """Write a day, in UTC."""
    return value.strftime("%Y-%m-%d") if value else "–"


def ago(value: datetime | None) -> str:
    """Write how long ago something was, roughly."""
    if value is None:
        return "never"
    seconds = int((clock.now() - value).total_seconds())
    if seconds < 60:
        return "just now"
    for size, word in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {word}{'' if count == 1 else 's'} ago"
    return "just now"


def status_words(status: Status | str) -> str:
    """Write a subscription's status in plain words."""
    return STATUS_WORDS[Status(status)]
