"""The pages that people see: hosted payment pages and the control room.

`register` puts them on the sandbox's app. They read and change the store through the engine only.
"""

from __future__ import annotations

from flask import Flask

from portal.sandbox.pages import (
    checkout,
    checkout_codes,
    invoice,
    onboarding,
    portal,
    portal_cards,
    portal_details,
    room,
    room_accounts,
    room_actions,
    room_faults,
    room_secrets,
)
from portal.sandbox.pages.web import hosted

__all__ = ["register"]

_VIEWS = (
    checkout,
    checkout_codes,
    invoice,
    onboarding,
    portal,
    portal_cards,
    portal_details,
    room_accounts,
    room_actions,
    room_faults,
    room_secrets,
)


def register(app: Flask) -> None:
    """Add the hosted pages and the control room to `app`; once per app."""
    app.register_blueprint(hosted)
    app.register_blueprint(room.blueprint)
