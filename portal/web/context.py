"""What every template may use: navigation, filters for time, the theme."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from flask import Flask, request
from flask_login import current_user
from jinja2 import StrictUndefined

from portal.config import Settings
from portal.services import notice_board
from portal.services.notice_board import Headline
from portal.web import authenticated, navigation


def init_app(app: Flask, settings: Settings) -> None:
    """Add the context and the filters, and make a misspelt name in a template an error."""
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.filters.update(moment=moment, day=day)
    app.jinja_env.globals.update(moment=moment)

    @app.context_processor
    def provide() -> dict[str, Any]:
        return {
            "portal_name": navigation.portal_name(),
            "navigation": navigation.navigation,
            "portals_for_user": navigation.portals_for_user,
            "test_mode": not settings.is_real_stripe,
            "theme": _theme(),
            "base_url": settings.portal_base_url,
            "open_notices": _open_notices,
        }


def _open_notices() -> Sequence[Headline]:
    """Return what stands above a developer's pages; one query, where anything does."""
    if navigation.portal_name() != "devportal" or not current_user.is_authenticated:
        return ()
    if not authenticated.has_notices():
        return ()
    return notice_board.open_for(current_user.user_id)


def _theme() -> str:
    wanted = request.cookies.get("theme", "auto")
    return wanted if wanted in ("light", "dark") else "auto"


def moment(value: datetime | None) -> str:
    """Write a moment to the minute, in UTC and saying so."""
    return value.strftime("%Y-%m-%d %H:%M UTC") if value else "–"


def day(value: datetime | None) -> str:
    """Write a day, in UTC."""
    return value.strftime("%Y-%m-%d") if value else "–"
